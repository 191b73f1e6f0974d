import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionError } from "../../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import type { Address } from "../../../src/core/runtime.ts";
import { type Link, Swarm } from "../../../src/core/swarm/swarm.ts";
import { TwinWorld } from "./twin_world.ts";

const LOST = new ConnectionError("ASOC_CONNECTION_LOST", "The connection was lost");
const at = (port: number, host = "10.0.0.1"): Address => ({ host, port });

/** A node called "m": "a" is smaller, "z" is larger. */
const swarmM = () => new Swarm({ nodeId: "m", limits: DEFAULT_LIMITS, random: () => 0.5 });

function dial(swarm: Swarm, provenId: string | undefined, nowMs = 0): Link {
  const due = swarm.pollDial(nowMs);
  assert.ok(due, "nothing is due");
  return swarm.handleDialled(due.target, due.address, provenId);
}
const accept = (swarm: Swarm, nodeId: string) => swarm.handleAccepted(nodeId, at(50_000), true);

/** All links that it says GOAWAY on, once whoever is asked has answered. */
function retire(swarm: Swarm): Link[] {
  for (let link = swarm.pollProbe(); link; link = swarm.pollProbe()) swarm.handleConfirmed(link);
  const retired: Link[] = [];
  for (let link = swarm.pollRetire(); link; link = swarm.pollRetire()) retired.push(link);
  return retired;
}
const kinds = (swarm: Swarm) => {
  const seen: string[] = [];
  for (let event = swarm.pollEvent(); event; event = swarm.pollEvent()) seen.push(event.kind);
  return seen;
};

test("of two that dialled each other the link stays that the smaller id dialled, whichever came first", () => {
  for (const [peer, outboundStays] of [
    ["z", true],
    ["a", false],
  ] as const) {
    for (const outboundFirst of [true, false]) {
      const swarm = swarmM();
      swarm.addStatic(at(1), 0);
      let inbound: Link | undefined;
      const due = swarm.pollDial(0);
      assert.ok(due);
      if (!outboundFirst) inbound = accept(swarm, peer);
      const outbound = swarm.handleDialled(due.target, due.address, peer);
      inbound ??= accept(swarm, peer);
      const [stays, ends] = outboundStays ? [outbound, inbound] : [inbound, outbound];
      assert.deepEqual([stays.duplicate, ends.duplicate], [false, true]);
      assert.equal(swarm.route(peer), stays);
      assert.deepEqual(retire(swarm), outboundStays ? [ends] : [], "only the smaller id says GOAWAY");
    }
  }
});

test("of two links that one side dialled the newest stays", () => {
  for (const peer of ["a", "z"]) {
    const swarm = swarmM();
    const [old, recent] = [accept(swarm, peer), accept(swarm, peer)];
    assert.deepEqual([old.duplicate, recent.duplicate], [true, false]);
    assert.equal(swarm.route(peer), recent);
    assert.deepEqual(retire(swarm), peer === "z" ? [old] : []);
  }
});

test("the larger id goes by what the smaller one says GOAWAY on", () => {
  const swarm = swarmM();
  const [old, recent] = [accept(swarm, "a"), accept(swarm, "a")];
  swarm.handleGoaway(recent, "duplicate", 0); // the other order there
  assert.deepEqual([old.duplicate, recent.duplicate], [false, true]);
  assert.equal(swarm.route("a"), old);
});

test("the other twin takes over when the one that stays is lost before any GOAWAY", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  const outbound = dial(swarm, "a");
  const inbound = accept(swarm, "a");
  swarm.handleClosed(inbound, LOST, 10);
  assert.equal(outbound.duplicate, false);
  assert.equal(swarm.route("a"), outbound);
  assert.equal(swarm.pollDeadline(), undefined);
});

test("pollRetire() waits until the other side has answered on the link that stays", () => {
  const swarm = swarmM();
  const inbound = accept(swarm, "z");
  swarm.addStatic(at(1), 0);
  const outbound = dial(swarm, "z");
  assert.equal(swarm.pollRetire(), undefined, "it may not have our proof yet");
  assert.equal(swarm.pollProbe(), outbound);
  assert.equal(swarm.pollProbe(), undefined);
  swarm.handleConfirmed(outbound);
  assert.equal(swarm.pollRetire(), inbound);
  assert.equal(swarm.pollRetire(), undefined);
});

test("a peer that has restarted is not turned away for a link that it knows nothing of", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  const dead = dial(swarm, "z");
  swarm.handleConfirmed(dead);
  const fresh = accept(swarm, "z");
  assert.equal(swarm.pollProbe(), dead, "asked again");
  assert.equal(swarm.pollRetire(), undefined);
  swarm.handleClosed(dead, LOST, 30_000);
  assert.deepEqual([fresh.duplicate, fresh.leaving], [false, undefined]);
  assert.equal(swarm.route("z"), fresh);
});

test("pollRetire() does not name a link that has closed", () => {
  const swarm = swarmM();
  const [old] = [accept(swarm, "z"), accept(swarm, "z")];
  swarm.handleClosed(old, LOST, 0);
  assert.deepEqual(retire(swarm), []);
});

test("a closed Swarm retires nobody", () => {
  const swarm = swarmM();
  accept(swarm, "z");
  accept(swarm, "z");
  swarm.close();
  assert.deepEqual(retire(swarm), []);
});

