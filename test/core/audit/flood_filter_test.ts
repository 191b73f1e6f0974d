import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuditEntry } from "../../../src/core/audit/audit_event.ts";
import { FloodFilter } from "../../../src/core/audit/flood_filter.ts";

const LIMITS = { maxAuditPerAddress: 3, maxAuditPerKind: 10, auditWindowMs: 10_000 };
const wrongKey: AuditEntry = { what: "handshake.refused", outcome: "refused", reason: "ASOC_WRONG_KEY" };
const blocked: AuditEntry = { what: "connection.refused", outcome: "refused", reason: "blocked" };
const accepted: AuditEntry = { what: "handshake.accepted", outcome: "accepted" };

test("FloodFilter tells the first refusals of an address and counts the rest of its window", () => {
  const filter = new FloodFilter(LIMITS);
  const told = Array.from({ length: 8 }, (_, at) => filter.take(wrongKey, "192.0.2.1", at));
  assert.deepEqual(told, [true, true, true, false, false, false, false, false]);
  assert.equal(filter.poll(9999), undefined, "the window is not over");
  assert.deepEqual(filter.poll(10_000), { last: wrongKey, count: 5, addresses: 1 });
  assert.equal(filter.poll(10_000), undefined);
  assert.equal(filter.deadlineMs, undefined);
  assert.equal(filter.take(wrongKey, "192.0.2.1", 10_001), true, "a new window has begun");
});

test("FloodFilter bounds what many addresses are told of together, and counts the addresses", () => {
  const filter = new FloodFilter(LIMITS);
  let told = 0;
  for (let at = 0; at < 100; at++) if (filter.take(wrongKey, `192.0.2.${at}`, 0)) told++;
  assert.equal(told, 10);
  assert.deepEqual(filter.poll(10_000), { last: wrongKey, count: 90, addresses: 90 });
});

test("FloodFilter lets a flood of one reason hide no other reason and no success", () => {
  const filter = new FloodFilter(LIMITS);
  for (let at = 0; at < 1000; at++) filter.take(wrongKey, "192.0.2.1", 0);
  assert.equal(filter.take(blocked, "192.0.2.1", 0), true);
  for (let at = 0; at < 10; at++) assert.equal(filter.take(accepted, "192.0.2.1", 0), true);
});

test("FloodFilter says when its earliest window ends, and tells windows in that order", () => {
  const filter = new FloodFilter(LIMITS);
  for (let at = 0; at < 5; at++) filter.take(wrongKey, "a", 100);
  for (let at = 0; at < 5; at++) filter.take(blocked, "a", 300);
  assert.equal(filter.deadlineMs, 10_100);
  assert.equal(filter.poll(Number.POSITIVE_INFINITY)?.last.reason, "ASOC_WRONG_KEY");
  assert.equal(filter.poll(Number.POSITIVE_INFINITY)?.last.reason, "blocked");
  assert.equal(filter.poll(Number.POSITIVE_INFINITY), undefined);
});

test("FloodFilter remembers a bounded number of kinds and of addresses whatever comes", () => {
  const filter = new FloodFilter(LIMITS);
  for (let kind = 0; kind < 2000; kind++)
    for (let address = 0; address < 4; address++)
      filter.take({ what: "key.test", outcome: "refused", reason: `r${kind}` }, `${address}`, 0);
  let windows = 0;
  while (filter.poll(Number.POSITIVE_INFINITY)) windows++;
  assert.ok(windows <= 257, `${windows} windows`);
});
