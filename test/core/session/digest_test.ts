import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { digestName, digestText, TensorDigest } from "../../../src/core/session/digest.ts";
import { toHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { patternBytes, testCrypto } from "../../support/core_crypto.ts";

const crypto = testCrypto();

test("TensorDigest gives the known digests of nothing and of 123456789", () => {
  const of = (name: "crc32" | "sha256" | "none", bytes: Uint8Array) => {
    const digest = new TensorDigest(name, crypto);
    digest.update(bytes, 0);
    return digestText(name, digest.finish());
  };
  const empty = new Uint8Array(0);
  assert.equal(of("crc32", empty), "crc32:00000000");
  assert.equal(of("crc32", utf8("123456789")), "crc32:cbf43926");
  assert.equal(
    of("sha256", empty),
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  );
  assert.equal(of("none", utf8("123456789")), undefined);
});

test("TensorDigest is the same whatever parts the bytes come in, and however often they pass", () => {
  const bytes = patternBytes(1000);
  for (const name of ["crc32", "sha256"] as const) {
    const whole = new TensorDigest(name, crypto);
    whole.update(bytes, 0);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1000), fc.nat(400)), { maxLength: 40 }), (parts) => {
        const digest = new TensorDigest(name, crypto);
        for (const [from, length] of parts) {
          const at = Math.min(from, digest.position);
          digest.update(bytes.subarray(at, at + length), at);
        }
        digest.update(bytes, 0);
        assert.equal(toHex(digest.finish()), toHex(whole.finish()));
      }),
    );
  }
});

test("TensorDigest refuses a gap, gives its result again, and takes what has passed after that", () => {
  const digest = new TensorDigest("sha256", crypto);
  digest.update(patternBytes(10), 0);
  assert.throws(() => digest.update(patternBytes(10), 11), RangeError);
  const result = digest.finish();
  digest.update(patternBytes(10), 0);
  assert.deepEqual(digest.finish(), result);
});

test("digestName() knows the three algorithms and no other", () => {
  assert.deepEqual([0, 1, 2, 3, 255].map(digestName), ["none", "crc32", "sha256", undefined, undefined]);
});
