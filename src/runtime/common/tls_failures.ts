/** What can go wrong in TLS, as ASoc errors with stable codes. The three runtimes name the causes alike. */
import { AuthError, ConnectionError, describe } from "../../core/errors.ts";
import type { Address } from "../../core/runtime.ts";
import { dialFailure } from "./failures.ts";

/** The codes of OpenSSL and of its stand-ins that matter here; each pattern covers the spellings of all runtimes. */
const NOT_TLS =
  /WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE|BAD_PACKET_LENGTH/;
const OLD_TLS = /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE|NO_SUITABLE/;
const WANTS_CERTIFICATE = /CERTIFICATE_REQUIRED|PEER_DID_NOT_RETURN_A_CERTIFICATE/;
const REFUSES_CERTIFICATE = /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_\w+|ACCESS_DENIED)/;
/** Deno has one code for several alerts, and says what happened in the text. */
const OLD_TLS_TEXT = /Tls12NotOffered|ProtocolVersion/;
/** Of the connection below. */
const NETWORK =
  /^(ECONNREFUSED|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|EADDRNOTAVAIL|EACCES|EMFILE)$/;

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "";
}

/** Why the TLS handshake with `remote` failed, or its connection after it. */
export function tlsFailure(remote: string, cause: unknown): Error {
  const code = codeOf(cause);
  const text = describe(cause);
  if (NOT_TLS.test(code))
    return new ConnectionError("ASOC_TLS_MISMATCH", `${remote}: speaks no TLS, which this node demands`, {
      cause,
    });
  if (OLD_TLS.test(code) || OLD_TLS_TEXT.test(text))
    return new ConnectionError("ASOC_TLS_VERSION", `${remote}: does not speak TLS 1.3, which is demanded`, {
      cause,
    });
  if (WANTS_CERTIFICATE.test(code) || REFUSES_CERTIFICATE.test(code))
    return new AuthError("ASOC_TLS_UNTRUSTED", `${remote}: refused this node's certificate (${code})`, {
      cause,
    });
  // What stands in the cause of the runtimes: an alert's name and a place in a library, nothing secret.
  return new ConnectionError("ASOC_TLS_HANDSHAKE", `${remote}: the TLS handshake failed (${code || text})`, {
    cause,
  });
}

/** Why an established connection failed: with TLS 1.3 the acceptor may refuse a certificate after the dialler is done. */
export function tlsLoss(remote: string, cause: Error): Error {
  const code = codeOf(cause);
  return WANTS_CERTIFICATE.test(code) || REFUSES_CERTIFICATE.test(code) ? tlsFailure(remote, cause) : cause;
}

/** Why a dial with TLS failed: before TLS began, or within it. */
export function tlsDialFailure(to: Address, where: string, cause: unknown): Error {
  const code = codeOf(cause);
  if (NETWORK.test(code)) return dialFailure(to, cause);
  if (code === "ECONNRESET" || code === "EPIPE" || code === "")
    return new ConnectionError(
      "ASOC_TLS_MISMATCH",
      `${where}: closed the connection before TLS was established; it may not speak TLS`,
      { cause },
    );
  return tlsFailure(where, cause);
}
