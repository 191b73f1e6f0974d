/** Rotations of keys by whole nodes on virtual time (RFC-0102): all switch, or nobody does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RotateOptions, RotationReport } from "../../src/core/key_rotator.ts";
import { KEY, type SimNode, type StartOptions, World } from "./world.ts";

const GRACE_MS = 400_000;

/** `count` nodes, all connected to each other. */
async function cluster(world: World, count: number, options: StartOptions = {}): Promise<SimNode[]> {
  const nodes: SimNode[] = [];
  for (let i = 0; i < count; i++) {
    const peers = nodes.map(({ host }) => world.addressOf(host));
    nodes.push(await world.start({ peers, discovery: false, ...options }));
  }
  await world.meet(count - 1, ...nodes);
  await world.time.run(100);
  return nodes;
}

const first = <T>(list: readonly T[]): T => {
  assert.ok(list[0] !== undefined);
  return list[0];
};
const currentOf = ({ node }: SimNode) => node.keys.list().find(({ state }) => state === "current");
const believed = ({ node }: SimNode): (string | undefined)[] =>
  node.keys
    .list()
    .filter(({ valid }) => valid)
    .map(({ id }) => id);
const rotate = (world: World, { node }: SimNode, options: RotateOptions = {}): Promise<RotationReport> =>
  world.time.settle(node.keys.rotate(options));
const resultsOf = ({ peers }: RotationReport) => peers.map(({ result }) => result);

/** Every node has `keyId` as its current key. */
function agree(nodes: readonly SimNode[], keyId: string | undefined): void {
  assert.deepEqual(
    nodes.map((node) => currentOf(node)?.id),
    nodes.map(() => keyId),
  );
}

test("nine nodes rotate: all switch, the old key ends after its grace, and no tensor is lost", {
  timeout: 60_000,
}, async () => {
  const world = new World(11);
  const nodes = await cluster(world, 9);
  const [rotator, other, third] = nodes as [SimNode, SimNode, SimNode];
  const oldId = currentOf(rotator)?.id;
  const report = await rotate(world, rotator, { graceMs: GRACE_MS });
  assert.equal(report.switched, true, report.reason ?? "");
  assert.deepEqual(resultsOf(report), Array(8).fill("switched"));
  assert.equal(report.epoch, 1);
  agree(nodes, report.keyId);
  for (const node of nodes) assert.deepEqual(believed(node), [report.keyId, oldId]);
  // A large tensor is on its way when the old key, on which the connection rests, comes to its end.
  const ends = report.oldNotAfterMs ?? 0;
  await world.time.run(ends - rotator.runtime.clock.unixMs() - 5);
  const bytes = world.random.bytes(3_000_000);
  assert.deepEqual(await world.exchange(other, third, bytes), bytes);
  await world.time.run(240_000);
  for (const node of nodes) {
    assert.deepEqual(believed(node), [report.keyId]);
    assert.equal(node.node.peers.size, 8);
  }
  for (const node of nodes)
    assert.deepEqual(
      node.events.filter(({ kind }) => kind === "streamFailed" || kind === "refused" || kind === "left"),
      [],
    );
  // Whoever comes with the old key is shut out, with the new one let in.
  const late = await world.start({ peers: [world.addressOf(rotator.host)], discovery: false });
  await world.time.run(20_000);
  assert.equal(late.node.peers.size, 0);
  await world.finish();
});

test("a peer that is cut off in the middle: everything is as it was before", {
  timeout: 60_000,
}, async () => {
  const world = new World(12);
  const nodes = await cluster(world, 8);
  const [rotator] = nodes as [SimNode];
  const away = nodes[7] as SimNode;
  const oldId = currentOf(rotator)?.id;
  const rest = nodes.slice(0, 7).map(({ host }) => host);
  const rotating = rotator.node.keys.rotate({ waitMs: 20_000 });
  world.network.partition(rest, [away.host]);
  const report = await world.time.settle(rotating);
  assert.equal(report.switched, false);
  assert.match(report.reason ?? "", new RegExp(`no key with ${away.node.id} after 20 s`));
  await world.time.run(1000);
  agree(nodes, oldId);
  for (const node of nodes.slice(0, 7)) assert.deepEqual(believed(node), [oldId], "it was not taken back");
  world.network.heal();
  await world.time.run(6 * 60_000);
  assert.deepEqual(believed(away), [oldId], "an offer has an end");
  await world.meet(7, ...nodes);
  const again = await rotate(world, rotator);
  assert.equal(again.switched, true, again.reason ?? "");
  agree(nodes, again.keyId);
  await world.finish();
});

