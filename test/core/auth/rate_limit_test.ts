import assert from "node:assert/strict";
import { test } from "node:test";
import { RateLimit } from "../../../src/core/auth/rate_limit.ts";

/** How many of `tries` are let through. */
const taken = (limit: RateLimit, key: string, nowMs: number, tries: number, factor = 1) =>
  Array.from({ length: tries }, () => limit.take(key, nowMs, factor)).filter(Boolean).length;

test("RateLimit.take() lets a key have its share of a window, and again in the next", () => {
  const limit = new RateLimit(3, 1000, 10);
  assert.equal(taken(limit, "a", 0, 5), 3);
  assert.equal(taken(limit, "a", 999, 5), 0);
  assert.equal(taken(limit, "a", 1000, 5), 3);
});

test("RateLimit.take() counts keys apart", () => {
  const limit = new RateLimit(1, 1000, 10);
  assert.equal(taken(limit, "a", 0, 2), 1);
  assert.equal(taken(limit, "b", 0, 2), 1);
});

test("RateLimit.take() multiplies the share by the factor", () => {
  const limit = new RateLimit(2, 1000, 10);
  assert.equal(taken(limit, "a", 0, 50, 10), 20);
});

test("RateLimit.giveBack() lets one more through", () => {
  const limit = new RateLimit(1, 1000, 10);
  for (let i = 0; i < 20; i++) {
    assert.equal(limit.take("a", i), true);
    limit.giveBack("a");
  }
  limit.giveBack("a");
  limit.giveBack("stranger");
  assert.equal(taken(limit, "a", 20, 3), 1);
});

test("RateLimit remembers no more keys than its limit; the oldest window goes first", () => {
  const limit = new RateLimit(1, 1000, 2);
  for (const key of ["a", "b", "c"]) assert.equal(limit.take(key, 0), true);
  assert.equal(limit.take("c", 1), false);
  assert.equal(limit.take("b", 1), false);
  assert.equal(limit.take("a", 1), true);
});
