import assert from "node:assert/strict";
import { test } from "node:test";
import { AsocError } from "../../src/core/errors.ts";
import { type PeerEvent, Peers } from "../../src/core/peers.ts";
import type { Peer } from "../../src/core/swarm/swarm.ts";
import { TestClock } from "../support/core_clock.ts";

const peer = (id: string): Peer => ({
  id,
  nodeId: id,
  address: { host: "10.0.0.1", port: 1 },
  dialledAs: undefined,
  protocol: "v1",
  takesTensors: true,
  roundTripMs: undefined,
  clockSkewMs: undefined,
});
const joined = (id: string): PeerEvent => ({ kind: "joined", peer: peer(id) });
const hasCode = (code: string) => (error: unknown) => error instanceof AsocError && error.code === code;

function setUp(maxEvents = 10) {
  const list: Peer[] = [];
  const clock = new TestClock();
  const peers = new Peers(
    () => [...list],
    clock,
    maxEvents,
    () => "3 beacons with another key",
  );
  const join = (id: string) => {
    list.push(peer(id));
    peers.announce(joined(id));
  };
  return { list, clock, peers, join };
}

test("Peers lists who is connected now", () => {
  const { peers, join } = setUp();
  assert.equal(peers.size, 0);
  join("a");
  join("b");
  assert.deepEqual(
    [...peers].map(({ id }) => id),
    ["a", "b"],
  );
  assert.deepEqual(
    peers.list().map(({ id }) => id),
    ["a", "b"],
  );
});

test("Peers.wait() resolves at once when there are enough, and else as soon as there are", async () => {
  const { peers, join, clock } = setUp();
  const two = peers.wait(2, { timeoutMs: 1000 });
  join("a");
  assert.equal((await peers.wait()).length, 1);
  join("b");
  assert.deepEqual(
    (await two).map(({ id }) => id),
    ["a", "b"],
  );
  assert.equal(clock.timers, 0, "its timer is left behind");
});

test("Peers.wait() rejects after its time and says what is known about why", async () => {
  const { peers, join, clock } = setUp();
  const waiting = peers.wait(2, { timeoutMs: 1500 });
  join("a");
  clock.advance(1500);
  await assert.rejects(waiting, {
    code: "ASOC_NO_PEERS",
    message: "Found 1 of 2 peers within 1.5 s: 3 beacons with another key",
  });
});

test("Peers.wait() rejects with the signal's reason, before and while it waits", async () => {
  const { peers, clock } = setUp();
  const reason = new Error("enough");
  await assert.rejects(peers.wait(1, { signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const waiting = peers.wait(1, { signal: controller.signal, timeoutMs: 1000 });
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  assert.equal(clock.timers, 0);
});

test("Peers.wait() rejects when the node closes", async () => {
  const { peers } = setUp();
  const waiting = peers.wait(1);
  peers.close();
  await assert.rejects(waiting, hasCode("ASOC_CLOSED"));
  await assert.rejects(peers.wait(1), hasCode("ASOC_CLOSED"));
});

test("Peers.waitFor() resolves with what is picked, or with undefined after its time", async () => {
  const { peers, join, clock } = setUp();
  const picked = peers.waitFor((all) => all.find(({ id }) => id === "b"));
  const never = peers.waitFor(() => undefined, { timeoutMs: 10 });
  join("a");
  join("b");
  clock.advance(10);
  assert.equal((await picked)?.id, "b");
  assert.equal(await never, undefined);
});

test("Peers.events() gives every reader all that happens from then on, and ends at close()", async () => {
  const { peers, join } = setUp();
  join("before");
  const readers = [peers.events(), peers.events()];
  join("a");
  peers.announce({ kind: "left", peer: peer("a"), reason: "it closed", error: undefined });
  peers.close();
  for (const reader of readers) {
    const kinds: string[] = [];
    for await (const event of reader) kinds.push(`${event.kind} ${event.peer.id}`);
    assert.deepEqual(kinds, ["joined a", "left a"]);
  }
  for await (const _ of peers.events()) assert.fail("an event after the end");
});

test("Peers.events() drops the oldest for a reader that is too slow", async () => {
  const { peers, join } = setUp(2);
  const reader = peers.events();
  for (const id of ["a", "b", "c"]) join(id);
  peers.close();
  const ids: string[] = [];
  for await (const event of reader) ids.push(event.peer.id);
  assert.deepEqual(ids, ["b", "c"]);
});
