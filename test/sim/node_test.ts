/** Whole nodes on virtual time: how they find, know and lose each other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { communityHash, encodeBeacon } from "../../src/core/wire/beacon.ts";
import { utf8 } from "../../src/core/wire/bytes.ts";
import { simRuntime } from "./runtime.ts";
import { eventsOf, KEY, PORT, type SimNode, World } from "./world.ts";

const HOUR_MS = 3_600_000;

test("two nodes find each other by discovery and exchange tensors", async () => {
  const world = new World(1, { datagramLoss: 0.2, datagramCopies: 0.2 });
  const [a, b] = [await world.start(), await world.start()];
  await world.meet(1, a, b);
  const bytes = world.random.bytes(100_000);
  assert.deepEqual(await world.exchange(a, b, bytes), bytes);
  assert.deepEqual(await world.exchange(b, a, bytes.subarray(1)), bytes.subarray(1));
  assert.deepEqual(await world.exchange(b, a, new Uint8Array(0)), new Uint8Array(0));
  assert.equal(a.node.peers.list()[0]?.id, b.node.id);
  await world.finish();
});

test("a static peer that is away is dialled again after 1-5 s, doubling to 60 s, for ever", async () => {
  const world = new World(2);
  const away = world.host();
  const a = await world.start({ peers: [world.addressOf(away)], discovery: false });
  await world.time.run(HOUR_MS);
  const failed = eventsOf(a, "dialFailed");
  assert.ok(failed.length > 55, `${failed.length} dials in an hour`);
  for (const [index, { error, failures, retryMs = 0 }] of failed.entries()) {
    assert.equal(error.code, "ASOC_CONNECTION_REFUSED");
    assert.equal(failures, index + 1);
    const least = Math.min(1000 * 2 ** index, 60_000) * (index === 0 ? 1 : 0.75);
    const most = Math.min(5000 * 2 ** index, 60_000);
    assert.ok(retryMs >= least && retryMs <= most, `dial ${index + 1}: again after ${retryMs} ms`);
    const next = failed[index + 1];
    if (next) assert.ok(next.atMs - (failed[index]?.atMs ?? 0) - retryMs < 20);
  }
  const b = await world.start({ on: away, discovery: false });
  await world.time.until(() => a.node.peers.size === 1 && b.node.peers.size === 1, 61_000);
  await world.finish();
});

for (const [what, extension, leastMs, mostMs] of [
  ["a v0.1 static peer", false, 1000, 6000],
  ["a static peer that has proven itself", true, 0, 200],
] as const) {
  test(`${what} that was lost is dialled again after ${extension ? "0-100 ms" : "1-5 s"}`, async () => {
    const world = new World(3);
    const b = await world.start({ discovery: false, extension });
    const a = await world.start({ peers: [world.addressOf(b.host)], discovery: false, extension });
    await world.meet(1, a, b);
    const lostMs = world.time.nowMs();
    for (const connection of [...world.network.connections]) world.network.cut(connection);
    await world.time.until(() => a.node.peers.size === 0, 10);
    assert.equal(eventsOf(a, "left")[0]?.error?.code, "ASOC_CONNECTION_LOST");
    await world.time.until(() => a.node.peers.size === 1, mostMs);
    assert.ok(world.time.nowMs() - lostMs >= leastMs);
    await world.finish();
  });
}

test("a discovered peer is dropped after three failed dials, and its beacons are passed over for a minute", async () => {
  const world = new World(4);
  const a = await world.start();
  const ghost = world.host();
  const { crypto, clock } = simRuntime(ghost);
  const socket = await ghost.transport.bindDatagram(
    { host: "0.0.0.0", port: 9999 },
    { shared: true, receive: () => {} },
  );
  const nodeId = crypto.randomBytes(16);
  const stopMs = world.time.nowMs() + 70_000;
  while (world.time.nowMs() < stopMs) {
    const challenge = world.random.between(0, 0xffff_ffff);
    const fields = {
      communityHash: communityHash("default", crypto),
      nodeId,
      tcpPort: PORT,
      unixS: Math.floor(clock.unixMs() / 1000),
      challenge,
    };
    await socket.send(encodeBeacon(fields, utf8(KEY), crypto), { host: "255.255.255.255", port: 9999 });
    await world.time.run(3000);
  }
  await socket.close();
  const failed = eventsOf(a, "dialFailed");
  const third = failed[2];
  assert.deepEqual(
    failed.slice(0, 3).map(({ failures }) => failures),
    [1, 2, 3],
  );
  assert.equal(third?.retryMs, undefined);
  const droppedMs = third?.atMs ?? 0;
  for (const later of failed.slice(3))
    assert.ok(later.atMs - droppedMs >= 60_000, "dialled although it was dropped");
  await world.finish();
});

test("a partitioned peer is stale 15 s after its last beacon, and found again when the network heals", async () => {
  for (let seed = 0; seed < 8; seed++) {
    const world = new World(500 + seed);
    const [a, b] = [await world.start(), await world.start()];
    await world.meet(1, a, b);
    await world.time.run(20_000 + seed * 1700); // keepalives and beacons stand in different order
    world.network.partition([a.host], [b.host]);
    const apartMs = world.time.nowMs();
    await world.time.until(() => a.node.peers.size === 0 && b.node.peers.size === 0, 31_000);
    assert.ok(world.time.nowMs() - apartMs >= 11_000, `gone after ${world.time.nowMs() - apartMs} ms`);
    assert.match(eventsOf(a, "left")[0]?.reason ?? "", /stale|lost/);
    world.network.heal();
    await world.time.until(() => a.node.peers.size === 1 && b.node.peers.size === 1, 90_000);
    await world.finish();
  }
});

test("a node whose static peer is itself closes that connection and never dials it again", async () => {
  const world = new World(6);
  const host = world.host();
  const a = await world.start({ on: host, peers: [world.addressOf(host)], discovery: false });
  await world.time.run(HOUR_MS);
  assert.equal(a.node.peers.size, 0);
  assert.equal(a.node.stats.refusedConnections.ASOC_SELF_CONNECTION, 1);
  assert.match(a.node.explainNobody(), /is this node itself/);
  await world.finish();
});

test("two nodes with one node id refuse each other, and say why", async () => {
  const world = new World(7);
  const nodeId = "00000000-0000-4000-8000-000000000001";
  const b = await world.start({ nodeId, discovery: true });
  const a = await world.start({ nodeId, peers: [world.addressOf(b.host)], discovery: true });
  await world.time.run(60_000);
  assert.equal(a.node.peers.size + b.node.peers.size, 0);
  assert.equal(eventsOf(b, "refused")[0]?.error?.code, "ASOC_DUPLICATE_NODE_ID");
  assert.equal(eventsOf(a, "dialFailed")[0]?.error.code, "ASOC_HANDSHAKE_REFUSED");
  await world.finish();
});

test("mutual static peers are ONE peer each, by its node id, on one connection that stays", async () => {
  for (let seed = 0; seed < 10; seed++) {
    const world = new World(800 + seed, { maxLatencyMs: 50 });
    const [one, other] = [world.host(), world.host()];
    const a = await world.start({ on: one, peers: [world.addressOf(other)], discovery: false });
    await world.time.run(world.random.between(0, 3000));
    const b = await world.start({ on: other, peers: [world.addressOf(one)], discovery: false });
    await world.time.run(70_000);
    assert.equal(world.network.connections.size, 1);
    assert.deepEqual([eventsOf(a, "left"), eventsOf(b, "left")], [[], []]);
    const [peer] = a.node.peers;
    assert.ok(peer?.roundTripMs !== undefined && peer.roundTripMs <= 110, `${peer?.roundTripMs} ms`);
    assert.ok(Math.abs(peer?.clockSkewMs ?? Number.NaN) <= 1100, `${peer?.clockSkewMs} ms`);
    assert.deepEqual(
      a.node.peers.list().map(({ id }) => id),
      [b.node.id],
    );
    assert.deepEqual(
      b.node.peers.list().map(({ id }) => id),
      [a.node.id],
    );
    assert.deepEqual(await world.exchange(a, b, Uint8Array.of(1, 2)), Uint8Array.of(1, 2));
    await world.finish();
  }
});

test("hybrid mode: static and discovered v0.1 peers together, one connection in each direction", async () => {
  const world = new World(9);
  const b = await world.start({ discovery: true, extension: false });
  const c = await world.start({ discovery: true, extension: false });
  const a = await world.start({
    peers: [world.addressOf(b.host)],
    discovery: true,
    extension: false,
  });
  await world.time.run(30_000);
  const ids = (node: SimNode) =>
    node.node.peers
      .list()
      .map(({ id }) => id)
      .sort();
  assert.deepEqual(ids(a), [b.node.id, c.node.id].sort());
  assert.deepEqual(ids(b), [a.node.id, c.node.id].sort());
  assert.deepEqual(ids(c), [a.node.id, b.node.id].sort());
  assert.equal(world.network.connections.size, 6);
  await world.finish();
});

test("another node at a known address is never taken for the old one, even before its first beacon", async () => {
  const world = new World(11);
  const [a, first] = [await world.start(), await world.start()];
  await world.meet(1, a, first);
  world.network.options = { ...world.network.options, datagramLoss: 1 };
  await world.time.settle(first.node.abort());
  const second = await world.start({ on: first.host });
  await world.time.until(() => second.node.peers.size === 1, 10_000);
  await world.time.run(100);
  assert.deepEqual(
    a.node.peers.list().map(({ id }) => id),
    [second.node.id],
  );
  await assert.rejects(world.time.settle(a.node.send(first.node.id, Uint8Array.of(1))), {
    code: "ASOC_UNKNOWN_PEER",
  });
  world.network.options = { ...world.network.options, datagramLoss: 0 };
  await world.time.run(5000);
  assert.deepEqual(
    a.node.peers.list().map(({ id }) => id),
    [second.node.id],
  );
  await world.finish();
});

test("a node that restarts under another id is known by the new id only", async () => {
  for (const discovery of [true, false]) {
    const world = new World(10);
    const host = world.host();
    const a = await world.start({ peers: discovery ? [] : [world.addressOf(host)], discovery });
    const peers = [world.addressOf(a.host)];
    const first = await world.start({ on: host, peers: discovery ? [] : peers, discovery });
    await world.meet(1, a, first);
    await world.time.settle(first.node.abort());
    const second = await world.start({ on: host, peers: discovery ? [] : peers, discovery });
    await world.time.run(120_000);
    assert.deepEqual(
      a.node.peers.list().map(({ id }) => id),
      [second.node.id],
    );
    assert.deepEqual(await world.exchange(a, second, Uint8Array.of(3)), Uint8Array.of(3));
    await world.finish();
  }
});