test("a peer whose connection breaks in the middle gets the key on the next one", async () => {
  const world = new World(13);
  const nodes = await cluster(world, 4);
  const [rotator] = nodes as [SimNode];
  const rotating = rotator.node.keys.rotate({ waitMs: 30_000 });
  for (const connection of [...world.network.connections]) world.network.cut(connection);
  const report = await world.time.settle(rotating);
  assert.equal(report.switched, true, report.reason ?? "");
  await world.time.run(30_000);
  agree(nodes, report.keyId);
  await world.finish();
});

for (const count of [2, 3, 6]) {
  test(`two rotators at once among ${count} nodes: one of them wins, whichever was quicker`, async () => {
    for (let seed = 20; seed < 26; seed++) {
      const world = new World(seed, { maxLatencyMs: 30 });
      const nodes = await cluster(world, count);
      const [a, b] = nodes as [SimNode, SimNode];
      const reports = await world.time.settle(Promise.all([a.node.keys.rotate(), b.node.keys.rotate()]));
      const won = reports.filter(({ switched }) => switched);
      assert.equal(won.length, 1, `seed ${seed}: ${reports.map(({ reason }) => reason)}`);
      const lost = reports.find(({ switched }) => !switched);
      assert.match(lost?.reason ?? "", /another rotation goes first/);
      assert.ok(
        (first(won).keyId ?? "") < (lost?.keyId ?? ""),
        `seed ${seed}: of two keys of one epoch that with the smaller id wins`,
      );
      await world.time.run(1000);
      agree(nodes, first(won).keyId);
      await world.finish();
    }
  });
}

test("a peer that refuses rotations stops one before anything is sent, and is left behind where that is wanted", async () => {
  const world = new World(14);
  const nodes = await cluster(world, 3);
  const [rotator] = nodes as [SimNode];
  const stubborn = await world.start({
    rotation: "refuse",
    discovery: false,
    peers: nodes.map(({ host }) => world.addressOf(host)),
  });
  await world.meet(3, ...nodes);
  const oldId = currentOf(rotator)?.id;
  await assert.rejects(world.time.settle(rotator.node.keys.rotate()), {
    code: "ASOC_ROTATION",
    message: `Cannot rotate: these peers cannot follow: ${stubborn.node.id} (refuses)`,
  });
  const dry = await rotate(world, rotator, { dryRun: true });
  assert.deepEqual(resultsOf(dry).sort(), ["hasKey", "hasKey", "refuses"]);
  agree(nodes, oldId);
  const report = await rotate(world, rotator, { leaveBehind: true, graceMs: 60_000 });
  assert.equal(report.switched, true);
  assert.deepEqual(resultsOf(report).sort(), ["refuses", "switched", "switched"]);
  assert.equal(currentOf(stubborn)?.id, oldId);
  await world.time.run(50_000);
  assert.equal(stubborn.node.peers.size, 3, "it is believed until the old key ends");
  await world.time.run(120_000);
  assert.equal(stubborn.node.peers.size, 0);
  for (const node of nodes) assert.equal(node.node.peers.size, 2);
  await world.finish();
});

