import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ReplayWindow } from "../../../src/core/auth/replay_window.ts";

test("ReplayWindow.enter() takes a new pair and says how long ago a known one came", () => {
  const window = new ReplayWindow(1000, 10);
  assert.equal(window.enter("a", 1, 100), undefined);
  assert.equal(window.enter("a", 1, 100), 0);
  assert.equal(window.enter("a", 1, 700), 600);
  assert.equal(window.enter("a", 2, 700), undefined);
  assert.equal(window.enter("b", 1, 700), undefined);
});

test("ReplayWindow.enter() does not renew a pair that comes again", () => {
  const window = new ReplayWindow(1000, 10);
  window.enter("a", 1, 0);
  assert.equal(window.enter("a", 1, 999), 999);
  assert.equal(window.enter("a", 1, 1000), undefined);
});

test("ReplayWindow forgets what is older than its window", () => {
  const window = new ReplayWindow(1000, 100);
  for (let i = 0; i < 50; i++) window.enter("a", i, i);
  window.enter("b", 1, 1049);
  assert.equal(window.size, 1);
});

test("ReplayWindow never holds more than its limit, and drops the oldest first", () => {
  const window = new ReplayWindow(1_000_000, 3);
  for (let i = 0; i < 5; i++) assert.equal(window.enter("a", i, i), undefined);
  assert.equal(window.size, 3);
  assert.equal(window.enter("a", 4, 10), 6);
  assert.equal(window.enter("a", 1, 10), undefined);
});

test("ReplayWindow, when full, loses nothing to a pair that is repeated, not even the oldest", () => {
  const window = new ReplayWindow(1_000_000, 3);
  for (let i = 0; i < 3; i++) window.enter("a", i, i);
  for (let i = 0; i < 10; i++) assert.equal(window.enter("a", 0, 10), 10);
  assert.equal(window.size, 3);
  assert.equal(window.enter("a", 1, 10), 9);
});

test("ReplayWindow refuses exactly what a plain list of the last pairs refuses", () => {
  const steps = fc.array(
    fc.record({ id: fc.constantFrom("a", "b"), challenge: fc.nat(5), afterMs: fc.nat(40) }),
  );
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 8 }), (list, maxEntries) => {
      const window = new ReplayWindow(100, maxEntries);
      let kept: { pair: string; atMs: number }[] = [];
      let nowMs = 0;
      for (const { id, challenge, afterMs } of list) {
        nowMs += afterMs;
        kept = kept.filter(({ atMs }) => nowMs - atMs < 100);
        const known = kept.find(({ pair }) => pair === `${id}/${challenge}`);
        assert.equal(window.enter(id, challenge, nowMs), known && nowMs - known.atMs);
        if (!known) kept = [...kept, { pair: `${id}/${challenge}`, atMs: nowMs }].slice(-maxEntries);
        assert.equal(window.size, kept.length);
      }
    }),
  );
});
