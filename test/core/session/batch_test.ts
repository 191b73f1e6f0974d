/** What one write gives the socket. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KiB, MAX_WRITE_BYTES, MIN_WRITE_BYTES, SMALL_PAYLOAD_BYTES } from "../../../src/core/limits.ts";
import { Batch } from "../../../src/core/session/batch.ts";
import { FrameType, HEADER_BYTES } from "../../../src/core/wire/header.ts";

function begun(batch = new Batch()): { batch: Batch; parts: Uint8Array[] } {
  const parts: Uint8Array[] = [new Uint8Array(1)];
  batch.prepare();
  batch.begin(parts);
  return { batch, parts };
}

test("Batch puts headers and small payloads side by side, and gives a large one as it lies", () => {
  const { batch, parts } = begun();
  const large = new Uint8Array(SMALL_PAYLOAD_BYTES + 1);
  batch.header(FrameType.DATA, 1, 0, 10);
  batch.payload(new Uint8Array(10));
  batch.header(FrameType.DATA, 1, 1, large.length);
  batch.payload(large);
  batch.header(FrameType.END, 1, 2, 0);
  batch.endTurn();
  assert.equal(batch.end(0), true);
  assert.deepEqual(
    parts.map(({ length }) => length),
    [2 * HEADER_BYTES + 10, large.length, HEADER_BYTES],
  );
  assert.equal(parts[1], large);
  assert.deepEqual(batch.counters, {
    frames: 3,
    payloadBytes: 10 + large.length,
    coalescedBytes: 10,
  });
});

test("Batch gives a long OPEN as it lies, and frames of its own where there is no stream yet", () => {
  const { batch, parts } = begun();
  const open = new Uint8Array(2 * KiB);
  batch.frame(FrameType.CONTROL, 0, 0, new Uint8Array(3));
  batch.control(1, 1, open);
  assert.equal(batch.end(0), true);
  assert.deepEqual(
    parts.map(({ length }) => length),
    [HEADER_BYTES + 3, HEADER_BYTES, open.length],
  );
  assert.equal(parts[2], open);
});

test("Batch with nothing in it is not under way", () => {
  const { batch, parts } = begun();
  assert.equal(batch.end(5), false);
  assert.deepEqual([parts.length, batch.inFlight], [0, false]);
});

test("Batch grows while writes are fast, and shrinks when one is slow", () => {
  const batch = new Batch();
  const write = (tookMs: number) => {
    begun(batch);
    for (let room = batch.fitting(1 << 30); !batch.full; room = batch.fitting(1 << 30))
      batch.payload(new Uint8Array(room));
    assert.equal(batch.end(0), true);
    const { bytes } = batch;
    batch.handleWritten(tookMs);
    return bytes;
  };
  let largest = 0;
  for (let times = 0; times < 10; times++) largest = write(1);
  assert.equal(largest, MAX_WRITE_BYTES);
  let smallest = largest;
  for (let times = 0; times < 10; times++) smallest = write(60);
  assert.equal(smallest, MIN_WRITE_BYTES);
});
