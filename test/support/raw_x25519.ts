/** The X25519 of a CAPS record (RFC-0100, section 7), for `raw_x1.ts`. It shares no code with the implementation. */
import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from "node:crypto";

const X25519_TLV = 1;
/** Of a CAPS record, before its TLVs. */
const FIXED_CAPS_BYTES = 4 + 64;

export interface ExchangeKey {
  readonly privateKey: KeyObject;
  /** At the end of CAPS. */
  readonly tlv: Buffer;
}

export function exchangeKey(): ExchangeKey {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const bytes = Buffer.from(String(publicKey.export({ format: "jwk" }).x), "base64url");
  return { privateKey, tlv: Buffer.concat([Buffer.of(0, X25519_TLV, 0, bytes.length), bytes]) };
}

/** Of both keys; undefined where the CAPS of the other side has none. */
export function exchanged(own: ExchangeKey, theirCaps: Buffer): Buffer | undefined {
  for (let at = FIXED_CAPS_BYTES; at + 4 <= theirCaps.length; ) {
    const end = at + 4 + theirCaps.readUInt16BE(at + 2);
    if (theirCaps.readUInt16BE(at) === X25519_TLV) {
      const jwk = { kty: "OKP", crv: "X25519", x: theirCaps.subarray(at + 4, end).toString("base64url") };
      const publicKey = createPublicKey({ key: jwk, format: "jwk" });
      return diffieHellman({ privateKey: own.privateKey, publicKey });
    }
    at = end;
  }
  return undefined;
}
