/**
 * KEY_NEW (op 0x40): a new key for the community. KEY_ACK (op 0x41): it was taken. Layout only: who may send them, and
 * when, is the session's business.
 *
 * Body of both: `counter u64 | sealed`. Sealed is AES-256-GCM, 16 bytes of tag at its end, under the rotation key of
 * whoever writes it; the nonce is 4 zero bytes and the counter, which counts both kinds together and never repeats under
 * one key; the additional data is the one byte of the op. Sealed in KEY_NEW:
 * `key id[4] | epoch u32 | not after u64 | key`, the key 1 to 1,024 bytes, not after in seconds since 1970, all ones for
 * never. Sealed in KEY_ACK: `key id[4] | epoch u32`.
 */
import { MAX_ROTATED_KEY_BYTES } from "../../limits.ts";
import { KEY_ID_BYTES } from "./caps.ts";
import { FieldReader } from "./field_reader.ts";
import { FieldWriter } from "./field_writer.ts";

const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const RECEIPT_BYTES = KEY_ID_BYTES + 4;
const GRANT_BYTES = RECEIPT_BYTES + 8;
/** A key of one byte, and of the most that it may have. */
const MIN_SEALED_GRANT_BYTES = GRANT_BYTES + 1 + TAG_BYTES;
const MAX_SEALED_GRANT_BYTES = GRANT_BYTES + MAX_ROTATED_KEY_BYTES + TAG_BYTES;
const SEALED_RECEIPT_BYTES = RECEIPT_BYTES + TAG_BYTES;

export interface KeyRecord {
  readonly kind: "key_new" | "key_ack";
  readonly counter: number;
  /** Ciphertext and tag: 33 to 1,056 bytes of KEY_NEW, 24 of KEY_ACK. */
  readonly sealed: Uint8Array;
}

/** What KEY_ACK seals. */
export interface KeyReceipt {
  /** 4 bytes: `keyId` of the new key. */
  readonly keyId: Uint8Array;
  /** Counts the keys of a community up. */
  readonly epoch: number;
}

/** What KEY_NEW seals. */
export interface KeyGrant extends KeyReceipt {
  /** Seconds since 1970 until which the key holds; undefined: for ever. */
  readonly notAfterS: number | undefined;
  /** The key's bytes, secret. */
  readonly key: Uint8Array;
}

/** Throws RangeError on a number out of its range and sealed bytes that are too few or too many. */
export function writeKey(record: KeyRecord, out: FieldWriter): void {
  out.u64("counter", record.counter);
  if (record.kind === "key_ack") out.fixed("sealed", record.sealed, SEALED_RECEIPT_BYTES);
  else out.raw("sealed", record.sealed, MAX_SEALED_GRANT_BYTES, MIN_SEALED_GRANT_BYTES);
}

/** Throws ASOC_BAD_RECORD, or ASOC_RECORD_LIMIT on a counter or sealed bytes over their limit. */
export function readKey(kind: KeyRecord["kind"], from: FieldReader): KeyRecord {
  const counter = from.u64("counter");
  if (kind === "key_ack") {
    const sealed = from.bytes("sealed", SEALED_RECEIPT_BYTES);
    from.end();
    return { kind, counter, sealed };
  }
  if (from.remaining < MIN_SEALED_GRANT_BYTES) {
    throw from.bad("sealed", `at least ${MIN_SEALED_GRANT_BYTES} bytes`, from.remaining);
  }
  return { kind, counter, sealed: from.rest("sealed", MAX_SEALED_GRANT_BYTES) };
}

/** The 12 bytes of the nonce for a counter. */
export function keyNonce(counter: number): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  new FieldWriter(nonce.subarray(4), "KEY nonce").u64("counter", counter);
  return nonce;
}

/** The plaintext of KEY_NEW. Throws RangeError. */
export function encodeKeyGrant(grant: KeyGrant): Uint8Array {
  const bytes = new Uint8Array(GRANT_BYTES + grant.key.length);
  const out = new FieldWriter(bytes, "KEY_NEW");
  out.fixed("key id", grant.keyId, KEY_ID_BYTES);
  out.u32("epoch", grant.epoch);
  out.u64OrNone("not after", grant.notAfterS);
  out.raw("key", grant.key, MAX_ROTATED_KEY_BYTES, 1);
  return bytes;
}

/** Throws ASOC_BAD_RECORD or ASOC_RECORD_LIMIT. */
export function decodeKeyGrant(plaintext: Uint8Array): KeyGrant {
  const from = new FieldReader(plaintext, "KEY_NEW");
  const keyId = from.bytes("key id", KEY_ID_BYTES);
  const epoch = from.u32("epoch");
  const notAfterS = from.u64OrNone("not after");
  if (from.remaining === 0) throw from.bad("key", "at least 1 byte", 0);
  return { keyId, epoch, notAfterS, key: from.rest("key", MAX_ROTATED_KEY_BYTES) };
}

/** The plaintext of KEY_ACK. Throws RangeError. */
export function encodeKeyReceipt(receipt: KeyReceipt): Uint8Array {
  const bytes = new Uint8Array(RECEIPT_BYTES);
  const out = new FieldWriter(bytes, "KEY_ACK");
  out.fixed("key id", receipt.keyId, KEY_ID_BYTES);
  out.u32("epoch", receipt.epoch);
  return bytes;
}

/** Throws ASOC_BAD_RECORD. */
export function decodeKeyReceipt(plaintext: Uint8Array): KeyReceipt {
  const from = new FieldReader(plaintext, "KEY_ACK");
  const keyId = from.bytes("key id", KEY_ID_BYTES);
  const epoch = from.u32("epoch");
  from.end();
  return { keyId, epoch };
}
