import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionError } from "../../../src/core/errors.ts";
import { DEFAULT_LIMITS, type Limits, type Timing } from "../../../src/core/limits.ts";
import type { Address } from "../../../src/core/runtime.ts";
import { type Link, Swarm, type SwarmEvent } from "../../../src/core/swarm/swarm.ts";

const REFUSED = new ConnectionError("ASOC_CONNECTION_REFUSED", "refused");
const LOST = new ConnectionError("ASOC_CONNECTION_LOST", "The connection was lost");
/** What a v0.1 peer proves of its id when it is dialled. */
const ANONYMOUS = undefined;
const at = (port: number, host = "10.0.0.1"): Address => ({ host, port });

function swarmWith(limits: Partial<Limits & Timing> = {}): Swarm {
  return new Swarm({ nodeId: "m", limits: { ...DEFAULT_LIMITS, ...limits }, random: () => 0 });
}

function drain(swarm: Swarm): SwarmEvent[] {
  const events: SwarmEvent[] = [];
  for (let event = swarm.pollEvent(); event; event = swarm.pollEvent()) events.push(event);
  return events;
}
const told = (swarm: Swarm) =>
  drain(swarm).map((event) => (event.kind === "dialFailed" ? event.kind : `${event.kind} ${event.peer.id}`));

/** Dials what is due and lets it succeed. */
function dial(swarm: Swarm, provenId: string | undefined, nowMs = 0): Link {
  const due = swarm.pollDial(nowMs);
  assert.ok(due, "nothing is due");
  return swarm.handleDialled(due.target, due.address, provenId);
}

/** Dials what is due and lets it fail; returns the address. */
function failDial(swarm: Swarm, nowMs: number): Address {
  const due = swarm.pollDial(nowMs);
  assert.ok(due, `nothing is due at ${nowMs}`);
  swarm.handleDialFailed(due.target, REFUSED, nowMs);
  return due.address;
}

test("a static peer is dialled at once, and at no second time while that is under way or open", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 100);
  swarm.addStatic(at(1), 100);
  assert.equal(swarm.pollDeadline(), 100);
  assert.equal(swarm.pollDial(99), undefined);
  const due = swarm.pollDial(100);
  assert.deepEqual(due?.address, at(1));
  assert.equal(swarm.pollDial(1e9), undefined);
  assert.ok(due);
  swarm.handleDialled(due.target, due.address, ANONYMOUS);
  assert.equal(swarm.pollDial(1e9), undefined);
  assert.equal(swarm.pollDeadline(), undefined);
});

test("a static peer is dialled for ever, with growing delays that have an end", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 0);
  let nowMs = 0;
  const delays: number[] = [];
  for (let i = 0; i < 50; i++) {
    failDial(swarm, nowMs);
    const next = swarm.pollDeadline();
    assert.ok(next !== undefined, "given up");
    delays.push(next - nowMs);
    nowMs = next;
  }
  assert.equal(delays[0], 1000);
  assert.ok(Math.max(...delays) <= 60_000);
  assert.ok((delays.at(-1) ?? 0) >= 45_000);
  const failures = drain(swarm).map((event) => event.kind === "dialFailed" && event.failures);
  assert.deepEqual(failures.slice(0, 3), [1, 2, 3]);
});

test("a static peer that is lost is dialled again after 1 to 5 s, and its failures count from 0", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 0);
  for (const nowMs of [0, 1000]) failDial(swarm, nowMs);
  const link = dial(swarm, ANONYMOUS, 1e5);
  swarm.handleClosed(link, LOST, 2e5);
  assert.equal(swarm.pollDeadline(), 2e5 + 1000);
});

test("a discovered peer is dropped after three failures, and its beacons are passed over for a while", () => {
  const swarm = swarmWith();
  swarm.handleFound("a", at(1), 0);
  let nowMs = 0;
  for (let i = 0; i < 3; i++) {
    failDial(swarm, nowMs);
    nowMs = swarm.pollDeadline() ?? nowMs;
  }
  assert.equal(swarm.pollDeadline(), undefined);
  assert.equal(swarm.targets.size, 0);
  const retries = drain(swarm).map((event) => event.kind === "dialFailed" && event.retryMs === undefined);
  assert.deepEqual(retries, [false, false, true]);
  swarm.handleFound("a", at(1), nowMs + 59_999);
  assert.equal(swarm.pollDial(nowMs + 59_999), undefined);
  swarm.handleFound("a", at(1), nowMs + 60_000);
  assert.deepEqual(swarm.pollDial(nowMs + 60_000)?.address, at(1));
});

