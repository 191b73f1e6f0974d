/** Whom a swarm dials that has proven connections, and when again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionError } from "../../../src/core/errors.ts";
import { DEFAULT_LIMITS, MAX_LINKS_PER_TARGET } from "../../../src/core/limits.ts";
import type { Address } from "../../../src/core/runtime.ts";
import { type Link, Swarm } from "../../../src/core/swarm/swarm.ts";

const LOST = new ConnectionError("ASOC_CONNECTION_LOST", "The connection was lost");
const at = (port: number, host = "10.0.0.1"): Address => ({ host, port });

/** A node called "m": "a" is smaller, "z" is larger. */
const swarmM = (random = 0.5) => new Swarm({ nodeId: "m", limits: DEFAULT_LIMITS, random: () => random });

function dial(swarm: Swarm, provenId: string | undefined, nowMs = 0): Link {
  const due = swarm.pollDial(nowMs);
  assert.ok(due, `nothing is due at ${nowMs}`);
  return swarm.handleDialled(due.target, due.address, provenId);
}
const accept = (swarm: Swarm, nodeId: string) => swarm.handleAccepted(nodeId, at(50_000), true);

test("a discovered peer that has proven itself when it dialled us is not dialled while that lives", () => {
  const swarm = swarmM();
  const inbound = accept(swarm, "z");
  swarm.handleFound("z", at(1), 0);
  assert.equal(swarm.pollDial(1e6), undefined);
  assert.equal(swarm.pollDeadline(), undefined);
  swarm.handleStale("z");
  assert.equal(swarm.targets.size, 1, "it is connected, so it is not forgotten");
  swarm.handleClosed(inbound, LOST, 2e6);
  assert.equal(swarm.pollDeadline(), 2e6 + 50);
});

test("a static peer is not dialled while its node is connected either way, and is known by its address", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  const first = dial(swarm, "a");
  const inbound = accept(swarm, "a");
  swarm.handleClosed(first, LOST, 10);
  assert.equal(swarm.pollDeadline(), undefined);
  assert.equal(swarm.route("10.0.0.1:1"), inbound);
  assert.equal(swarm.peers()[0]?.dialledAs, "10.0.0.1:1");
  swarm.handleClosed(inbound, LOST, 20);
  assert.equal(swarm.pollDeadline(), 70);
  assert.equal(swarm.targets.get("10.0.0.1:1")?.nodeId, undefined, "another node may answer there next time");
});

test("a static peer is dialled although a node is connected of which a beacon says that it is the same", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  accept(swarm, "z");
  swarm.handleFound("z", at(1), 0);
  assert.equal(swarm.route("10.0.0.1:1"), undefined);
  const link = dial(swarm, "z");
  assert.equal(swarm.route("10.0.0.1:1"), link);
  assert.equal(swarm.pollDial(1e9), undefined);
});

test("a beacon does not change who has proven itself at a static address", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  const link = dial(swarm, "a");
  swarm.handleFound("b", at(1), 0);
  accept(swarm, "b");
  assert.equal(swarm.targets.get("10.0.0.1:1")?.nodeId, "a");
  assert.equal(swarm.route("10.0.0.1:1"), link);
});

test("two addresses of one node are dialled once each, and both lead to the link that stays", () => {
  const swarm = swarmM();
  for (const port of [1, 2]) swarm.addStatic(at(port), 0);
  const [first, second] = [dial(swarm, "z"), dial(swarm, "z")];
  swarm.handleConfirmed(second);
  assert.equal(swarm.pollRetire(), first);
  for (const text of ["z", "10.0.0.1:1", "10.0.0.1:2"]) {
    assert.equal(swarm.route(text), second, text);
    assert.equal(swarm.findPeer(text)?.id, "z", text);
  }
  assert.equal(swarm.findPeer("10.0.0.1:3"), undefined);
  assert.equal(swarm.targets.get("10.0.0.1:1")?.state, "waiting");
  assert.equal(swarm.pollDial(1e9), undefined);
  swarm.handleClosed(second, LOST, 2e9);
  assert.equal(swarm.route("z"), undefined, "the other is leaving");
  const again = dial(swarm, "z", 2e9 + 50);
  assert.equal(swarm.route("10.0.0.1:2"), again);
  swarm.handleClosed(first, undefined, 2e9 + 60);
  assert.equal(swarm.pollDeadline(), undefined);
});

