/**
 * What is asserted on a live TLS connection before a byte of ASoc passes (RFC-0101, section 3). It trusts no single flag
 * of a runtime: `authorized` is true on some where nothing was verified, so the certificate itself is looked at as well.
 */
import { createHash, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { AuthError, ConnectionError } from "../../core/errors.ts";
import type { ConnTls, TlsConfig, TlsIdentity } from "../../core/runtime.ts";
import { uriNames } from "./uri_names.ts";

const PROTOCOL = "TLSv1.3";
/** Certificates between a leaf and its authority. */
const MAX_CHAIN = 4;
const NODE_ID = /^urn:uuid:([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/i;

/** What the runtimes tell of a certificate that was shown, and of the one above it. */
interface Shown {
  readonly raw?: Uint8Array;
  readonly issuerCertificate?: Shown;
}

export interface CheckedSide {
  /** For messages: HOST:PORT of the other side. */
  readonly remote: string;
  /** The host that was dialled; undefined: the other side has dialled. */
  readonly dialledHost: string | undefined;
  readonly config: TlsConfig;
  /** What this side has shown. */
  readonly identity: TlsIdentity;
  readonly unixMs: number;
}

/** Asserts what was configured and says what was found. Throws AuthError or ConnectionError, ASOC_TLS_…. */
export function checkTls(socket: TLSSocket, side: CheckedSide): ConnTls {
  const { remote, dialledHost, config, identity } = side;
  const protocol = socket.getProtocol();
  if (socket.encrypted !== true || protocol !== PROTOCOL)
    throw new ConnectionError(
      "ASOC_TLS_INSECURE",
      `${remote}: expected a connection encrypted with ${PROTOCOL}, got ${protocol ?? "none"}`,
    );
  const shown: Shown | undefined = socket.getPeerCertificate(true);
  // The types say that there always is one; without one it is empty.
  const raw = shown?.raw;
  const isAcceptor = dialledHost === undefined;
  if (!raw || raw.length === 0) {
    if (!isAcceptor) throw noCertificate(remote);
    if (config.requireClientCertificate) throw noCertificate(remote);
    return { certificateSha256: identity.certificateSha256, protocol };
  }
  const peerCertificateSha256 = sha256(raw);
  const leaf = new X509Certificate(raw);
  const mustHold = !isAcceptor || config.requireClientCertificate;
  let peerVerified = false;
  try {
    peerVerified = verify(leaf, shown, socket, peerCertificateSha256, side);
  } catch (error) {
    if (mustHold) throw error;
  }
  const peerNodeId = peerVerified && config.verify === "ca" ? nodeIdOf(leaf) : undefined;
  return {
    certificateSha256: isAcceptor ? identity.certificateSha256 : peerCertificateSha256,
    peerCertificateSha256,
    protocol,
    peerVerified,
    peerNodeId,
  };
}

/** True where a pin or an authority vouches for it, false where nothing is asked. Throws what is wrong with it. */
function verify(
  leaf: X509Certificate,
  shown: Shown,
  socket: TLSSocket,
  digest: Uint8Array,
  { config, remote, dialledHost, unixMs }: CheckedSide,
): boolean {
  switch (config.verify) {
    case "proof":
    case "none":
      return false;
    case "pin": {
      const got = toHex(digest);
      if (config.pins.includes(got)) return true;
      throw new AuthError("ASOC_TLS_UNTRUSTED", `${remote}: shows a certificate that is not pinned: ${got}`, {
        details: { expected: config.pins, got },
      });
    }
    case "ca": {
      checkValidity(leaf, remote, unixMs);
      checkChain(leaf, shown, config, remote, unixMs);
      const complaint = complaintOf(socket);
      if (complaint !== undefined) throw untrusted(remote, complaint);
      if (dialledHost !== undefined) checkName(leaf, dialledHost, remote);
      return true;
    }
  }
}

/**
 * What the library has against the chain, which knows more rules than `checkChain`. A socket that was made from an accepted
 * one has no verdict of its own on Node.js and Deno: there it is asked of what is below.
 */
function complaintOf(socket: TLSSocket): string | undefined {
  if (socket.authorized) return undefined;
  if (socket.authorizationError) return String(socket.authorizationError);
  const { _handle: handle } = socket as unknown as { _handle?: { verifyError?(): unknown } | null };
  if (typeof handle?.verifyError !== "function") return "the runtime did not verify it";
  const error: unknown = handle.verifyError();
  return error ? String((error as { code?: unknown }).code ?? error) : undefined;
}

function checkValidity(certificate: X509Certificate, remote: string, unixMs: number): void {
  const from = Date.parse(certificate.validFrom);
  const to = Date.parse(certificate.validTo);
  if (unixMs >= from && unixMs <= to) return;
  const how =
    unixMs < from ? `is valid only from ${certificate.validFrom}` : `ended on ${certificate.validTo}`;
  throw new AuthError("ASOC_TLS_EXPIRED", `${remote}: shows a certificate that ${how}`, {
    details: { validFrom: certificate.validFrom, validTo: certificate.validTo },
  });
}

/** One of the authorities has signed it, or a certificate of the chain that was shown. */
function checkChain(
  leaf: X509Certificate,
  shown: Shown,
  config: TlsConfig,
  remote: string,
  unixMs: number,
): void {
  const authorities = config.authorities.map((pem) => new X509Certificate(pem));
  let current = leaf;
  let step: Shown | undefined = shown;
  for (let depth = 0; depth <= MAX_CHAIN; depth++) {
    const signer = authorities.find((authority) => isSignedBy(current, authority));
    if (signer) {
      checkValidity(signer, remote, unixMs);
      return;
    }
    step = step?.issuerCertificate;
    if (!step?.raw || Buffer.from(step.raw).equals(current.raw)) break;
    const next = new X509Certificate(step.raw);
    if (!isSignedBy(current, next)) break;
    checkValidity(next, remote, unixMs);
    current = next;
  }
  throw untrusted(remote, "no authority that this node trusts has signed it");
}

function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return authority.ca && certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

/** A node id in it names its node wherever that is: HELLO and CAPS have to say the same. Else its host name counts. */
function checkName(leaf: X509Certificate, host: string, remote: string): void {
  if (nodeIdOf(leaf)) return;
  const fits = isIP(host) ? leaf.checkIP(host) : leaf.checkHost(host);
  if (fits) return;
  const got = leaf.subjectAltName ?? "no name";
  throw new AuthError(
    "ASOC_TLS_WRONG_NAME",
    `${remote}: shows a certificate for ${got}, expected ${host} or a node id`,
    { details: { expected: host, got } },
  );
}

/** The node id of a certificate, 16 bytes: its only name of the form urn:uuid. */
export function nodeIdOf(certificate: X509Certificate): Uint8Array | undefined {
  const ids = uriNames(certificate.raw)
    .map((name) => NODE_ID.exec(name)?.[1])
    .filter((id) => id !== undefined);
  const [id] = ids;
  return ids.length === 1 && id ? new Uint8Array(Buffer.from(id.replaceAll("-", ""), "hex")) : undefined;
}

function noCertificate(remote: string): AuthError {
  return new AuthError("ASOC_TLS_NO_CERTIFICATE", `${remote}: shows no certificate, expected one`);
}

function untrusted(remote: string, why: string): AuthError {
  return new AuthError("ASOC_TLS_UNTRUSTED", `${remote}: shows a certificate that is not trusted: ${why}`);
}

export function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(data).digest());
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
