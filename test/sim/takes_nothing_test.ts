import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./world.ts";

test("a node with takesTensors: false is left out of what goes to all, sends itself, and is no target", async () => {
  const world = new World(1);
  const hub = await world.start({ discovery: false });
  const dials = { discovery: false, peers: [world.addressOf(hub.host)] };
  const sender = await world.start({ ...dials, takesTensors: false });
  const taker = await world.start(dials);
  await world.meet(2, hub);
  await world.meet(1, sender, taker);
  const told = hub.events.flatMap((event) => (event.kind === "joined" ? [event.peer] : []));
  assert.deepEqual(
    told.map(({ id, takesTensors }) => [id, takesTensors]).sort(),
    [
      [sender.node.id, false],
      [taker.node.id, true],
    ].sort(),
  );
  const arriving = world.nextStream(taker).then((stream) => stream.tensor());
  const outcomes = await world.time.settle(hub.node.sendAll(Uint8Array.of(7)));
  assert.deepEqual(
    outcomes.map(({ peer, error }) => [peer.id, error]),
    [[taker.node.id, undefined]],
  );
  (await arriving).release();
  await assert.rejects(world.time.settle(hub.node.send(sender.node.id, Uint8Array.of(7))), {
    code: "ASOC_STOPPED",
    message: /takes no tensors/,
  });
  assert.deepEqual(await world.exchange(sender, hub, Uint8Array.of(8)), Uint8Array.of(8));
  await world.finish();
});
