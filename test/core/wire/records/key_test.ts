import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AsocError } from "../../../../src/core/errors.ts";
import { fromHex, toHex } from "../../../../src/core/wire/bytes.ts";
import {
  decodeKeyGrant,
  decodeKeyReceipt,
  encodeKeyGrant,
  encodeKeyReceipt,
  keyNonce,
} from "../../../../src/core/wire/records/key.ts";
import type { X1Record } from "../../../../src/core/wire/records/records.ts";
import { testCrypto } from "../../../support/core_crypto.ts";
import { assertRefused, assertUnwritable, extended, withBody } from "../../../support/x1_expect.ts";
import { counting } from "../../../support/x1_samples.ts";

const code = (expected: string) => (error: unknown) => error instanceof AsocError && error.code === expected;

test("encodeKeyGrant() and encodeKeyReceipt() lay their fields out as specified", () => {
  const receipt = { keyId: counting(1, 4), epoch: 5 };
  assert.equal(toHex(encodeKeyReceipt(receipt)), "0102030400000005");
  const grant = { ...receipt, notAfterS: 6, key: fromHex("aabb") };
  assert.equal(toHex(encodeKeyGrant(grant)), "01020304000000050000000000000006aabb");
  assert.equal(
    toHex(encodeKeyGrant({ ...grant, notAfterS: undefined })),
    "0102030400000005ffffffffffffffffaabb",
  );
});

test("decodeKeyGrant() and decodeKeyReceipt() give back what was written", () => {
  const grant = fc.record(
    {
      keyId: fc.uint8Array({ minLength: 4, maxLength: 4 }),
      epoch: fc.integer({ min: 0, max: 0xffff_ffff }),
      notAfterS: fc.option(fc.maxSafeNat(), { nil: undefined }),
      key: fc.uint8Array({ minLength: 1, maxLength: 1024 }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(grant, (value) => {
      assert.deepEqual(decodeKeyGrant(encodeKeyGrant(value)), value);
      const { keyId, epoch } = value;
      assert.deepEqual(decodeKeyReceipt(encodeKeyReceipt(value)), { keyId, epoch });
    }),
  );
});

test("decodeKeyGrant() and decodeKeyReceipt() read random bytes or refuse them with an AsocError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      for (const decode of [decodeKeyGrant, decodeKeyReceipt]) {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof AsocError, `${error}`);
        }
      }
    }),
  );
});

test("decodeKeyGrant() refuses no key and one over 1 KiB, decodeKeyReceipt() another length", () => {
  const grant = { keyId: counting(1, 4), epoch: 5, notAfterS: 6, key: new Uint8Array(1) };
  assert.throws(() => decodeKeyGrant(encodeKeyGrant(grant).subarray(0, 16)), code("ASOC_BAD_RECORD"));
  assert.throws(() => decodeKeyGrant(new Uint8Array(16 + 1025)), code("ASOC_RECORD_LIMIT"));
  for (const byteCount of [0, 7, 9]) {
    assert.throws(() => decodeKeyReceipt(new Uint8Array(byteCount)), code("ASOC_BAD_RECORD"));
  }
  assert.throws(() => encodeKeyGrant({ ...grant, key: new Uint8Array(0) }), RangeError);
  assert.throws(() => encodeKeyGrant({ ...grant, key: new Uint8Array(1025) }), RangeError);
  assert.throws(() => encodeKeyReceipt({ ...grant, keyId: new Uint8Array(5) }), RangeError);
});

test("decodeRecords() refuses sealed bytes that are too few or too many for a grant, or no receipt", () => {
  const grant: X1Record = { kind: "key_new", counter: 0, sealed: new Uint8Array(1056) };
  assertRefused(extended(grant, 0), "ASOC_RECORD_LIMIT", /sealed bytes: expected at most 1056, got 1057$/);
  assertRefused(
    withBody(0x40, new Uint8Array(8 + 32)),
    "ASOC_BAD_RECORD",
    /KEY_NEW: sealed: expected at least 33 bytes, got 32$/,
  );
  assertUnwritable({ ...grant, sealed: new Uint8Array(32) }, /sealed: 32 bytes, expected 33 to 1056/);
  const receipt: X1Record = { kind: "key_ack", counter: 0, sealed: new Uint8Array(24) };
  assertRefused(extended(receipt, 0), "ASOC_BAD_RECORD", /KEY_ACK: length: expected 32 bytes, got 33$/);
  assertUnwritable({ ...receipt, sealed: new Uint8Array(23) }, /sealed: 23 bytes, expected 24/);
});

test("keyNonce() is 4 zero bytes and the counter", () => {
  assert.equal(toHex(keyNonce(0)), "00".repeat(12));
  assert.equal(toHex(keyNonce(Number.MAX_SAFE_INTEGER)), "00000000001fffffffffffff");
  assert.throws(() => keyNonce(-1), RangeError);
});

test("a grant that was sealed for KEY_NEW does not open as KEY_ACK", () => {
  const crypto = testCrypto();
  const key = new Uint8Array(32).fill(1);
  const plaintext = encodeKeyGrant({ keyId: counting(1, 4), epoch: 5, notAfterS: 6, key });
  const sealed = crypto.aes256GcmSeal(key, keyNonce(0), plaintext, Uint8Array.of(0x40));
  assert.deepEqual(crypto.aes256GcmOpen(key, keyNonce(0), sealed, Uint8Array.of(0x40)), plaintext);
  assert.equal(crypto.aes256GcmOpen(key, keyNonce(0), sealed, Uint8Array.of(0x41)), undefined);
});
