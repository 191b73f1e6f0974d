/**
 * HELLO, the dialler's 36 bytes (RFC-0001, Handshake):
 * `uuid[16] | HMAC-SHA256(api_key, uuid || challenge)[:16] | challenge u32`.
 */
import { ProtocolError } from "../errors.ts";
import type { Crypto } from "../runtime.ts";
import { equalBytes } from "./bytes.ts";
import { readU32, writeU32 } from "./header.ts";

export const HELLO_BYTES = 36;
const SIGNATURE_AT = 16;
const CHALLENGE_AT = 32;

export interface Hello {
  /** 16 bytes. */
  readonly nodeId: Uint8Array;
  /** 0 to 2^32 - 1. */
  readonly challenge: number;
}

/** The payload for `hello`, signed with `key`. */
export function encodeHello(hello: Hello, key: Uint8Array, crypto: Crypto): Uint8Array {
  const payload = new Uint8Array(HELLO_BYTES);
  payload.set(hello.nodeId, 0);
  writeU32(payload, CHALLENGE_AT, hello.challenge);
  payload.set(sign(payload, key, crypto), SIGNATURE_AT);
  return payload;
}

/** The fields and whether the signature holds under `key`. Throws ASOC_BAD_HANDSHAKE on another length. */
export function decodeHello(
  payload: Uint8Array,
  key: Uint8Array,
  crypto: Crypto,
): Hello & { readonly authentic: boolean } {
  if (payload.length !== HELLO_BYTES) {
    throw new ProtocolError(
      "ASOC_BAD_HANDSHAKE",
      `Cannot read HELLO: ${payload.length} bytes, expected ${HELLO_BYTES}`,
      { details: { expected: HELLO_BYTES, got: payload.length } },
    );
  }
  return {
    nodeId: payload.slice(0, SIGNATURE_AT),
    challenge: readU32(payload, CHALLENGE_AT),
    authentic: equalBytes(sign(payload, key, crypto), payload.subarray(SIGNATURE_AT, CHALLENGE_AT)),
  };
}

function sign(payload: Uint8Array, key: Uint8Array, crypto: Crypto): Uint8Array {
  const signed = new Uint8Array(20);
  signed.set(payload.subarray(0, SIGNATURE_AT), 0);
  signed.set(payload.subarray(CHALLENGE_AT, HELLO_BYTES), SIGNATURE_AT);
  return crypto.hmacSha256(key, signed).subarray(0, 16);
}
