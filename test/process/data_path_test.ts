/**
 * Where payload bytes go, by the nodes' own counters: into place on the way in, from where they lie on the way out, and into
 * memory that has served before. Every pair of runtimes, real sockets.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json, RuntimeName } from "../support/process.ts";
import { RUNTIMES } from "../support/process.ts";
import { MiB, Peer } from "./peer.ts";

const TENSOR_BYTES = 32 * MiB;
const WARM = 2;
const COUNT = 6;
/** Bun reads up to 512 KiB before it tells of anything: that much of each wake-up is copied. Elsewhere nothing is. */
const MOST_COPIED: Record<RuntimeName, number> = { node: 0, bun: 0.5, deno: 0 };

type Counter = "copiedBytes" | "grownBytes" | "coalescedBytes" | "buffersAllocated" | "buffersReused";

/** How much `counter` has grown from one look to the next. */
const grown = (before: Json, after: Json, counter: Counter) =>
  Number(after[counter]) - Number(before[counter]);

for (const from of RUNTIMES) {
  for (const to of RUNTIMES) {
    test(`${from} to ${to}: no payload byte is copied, no frame is joined, and memory is used again`, async () => {
      await using receiver = await Peer.start(to);
      await using sender = await Peer.start(from, { peers: [receiver.address] });
      await sender.event("joined", { dialledAs: receiver.address });
      const send = async (count: number) => {
        const mark = receiver.mark;
        const sent = await sender.send(receiver.address, { bytes: TENSOR_BYTES, count });
        await receiver.receives(sent, sender.id, mark);
      };
      await send(WARM); // the first tensor grows, and its memory is fresh
      const before = { receiver: await receiver.stats(), sender: await sender.stats() };
      await send(COUNT);
      const after = { receiver: await receiver.stats(), sender: await sender.stats() };

      const copied = grown(before.receiver, after.receiver, "copiedBytes") / (COUNT * TENSOR_BYTES);
      assert.ok(copied <= MOST_COPIED[to], `${copied} of the bytes were copied`);
      assert.equal(grown(before.receiver, after.receiver, "grownBytes"), 0);
      assert.equal(grown(before.sender, after.sender, "coalescedBytes"), 0);
      // One more than the warm tensors needed, when one arrives while those before it are still being read.
      const allocated = grown(before.receiver, after.receiver, "buffersAllocated");
      assert.ok(allocated <= 1, `${allocated} buffers were allocated`);
      assert.equal(grown(before.receiver, after.receiver, "buffersReused"), COUNT - allocated);
    });
  }
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: a consumer that never releases keeps to the budget, and the others' tensors go on`, async () => {
    const memoryBudgetBytes = 256 * MiB;
    await using receiver = await Peer.start(runtime, {
      limits: { memoryBudgetBytes, silenceMs: 4000, memoryWaitMs: 1000 },
    });
    await using greedy = await Peer.start("node", { peers: [receiver.address] });
    await using other = await Peer.start("node", { peers: [receiver.address] });
    for (const each of [greedy, other]) await each.event("joined", { dialledAs: receiver.address });
    receiver.command({ cmd: "hold", peer: greedy.id });
    const endless = greedy.begin(receiver.address, { bytes: TENSOR_BYTES, count: 100 });
    const goesOn = async () => {
      const mark = receiver.mark;
      await receiver.receives(await other.send(receiver.address, { bytes: MiB, count: 20 }), other.id, mark);
    };
    await goesOn();
    // Once its share is used up the greedy one waits for credit, and for nothing else: silenceMs passes unnoticed.
    const full = await receiver.statsUntil((now) => Number(now.memoryUsedBytes) > memoryBudgetBytes / 2);
    assert.ok(Number(full.memoryUsedBytes) <= memoryBudgetBytes, `${full.memoryUsedBytes} bytes are used`);
    for (let round = 0; round < 5; round++) {
      await goesOn();
      const { memoryUsedBytes } = await receiver.stats();
      assert.ok(Number(memoryUsedBytes) <= memoryBudgetBytes, `${memoryUsedBytes} bytes are used`);
    }
    assert.deepEqual([receiver.all("left"), receiver.all("streamFailed")], [[], []]);
    const starved = await receiver.event("starved", { peer: greedy.id });
    assert.deepEqual(
      [starved.code, /memoryBudgetBytes/.test(String(starved.message))],
      ["ASOC_MEMORY_BUDGET", true],
    );
    receiver.command({ cmd: "release" });
    await greedy.event("sendDone", { id: endless });
    await goesOn();
  });
}
