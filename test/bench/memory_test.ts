/** What counts as too much memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { missedBy, missedByPaused, type Paused, type Row } from "./memory.ts";

const MiB = 2 ** 20;
const row: Row = {
  runtime: "node",
  what: "one of 256 MiB",
  idleBytes: 100 * MiB,
  peakBytes: 420 * MiB,
  inUseBytes: 256 * MiB,
  unannounced: false,
  beyondBytes: 64 * MiB,
  peakPoolBytes: 256 * MiB,
  grownBytes: 0,
};
const paused: Paused = {
  runtime: "bun",
  budgetBytes: 256 * MiB,
  usedBytes: 256 * MiB,
  grownBytes: 320 * MiB,
  sentBytes: 256 * MiB,
};

test("missedBy() allows 64 MiB beyond the tensor in use, and has no target where the length is unknown", () => {
  assert.deepEqual(missedBy([row, { ...row, unannounced: true, beyondBytes: 999 * MiB }]), []);
  assert.equal(missedBy([{ ...row, beyondBytes: 64 * MiB + 1 }]).length, 1);
});

test("missedByPaused() judges tensor memory to the byte, and the process with its tolerance", () => {
  assert.deepEqual(missedByPaused([paused]), []);
  assert.equal(missedByPaused([{ ...paused, usedBytes: 256 * MiB + 1 }]).length, 1);
  assert.equal(missedByPaused([{ ...paused, grownBytes: 320 * MiB + 1 }]).length, 1);
});
