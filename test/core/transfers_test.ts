import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_LIMITS, type Limits, type Timing } from "../../src/core/limits.ts";
import type { InboundTensor } from "../../src/core/session/inbound_tensor.ts";
import { Transfers } from "../../src/core/transfers.ts";
import { TestClock } from "../support/core_clock.ts";

/** As much of an arriving tensor as is asked for here. */
const tensor = (transferId: string, receivedBytes = 10, heldBytes = 10): InboundTensor =>
  ({ description: { transferId }, receivedBytes, heldBytes }) as unknown as InboundTensor;

function setUp(limits: Partial<Limits & Timing> = {}) {
  const clock = new TestClock();
  const expired: string[] = [];
  const settled: string[] = [];
  const transfers = new Transfers<string, string>({ ...DEFAULT_LIMITS, ...limits }, clock, (stream, held) =>
    expired.push(`${stream.description.transferId} ${held}`),
  );
  transfers.onSettled = (key) => settled.push(key);
  const resumed: string[] = [];
  const book = transfers.bookOf("a", "one", (held) => resumed.push(held));
  return { clock, expired, settled, transfers, resumed, book };
}

test("Transfers knows a transfer as new, then arriving, then delivered, and delivers it once", () => {
  const { transfers, book, settled } = setUp();
  assert.deepEqual(transfers.stateOf("a", "t"), { kind: "unknown" });
  assert.equal(book.begin("t"), "new");
  assert.deepEqual(transfers.stateOf("a", "t"), { kind: "arriving", owner: "one" });
  assert.equal(transfers.bookOf("a", "two", () => {}).begin("t"), "busy");
  book.delivered("t");
  assert.deepEqual([transfers.stateOf("a", "t").kind, book.begin("t")], ["delivered", "delivered"]);
  assert.equal(transfers.bookOf("b", "two", () => {}).begin("t"), "new", "of another sender");
  assert.deepEqual(settled, ["a t"]);
});

test("Transfers gives a broken transfer to the connection that goes on with it, and to no other", () => {
  const { clock, transfers, book, resumed, expired } = setUp();
  book.begin("t");
  const stream = tensor("t", 42);
  transfers.forget("a", "t");
  transfers.suspend("a", stream, "held");
  assert.deepEqual(transfers.stateOf("a", "t"), { kind: "suspended", offset: 42 });
  assert.equal(transfers.bookOf("b", "two", () => {}).begin("t"), "new");
  assert.equal(book.begin("t"), stream);
  assert.deepEqual(resumed, ["held"]);
  clock.advance(1_000_000);
  assert.deepEqual(expired, []);
  assert.equal(transfers.stateOf("a", "t").kind, "arriving");
});

test("Transfers gives a transfer up after resumeMs, and when it is told to, once", () => {
  const { clock, transfers, expired } = setUp({ resumeMs: 5000 });
  transfers.suspend("a", tensor("t"), "held");
  clock.advance(4999);
  assert.deepEqual(expired, []);
  clock.advance(1);
  assert.deepEqual(expired, ["t held"]);
  transfers.suspend("a", tensor("u"), "held");
  transfers.giveUp("a u");
  transfers.giveUp("a u");
  transfers.close();
  clock.advance(10_000);
  assert.deepEqual(expired, ["t held", "u held"]);
  assert.equal(clock.timers, 0);
});

test("Transfers gives up the oldest first when there are too many, or when they hold too much", () => {
  const { transfers, expired } = setUp({ maxSuspended: 3, suspendedBytes: 100 });
  for (const id of ["1", "2", "3", "4"]) transfers.suspend("a", tensor(id), "");
  assert.deepEqual(expired, ["1 "]);
  transfers.suspend("a", tensor("5", 90, 90), "");
  assert.deepEqual(expired, ["1 ", "2 ", "3 "]);
});

test("a transfer that holds more than suspendedBytes goes on all the same, at the expense of those before it", () => {
  const { transfers, expired } = setUp({ suspendedBytes: 100 });
  transfers.suspend("a", tensor("1"), "");
  transfers.suspend("a", tensor("2", 150, 150), "");
  assert.deepEqual(expired, ["1 "]);
  assert.equal(transfers.stateOf("a", "2").kind, "suspended");
});

test("Transfers remembers only as many delivered transfers as it may, the newest", () => {
  const { transfers, book } = setUp({ maxDelivered: 100 });
  for (let index = 0; index < 1000; index++) {
    book.begin(`${index}`);
    book.delivered(`${index}`);
  }
  assert.equal(transfers.stateOf("a", "899").kind, "unknown");
  for (let index = 950; index < 1000; index++)
    assert.equal(transfers.stateOf("a", `${index}`).kind, "delivered");
});

test("Transfers leaves a transfer alone that another connection has taken over", () => {
  const { transfers, book } = setUp();
  book.begin("t");
  transfers.forget("a", "t");
  transfers.bookOf("a", "two", () => {}).begin("t");
  book.gaveUp("t");
  assert.deepEqual(transfers.stateOf("a", "t"), { kind: "arriving", owner: "two" });
});
