/** Which streams are too late, and when the next one will be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StreamDeadlines } from "../../../src/core/session/stream_deadlines.ts";

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
