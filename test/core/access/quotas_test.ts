import assert from "node:assert/strict";
import { test } from "node:test";
import { Quotas } from "../../../src/core/access/quotas.ts";

const HOUR_MS = 3_600_000;

test("Quotas counts what was taken against the hour and the day, whichever is used up first", () => {
  const quotas = new Quotas(10);
  const limits = { bytesPerHour: 100, bytesPerDay: 150 };
  assert.equal(quotas.take("a", 60, limits, 0), true);
  assert.equal(quotas.take("a", 60, limits, 1), false);
  assert.equal(quotas.left("a", limits, 2), 40, "what was refused does not count");
  assert.equal(quotas.left("b", limits, 2), 100, "each peer has its own");
  assert.equal(quotas.left("a", limits, HOUR_MS), 90, "the hour is new, of the day 90 are left");
  assert.equal(quotas.take("a", 90, limits, HOUR_MS), true);
  assert.equal(quotas.left("a", limits, 3 * HOUR_MS), 0);
  assert.equal(quotas.left("a", limits, 24 * HOUR_MS), 100);
});

test("Quotas without a limit lets everything pass and remembers nobody", () => {
  assert.equal(new Quotas(10).left("a", {}, 0), Number.POSITIVE_INFINITY);
  assert.equal(new Quotas(10).take("a", 1e15, {}, 0), true);
});

test("Quotas remembers a bounded number of peers, and forgets the one that began first", () => {
  const quotas = new Quotas(2);
  const limits = { bytesPerHour: 100 };
  for (const key of ["a", "b", "c"]) quotas.take(key, 100, limits, 0);
  assert.deepEqual([quotas.left("c", limits, 0), quotas.left("b", limits, 0)], [0, 0]);
  assert.equal(quotas.left("a", limits, 0), 100);
});
