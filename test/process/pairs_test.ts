/** Tensors between real processes: all nine pairs of runtimes, deaths in mid-stream, discovery on loopback. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { MiB, Peer } from "./peer.ts";

const SIZES = [0, 1, MiB - 1, MiB, MiB + 1, 64 * MiB];
/** Back again soon, so that a test need not wait for the usual seconds. */
const SOON = { reconnectMinMs: 200, reconnectMaxMs: 400 };

/** Three nodes that dial and three that are dialled: every pair, a runtime with itself included. */
const dialled = new Map<RuntimeName, Peer>();
const diallers = new Map<RuntimeName, Peer>();

before(async () => {
  for (const runtime of RUNTIMES) dialled.set(runtime, await Peer.start(runtime));
  const peers = [...dialled.values()].map((peer) => peer.address);
  for (const runtime of RUNTIMES) diallers.set(runtime, await Peer.start(runtime, { peers }));
  for (const dialler of diallers.values()) {
    for (const dialledAs of peers) await dialler.event("joined", { dialledAs });
    for (const peer of dialled.values()) await peer.event("joined", { id: dialler.id });
  }
});

after(async () => {
  for (const peer of [...diallers.values(), ...dialled.values()]) await peer[Symbol.asyncDispose]();
});

function pick(peers: ReadonlyMap<RuntimeName, Peer>, runtime: RuntimeName): Peer {
  const peer = peers.get(runtime);
  assert.ok(peer, `no ${runtime} process`);
  return peer;
}

/** Every size from one to the other, then two at once; counted at both ends. */
async function exchange(
  sender: Peer,
  receiver: Peer,
  receiverName: string,
  senderName: string,
): Promise<void> {
  const from = receiver.mark;
  let bytes = 0;
  let count = 0;
  for (const size of SIZES) {
    const sent = await sender.send(receiverName, { bytes: size, seed: size + 1 });
    await receiver.receives(sent, senderName, from);
    bytes += size;
    count += sent.length;
  }
  const both = await sender.send(receiverName, { bytes: 16 * MiB, seed: 7, count: 2, parallel: true });
  await receiver.receives(both, senderName, from);
  assert.equal(new Set(both.map((each) => each.sha256)).size, 2);
  const came = receiver.all("tensor", { peer: senderName }, from);
  assert.equal(came.length, count + 2);
  assert.equal(
    came.reduce((sum, tensor) => sum + Number(tensor.bytes), 0),
    bytes + 32 * MiB,
  );
  assert.deepEqual(
    [...sender.all("sendFailed"), ...receiver.all("streamFailed"), ...receiver.all("tensorFailed")],
    [],
  );
}

for (const from of RUNTIMES) {
  for (const to of RUNTIMES) {
    test(`${from} dials ${to}: tensors of every size arrive whole in both directions`, async () => {
      const dialler = pick(diallers, from);
      const peer = pick(dialled, to);
      await exchange(dialler, peer, peer.address, dialler.id);
      await exchange(peer, dialler, dialler.id, peer.id);
    });
  }
}

test("the counters of every node equal what its tensors add up to", async () => {
  const perPair = SIZES.reduce((sum, size) => sum + size, 32 * MiB);
  for (const peer of [...diallers.values(), ...dialled.values()]) {
    const stats = await peer.stats();
    assert.equal(stats.payloadBytesIn, 3 * perPair, peer.runtime);
    assert.equal(stats.payloadBytesOut, 3 * perPair, peer.runtime);
    assert.equal(stats.connections, 3, peer.runtime);
    assert.equal(stats.memoryUsedBytes, 0, `${peer.runtime}: all memory was given back`);
  }
});

test("close() of a node that is connected to three others ends its process, and they see it leave", async () => {
  for (const runtime of RUNTIMES) {
    const closed = await pick(diallers, runtime).close();
    assert.equal(closed.code, undefined, `${runtime}: ${closed.message}`);
    for (const peer of dialled.values()) await peer.event("left", { id: pick(diallers, runtime).id });
  }
});

const NEXT: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };

for (const runtime of RUNTIMES) {
  test(`kill -9 of a receiver on ${runtime} in mid-stream: the sender's error names the stream, and it reconnects`, async () => {
    await using first = await Peer.start(runtime);
    const name = first.address;
    await using sender = await Peer.start(NEXT[runtime], { peers: [name], limits: SOON });
    await sender.event("joined", { dialledAs: name });
    const id = sender.begin(name, { endless: true });
    const { streamId } = await first.event("progress");
    await first.kill();
    const failed = await sender.event("sendFailed", { id });
    assert.equal(failed.code, "ASOC_CONNECTION_LOST");
    assert.match(String(failed.message), new RegExp(`Stream ${streamId} was not sent whole`));
    assert.equal((failed.details as { streamId?: number }).streamId, streamId);
    await sender.event("left", { dialledAs: name });
    await sender.event("dialFailed");
    const from = sender.mark;
    await using second = await Peer.start(runtime, { port: first.port });
    await sender.event("joined", { dialledAs: name }, 20_000, from);
    await second.receives(await sender.send(name, { bytes: MiB }), sender.id, 0);
  });

  test(`kill -9 of a sender on ${runtime} in mid-stream: the receiver's stream fails as incomplete, never as whole`, async () => {
    await using receiver = await Peer.start(NEXT[runtime], { limits: { resumeMs: 500 } });
    await using sender = await Peer.start(runtime, { peers: [receiver.address] });
    await sender.event("joined");
    sender.begin(receiver.address, { endless: true });
    const { streamId, peer } = await receiver.event("progress");
    assert.equal(peer, sender.id);
    await sender.kill();
    for (const kind of ["streamFailed", "tensorFailed"]) {
      const failed = await receiver.event(kind, { peer, streamId });
      assert.equal(failed.code, "ASOC_INCOMPLETE_STREAM");
      assert.match(String(failed.message), new RegExp(`Stream ${streamId} is incomplete`));
    }
    await receiver.event("left", { id: peer });
    assert.deepEqual(receiver.all("tensor"), []);
    const stats = await receiver.statsUntil((now) => now.memoryUsedBytes === 0);
    assert.equal(stats.connections, 0);
    await using again = await Peer.start(runtime, { peers: [receiver.address] });
    await again.event("joined");
    await receiver.receives(await again.send(receiver.address, { bytes: MiB }), again.id, 0);
  });
}

test("three runtimes find each other on loopback by discovery, and exchange tensors", async () => {
  const options = { discovery: true, discoveryPort: 19_300 };
  await using onNode = await Peer.start("node", options);
  await using onBun = await Peer.start("bun", options);
  await using onDeno = await Peer.start("deno", options);
  const all = [onNode, onBun, onDeno];
  for (const one of all)
    for (const other of all) if (one !== other) await one.event("joined", { id: other.id });
  for (const one of all) {
    const marks = all.map((other) => other.mark);
    const sent = await one.send("all", { bytes: 3 * MiB + 1, seed: one.port });
    assert.equal(sent.length, 2);
    for (const [index, other] of all.entries()) {
      if (other === one) continue;
      const to = sent.filter((each) => (each as unknown as { to: string }).to === other.id);
      await other.receives(to, one.id, marks[index] ?? 0);
    }
  }
});
