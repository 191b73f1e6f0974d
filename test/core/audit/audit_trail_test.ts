import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuditEntry, AuditEvent } from "../../../src/core/audit/audit_event.ts";
import { AuditTrail } from "../../../src/core/audit/audit_trail.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { VirtualTime } from "../../sim/clock.ts";

const refused = (where: string, text = "why"): AuditEntry => ({
  what: "handshake.refused",
  outcome: "refused",
  reason: "ASOC_WRONG_KEY",
  where,
  facts: { text },
});

function trailOn(time: VirtualTime, limits = {}) {
  const events: AuditEvent[] = [];
  const clock = {
    nowMs: () => time.nowMs(),
    unixMs: () => 1_750_000_000_000 + time.nowMs(),
    after: (delayMs: number, run: () => void) => time.after(delayMs, run),
  };
  const trail = new AuditTrail(clock, { ...DEFAULT_LIMITS, ...limits }, (event) => events.push(event));
  return { trail, events };
}

test("AuditTrail tells each event once, with the wall clock, to its listener and to every reader", async () => {
  const time = new VirtualTime();
  const { trail, events } = trailOn(time);
  const readers = [trail.subscribe(), trail.subscribe()].map((one) => one[Symbol.asyncIterator]());
  trail.note(refused("192.0.2.1:4000"));
  const expected = { ...refused("192.0.2.1:4000"), timeMs: 1_750_000_001_000 };
  assert.deepEqual(events, [expected]);
  for (const reader of readers) assert.deepEqual((await reader.next()).value, expected);
  trail.close();
  for (const reader of readers) assert.equal((await reader.next()).done, true);
});

test("AuditTrail sums a flood up when 10 s are over, without another event having to come", async () => {
  const time = new VirtualTime();
  const { trail, events } = trailOn(time);
  for (let i = 0; i < 1000; i++) trail.note(refused(`192.0.2.1:${i}`), "192.0.2.1");
  assert.equal(events.length, 5);
  await time.run(10_001);
  assert.equal(events.length, 6);
  const { what, reason, more, moreAddresses } = events[5] ?? {};
  assert.deepEqual([what, reason, more, moreAddresses], ["handshake.refused", "ASOC_WRONG_KEY", 995, 1]);
  assert.deepEqual(trail.counts, [
    { what: "handshake.refused", outcome: "refused", reason: "ASOC_WRONG_KEY", count: 1000 },
  ]);
  trail.close();
});

test("AuditTrail tells what it has summed up when it closes, and nothing after", () => {
  const { trail, events } = trailOn(new VirtualTime());
  for (let i = 0; i < 7; i++) trail.note(refused("192.0.2.1"));
  trail.close();
  assert.equal(events.at(-1)?.more, 2);
  trail.note(refused("192.0.2.1"));
  assert.equal(events.length, 6);
});

test("AuditTrail keeps a bounded number of events for a slow reader and counts what that lost", async () => {
  const { trail } = trailOn(new VirtualTime(), { maxQueuedEvents: 2, maxAuditPerAddress: 100 });
  const reader = trail.subscribe()[Symbol.asyncIterator]();
  for (let i = 0; i < 5; i++) trail.note(refused(`192.0.2.${i}`));
  assert.equal(trail.dropped, 3);
  assert.equal((await reader.next()).value?.where, "192.0.2.3");
  await reader.return?.();
  assert.equal(trail.dropped, 3, "what a reader has lost is forgotten when it leaves");
  trail.close();
});

test("AuditTrail clips what strangers word, and takes control and format characters out of it", () => {
  const { trail, events } = trailOn(new VirtualTime());
  trail.note(refused("192.0.2.1", `a\nb\u001b[31m\u202e\u2028${"x".repeat(5000)}\ud800`));
  const text = String(events[0]?.facts?.text);
  assert.equal(text.length, 256);
  assert.doesNotMatch(text, /[\p{Cc}\p{Cf}\p{Cs}\u2028]/u);
});

test("AuditTrail goes on when its listener throws", () => {
  const time = new VirtualTime();
  const clock = { nowMs: () => 0, unixMs: () => 0, after: time.after.bind(time) };
  const trail = new AuditTrail(clock, DEFAULT_LIMITS, () => {
    throw new Error("the disk is gone");
  });
  trail.note(refused("192.0.2.1"));
  assert.equal(trail.counts[0]?.count, 1);
  trail.close();
});
