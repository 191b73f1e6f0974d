/** What a frame costs beside thousands of open streams: nothing that grows with them. Calls are counted, not time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KiB } from "../../../src/core/limits.ts";
import { Acknowledgements } from "../../../src/core/session/acknowledgements.ts";
import { CreditWindow } from "../../../src/core/session/credit_window.ts";
import { Grants } from "../../../src/core/session/grants.ts";
import type { InboundTensor } from "../../../src/core/session/inbound_tensor.ts";

const STREAMS = 4096;

/** Open streams that count how often anybody looks at one of them. */
function openStreams() {
  const looked = { times: 0, waiting: new Set<number>() };
  const open = new Map<number, InboundTensor>();
  for (let index = 0; index < STREAMS; index++) {
    const id = 2 * index + 1;
    const stream = {
      id,
      limitBytes: 256 * KiB,
      announcedBytes: 0,
      baseOffset: 0,
      get description() {
        looked.times++;
        return { priority: 128, totalBytes: 256 * KiB };
      },
      get wantsMemory() {
        looked.times++;
        return looked.waiting.has(id);
      },
      grant: () => 256 * KiB,
    };
    open.set(id, stream as unknown as InboundTensor); // all that these two look at
  }
  return { open, looked };
}

test("Grants of 4,096 open streams look at those that wait for memory, and at no other", () => {
  const { open, looked } = openStreams();
  const failed = () => assert.fail("no stream fails");
  const grants = new Grants(new CreditWindow(256 * KiB), open, { say: () => {}, failed });
  for (const stream of open.values()) grants.flushOne(stream);
  looked.times = 0;
  for (let pump = 0; pump < 100; pump++) assert.equal(grants.wantsMemory, false);
  grants.wake();
  assert.equal(looked.times, 0);
  looked.waiting.add(7);
  grants.flushOne(open.get(7) as InboundTensor); // it is there
  looked.times = 0;
  for (let pump = 0; pump < 100; pump++) assert.equal(grants.wantsMemory, true);
  grants.wake();
  assert.equal(looked.times, 101);
  assert.ok(grants.due, "it tries again");
  looked.waiting.clear();
  grants.flushStreams();
  assert.equal(grants.wantsMemory, false);
});

test("Acknowledgements look at no other stream when one opens among 4,096 of its priority, or ends", () => {
  const { open, looked } = openStreams();
  const acks = new Acknowledgements(1024 * KiB, open, () => {});
  for (const stream of open.values()) acks.handleOpened(stream, 1000);
  assert.equal(looked.times, STREAMS);
  for (const stream of open.values()) acks.delete(stream);
  assert.equal(looked.times, 2 * STREAMS);
});
