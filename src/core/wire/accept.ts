/**
 * ACCEPT, the acceptor's 16 bytes (RFC-0001, Handshake):
 * `token[8] | HMAC-SHA256(api_key, token)[:8]`.
 */
import { ProtocolError } from "../errors.ts";
import type { Crypto } from "../runtime.ts";
import { equalBytes, joinBytes, utf8 } from "./bytes.ts";

export const ACCEPT_BYTES = 16;
export const TOKEN_BYTES = 8;

/** The payload for an 8-byte `token`, signed with `key`. */
export function encodeAccept(token: Uint8Array, key: Uint8Array, crypto: Crypto): Uint8Array {
  if (token.length !== TOKEN_BYTES) {
    throw new RangeError(`token: ${token.length} bytes, expected ${TOKEN_BYTES}`);
  }
  const payload = new Uint8Array(ACCEPT_BYTES);
  payload.set(token, 0);
  payload.set(crypto.hmacSha256(key, token).subarray(0, 8), TOKEN_BYTES);
  return payload;
}

/** The token and whether its signature holds under `key`. Throws ASOC_BAD_HANDSHAKE on another length. */
export function decodeAccept(
  payload: Uint8Array,
  key: Uint8Array,
  crypto: Crypto,
): { readonly token: Uint8Array; readonly authentic: boolean } {
  if (payload.length !== ACCEPT_BYTES) {
    throw new ProtocolError(
      "ASOC_BAD_HANDSHAKE",
      `Cannot read ACCEPT: ${payload.length} bytes, expected ${ACCEPT_BYTES}`,
      { details: { expected: ACCEPT_BYTES, got: payload.length } },
    );
  }
  const token = payload.slice(0, TOKEN_BYTES);
  const signature = crypto.hmacSha256(key, token).subarray(0, 8);
  return { token, authentic: equalBytes(signature, payload.subarray(TOKEN_BYTES)) };
}

/**
 * A fresh token that tells a dialler that this side speaks the extension x1:
 * `r[4] || HMAC-SHA256(key, "asoc/x1 token" || r)[:4]`. To whoever does not know the key it is random.
 */
export function makeX1Token(key: Uint8Array, crypto: Crypto): Uint8Array {
  const r = crypto.randomBytes(4);
  return joinBytes([r, x1TokenTag(r, key, crypto)]);
}

/** Whether `token` says that its maker speaks x1; false on another length. Chance says so once in 2^32 tokens. */
export function isX1Token(token: Uint8Array, key: Uint8Array, crypto: Crypto): boolean {
  return equalBytes(token.subarray(4), x1TokenTag(token.subarray(0, 4), key, crypto));
}

function x1TokenTag(r: Uint8Array, key: Uint8Array, crypto: Crypto): Uint8Array {
  return crypto.hmacSha256(key, joinBytes([utf8("asoc/x1 token"), r])).subarray(0, 4);
}
