/**
 * The primitives of `Crypto` through node:crypto and node:zlib, which all three runtimes have, synchronously.
 * Chance is handed in, so that tests and the simulation stay reproducible.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
} from "node:crypto";
import { crc32 } from "node:zlib";
import { AuthError } from "../../core/errors.ts";
import type { Crypto } from "../../core/runtime.ts";

const X25519_KEY_BYTES = 32;
/** What stands before the 32 bytes of a key in its DER form (RFC 8410). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");
const SPKI_PREFIX = Buffer.from("302a300506032b656e032100", "hex");

const AES_KEY_BYTES = 32;
const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;
const GCM = "aes-256-gcm";
const NOTHING = new Uint8Array(0);

/** All primitives; `randomBytes` returns fresh memory. */
export function createCrypto(randomBytes: (byteCount: number) => Uint8Array): Crypto {
  return {
    randomBytes,
    sha256: (data) => new Uint8Array(createHash("sha256").update(data).digest()),
    // createHmac takes 0.6-8 µs where WebCrypto takes 24-48 and a promise.
    hmacSha256: (key, data) => new Uint8Array(createHmac("sha256", key).update(data).digest()),
    sha256Stream() {
      const hash = createHash("sha256");
      return {
        update: (part) => void hash.update(part),
        digest: () => new Uint8Array(hash.digest()),
      };
    },
    x25519KeyPair() {
      const privateKey = randomBytes(X25519_KEY_BYTES);
      const spki = createPublicKey(importPrivate(privateKey)).export({ format: "der", type: "spki" });
      return { privateKey, publicKey: new Uint8Array(spki.subarray(SPKI_PREFIX.length)) };
    },
    x25519,
    aes256GcmSeal: seal,
    aes256GcmOpen: open,
    crc32: (data, start = 0) => crc32(data, start),
  };
}

function x25519(privateKey: Uint8Array, peerPublicKey: Uint8Array): Uint8Array {
  checkLength("private key", privateKey, X25519_KEY_BYTES);
  checkLength("public key", peerPublicKey, X25519_KEY_BYTES);
  const ours = importPrivate(privateKey);
  const spki = Buffer.concat([SPKI_PREFIX, peerPublicKey]);
  const theirs = createPublicKey({ key: spki, format: "der", type: "spki" });
  let shared: Uint8Array;
  try {
    shared = new Uint8Array(diffieHellman({ privateKey: ours, publicKey: theirs }));
  } catch (cause) {
    // Any 32 bytes are a key, so only the all-zero result is left as the reason.
    throw smallOrder(cause);
  }
  // The libraries refuse it today; nothing promises that they always will.
  if (shared.every((byte) => byte === 0)) throw smallOrder();
  return shared;
}

function smallOrder(cause?: unknown): AuthError {
  return new AuthError(
    "ASOC_BAD_PUBLIC_KEY",
    "Cannot agree on a secret: the peer's X25519 key is of small order, expected one that gives a secret",
    { cause },
  );
}

function importPrivate(privateKey: Uint8Array): KeyObject {
  const der = Buffer.concat([PKCS8_PREFIX, privateKey]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  der.fill(0);
  return key;
}

function seal(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  additionalData: Uint8Array = NOTHING,
): Uint8Array {
  checkLength("key", key, AES_KEY_BYTES);
  checkLength("nonce", nonce, GCM_NONCE_BYTES);
  const cipher = createCipheriv(GCM, key, nonce, { authTagLength: GCM_TAG_BYTES });
  cipher.setAAD(additionalData);
  const sealed = new Uint8Array(plaintext.length + GCM_TAG_BYTES);
  sealed.set(cipher.update(plaintext));
  cipher.final(); // empty: a counter mode holds nothing back
  sealed.set(cipher.getAuthTag(), plaintext.length);
  return sealed;
}

function open(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  additionalData: Uint8Array = NOTHING,
): Uint8Array | undefined {
  checkLength("key", key, AES_KEY_BYTES);
  checkLength("nonce", nonce, GCM_NONCE_BYTES);
  if (sealed.length < GCM_TAG_BYTES) return undefined;
  const tagAt = sealed.length - GCM_TAG_BYTES;
  const decipher = createDecipheriv(GCM, key, nonce, { authTagLength: GCM_TAG_BYTES });
  decipher.setAAD(additionalData);
  decipher.setAuthTag(sealed.subarray(tagAt));
  const plaintext = new Uint8Array(decipher.update(sealed.subarray(0, tagAt)));
  try {
    decipher.final();
  } catch {
    plaintext.fill(0); // unauthenticated: nobody may see it
    return undefined;
  }
  return plaintext;
}

function checkLength(what: string, bytes: Uint8Array, expected: number): void {
  if (bytes.length !== expected) throw new RangeError(`${what}: ${bytes.length} bytes, expected ${expected}`);
}
