/** Whole nodes on virtual time whose wall clock is set an hour on or back: only beacons look at it, and they say so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dialWithHello } from "./raw_peer.ts";
import { eventsOf, KEY, PORT, World } from "./world.ts";

const HOUR_S = 3600;
const MINUTE_MS = 60_000;

for (const [name, jumpS] of [
  ["on", HOUR_S],
  ["back", -HOUR_S],
] as const) {
  test(`a clock that jumps an hour ${name} ends no session and no transfer; newcomers hear why they do not find the node`, async () => {
    const world = new World(20, { bytesPerMs: 100 });
    const [a, b] = [await world.start(), await world.start()];
    await world.meet(1, a, b);
    const bytes = world.random.bytes(2_000_000);
    const received = world.nextStream(b).then((stream) => stream.tensor());
    // A deadline counts from the send on, whatever the clock shows.
    const sent = a.node.send(b.node.id, bytes, { deadlineMs: 5 * MINUTE_MS });
    await world.time.run(1000);
    b.runtime.clock.jump(jumpS);
    const [tensor, report] = await world.time.settle(Promise.all([received, sent]));
    assert.deepEqual(tensor.bytes, bytes);
    assert.equal(report.delivery, "verified");
    tensor.release();

    await world.time.run(10 * MINUTE_MS);
    for (const node of [a, b]) assert.deepEqual(eventsOf(node, "left"), []);
    for (const [node, skewS] of [
      [a, jumpS],
      [b, -jumpS],
    ] as const) {
      const { count = 0, skewS: found = 0 } = node.node.stats.refusedBeacons.get("clock") ?? {};
      assert.ok(count > 100, `${count} beacons`);
      assert.ok(Math.abs(found - skewS) <= 2, `${found} s off`);
    }

    const c = await world.start();
    await world.time.run(MINUTE_MS);
    assert.deepEqual(
      c.node.peers.list().map(({ id }) => id),
      [a.node.id],
      "a node with another clock was found",
    );
    assert.match(b.node.explainNobody(), /with a clock \d+ s off/);
    b.runtime.clock.jump(-jumpS);
    await world.meet(2, a, b, c);
    await world.finish();
  });

  test(`a HELLO that was recorded is refused although the clock has jumped an hour ${name} since`, async () => {
    const world = new World(21);
    const a = await world.start({ discovery: false });
    const host = world.host();
    const nodeId = world.random.bytes(16);
    const knock = async () => {
      await dialWithHello(host, { host: a.host.address, port: PORT }, nodeId, 7, KEY);
      await world.time.run(50);
    };
    await knock();
    a.runtime.clock.jump(jumpS);
    await world.time.run(MINUTE_MS);
    await knock();
    assert.equal(a.node.stats.refusedConnections.ASOC_REPLAYED_HELLO, 1);
    await world.time.settle(a.node.abort());
  });

  test(`a key that ends in 30 minutes ends by the wall clock, also when that jumps an hour ${name}`, async () => {
    const world = new World(22);
    const unixMs = (await world.start({ discovery: false })).runtime.clock.unixMs();
    const [oldKey, newKey] = ["the key that comes to its end", "the key that takes its place"];
    const keys = [
      { key: newKey, state: "current", epoch: 1 },
      { key: oldKey, state: "accepted", notAfterMs: unixMs + 30 * MINUTE_MS },
    ] as const;
    const a = await world.start({ apiKey: undefined, keys, discovery: false });
    const join = { apiKey: oldKey, discovery: false, peers: [world.addressOf(a.host)] };
    const b = await world.start(join);
    await world.meet(1, a, b);
    a.runtime.clock.jump(jumpS);
    // On: its end is past. Back: half an hour has become an hour and a half.
    await world.time.run(10 * MINUTE_MS);
    assert.equal(a.node.peers.size, jumpS > 0 ? 0 : 1);
    assert.equal(a.node.keys.list().filter(({ valid }) => valid).length, jumpS > 0 ? 1 : 2);
    await world.time.run(40 * MINUTE_MS);
    assert.equal(a.node.peers.size, jumpS > 0 ? 0 : 1);
    await world.time.run(50 * MINUTE_MS);
    assert.equal(a.node.peers.size, 0, "it has ended on either clock");
    // Set right again, an hour and forty minutes after: the end stays an end.
    a.runtime.clock.jump(-jumpS);
    await world.time.run(10 * MINUTE_MS);
    assert.equal(a.node.peers.size, 0);
    await world.finish();
  });
}
