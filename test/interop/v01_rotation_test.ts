/**
 * A v0.1 peer, `v01_peer.py`, beside a rotation of keys (RFC-0102): it hears nothing of that and goes on with the key that it
 * has, until the end of that key, on the connection that it had and on new ones in both directions; then it is refused.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { AuditCount } from "../../src/mod.ts";
import { Peer } from "../process/peer.ts";
import { type Json, RUNTIMES, type RuntimeName } from "../support/process.ts";
import { COMMUNITY, PythonPeer } from "./v01_python.ts";

const BYTES = 1024 * 1024 + 3;
const REFUSED = "ASOC_WRONG_KEY";
const GRACE_MS = 3_600_000;
/** The next end of the key, once all has been tried that goes before. */
const END_MS = 100;
/** Streams may finish for so long after it, and it is a minute at most (KEY_DRAIN_MS): no option makes that shorter. */
const DRAINED_MS = 75_000;
const ROTATOR: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };
/** It has one key and dials once. */
const ONCE = { "redial-s": 1000 };

interface Played {
  readonly ours: Peer;
  /** Connected since before the rotation. */
  readonly old: PythonPeer;
}

// The drain runs on all runtimes at once: all that goes before it is in `play`.
const played = RUNTIMES.map(play);
for (const each of played) each.catch(() => {}); // the tests tell

function kept<T extends AsyncDisposable>(one: T): T {
  after(() => one[Symbol.asyncDispose]());
  return one;
}

async function audited(ours: Peer, what: string, reason: string): Promise<number> {
  const counts = (await ours.stats()).audited as readonly AuditCount[];
  return counts.find((each) => each.what === what && each.reason === reason)?.count ?? 0;
}

/** Tensors both ways on a connection that the Python peer has dialled; its own have been sent at its beginning. */
async function bothWays(ours: Peer, python: PythonPeer): Promise<void> {
  await ours.receives(await python.sent(1), python.id, 0);
  const mark = python.process.events.length;
  await python.receives(await ours.send(python.id, { bytes: BYTES }), "outbound", mark);
}

async function play(runtime: RuntimeName): Promise<Played> {
  const ours = kept(await Peer.start(runtime, { community: COMMUNITY }));
  const rotator = kept(await Peer.start(ROTATOR[runtime], { community: COMMUNITY, peers: [ours.address] }));
  const dials = { ...ONCE, peers: ours.address, "send-bytes": BYTES, "send-on": "outbound" };
  const old = kept(await PythonPeer.start(dials));
  await ours.event("joined", { id: old.id });
  await ours.event("joined", { id: rotator.id });
  await rotator.event("joined", { id: ours.id });

  rotator.command({ cmd: "rotate", id: "r", options: { graceMs: GRACE_MS } });
  const { switched, oldKeyId, peers } = await rotator.event("rotated", { id: "r" });
  assert.equal(switched, true);
  assert.deepEqual(
    (peers as readonly Json[]).map(({ result }) => result),
    ["switched"],
  );
  await ours.event("key", { change: "limited", keyId: oldKeyId });

  await bothWays(ours, old);
  await using late = await PythonPeer.start(dials);
  await ours.event("joined", { id: late.id });
  await bothWays(ours, late);
  await using dialled = await PythonPeer.start();
  ours.command({ cmd: "addPeer", address: dialled.address });
  await ours.event("joined", { id: dialled.address }); // the second dial: the first one was with the new key
  await dialled.receives(await ours.send(dialled.address, { bytes: BYTES }), "inbound");
  assert.deepEqual([...ours.all("left"), ...ours.all("refused")], []);
  assert.deepEqual(old.all("closed"), []);

  ours.command({ cmd: "endKey", keyId: String(oldKeyId), inMs: END_MS });
  await ours.event("key", { change: "ended", keyId: oldKeyId });
  const { length: mark } = old.process.events;
  // Nothing is cut off that had begun: the connection that was open carries tensors a while yet.
  await old.receives(await ours.send(old.id, { bytes: BYTES }), "outbound", mark);
  assert.equal(await audited(ours, "handshake.refused", REFUSED), 0);
  await using stranger = await PythonPeer.start(dials);
  await stranger.process.waitFor((event) => event.event === "refused");
  assert.equal((await ours.event("refused")).code, REFUSED);
  assert.equal(await audited(ours, "handshake.refused", REFUSED), 1);
  assert.deepEqual(ours.all("joined", { id: stranger.id }), []);
  return { ours, old };
}

for (const [index, runtime] of RUNTIMES.entries()) {
  test(`${runtime}: a v0.1 peer goes on with the old key through a rotation, and is refused after the end of that key`, {
    timeout: 60_000,
  }, async () => {
    await played[index];
  });
}

for (const [index, runtime] of RUNTIMES.entries()) {
  test(`${runtime}: the connection that a v0.1 peer had ends after the end of its key, between two tensors`, {
    timeout: 2 * DRAINED_MS,
  }, async () => {
    const { ours, old } = await (played[index] as Promise<Played>);
    await ours.event("left", { id: old.id }, DRAINED_MS);
    const closed = await old.process.waitFor((event) => event.event === "closed");
    assert.equal(closed.why, "eof");
    assert.deepEqual([...old.all("refused"), ...ours.all("tensorFailed")], []);
    const events = ours.all("key").map(({ change }) => change);
    assert.deepEqual(events, ["offered", "current", "limited", "limited", "ended"]);
  });
}
