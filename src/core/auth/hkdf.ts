/** HKDF with SHA-256 (RFC 5869), built from the runtime's HMAC so that it is synchronous everywhere. */
import type { Crypto } from "../runtime.ts";
import { joinBytes } from "../wire/bytes.ts";

export const HASH_BYTES = 32;
/** What one counter byte can number (RFC 5869, 2.3). */
const MAX_OUTPUT_BYTES = 255 * HASH_BYTES;

/** The pseudorandom key, 32 bytes, of `material` under `salt`; an empty salt is one of 32 zero bytes. */
export function hkdfExtract(salt: Uint8Array, material: Uint8Array, crypto: Crypto): Uint8Array {
  // HMAC pads its key with zeros, so that an empty salt needs no case of its own.
  return crypto.hmacSha256(salt, material);
}

/** `byteCount` bytes of key from the pseudorandom key `prk`, bound to `info`. Throws RangeError over 8,160 bytes. */
export function hkdfExpand(prk: Uint8Array, info: Uint8Array, byteCount: number, crypto: Crypto): Uint8Array {
  if (!Number.isInteger(byteCount) || byteCount < 1 || byteCount > MAX_OUTPUT_BYTES) {
    throw new RangeError(`HKDF: ${byteCount} bytes, expected 1 to ${MAX_OUTPUT_BYTES}`);
  }
  const output = new Uint8Array(byteCount);
  let block = new Uint8Array(0);
  for (let at = 0, counter = 1; at < byteCount; at += HASH_BYTES, counter++) {
    block = new Uint8Array(crypto.hmacSha256(prk, joinBytes([block, info, Uint8Array.of(counter)])));
    output.set(block.subarray(0, byteCount - at), at);
  }
  return output;
}
