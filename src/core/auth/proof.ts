/**
 * The proof of the extension x1: each side shows that it knows the key, bound to everything that was said so far.
 *
 * ```
 * TH     = SHA-256("asoc/x1" || HELLO frame || ACCEPT frame || dialler's CAPS || acceptor's CAPS || TLS binding)
 * PRK    = HKDF-Extract(salt = dialler's nonce || acceptor's nonce,
 *                       ikm = u16 length || key || u16 length || X25519 secret)
 * k_role = HKDF-Expand(PRK, role || TH, 32)          role: "dialler" or "acceptor"
 * PROOF  = HMAC-SHA256(k_role, TH)
 * ```
 *
 * Frames include their headers, CAPS records go from op to the end of the body. Without a key exchange the secret is
 * empty and its length is written as 0. Nothing here compares, limits or remembers anything but the proof itself.
 */
import type { Crypto } from "../runtime.ts";
import { ACCEPT_BYTES } from "../wire/accept.ts";
import { equalBytes, joinBytes, utf8 } from "../wire/bytes.ts";
import { HEADER_BYTES } from "../wire/header.ts";
import { HELLO_BYTES } from "../wire/hello.ts";
import { KEY_ID_BYTES, NONCE_BYTES } from "../wire/records/caps.ts";
import { RECORD_HEADER_BYTES } from "../wire/records/framing.ts";
import { HASH_BYTES, hkdfExpand, hkdfExtract } from "./hkdf.ts";

const MAX_U16 = 0xffff;

/** Whose proof it is: a proof of one role never passes as one of the other. */
export type ProofRole = "dialler" | "acceptor";

/** What both sides have said, byte for byte. */
export interface Transcript {
  /** 50 bytes: header and payload. */
  readonly helloFrame: Uint8Array;
  /** 30 bytes: header and payload. */
  readonly acceptFrame: Uint8Array;
  /** From op to the end of the body, as it was sent. */
  readonly diallerCaps: Uint8Array;
  readonly acceptorCaps: Uint8Array;
  /** SHA-256 of the acceptor's leaf certificate as this side saw it; empty without TLS. */
  readonly tlsBinding: Uint8Array;
}

/** What both sides know. */
export interface ProofSecrets {
  /** The shared key's bytes; at most 65,535. */
  readonly key: Uint8Array;
  /** The result of X25519, 32 bytes; undefined where one side offered none. */
  readonly sharedSecret: Uint8Array | undefined;
  /** The nonce of the dialler's CAPS, then that of the acceptor's. */
  readonly diallerNonce: Uint8Array;
  readonly acceptorNonce: Uint8Array;
}

/** A hint at which key is meant, 4 bytes: `HMAC-SHA256(key, "asoc/key id")[:4]`. It proves nothing. */
export function keyId(key: Uint8Array, crypto: Crypto): Uint8Array {
  return new Uint8Array(crypto.hmacSha256(key, utf8("asoc/key id")).subarray(0, KEY_ID_BYTES));
}

/**
 * TH, 32 bytes. The lengths are fixed or stand in the records, so that no two transcripts give the same bytes. Throws
 * RangeError on a part that cannot be what it is called.
 */
export function transcriptHash(transcript: Transcript, crypto: Crypto): Uint8Array {
  const { helloFrame, acceptFrame, diallerCaps, acceptorCaps, tlsBinding } = transcript;
  checkLength("HELLO frame", helloFrame, HEADER_BYTES + HELLO_BYTES);
  checkLength("ACCEPT frame", acceptFrame, HEADER_BYTES + ACCEPT_BYTES);
  for (const caps of [diallerCaps, acceptorCaps]) {
    checkLength("CAPS record", caps, RECORD_HEADER_BYTES + (((caps[2] ?? 0) << 8) | (caps[3] ?? 0)));
  }
  if (tlsBinding.length > 0) checkLength("TLS binding", tlsBinding, HASH_BYTES);
  const said = [utf8("asoc/x1"), helloFrame, acceptFrame, diallerCaps, acceptorCaps, tlsBinding];
  return crypto.sha256(joinBytes(said));
}

/** PRK, 32 bytes, secret. Throws RangeError on a nonce of another length and a key over 65,535 bytes. */
export function handshakeSecret(secrets: ProofSecrets, crypto: Crypto): Uint8Array {
  checkLength("dialler's nonce", secrets.diallerNonce, NONCE_BYTES);
  checkLength("acceptor's nonce", secrets.acceptorNonce, NONCE_BYTES);
  const salt = joinBytes([secrets.diallerNonce, secrets.acceptorNonce]);
  const shared = secrets.sharedSecret ?? new Uint8Array(0);
  const material = joinBytes([...lengthPrefixed("key", secrets.key), ...lengthPrefixed("secret", shared)]);
  const prk = hkdfExtract(salt, material, crypto);
  material.fill(0);
  return prk;
}

/** k_role, 32 bytes, secret. `th` is the transcript's hash. */
export function roleKey(prk: Uint8Array, role: ProofRole, th: Uint8Array, crypto: Crypto): Uint8Array {
  return hkdfExpand(prk, joinBytes([utf8(role), th]), HASH_BYTES, crypto);
}

/** The 32 bytes that `role` sends. */
export function makeProof(prk: Uint8Array, role: ProofRole, th: Uint8Array, crypto: Crypto): Uint8Array {
  return crypto.hmacSha256(roleKey(prk, role, th, crypto), th);
}

/** Whether `proof` is what `role` sends, in constant time; false on another length. */
export function verifyProof(
  proof: Uint8Array,
  prk: Uint8Array,
  role: ProofRole,
  th: Uint8Array,
  crypto: Crypto,
): boolean {
  return equalBytes(proof, makeProof(prk, role, th, crypto));
}

function lengthPrefixed(what: string, bytes: Uint8Array): [Uint8Array, Uint8Array] {
  if (bytes.length > MAX_U16) {
    throw new RangeError(`${what}: ${bytes.length} bytes, expected at most ${MAX_U16}`);
  }
  return [Uint8Array.of(bytes.length >>> 8, bytes.length), bytes];
}

function checkLength(what: string, bytes: Uint8Array, expected: number): void {
  if (bytes.length !== expected) throw new RangeError(`${what}: ${bytes.length} bytes, expected ${expected}`);
}
