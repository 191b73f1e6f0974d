import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_TAP_COPIES } from "../../src/core/limits.ts";
import type { SendOptions } from "../../src/core/send_plan.ts";
import { type SimNode, World } from "./world.ts";

/** A node and others that dial it. */
async function star(seed: number, others: number, options: { readonly tap?: readonly string[] } = {}) {
  const world = new World(seed);
  const hub = await world.start({ discovery: false, ...options });
  const peers: SimNode[] = [];
  for (let i = 0; i < others; i++)
    peers.push(await world.start({ discovery: false, peers: [world.addressOf(hub.host)] }));
  await world.meet(others, hub);
  await world.meet(1, ...peers);
  return { world, hub, peers };
}

/** Topics and first bytes of what arrives, as it is read whole. */
function listen(
  streams: AsyncIterable<{ tensor(): Promise<{ topic: string; bytes: Uint8Array; release(): void }> }>,
) {
  const seen: string[] = [];
  void (async () => {
    for await (const stream of streams) {
      const tensor = await stream.tensor();
      seen.push(`${tensor.topic}:${tensor.bytes[0]}`);
      tensor.release();
    }
  })();
  return seen;
}

test("subscribe() yields the tensors whose topics fit, and `incoming` those too where somebody reads it", async () => {
  const { world, hub, peers } = await star(1, 1);
  const [sender] = peers as [SimNode];
  const layer3 = listen(hub.node.subscribe("layer3/*"));
  const all: string[] = [];
  void (async () => {
    for await (const stream of hub.node.incoming) all.push(`${stream.topic} ${stream.claimed}`);
  })();
  const send = (topic: string, value: number) =>
    world.time.settle(sender.node.send(hub.node.id, Uint8Array.of(value), { topic }));
  await send("layer3/k", 1);
  await send("layer4/k", 2);
  await send("layer3/v", 3);
  await send("layer3/k/deep", 4);
  assert.deepEqual(layer3, ["layer3/k:1", "layer3/v:3"]);
  assert.deepEqual(
    all.map((one) => one.split(" ")[0]),
    ["layer3/k", "layer4/k", "layer3/v", "layer3/k/deep"],
  );
  for (const node of world.nodes) await world.time.settle(node.node.abort());
});

test("a tap gets copies of what its peer sends and receives, one in N, and only where that is allowed", async () => {
  const { world, hub, peers } = await star(2, 3, { tap: ["kv/**"] });
  const [sender, tapper, receiver] = peers as [SimNode, SimNode, SimNode];
  listen(hub.node.incoming);
  const received = listen(receiver.node.incoming);
  const tapped = listen(tapper.node.incoming);
  tapper.node.tap(hub.node.id, "kv/**", { oneIn: 2 });
  tapper.node.tap(hub.node.id, "secret/**");
  await world.time.run(1000);
  const send = (from: SimNode, to: SimNode, value: number, options: SendOptions) =>
    world.time.settle(from.node.send(to.node.id, Uint8Array.of(value), options));
  for (let value = 0; value < 4; value++) await send(sender, hub, value, { topic: "kv/in" });
  for (let value = 10; value < 14; value++) await send(hub, receiver, value, { topic: "kv/out" });
  await send(sender, hub, 20, { topic: "secret/x" });
  await send(sender, hub, 21, { topic: "other" });
  await world.time.run(1000);
  assert.deepEqual(tapped, ["kv/in:0", "kv/in:2", "kv/out:10", "kv/out:12"]);
  assert.deepEqual(received, ["kv/out:10", "kv/out:11", "kv/out:12", "kv/out:13"]);
  const { taps } = hub.node.stats;
  assert.deepEqual([taps.taps, taps.copies, taps.refused], [1, 4, 1]);
  tapper.node.untap(hub.node.id, "kv/**");
  await world.time.run(1000);
  await send(sender, hub, 30, { topic: "kv/in" });
  await world.time.run(1000);
  assert.equal(tapped.length, 4);
  for (const node of world.nodes) await world.time.settle(node.node.abort());
});

test("a tensor that is sent to a peer that taps it comes there once", async () => {
  const { world, hub, peers } = await star(4, 1, { tap: ["**"] });
  const [tapper] = peers as [SimNode];
  const came = listen(tapper.node.incoming);
  tapper.node.tap(hub.node.id, "a");
  await world.time.run(100);
  await world.time.settle(hub.node.send(tapper.node.id, Uint8Array.of(1), { topic: "a" }));
  await world.time.settle(hub.node.sendAll(Uint8Array.of(2), { topic: "a" }));
  await world.time.run(1000);
  assert.deepEqual(came, ["a:1", "a:2"]);
  for (const node of world.nodes) await world.time.settle(node.node.abort());
});