test("the end of a duplicate is no loss: nobody leaves, nobody is dialled", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  swarm.handleFound("a", at(2), 0);
  const [first, second] = [dial(swarm, "a"), swarm.pollDial(0)];
  assert.equal(second, undefined, "discovered, and connected");
  const inbound = accept(swarm, "a");
  assert.equal(first.duplicate, true);
  swarm.handleGoaway(first, "duplicate", 10);
  swarm.handleClosed(first, undefined, 20);
  assert.deepEqual(kinds(swarm), ["joined"]);
  assert.equal(swarm.pollDial(1e9), undefined);
  assert.equal(swarm.pollDeadline(), undefined);
  swarm.handleClosed(inbound, LOST, 30);
  assert.deepEqual(kinds(swarm), ["left"]);
  assert.equal(swarm.pollDeadline(), 80, "the first redial is a quick one still");
});

test("v0.1 links have no twins", () => {
  const swarm = swarmM();
  const links = [swarm.handleAccepted("z", at(50_000), false), swarm.handleAccepted("z", at(50_001), false)];
  swarm.handleFound("z", at(1), 0);
  links.push(dial(swarm, undefined));
  for (const link of links) {
    assert.equal(link.duplicate, false);
    swarm.handleConfirmed(link);
    swarm.handleGoaway(link, "duplicate", 0);
    assert.equal(link.leaving, undefined);
  }
  assert.deepEqual(retire(swarm), []);
});

const SEEDS = 3000;

/** A life of both, then quiet. */
function live(seed: number, faults: boolean): TwinWorld {
  const world = new TwinWorld(seed);
  const { random } = world;
  const ways = random.between(1, 63);
  const begin: (() => void)[] = [];
  for (const [index, node] of world.nodes.entries()) {
    const { addresses, id } = world.other(node);
    const [usual, other] = addresses;
    assert.ok(usual && other);
    const bits = ways >> (3 * index);
    if (bits & 1) begin.push(() => node.swarm.addStatic(usual, world.nowMs));
    if (bits & 2) begin.push(() => node.swarm.addStatic(other, world.nowMs));
    if (bits & 4) begin.push(() => node.swarm.handleFound(id, usual, world.nowMs));
  }
  for (let step = 0; step < 120; step++) {
    const draw = random.next();
    if (draw < 0.1 && begin.length > 0) begin.splice(random.between(0, begin.length - 1), 1)[0]?.();
    else if (draw < 0.15) world.nowMs += random.between(0, 3000);
    else if (draw < 0.2 && faults && world.open.length > 0) random.pick(world.open).cut();
    else if (world.deliver()) continue;
    for (const node of world.nodes) world.pump(node);
  }
  // Beacons go on; a discovered peer may have been given up.
  for (const start of begin) start();
  world.nowMs += 100_000;
  for (const node of world.nodes) {
    const [usual] = world.other(node).addresses;
    assert.ok(usual);
    if ((ways >> (3 * world.nodes.indexOf(node))) & 4) {
      node.swarm.handleFound(world.other(node).id, usual, world.nowMs);
    }
    world.pump(node);
  }
  return world;
}

for (const faults of [false, true]) {
  const what = faults ? "connections break" : "nothing breaks";
  test(`two swarms end with one link that both agree on, and dial no more, where ${what}`, () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const world = live(seed, faults);
      const before = world.nodes.map(({ dials }) => dials);
      for (let step = 0; world.deliver() || world.wait(); step++)
        assert.ok(step < 500, `seed ${seed}: no end`);
      assert.equal(world.open.length, 1, `seed ${seed}: ${world.open.length} connections`);
      const [wire] = world.open;
      for (const [index, node] of world.nodes.entries()) {
        const [link, ...more] = node.swarm.links.values();
        assert.ok(link && more.length === 0, `seed ${seed}`);
        assert.equal(wire?.links.get(node), link, `seed ${seed}: they do not agree`);
        assert.deepEqual([link.duplicate, link.leaving], [false, undefined], `seed ${seed}`);
        const dials = node.dials - (before[index] ?? 0);
        assert.ok(dials <= 8, `seed ${seed}: ${dials} dials after the last fault`);
        for (const { key, isStatic } of node.swarm.targets.values()) {
          if (!isStatic) continue;
          assert.equal(node.swarm.route(key), link, `seed ${seed}: ${key}`);
          assert.equal(node.swarm.findPeer(key)?.id, world.other(node).id, `seed ${seed}`);
        }
        if (!faults) assert.equal(node.timesLeft, 0, `seed ${seed}: left although nothing broke`);
      }
    }
  });
}

test("a peer stays reachable all the time while its twins come and go", () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const world = new TwinWorld(seed);
    const reachable = new Set<string>();
    for (const node of world.nodes) {
      for (const address of world.other(node).addresses) node.swarm.addStatic(address, 0);
      world.pump(node);
    }
    do {
      for (const node of world.nodes) {
        const route = node.swarm.route(world.other(node).id);
        if (route) reachable.add(node.id);
        else assert.ok(!reachable.has(node.id), `seed ${seed}: ${node.id} has lost sight of its peer`);
      }
    } while (world.deliver());
    assert.equal(reachable.size, 2);
  }
});
