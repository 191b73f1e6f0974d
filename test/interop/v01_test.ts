/**
 * Interoperation with an independent wire v1 peer, `v01_peer.py` (Python 3.11, standard library only), which behaves as the
 * v0.1 reference does: both directions, each of our runtimes, static peers and discovery.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { MiB, Peer, type PeerOptions } from "../process/peer.ts";
import { type Json, Process, RUNTIMES, type RuntimeName } from "../support/process.ts";
import { COMMUNITY, PythonPeer } from "./v01_python.ts";

const ODD_BYTES = 5 * MiB + 3;

function start(runtime: RuntimeName, options: PeerOptions = {}): Promise<Peer> {
  return Peer.start(runtime, { community: COMMUNITY, ...options });
}

/** Sends an empty tensor, a byte and one of odd length; all of them must arrive with their digests. */
async function sendsTo(
  ours: Peer,
  python: PythonPeer,
  name: string,
  direction: "inbound" | "outbound",
): Promise<void> {
  for (const bytes of [0, 1, ODD_BYTES]) {
    await python.receives(await ours.send(name, { bytes, seed: bytes + 2 }), direction);
  }
  const both = await ours.send(name, { bytes: ODD_BYTES, count: 2, parallel: true });
  await python.receives(both, direction);
}

// The wait of 40 s runs beside all other tests; its own is the last of this file.
const IDLE_MS = 40_000;
const idle = RUNTIMES.map(startIdle);
for (const each of idle) each.catch(() => {}); // the test tells

/** A connection in each direction, both used by nobody. */
async function startIdle(
  runtime: RuntimeName,
): Promise<{ ours: Peer; dialled: PythonPeer; dialler: PythonPeer; untilMs: number }> {
  const dialled = await PythonPeer.start();
  const ours = await start(runtime, { peers: [dialled.address] });
  const dialler = await PythonPeer.start({ peers: ours.address, "redial-s": 1000 });
  after(async () => {
    await Promise.all([ours, dialled, dialler].map((each) => each[Symbol.asyncDispose]()));
  });
  await ours.event("joined", { id: dialled.address });
  await ours.event("joined", { id: dialler.id });
  return { ours, dialled, dialler, untilMs: performance.now() + IDLE_MS };
}

test("the Python peer agrees with every vector", async () => {
  await using python = new Process([
    "python3",
    "test/interop/v01_peer.py",
    "--selftest",
    "--vectors",
    "test/vectors/v1.json",
  ]);
  assert.equal(await python.exitWithin(), 0);
  const result = python.events.find((event) => event.event === "selftest");
  assert.equal(result?.failed, 0);
  assert.ok(Number(result?.passed) > 50);
});

for (const [index, runtime] of RUNTIMES.entries()) {
  for (const bytes of [0, ODD_BYTES]) {
    test(`${runtime}: a v0.1 peer dials us and sends 3 tensors of ${bytes} bytes; we send to it on that connection`, async () => {
      await using ours = await start(runtime);
      const flags = { peers: ours.address, "send-bytes": bytes, "send-count": 3, "send-on": "outbound" };
      await using python = await PythonPeer.start(flags);
      await ours.event("joined", { id: python.id });
      await ours.receives(await python.sent(3), python.id, 0);
      await sendsTo(ours, python, python.id, "outbound");
    });

    test(`${runtime}: we dial a v0.1 peer that sends 3 tensors of ${bytes} bytes; we send to it`, async () => {
      await using python = await PythonPeer.start({
        "send-bytes": bytes,
        "send-count": 3,
        "send-on": "inbound",
      });
      await using ours = await start(runtime, { peers: [python.address] });
      await ours.event("joined", { id: python.address });
      await ours.receives(await python.sent(3), python.address, 0);
      await sendsTo(ours, python, python.address, "inbound");
    });
  }

  test(`${runtime}: a v0.1 peer and we find each other by discovery, and exchange tensors both ways`, async () => {
    const port = 19_360 + index;
    const flags = { "discovery-port": port, "send-bytes": ODD_BYTES, "send-on": "both" };
    await using python = await PythonPeer.start(flags);
    await using ours = await start(runtime, { discovery: true, discoveryPort: port });
    await ours.event("joined", { id: python.id });
    const sent = await python.sent(2); // one on the connection that it dialled, one on ours
    for (const { sha256 } of sent) await ours.event("tensor", { peer: python.id, sha256, bytes: ODD_BYTES });
    const peer = (direction: string) => (event: Json) =>
      event.event === "peer" && event.direction === direction;
    await python.process.waitFor(peer("outbound"));
    await python.process.waitFor(peer("inbound"));
    await sendsTo(ours, python, python.id, "inbound"); // the one that we dialled carries what we send
    assert.deepEqual(ours.all("refused"), []);
  });

  test(`${runtime}: a v0.1 peer that dials again every second, connected or not, does no harm`, async () => {
    await using ours = await start(runtime);
    await using python = await PythonPeer.start({ peers: ours.address, "redial-s": 1, "idle-timeout-s": 3 });
    await ours.event("joined", { id: python.id }); // its first connection might have brought CAPS
    for (let dials = 1; dials <= 6; dials++) {
      await python.process.waitUntil(() => python.all("peer").length >= dials);
      const mark = python.process.events.length;
      await python.receives(await ours.send(python.id, { bytes: MiB + dials }), "outbound", mark);
    }
    await python.process.waitUntil(() => python.all("closed").length >= 2); // the first ones, of which nobody took care
    const mark = python.process.events.length;
    await python.receives(await ours.send(python.id, { bytes: MiB }), "outbound", mark);
    assert.deepEqual([...ours.all("left"), ...ours.all("refused"), ...ours.all("tensorFailed")], []);
    assert.equal(ours.all("joined").length, 1);
  });

  test(`${runtime}: a v0.1 peer with another key is refused in both directions, and refuses us`, async () => {
    await using python = await PythonPeer.start({ "api-key": "another key" });
    await using ours = await start(runtime, { peers: [python.address] });
    const failed = await ours.event("dialFailed");
    assert.equal(failed.code, "ASOC_HANDSHAKE_REFUSED");
    await using dialler = await PythonPeer.start({ "api-key": "another key", peers: ours.address });
    const refused = await ours.event("refused");
    assert.equal(refused.code, "ASOC_WRONG_KEY");
    await dialler.process.waitFor((event) => event.event === "refused");
    assert.deepEqual(ours.all("joined"), []);
  });
}

test("connections to and from a v0.1 peer outlive 40 s in which nobody sends", {
  timeout: 90_000,
}, async () => {
  for (const started of idle) {
    const { ours, dialled, dialler, untilMs } = await started;
    const restMs = Math.max(0, untilMs - performance.now());
    await new Promise((resolve) => setTimeout(resolve, restMs)); // the very time is tested
    assert.deepEqual(ours.all("left"), [], ours.runtime);
    assert.deepEqual([...dialled.all("closed"), ...dialler.all("closed")], [], ours.runtime);
    await dialler.receives(await ours.send(dialler.id, { bytes: ODD_BYTES }), "outbound");
    await dialled.receives(await ours.send(dialled.address, { bytes: ODD_BYTES }), "inbound");
    assert.equal(ours.all("joined").length, 2);
    assert.equal(dialled.all("peer").length + dialler.all("peer").length, 2);
  }
});