test("a discovered peer is tried at each of its addresses, and the first that works is kept", () => {
  const swarm = swarmWith();
  for (const port of [1, 2, 3, 2]) swarm.handleFound("a", at(port), 0);
  assert.deepEqual(
    [failDial(swarm, 0), failDial(swarm, 0)].map(({ port }) => port),
    [1, 2],
  );
  const link = dial(swarm, "a");
  assert.equal(link.remote.port, 3);
  swarm.handleFound("a", at(4), 100);
  swarm.handleClosed(link, LOST, 1000);
  assert.equal(swarm.pollDial(1e6)?.address.port, 3);
});

test("a discovered peer with many addresses is not dropped before each was tried three times", () => {
  const swarm = swarmWith();
  for (const port of [1, 2, 3, 4, 5]) swarm.handleFound("a", at(port), 0);
  const tried: number[] = [];
  for (
    let nowMs = 0;
    swarm.pollDeadline() !== undefined;
    nowMs = Math.max(nowMs, swarm.pollDeadline() ?? nowMs)
  )
    tried.push(failDial(swarm, nowMs).port);
  assert.deepEqual(tried, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
});

test("a discovered peer remembers no more addresses than its limit", () => {
  const swarm = swarmWith({ maxAddressesPerPeer: 2 });
  for (const port of [1, 2, 3]) swarm.handleFound("a", at(port), 0);
  assert.equal(swarm.targets.get("a")?.addresses.length, 2);
});

test("a stale peer that waits to be dialled is forgotten; one that is connected stays", () => {
  const swarm = swarmWith();
  swarm.handleFound("a", at(1), 0);
  swarm.handleFound("b", at(2), 0);
  const link = dial(swarm, "a");
  swarm.handleStale("a");
  swarm.handleStale("b");
  assert.equal(swarm.pollDial(1e9), undefined);
  assert.deepEqual(
    swarm.peers().map(({ id }) => id),
    [link.nodeId],
  );
});

test("an address that turned out to be this node itself is never dialled again", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 0);
  const due = swarm.pollDial(0);
  assert.ok(due);
  swarm.handleSelf(due.target);
  swarm.handleDialFailed(due.target, REFUSED, 0); // its connection closes too
  swarm.addStatic(at(1), 10);
  assert.equal(swarm.pollDeadline(), undefined);
  assert.equal(swarm.pollDial(1e12), undefined);
  assert.deepEqual(drain(swarm), []);
});

test("a peer that has dialled us is dialled too, because v0.1 peers list only those that dial them", () => {
  const swarm = swarmWith();
  swarm.handleAccepted("a", at(50_000), false);
  swarm.handleFound("a", at(1), 0);
  assert.deepEqual(swarm.pollDial(0)?.address, at(1));
});

test("one peer known by two ways is dialled once", () => {
  const swarm = swarmWith();
  swarm.handleFound("a", at(1), 0);
  swarm.addStatic(at(9), 0);
  const first = swarm.pollDial(0);
  assert.ok(first);
  const second = swarm.pollDial(0);
  assert.ok(second, "nothing tells yet that both are one");
  swarm.handleDialled(first.target, first.address, "a");
  const link = swarm.handleDialled(second.target, second.address, "a");
  assert.equal(link.nodeId, "a");
  swarm.handleClosed(link, LOST, 10);
  assert.deepEqual(
    swarm.peers().map(({ id }) => id),
    ["a"],
  );
});

test("a static peer whose address a beacon names is no second target", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 0);
  swarm.handleFound("a", at(1), 0);
  assert.equal(swarm.targets.size, 1);
  assert.equal(dial(swarm, ANONYMOUS).nodeId, "a");
});

test("a dialled peer is called HOST:PORT until a beacon from there names it", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 0);
  dial(swarm, ANONYMOUS);
  assert.deepEqual(
    swarm.peers().map(({ id, nodeId, dialledAs }) => [id, nodeId, dialledAs]),
    [["10.0.0.1:1", undefined, "10.0.0.1:1"]],
  );
  swarm.handleFound("a", at(1), 0);
  assert.deepEqual(
    swarm.peers().map(({ id, dialledAs }) => [id, dialledAs]),
    [["a", "10.0.0.1:1"]],
  );
  assert.deepEqual(told(swarm), ["joined 10.0.0.1:1", "named a"]);
});

test("a dialled peer that proves itself has its name at once, and a beacon cannot give it another", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 0);
  assert.equal(dial(swarm, "a").nodeId, "a");
  swarm.handleFound("b", at(1), 0);
  assert.deepEqual(told(swarm), ["joined a"]);
});

test("a v0.1 peer at the address of one that has proven itself does not get its name", () => {
  const swarm = swarmWith();
  swarm.handleAccepted("a", at(50_000), true);
  swarm.addStatic(at(1), 0);
  const link = dial(swarm, ANONYMOUS);
  swarm.handleFound("a", at(1), 0);
  assert.equal(link.nodeId, undefined);
});

