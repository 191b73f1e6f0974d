/** AGENT (RFC-0004, section 10.1): what a peer calls itself, as a node on each runtime shows it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Json, RUNTIMES } from "../support/process.ts";
import { OP, record, u64, X1Peer } from "../support/raw_x1.ts";
import { KEY, Peer } from "./peer.ts";

const COMMUNITY = "process tests";

/** The only peer, as the node lists it. */
async function listed(node: Peer): Promise<Json | undefined> {
  const from = node.mark;
  node.command({ cmd: "peers" });
  const { peers } = await node.event("peers", {}, 20_000, from);
  return (peers as Json[])[0];
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: what a peer calls itself is shown as soon as it has said so, be it after its PONG`, async () => {
    await using node = await Peer.start(runtime, { community: COMMUNITY });
    using peer = await X1Peer.join(node.port, { key: KEY, community: COMMUNITY });
    const { body } = await peer.record(OP.PING);
    peer.say(0, record(OP.PONG, Buffer.concat([body.subarray(0, 8), u64(0)])));
    await peer.roundTrip();
    const before = await listed(node);
    assert.equal(typeof before?.roundTripMs, "number");
    assert.equal(before?.runtime, undefined);
    peer.say(0, record(OP.AGENT, Buffer.from("somebody 1.0")));
    await peer.roundTrip();
    assert.equal((await listed(node))?.runtime, "somebody 1.0");
  });
}