test("a static address at which another node answers now is that node's", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  swarm.handleGoaway(dial(swarm, "a"), "streamIds", 0);
  const other = dial(swarm, "z", 50);
  assert.equal(swarm.route("10.0.0.1:1"), other);
  assert.deepEqual(
    swarm.peers().map(({ id, dialledAs }) => [id, dialledAs]),
    [
      ["a", "10.0.0.1:1"],
      ["z", "10.0.0.1:1"],
    ],
    "what it was dialled as does not change while it ends",
  );
  const inbound = accept(swarm, "a");
  assert.equal(inbound.dialledAs, undefined);
});

test("a link that has another address's name loses it when another node answers there", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  const first = dial(swarm, "a");
  const inbound = accept(swarm, "a");
  assert.equal(inbound.dialledAs, "10.0.0.1:1");
  for (const link of [inbound, first]) swarm.handleGoaway(link, "duplicate", 0);
  dial(swarm, "z", 50);
  assert.equal(inbound.dialledAs, undefined);
});

test("a v0.1 peer that dialled us is dialled although it is connected", () => {
  const swarm = swarmM();
  swarm.handleAccepted("z", at(50_000), false);
  swarm.handleFound("z", at(1), 0);
  assert.ok(swarm.pollDial(0));
});

test("a peer that had proven itself is dialled again after 0 to 100 ms, then with the usual delays", () => {
  for (const random of [0, 0.5, 1 - 2 ** -32]) {
    const swarm = swarmM(random);
    swarm.addStatic(at(1), 0);
    swarm.handleClosed(dial(swarm, "z"), LOST, 1000);
    const againMs = swarm.pollDeadline() ?? Number.NaN;
    assert.ok(againMs >= 1000 && againMs <= 1100, `${againMs}`);
    const due = swarm.pollDial(againMs);
    assert.ok(due);
    swarm.handleDialFailed(due.target, LOST, againMs);
    const thenMs = (swarm.pollDeadline() ?? Number.NaN) - againMs;
    assert.ok(thenMs >= 1000 && thenMs <= 5000, `${thenMs}`);
  }
});

test("a peer that ends every connection is not dialled again quickly each time", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  let nowMs = 0;
  const delays: number[] = [];
  for (let i = 0; i < 5; i++) {
    const link = dial(swarm, "z", nowMs);
    if (i % 2 === 1) swarm.handleGoaway(link, "duplicate", nowMs);
    swarm.handleClosed(link, LOST, nowMs);
    delays.push((swarm.pollDeadline() ?? Number.NaN) - nowMs);
    nowMs += delays.at(-1) ?? 0;
  }
  assert.deepEqual(delays, [50, 3000, 3000, 50, 3000]);
});

test("a peer that could not be dialled waits for its turn, although it had proven itself from its side", () => {
  const swarm = swarmM();
  swarm.handleFound("z", at(1), 0);
  const due = swarm.pollDial(0);
  assert.ok(due);
  const inbound = accept(swarm, "z");
  swarm.handleDialFailed(due.target, LOST, 0);
  swarm.handleClosed(inbound, LOST, 10);
  assert.equal(swarm.pollDeadline(), 3000);
});

test("a peer that has said that it ends is not dialled before, and after it with the usual delay", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  const link = dial(swarm, "z");
  swarm.handleGoaway(link, "shutdown", 10);
  assert.equal(swarm.pollDeadline(), undefined);
  swarm.handleClosed(link, undefined, 1000);
  assert.equal(swarm.pollDeadline(), 4000);
});

test("a peer whose stream ids run out is dialled again while the old connection finishes", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  const old = dial(swarm, "z");
  swarm.handleGoaway(old, "streamIds", 100);
  const recent = dial(swarm, "z", 150);
  assert.equal(swarm.route("z"), recent);
  swarm.handleClosed(old, undefined, 200);
  assert.equal(swarm.targets.get("10.0.0.1:1")?.state, "connected");
  assert.equal(swarm.pollDeadline(), undefined);
});

test("a peer that says GOAWAY and stays is not dialled without end", () => {
  for (const why of ["duplicate", "streamIds"] as const) {
    const swarm = swarmM();
    swarm.addStatic(at(1), 0);
    const links: Link[] = [];
    for (let nowMs = 0; nowMs < 3_600_000; nowMs = swarm.pollDeadline() ?? Number.POSITIVE_INFINITY) {
      const link = dial(swarm, `z${links.length}`, nowMs); // another name each time
      swarm.handleGoaway(link, why, nowMs);
      links.push(link);
    }
    assert.equal(links.length, MAX_LINKS_PER_TARGET);
    const [first] = links;
    assert.ok(first);
    swarm.handleClosed(first, undefined, 3_600_000);
    assert.ok(swarm.pollDial(3_700_000));
  }
});