test("peers() tells who has proven itself", () => {
  const swarm = swarmWith();
  swarm.handleAccepted("a", at(50_000), true);
  swarm.handleAccepted("b", at(50_001), false);
  assert.deepEqual(
    swarm.peers().map(({ id, protocol }) => [id, protocol]),
    [
      ["a", "x1"],
      ["b", "v1"],
    ],
  );
});

test("route() takes the connection that we dialled, else the newest inbound one", () => {
  const swarm = swarmWith();
  const [old, recent] = [
    swarm.handleAccepted("a", at(50_000), false),
    swarm.handleAccepted("a", at(50_001), false),
  ];
  assert.equal(swarm.route("a"), recent);
  swarm.handleFound("a", at(1), 0);
  const dialled = dial(swarm, "a");
  const newest = swarm.handleAccepted("a", at(50_002), false);
  assert.equal(swarm.route("a"), dialled);
  swarm.handleClosed(dialled, LOST, 0);
  assert.equal(swarm.route("a"), newest);
  swarm.handleClosed(newest, LOST, 0);
  swarm.handleClosed(recent, LOST, 0);
  assert.equal(swarm.route("a"), old);
  swarm.handleClosed(old, LOST, 0);
  assert.equal(swarm.route("a"), undefined);
});

test("route() finds a static peer by HOST:PORT also after it has told its id", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 0);
  const link = dial(swarm, "a");
  swarm.handleAccepted("a", at(50_000), false);
  assert.equal(swarm.route("10.0.0.1:1"), link);
  assert.equal(swarm.route("a"), link);
  assert.equal(swarm.route("10.0.0.1:2"), undefined);
});

test("keepaliveLinks() are, of each peer, the one that we dialled and the newest inbound one", () => {
  const swarm = swarmWith();
  swarm.handleAccepted("a", at(50_000), false);
  const newest = swarm.handleAccepted("a", at(50_001), false);
  const other = swarm.handleAccepted("b", at(50_002), false);
  swarm.handleFound("a", at(1), 0);
  const dialled = dial(swarm, "a");
  assert.deepEqual([...swarm.keepaliveLinks()].sort(), [newest.id, other.id, dialled.id].sort());
});

test("a peer joins with its first connection and leaves with its last, and never in between", () => {
  const swarm = swarmWith();
  const links = [0, 1, 2].map((i) => swarm.handleAccepted("a", at(50_000 + i), false));
  swarm.handleFound("a", at(1), 0);
  links.push(dial(swarm, "a"));
  assert.deepEqual(told(swarm), ["joined a"]);
  for (const link of links.slice(1)) swarm.handleClosed(link, LOST, 0);
  assert.deepEqual(told(swarm), []);
  const last = links[0];
  assert.ok(last);
  swarm.handleClosed(last, LOST, 0);
  swarm.handleClosed(last, LOST, 0);
  const events = drain(swarm);
  assert.equal(events.length, 1);
  assert.ok(events[0]?.kind === "left");
  assert.deepEqual([events[0].reason, events[0].error], ["The connection was lost", LOST]);
});

test("a peer that closed by itself left without an error", () => {
  const swarm = swarmWith();
  swarm.handleClosed(swarm.handleAccepted("a", at(50_000), false), undefined, 0);
  const [, left] = drain(swarm);
  assert.ok(left?.kind === "left");
  assert.deepEqual([left.reason, left.error], ["it closed the connection", undefined]);
});

test("everyone() passes over a nameless dialled peer when a named one has dialled us from the same host", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 0);
  swarm.addStatic(at(1, "10.0.0.2"), 0);
  dial(swarm, ANONYMOUS);
  dial(swarm, ANONYMOUS);
  swarm.handleAccepted("a", at(50_000), false);
  assert.deepEqual(
    swarm
      .everyone()
      .map(({ id }) => id)
      .sort(),
    ["10.0.0.2:1", "a"],
  );
  assert.equal(swarm.peers().length, 3);
});

test("everyone() does not pass over a nameless peer for a named one that we dialled at the same host", () => {
  const swarm = swarmWith();
  swarm.handleFound("a", at(2), 0);
  dial(swarm, "a");
  swarm.handleAccepted("a", at(50_000), false);
  swarm.addStatic(at(1), 0);
  dial(swarm, ANONYMOUS);
  assert.deepEqual(
    swarm
      .everyone()
      .map(({ id }) => id)
      .sort(),
    ["10.0.0.1:1", "a"],
  );
});

test("a closed Swarm dials nobody", () => {
  const swarm = swarmWith();
  swarm.addStatic(at(1), 0);
  swarm.close();
  assert.equal(swarm.pollDial(1e9), undefined);
  assert.equal(swarm.pollDeadline(), undefined);
});