test("a tap is asked for again when its peer comes back", async () => {
  const { world, hub, peers } = await star(3, 2, { tap: ["**"] });
  const [sender, tapper] = peers as [SimNode, SimNode];
  listen(hub.node.incoming);
  const tapped = listen(tapper.node.incoming);
  tapper.node.tap(hub.node.id, "a");
  await world.time.run(100);
  for (const connection of [...world.network.connections]) world.network.cut(connection);
  await world.time.until(() => hub.node.peers.size === 2 && tapper.node.peers.size === 1, 10_000);
  await world.time.run(1000);
  await world.time.settle(sender.node.send(hub.node.id, Uint8Array.of(7), { topic: "a" }));
  await world.time.run(1000);
  assert.deepEqual(tapped, ["a:7"]);
  for (const node of world.nodes) await world.time.settle(node.node.abort());
});

test("a tap with bytes per second gets so many and no more: the rest is dropped and counted, and the source is not held up", async () => {
  const { world, hub, peers } = await star(5, 3, { tap: ["**"] });
  const [sender, tapper, receiver] = peers as [SimNode, SimNode, SimNode];
  const received = listen(receiver.node.incoming);
  const tapped = listen(tapper.node.incoming);
  listen(hub.node.incoming);
  tapper.node.tap(hub.node.id, "kv/**", { bytesPerSecond: 1000 });
  await world.time.run(100);
  const send = (value: number) =>
    world.time.settle(hub.node.send(receiver.node.id, new Uint8Array(400).fill(value), { topic: "kv/out" }));
  // Two fit at once; then one fits each 400 ms.
  for (let value = 0; value < 5; value++) await send(value);
  await world.time.run(1000);
  await send(5);
  await world.time.run(1000);
  assert.deepEqual(tapped, ["kv/out:0", "kv/out:1", "kv/out:5"]);
  assert.equal(received.length, 6);
  const { copies, droppedByRate, droppedBusy } = hub.node.stats.taps;
  assert.deepEqual([copies, droppedByRate, droppedBusy], [3, 3, 0]);
  // What the hub receives is under the same rate.
  for (let value = 10; value < 14; value++)
    await world.time.settle(
      sender.node.send(hub.node.id, new Uint8Array(400).fill(value), { topic: "kv/in" }),
    );
  assert.ok(hub.node.stats.taps.droppedByRate > 3);
  for (const node of world.nodes) await world.time.settle(node.node.abort());
});

/** When each of many sends was done, with one who taps and reads nothing, or without. */
async function sendTimes(isTapped: boolean) {
  const { world, hub, peers } = await star(6, 1, { tap: ["**"] });
  const [receiver] = peers as [SimNode];
  // It has room for a few, and then grants nothing.
  const tapper = await world.start({
    discovery: false,
    peers: [world.addressOf(hub.host)],
    limits: { memoryBudgetBytes: 1024 * 1024 },
  });
  await world.meet(2, hub);
  const received = listen(receiver.node.incoming);
  if (isTapped) tapper.node.tap(hub.node.id, "**");
  await world.time.run(100);
  // The same delays, whatever else is under way.
  world.network.options = { ...world.network.options, minLatencyMs: 2, maxLatencyMs: 2, cutChance: 0 };
  const beganMs = world.time.nowMs();
  const times: number[] = [];
  for (let value = 0; value < 60; value++) {
    await world.time.settle(
      hub.node.send(receiver.node.id, new Uint8Array(200_000).fill(value), { topic: "kv/out" }),
    );
    times.push(world.time.nowMs() - beganMs);
  }
  const { taps } = hub.node.stats;
  assert.equal(received.length, 60);
  for (const node of world.nodes) await world.time.settle(node.node.abort());
  return { times, taps };
}

test("a tapper that does not read loses copies, which are counted, and no send takes longer for it", async () => {
  const alone = await sendTimes(false);
  const tapped = await sendTimes(true);
  assert.deepEqual(tapped.times, alone.times);
  assert.equal(tapped.taps.copies + tapped.taps.droppedBusy, 60);
  assert.ok(
    tapped.taps.copies >= MAX_TAP_COPIES && tapped.taps.droppedBusy > 10,
    JSON.stringify(tapped.taps),
  );
  assert.equal(alone.taps.copies + alone.taps.droppedBusy, 0);
});
