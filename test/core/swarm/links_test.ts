/** Which link stands for a peer and carries what is sent to it, where some leave. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import type { Address } from "../../../src/core/runtime.ts";
import { type Link, Swarm } from "../../../src/core/swarm/swarm.ts";

const at = (port: number, host = "10.0.0.1"): Address => ({ host, port });
const swarmM = () => new Swarm({ nodeId: "m", limits: DEFAULT_LIMITS, random: () => 0.5 });
const accept = (swarm: Swarm, nodeId: string, proven = true) =>
  swarm.handleAccepted(nodeId, at(50_000), proven);

function dial(swarm: Swarm, provenId: string | undefined): Link {
  const due = swarm.pollDial(0);
  assert.ok(due, "nothing is due");
  return swarm.handleDialled(due.target, due.address, provenId);
}
const ids = (peers: readonly { readonly id: string }[]) => peers.map(({ id }) => id).sort();

test("route() passes over a link that leaves, whoever said so and why", () => {
  for (const why of ["shutdown", "duplicate", "streamIds"] as const) {
    const swarm = swarmM();
    const link = accept(swarm, "z");
    swarm.handleGoaway(link, why, 0);
    assert.equal(swarm.route("z"), undefined);
    assert.deepEqual(ids(swarm.peers()), ["z"], "it is a peer until its connection ends");
    assert.equal(swarm.findPeer("z")?.id, "z");
    const next = accept(swarm, "z");
    assert.equal(swarm.route("z"), next);
    assert.equal(link.duplicate, true);
  }
});

test("route() does not take a duplicate while the link that stays cannot be used", () => {
  const swarm = swarmM();
  const [, recent] = [accept(swarm, "a"), accept(swarm, "a")];
  assert.equal(
    swarm.route("a", (link) => link !== recent),
    undefined,
  );
});

test("route() prefers a proven link to v0.1 links of the same id", () => {
  const swarm = swarmM();
  swarm.handleFound("z", at(1), 0);
  const legacy = dial(swarm, undefined);
  const proven = accept(swarm, "z");
  accept(swarm, "z", false);
  assert.equal(swarm.route("z"), proven);
  assert.deepEqual(
    swarm.peers().map(({ protocol }) => protocol),
    ["x1"],
  );
  swarm.handleClosed(proven, undefined, 0);
  assert.equal(swarm.route("z"), legacy);
});

test("route() does not follow HOST:PORT of a v0.1 peer to where it has dialled us", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  swarm.handleFound("z", at(1), 0);
  const link = dial(swarm, undefined);
  accept(swarm, "z", false);
  assert.equal(swarm.route("10.0.0.1:1"), link);
  swarm.handleClosed(link, undefined, 0);
  assert.equal(swarm.route("10.0.0.1:1"), undefined);
});

test("handleGoaway() and handleConfirmed() on a link that has closed do nothing", () => {
  const swarm = swarmM();
  const link = accept(swarm, "z");
  swarm.handleClosed(link, undefined, 0);
  swarm.handleGoaway(link, "duplicate", 0);
  swarm.handleConfirmed(link);
  assert.deepEqual([link.leaving, link.duplicate], [undefined, false]);
});

test("a duplicate that is said to shut down too stays a duplicate", () => {
  const swarm = swarmM();
  const link = accept(swarm, "a");
  swarm.handleGoaway(link, "duplicate", 0);
  swarm.handleGoaway(link, "shutdown", 0);
  assert.equal(link.leaving, "duplicate");
});

test("everyone() leaves out a peer that leaves", () => {
  const swarm = swarmM();
  accept(swarm, "y");
  swarm.handleGoaway(accept(swarm, "z"), "shutdown", 0);
  assert.deepEqual(ids(swarm.everyone()), ["y"]);
  assert.deepEqual(ids(swarm.peers()), ["y", "z"]);
});

test("everyone() does not take a nameless v0.1 peer for one at its host that has proven itself", () => {
  const swarm = swarmM();
  swarm.addStatic(at(1), 0);
  dial(swarm, undefined);
  accept(swarm, "z");
  assert.deepEqual(ids(swarm.everyone()), ["10.0.0.1:1", "z"]);
});

test("keepaliveLinks() hold every proven link, also one that leaves and has streams", () => {
  const swarm = swarmM();
  const links = [accept(swarm, "a"), accept(swarm, "a"), accept(swarm, "z")];
  accept(swarm, "v", false);
  const newest = accept(swarm, "v", false);
  swarm.handleGoaway(links[0] as Link, "duplicate", 0);
  assert.deepEqual([...swarm.keepaliveLinks()].sort(), [...links, newest].map(({ id }) => id).sort());
});
