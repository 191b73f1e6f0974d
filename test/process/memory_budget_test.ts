/**
 * More senders than a receiver has memory for: each waits for its turn, nothing is lost, the budget holds; a tensor that can
 * never fit is refused at once, and says so on both sides.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { X1Peer } from "../support/raw_x1.ts";
import { KEY, MiB, Peer } from "./peer.ts";
import { noMemoryIsHeld, Shipment } from "./shipment.ts";

/** Where CAPS has initial_credit: behind the head of the record, two bytes, max_streams and max_frame. */
const CREDIT_AT = 12;
const COMMUNITY = "process tests";
const BUDGET_BYTES = 48 * MiB;
const CARGO = Array.from({ length: 6 }, (_each, index) => ({ bytes: 8 * MiB, chunks: index % 3 === 2 }));

for (const runtime of RUNTIMES) {
  test(`${runtime}: four senders want six times the memory budget at once, and all of it arrives, once`, async () => {
    await using receiver = await Peer.start(runtime, { limits: { memoryBudgetBytes: BUDGET_BYTES } });
    const senders = await Promise.all(
      (["node", "bun", "deno", "node"] as const).map((each) =>
        Peer.start(each, { peers: [receiver.address] }),
      ),
    );
    try {
      for (const sender of senders) await sender.event("joined", { id: receiver.id });
      const shipments = senders.map((sender) => new Shipment(sender, receiver, receiver.id, CARGO));
      let isOver = false;
      const delivered = Promise.all(shipments.map((shipment) => shipment.delivered())).finally(() => {
        isOver = true;
      });
      let mostBytes = 0;
      while (!isOver) mostBytes = Math.max(mostBytes, Number((await receiver.stats()).memoryUsedBytes));
      await delivered;
      assert.ok(mostBytes > 0 && mostBytes <= BUDGET_BYTES, `${mostBytes} bytes in use`);

      const [first] = senders;
      assert.ok(first);
      const id = first.begin(receiver.id, { bytes: BUDGET_BYTES + MiB });
      const refused = await first.event("sendFailed", { id });
      assert.equal(refused.code, "ASOC_STOPPED");
      assert.match(String(refused.message), /memoryBudgetBytes/);
      const failed = await receiver.event("tensorFailed", { peer: first.id });
      assert.equal(failed.code, "ASOC_MEMORY_BUDGET");
      for (const peer of [receiver, ...senders]) assert.deepEqual(peer.all("left"), []);
      await noMemoryIsHeld(receiver);
    } finally {
      for (const sender of senders) await sender[Symbol.asyncDispose]();
    }
  });

  test(`${runtime}: the more connections there are, the less a new one may bring before it is granted more`, async () => {
    await using node = await Peer.start(runtime, {
      community: COMMUNITY,
      limits: { memoryBudgetBytes: 256 * MiB },
    });
    const peers: X1Peer[] = [];
    try {
      for (let each = 0; each < 4; each++)
        peers.push(await X1Peer.join(node.port, { key: KEY, community: COMMUNITY }));
      const credits = peers.map(({ handshake }) => handshake.acceptorCaps.readUInt32BE(CREDIT_AT));
      assert.deepEqual(
        credits,
        [1, 2, 3, 4].map((n) => Math.floor((2 * MiB) / n)),
      );
    } finally {
      for (const peer of peers) peer[Symbol.dispose]();
    }
  });
}
