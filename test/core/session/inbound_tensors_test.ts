/** The receiving side of tensor streams: what it grants, confirms and refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_LIMITS, KiB } from "../../../src/core/limits.ts";
import { BufferPool } from "../../../src/core/tensor/buffer_pool.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { TensorPair } from "../../support/tensor_pair.ts";

/** A source whose length nobody knows; the test writes it by hand. */
const UNKNOWN: Iterable<Uint8Array> = [];

test("InboundTensors confirms the small rests of many streams: none is held back for them", () => {
  const pair = new TensorPair({ cut: () => 300_000 });
  const urgent = pair.dialler.send(UNKNOWN, { priority: 200 });
  pair.dialler.session.write(urgent, patternBytes(10));
  pair.run();
  const streams = Array.from({ length: 24 }, () => pair.dialler.send(UNKNOWN, { priority: 1 }));
  for (const stream of streams) pair.dialler.session.write(stream, patternBytes(256 * KiB));
  pair.run();
  assert.ok(pair.acceptor.said("ack").length >= 20);
  for (const { promisedBytes } of streams) assert.equal(promisedBytes, 256 * KiB);
});

test("InboundTensors grants the connection's credit anew when whole tensors are taken out of its window", () => {
  const limits = { ...DEFAULT_LIMITS, memoryBudgetBytes: 64 * KiB, initialCreditBytes: 16 * KiB };
  const pool = new BufferPool(limits);
  const held = pool.acquire(64 * KiB); // somebody else holds all there is
  held?.delivered();
  const pair = new TensorPair({ limits, pools: { acceptor: pool } });
  pair.acceptor.onReadable = () => {};
  const sent = Array.from({ length: 40 }, (_, seed) => pair.dialler.send(patternBytes(16 * KiB, seed)));
  pair.run();
  assert.equal(sent.filter(({ verified }) => verified).length, 16);
  for (let taken = 0; taken < 40; taken++) {
    const stream = pair.acceptor.streams[taken];
    assert.ok(stream?.ended, `stream ${taken} did not come`);
    pair.acceptor.take(stream);
    pair.run();
  }
  assert.ok(sent.every(({ verified }) => verified));
});
