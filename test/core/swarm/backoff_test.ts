import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { provenRedialDelayMs, redialDelayMs } from "../../../src/core/swarm/backoff.ts";

const ALMOST_ONE = 1 - 2 ** -32;
const random = () => fc.double({ min: 0, max: ALMOST_ONE, noNaN: true });

test("redialDelayMs() is 1 to 5 s at random after a loss", () => {
  assert.equal(redialDelayMs(0, DEFAULT_LIMITS, 0), 1000);
  assert.ok(redialDelayMs(0, DEFAULT_LIMITS, ALMOST_ONE) > 4999);
  fc.assert(
    fc.property(random(), (value) => {
      const delay = redialDelayMs(0, DEFAULT_LIMITS, value);
      assert.ok(delay >= 1000 && delay <= 5000);
    }),
  );
});

test("redialDelayMs() is at most 60 s and never under the first range's least, after any number of failures", () => {
  fc.assert(
    fc.property(fc.nat(10_000), random(), (failures, value) => {
      const delay = redialDelayMs(failures, DEFAULT_LIMITS, value);
      assert.ok(delay >= 1000 && delay <= 60_000, `${delay} after ${failures} failures`);
    }),
  );
});

test("redialDelayMs() grows towards doubling with each failure, up to the longest", () => {
  for (const value of [0, 0.3, 0.7, ALMOST_ONE]) {
    for (let failures = 1; failures < 12; failures++) {
      const [before, after] = [
        redialDelayMs(failures, DEFAULT_LIMITS, value),
        redialDelayMs(failures + 1, DEFAULT_LIMITS, value),
      ];
      assert.ok(after >= before && after <= 2 * before + 1e-6, `${before}, then ${after}`);
    }
    assert.ok(redialDelayMs(10, DEFAULT_LIMITS, value) >= 45_000);
  }
});

test("redialDelayMs() is jittered at the longest delay, so that nodes do not dial in step", () => {
  const delays = new Set([0, 0.25, 0.5, 0.75].map((value) => redialDelayMs(20, DEFAULT_LIMITS, value)));
  assert.equal(delays.size, 4);
});

test("provenRedialDelayMs() is 0 to 100 ms", () => {
  assert.equal(provenRedialDelayMs(DEFAULT_LIMITS, 0), 0);
  fc.assert(
    fc.property(random(), (value) => {
      const delay = provenRedialDelayMs(DEFAULT_LIMITS, value);
      assert.ok(delay >= 0 && delay <= 100);
    }),
  );
});
