import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TokenBucket } from "../../../src/core/topics/token_bucket.ts";

test("TokenBucket lets one second's worth pass at once, and then its rate", () => {
  const bucket = new TokenBucket(1000, 50);
  assert.equal(bucket.take(600, 50), true);
  assert.equal(bucket.take(400, 50), true);
  assert.equal(bucket.take(1, 50), false);
  assert.equal(bucket.take(101, 150), false);
  assert.equal(bucket.take(100, 150), true);
});

test("TokenBucket saves up no more than one second's worth", () => {
  const bucket = new TokenBucket(1000, 0);
  assert.equal(bucket.take(1000, 3_600_000), true);
  assert.equal(bucket.take(1, 3_600_000), false);
});

test("TokenBucket lets pass what is larger than a second's worth when it is full, and nothing until that is paid", () => {
  const bucket = new TokenBucket(1000, 0);
  assert.equal(bucket.take(5000, 0), true);
  assert.equal(bucket.take(1, 3999), false);
  assert.equal(bucket.take(1, 4001), true);
  assert.equal(bucket.take(5000, 4500), false);
  assert.equal(bucket.take(5000, 5002), true);
});

test("TokenBucket takes nothing from a clock that goes back", () => {
  const bucket = new TokenBucket(1000, 1000);
  assert.equal(bucket.take(1000, 1000), true);
  assert.equal(bucket.take(1, 0), false);
  assert.equal(bucket.take(1, 999), false);
  assert.equal(bucket.take(1000, 2000), true);
});

test("TokenBucket never lets more pass than its rate and one burst, in any time", () => {
  const takes = fc.array(fc.record({ afterMs: fc.nat(2000), byteCount: fc.nat(5000) }), {
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), takes, (rate, all) => {
      const bucket = new TokenBucket(rate, 0);
      const passed: { atMs: number; byteCount: number }[] = [];
      let atMs = 0;
      for (const { afterMs, byteCount } of all) {
        atMs += afterMs;
        if (bucket.take(byteCount, atMs)) passed.push({ atMs, byteCount });
      }
      for (const [first, { atMs: fromMs }] of passed.entries()) {
        let sum = 0;
        let largest = rate;
        for (const { atMs: toMs, byteCount } of passed.slice(first)) {
          sum += byteCount;
          largest = Math.max(largest, byteCount);
          const most = ((toMs - fromMs) / 1000) * rate + largest;
          assert.ok(sum <= most + 1e-6, `${sum} bytes in ${toMs - fromMs} ms, at most ${most}`);
        }
      }
    }),
  );
});