test("a v0.1 peer goes on with the old key until its end, found by beacons that are still signed with it", {
  timeout: 60_000,
}, async () => {
  const world = new World(15);
  const a = await world.start({});
  const b = await world.start({});
  const old = await world.start({ extension: false });
  await world.meet(2, a, b, old);
  await assert.rejects(world.time.settle(a.node.keys.rotate()), /cannot follow: .* \(v1\)/);
  const report = await rotate(world, a, { leaveBehind: true, graceMs: GRACE_MS });
  assert.equal(report.switched, true);
  assert.deepEqual(resultsOf(report).sort(), ["switched", "v1"]);
  assert.deepEqual(await world.exchange(old, b, Uint8Array.of(7)), Uint8Array.of(7));
  // Another v0.1 peer that has only ever known the old key finds them, and is found.
  const newcomer = await world.start({ extension: false });
  await world.meet(3, a, b, newcomer);
  for (const node of [a, b]) assert.equal(node.node.peers.list().length, 3);
  await world.time.run(GRACE_MS + 120_000);
  assert.deepEqual(
    [a, b, old, newcomer].map(({ node }) => node.peers.size),
    [1, 1, 1, 1],
  );
  await world.finish();
});

test("a node that has missed the commit switches when it meets the new key in use", async () => {
  const world = new World(16);
  const nodes = await cluster(world, 3);
  const [rotator, , away] = nodes as [SimNode, SimNode, SimNode];
  const rest = nodes.slice(0, 2).map(({ host }) => host);
  const rotating = rotator.node.keys.rotate({
    onProgress(peers) {
      // It has the key; what follows does not reach it.
      const has = peers.every(({ result }) => result === "hasKey");
      if (has && peers.length === 2) world.network.partition(rest, [away.host]);
    },
  });
  const report = await world.time.settle(rotating);
  assert.equal(report.switched, true);
  assert.deepEqual(resultsOf(report).sort(), ["switched", "unconfirmed"]);
  assert.notEqual(currentOf(away)?.id, report.keyId);
  world.network.heal();
  await world.time.run(120_000);
  agree(nodes, report.keyId);
  await world.finish();
});

test("a node with as many keys as can be tried refuses, and says so", async () => {
  const world = new World(17);
  const a = await world.start({ discovery: false });
  const full = await world.start({
    apiKey: undefined,
    keys: [{ key: KEY, state: "current" }, { key: "one more" }, { key: "another" }, { key: "the fourth" }],
    peers: [world.addressOf(a.host)],
    discovery: false,
  });
  await world.meet(1, a, full);
  const report = await rotate(world, a);
  assert.equal(report.switched, false);
  assert.equal(report.reason, `${full.node.id} refuses the key`);
  await assert.rejects(world.time.settle(full.node.keys.rotate()), /as many keys hold as can be tried/);
  await world.finish();
});

test("a store that cannot keep the key is a refusal; one that can has it before the rotator hears so", async () => {
  const world = new World(18);
  let broken = true;
  const saves: string[][] = [];
  const keyStore = {
    async save(keys: readonly { readonly id: string; readonly state: string }[]) {
      if (broken) throw new Error("disk full");
      saves.push(keys.map(({ id, state }) => `${id} ${state}`));
    },
  };
  const a = await world.start({ discovery: false });
  const b = await world.start({ discovery: false, peers: [world.addressOf(a.host)], keyStore });
  await world.meet(1, a, b);
  const failed = await rotate(world, a);
  assert.equal(failed.switched, false);
  assert.match(String(b.events.find(({ kind }) => kind === "key") && JSON.stringify(b.events)), /refused/);
  assert.deepEqual(believed(b), [failed.oldKeyId]);
  broken = false;
  const { switched, keyId, oldKeyId } = await rotate(world, a);
  assert.equal(switched, true);
  assert.deepEqual(saves[0], [`${oldKeyId} current`, `${keyId} offered`]);
  assert.deepEqual(saves.at(-1), [`${keyId} current`, `${oldKeyId} accepted`]);
  await world.finish();
});

test("a revoked key ends its connections at once, and a peer with another one comes back", async () => {
  const world = new World(19);
  const both = { apiKey: undefined, keys: [{ key: "new" }, { key: KEY, state: "current" as const }] };
  const a = await world.start({ ...both, discovery: false });
  const b = await world.start({ ...both, discovery: false, peers: [world.addressOf(a.host)] });
  const onlyOld = await world.start({ discovery: false, peers: [world.addressOf(a.host)] });
  await world.meet(2, a);
  const id = currentOf(a)?.id ?? "";
  const [next] = a.node.keys.list().filter((key) => key.state === "accepted");
  await world.time.settle(a.node.keys.setCurrent(next?.id ?? ""));
  await world.time.settle(a.node.keys.revoke(id));
  await world.time.run(10);
  assert.equal(a.node.peers.size, 0);
  const left = b.events.find((event) => event.kind === "left");
  assert.match(left?.kind === "left" ? left.reason : "", /key of this connection was revoked/);
  await world.time.run(60_000);
  assert.deepEqual(
    [a, b, onlyOld].map(({ node }) => node.peers.size),
    [1, 1, 0],
  );
  await world.finish();
});

