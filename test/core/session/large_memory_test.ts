/**
 * Arrays of 2 GiB and more, whose length V8 takes for a negative number in compiled code that has only seen short ones.
 * Their pages are never touched, so they cost no memory.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_LIMITS, GiB, KiB } from "../../../src/core/limits.ts";
import { BufferPool } from "../../../src/core/tensor/buffer_pool.ts";
import { FrameType } from "../../../src/core/wire/header.ts";
import { TensorPair } from "../../support/tensor_pair.ts";

const HUGE_BYTES = 3 * GiB;
const ROUNDS = 40;

/** Lets the runtime put compiled code in place. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test("BufferPool counts a buffer of 3 GiB, after thousands of small ones", async () => {
  const pool = new BufferPool(DEFAULT_LIMITS);
  for (let round = 0; round < ROUNDS; round++) {
    for (let each = 1; each <= 100; each++) pool.acquire(each * KiB)?.release();
    await turn();
  }
  const buffer = pool.acquire(HUGE_BYTES);
  assert.equal(pool.usedBytes, HUGE_BYTES);
  assert.equal(pool.acquire(2 * GiB), undefined, "beyond the budget");
  buffer?.release();
  assert.equal(pool.usedBytes, 0);
});

test("A tensor of 3 GiB is cut into chunks, and granted the memory that there is for it, after thousands of small ones", async () => {
  const pair = new TensorPair();
  for (let round = 0; round < ROUNDS; round++) {
    for (let each = 1; each <= 50; each++) pair.dialler.send(new Uint8Array(each), { digest: "none" });
    pair.run();
    await turn();
  }
  pair.acceptor.onStream = () => {}; // nobody reads it yet
  const frames = pair.dialler.frames.length;
  const stream = pair.dialler.send(new Uint8Array(HUGE_BYTES), { digest: "none" });
  pair.run();
  const sent = pair.dialler.frames.slice(frames).filter(({ type }) => type === FrameType.DATA);
  const sentBytes = sent.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);
  assert.equal(sentBytes, DEFAULT_LIMITS.initialCreditBytes);
  assert.equal(stream.promisedBytes, sentBytes);

  pair.dialler.blocked = true;
  const arriving = pair.acceptor.streams.at(-1);
  assert.ok(arriving);
  arriving.readInto(new Uint8Array(HUGE_BYTES));
  pair.run();
  assert.deepEqual(pair.acceptor.failures(), []);
  const granted = pair.acceptor.said("credit").filter(({ streamId }) => streamId === stream.id);
  assert.equal(granted.at(-1)?.limitBytes, HUGE_BYTES);
});
