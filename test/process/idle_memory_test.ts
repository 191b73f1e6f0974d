/** Tensors that are larger than all that a node keeps at rest: a stream of them has the same memory again, and then it goes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { MiB, Peer } from "./peer.ts";

const IDLE_BYTES = 128 * MiB;
const TENSOR_BYTES = 160 * MiB;
const COUNT = 6;

for (const runtime of RUNTIMES) {
  test(`${runtime}: tensors of 160 MiB use the same memory again`, async () => {
    // Longer than a busy machine needs to make and check the next tensor.
    await using receiver = await Peer.start(runtime, { limits: { idleMemoryMs: 60_000 } });
    await using sender = await Peer.start("node", { peers: [receiver.address] });
    await sender.event("joined", { dialledAs: receiver.address });
    const sent = await sender.send(receiver.address, { bytes: TENSOR_BYTES, count: COUNT });
    await receiver.receives(sent, sender.id, 0);
    const stats = await receiver.stats();
    // One for all of a tensor, and one for its initial credit; it may arrive while that before it is still being read.
    assert.ok(Number(stats.buffersAllocated) <= 4, `${stats.buffersAllocated} buffers were allocated`);
    assert.ok(Number(stats.buffersReused) >= COUNT - 2, `${stats.buffersReused} buffers were used again`);
    assert.ok(Number(stats.memoryIdleBytes) >= TENSOR_BYTES, `${stats.memoryIdleBytes} bytes are kept`);
  });

  test(`${runtime}: a node at rest gives back the memory of a tensor of 160 MiB`, async () => {
    await using receiver = await Peer.start(runtime, { limits: { idleMemoryMs: 200 } });
    await using sender = await Peer.start("node", { peers: [receiver.address] });
    await sender.event("joined", { dialledAs: receiver.address });
    await receiver.receives(await sender.send(receiver.address, { bytes: TENSOR_BYTES }), sender.id, 0);
    await receiver.statsUntil(
      ({ memoryUsedBytes, memoryIdleBytes }) =>
        memoryUsedBytes === 0 && Number(memoryIdleBytes) <= IDLE_BYTES,
    );
  });
}
