/** Which streams are too late, and when the next one will be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StreamDeadlines } from "../../../src/core/session/stream_deadlines.ts";
import { Random } from "../../sim/random.ts";

test("StreamDeadlines names the earliest of those that are left", () => {
  const deadlines = new StreamDeadlines<string>();
  assert.equal(deadlines.earliestMs, Number.POSITIVE_INFINITY);
  deadlines.add("late", 300);
  deadlines.add("early", 100);
  deadlines.add("always", Number.POSITIVE_INFINITY);
  assert.equal(deadlines.earliestMs, 100);
  deadlines.delete("early");
  assert.equal(deadlines.earliestMs, 300);
  deadlines.delete("late");
  assert.equal(deadlines.earliestMs, Number.POSITIVE_INFINITY);
});

test("StreamDeadlines.passed() has those whose time is now or before, until they are deleted", () => {
  const deadlines = new StreamDeadlines<string>();
  deadlines.add("one", 100);
  deadlines.add("two", 200);
  assert.deepEqual(deadlines.passed(99), []);
  assert.deepEqual(deadlines.passed(100), ["one"]);
  assert.deepEqual(deadlines.passed(250), ["one", "two"]);
  for (const stream of deadlines.passed(250)) deadlines.delete(stream);
  assert.deepEqual(deadlines.passed(1000), []);
});

test("StreamDeadlines of many streams say what a list of them would, in any order of beginnings and ends", () => {
  const random = new Random(9);
  const deadlines = new StreamDeadlines<number>();
  const list = new Map<number, number>();
  for (let step = 0; step < 20_000; step++) {
    if (list.size === 0 || random.chance(list.size < 4096 ? 0.6 : 0.4)) {
      const atMs = random.between(0, 1_000_000);
      deadlines.add(step, atMs);
      list.set(step, atMs);
    } else {
      const stream = random.chance(0.5) ? [...list.keys()][0] : random.pick([...list.keys()]);
      assert.ok(stream !== undefined);
      deadlines.delete(stream);
      list.delete(stream);
    }
    if (step % 50 === 0) {
      assert.equal(deadlines.earliestMs, Math.min(...list.values()));
      const nowMs = deadlines.earliestMs + 100;
      const passed = [...list].flatMap(([stream, atMs]) => (atMs <= nowMs ? [stream] : []));
      assert.deepEqual(deadlines.passed(nowMs), passed);
    }
  }
});

test("StreamDeadlines hold no more than twice what is open, however many streams have come and gone", () => {
  const deadlines = new StreamDeadlines<number>();
  deadlines.add(-1, 5);
  for (let stream = 0; stream < 10_000; stream++) {
    deadlines.add(stream, 1000 + stream);
    deadlines.delete(stream);
    assert.ok(deadlines.heldEntries <= 100, `${deadlines.heldEntries} entries for one stream`);
  }
});