test("a dialler whose first key is not known tries the next one in its next dial, and is not blocked for it", async () => {
  const world = new World(30);
  const behind = await world.start({ discovery: false });
  const keys = [
    { key: "newest", state: "current" as const, epoch: 2 },
    { key: "newer", epoch: 1 },
    { key: KEY },
  ];
  const ahead = await world.start({
    apiKey: undefined,
    keys,
    discovery: false,
    peers: [world.addressOf(behind.host)],
  });
  await world.meet(1, ahead, behind);
  assert.equal(behind.node.stats.refusedConnections.ASOC_WRONG_KEY, 2);
  // From then on that key comes first.
  for (const connection of [...world.network.connections]) world.network.cut(connection);
  await world.time.run(100);
  await world.meet(1, ahead, behind);
  assert.equal(behind.node.stats.refusedConnections.ASOC_WRONG_KEY, 2);
  await world.finish();
});

test("a beacon's key is the one that its node is dialled with", async () => {
  const world = new World(31);
  const behind = await world.start({});
  const keys = [{ key: "newest", state: "current" as const, epoch: 2 }, { key: KEY }];
  const ahead = await world.start({ apiKey: undefined, keys });
  await world.meet(1, ahead, behind);
  assert.equal(behind.node.stats.refusedConnections.ASOC_WRONG_KEY, undefined);
  await world.finish();
});

test("an address that has had its share of key exchanges is served without one, and cannot follow a rotation", async () => {
  const world = new World(32);
  const a = await world.start({ discovery: false, limits: { maxKeyExchangesPerMinute: 1 } });
  const on = { discovery: false, peers: [world.addressOf(a.host)] };
  const b = await world.start(on);
  await world.meet(1, a, b);
  assert.deepEqual(resultsOf(await rotate(world, a, { dryRun: true })), ["hasKey"]);
  for (const connection of [...world.network.connections]) world.network.cut(connection);
  await world.time.run(200);
  await world.meet(1, a, b);
  assert.deepEqual(resultsOf(await rotate(world, a, { dryRun: true })), ["noKeyExchange"]);
  assert.deepEqual(await world.exchange(b, a, Uint8Array.of(1)), Uint8Array.of(1));
  await world.finish();
});

test("keys that peers bring are limited: past maxRotationsPerHour they are refused", async () => {
  const world = new World(33);
  const b = await world.start({ discovery: false, limits: { maxRotationsPerHour: 2 } });
  const a = await world.start({ discovery: false, peers: [world.addressOf(b.host)] });
  await world.meet(1, a, b);
  for (const expected of [true, true, false]) {
    const report = await rotate(world, a, { graceMs: 0 });
    assert.equal(report.switched, expected);
    await world.time.run(120_000);
    assert.equal(a.node.peers.size, 1);
  }
  assert.equal(currentOf(a)?.epoch, 2);
  await world.finish();
});

test("a rotation that is given up leaves everything as it was", async () => {
  const world = new World(34);
  const [a, b, c] = (await cluster(world, 3)) as [SimNode, SimNode, SimNode];
  const oldId = currentOf(a)?.id;
  world.network.partition([a.host, b.host], [c.host]);
  const controller = new AbortController();
  const rotating = a.node.keys.rotate({ signal: controller.signal });
  world.time.after(5000, () => controller.abort(new Error("not today")));
  await assert.rejects(world.time.settle(rotating), /not today/);
  await world.time.run(100);
  assert.deepEqual([a, b].map(believed), [[oldId], [oldId]]);
  world.network.heal();
  await world.finish();
});
