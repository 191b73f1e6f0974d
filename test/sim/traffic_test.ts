/** Whole nodes on virtual time: transfers that end early, stand still, or are drained. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { IncomingStream } from "../../src/core/incoming.ts";
import { KiB, MiB } from "../../src/core/limits.ts";
import { FrameType } from "../../src/core/wire/header.ts";
import type { NetworkOptions } from "./network.ts";
import { acceptRaw, dialWithHello, frame, type RawPeer } from "./raw_peer.ts";
import { eventsOf, PORT, type StartOptions, World } from "./world.ts";

/** A tensor takes seconds on this one. */
const SLOW: Partial<NetworkOptions> = { bytesPerMs: 1000, windowBytes: 256 * KiB };

/** Two nodes that know each other, static both ways. */
/** Nodes that speak only version 1. */
const V1 = { extension: false } as const;

async function pair(seed: number, network: Partial<NetworkOptions> = {}, options: StartOptions = {}) {
  const world = new World(seed, network);
  const [one, other] = [world.host(), world.host()];
  const a = await world.start({ ...options, on: one, peers: [world.addressOf(other)], discovery: false });
  const b = await world.start({ ...options, on: other, peers: [world.addressOf(one)], discovery: false });
  await world.time.until(() => a.node.peers.size + b.node.peers.size === 2, 20_000);
  await world.time.run(1000);
  return { world, a, b };
}

test("close() drains a big transfer in both directions", async () => {
  const { world, a, b } = await pair(1, SLOW);
  const there = world.random.bytes(3 * MiB);
  const back = world.random.bytes(2 * MiB);
  const received = [world.nextStream(b), world.nextStream(a)].map(async (stream) => (await stream).tensor());
  const sends = Promise.all([a.node.send(b.node.id, there), b.node.send(a.node.id, back)]);
  await world.time.run(300);
  const closes = Promise.all([a.node.close(), b.node.close()]);
  await world.time.settle(Promise.all([sends, closes]));
  const [atB, atA] = await world.time.settle(Promise.all(received));
  assert.deepEqual(atB?.bytes, there);
  assert.deepEqual(atA?.bytes, back);
  atB?.release();
  atA?.release();
  await assert.rejects(world.time.settle(a.node.send(b.node.id, there)), { code: "ASOC_CLOSED" });
  assert.equal(world.network.uncleanEnds.length, 0, "a connection did not end with a FIN in each direction");
  await world.finish();
});

test("close() with a deadline ends what is not done by then, and says so", async () => {
  const { world, a, b } = await pair(2, SLOW);
  const stream = world.nextStream(b);
  const sent = a.node.send(b.node.id, new Uint8Array(64 * MiB));
  const outcome = assert.rejects(sent, { code: "ASOC_CLOSED" });
  await world.time.run(300);
  const startMs = world.time.nowMs();
  await assert.rejects(world.time.settle(a.node.close({ timeoutMs: 1000 })));
  assert.ok(world.time.nowMs() - startMs < 1100);
  await world.time.settle(outcome);
  await assert.rejects(world.time.settle(stream.then((one) => one.tensor())), {
    code: "ASOC_INCOMPLETE_STREAM",
  });
  await world.finish();
});

test("keepalives hold a connection to a peer that closes after 30 s of silence", async () => {
  const world = new World(3);
  const host = world.host();
  const peers: RawPeer[] = [];
  await acceptRaw(host, PORT, (peer) => {
    peers.push(peer);
    const check = () => {
      if (world.time.nowMs() - peer.lastMs() >= 30_000) peer.conn.abort();
      else world.time.after(1000, check);
    };
    check();
  });
  const a = await world.start({ peers: [world.addressOf(host)], discovery: false });
  await world.time.run(600_000);
  assert.equal(peers.length, 1, "it was dialled again");
  assert.deepEqual(
    a.node.peers.list().map(({ id }) => id),
    [world.addressOf(host)],
  );
  assert.ok((peers[0]?.sink.receivedBytes ?? 0) >= 50 + 14 * 45, "too few keepalives came");
});

test("v1: a send without progress for 10 s ends the connection", async () => {
  const { world, a, b } = await pair(4, {}, V1);
  const sent = a.node.send(b.node.id, new Uint8Array(8 * MiB));
  const outcome = assert.rejects(sent, {
    code: "ASOC_CONNECTION_LOST",
    message: /no progress in sending for 10000 ms/,
  });
  const stream = world.nextStream(b).then((one) => one.tensor());
  const failed = assert.rejects(stream, { code: "ASOC_INCOMPLETE_STREAM" });
  await world.time.run(3);
  world.network.partition([a.host], [b.host]);
  const startMs = world.time.nowMs();
  await world.time.settle(outcome);
  assert.ok(world.time.nowMs() - startMs <= 10_100);
  world.network.heal();
  await world.time.settle(failed);
  await world.time.until(() => a.node.peers.size === 1, 10_000);
  await world.finish();
});

test("silence of 30 s on an open stream ends the connection", async () => {
  const world = new World(5);
  const a = await world.start({ discovery: false });
  const peer = await dialWithHello(
    world.host(),
    { host: a.host.address, port: PORT },
    world.random.bytes(16),
    1,
  );
  await world.meet(1, a);
  await world.time.settle(peer.conn.write([frame(FrameType.DATA, 1, 0, new Uint8Array(10))]));
  const stream = await world.time.settle(world.nextStream(a));
  const startMs = world.time.nowMs();
  await assert.rejects(world.time.settle(stream.tensor()), {
    code: "ASOC_INCOMPLETE_STREAM",
    message: /nothing came for 30000 ms/,
  });
  assert.ok(world.time.nowMs() - startMs <= 30_000);
  await world.time.run(10);
  assert.equal(peer.sink.failures + peer.sink.ends, 1);
  peer.conn.abort(); // a FIN is no end for it
  await world.finish();
});

test("v1: a consumer that never releases gets ASOC_CONSUMER_TOO_SLOW with the limit's name, and another peer goes on", async () => {
  const { world, a, b } = await pair(6, {}, { ...V1, limits: { memoryBudgetBytes: 8 * MiB } });
  const c = await world.start({ ...V1, peers: [world.addressOf(b.host)], discovery: false });
  await world.meet(1, c);
  const held: Disposable[] = [];
  const errors: unknown[] = [];
  const take = async (stream: IncomingStream) => {
    try {
      held.push(await stream.tensor());
    } catch (error) {
      errors.push(error);
    }
  };
  const consume = (async () => {
    for await (const stream of b.node.incoming) void take(stream);
  })();
  // In turn: of several at once none might find the memory to come whole, which is another error.
  const sends = (async () => {
    for (let i = 0; i < 6; i++) await a.node.send(b.node.id, new Uint8Array(2 * MiB)).catch(() => {});
  })();
  await world.time.run(2000);
  const heldBefore = held.length;
  assert.ok(heldBefore >= 1 && heldBefore < 6, `${heldBefore} tensors fit`);
  for (let i = 0; i < 5; i++)
    await world.time.settle(c.node.send(world.addressOf(b.host), new Uint8Array(1000 + i)));
  await world.time.run(45_000);
  await world.time.settle(sends);
  assert.ok(errors.length >= 1, "no stream failed");
  for (const error of errors) {
    assert.equal((error as { code?: string }).code, "ASOC_CONSUMER_TOO_SLOW");
    assert.match(String(error), /memoryBudgetBytes/);
  }
  assert.equal(held.length, heldBefore + 5, "the other peer's tensors did not come");
  assert.equal(b.node.findPeer(c.node.id)?.id, c.node.id);
  for (const tensor of held) tensor[Symbol.dispose]();
  await world.time.settle(Promise.all([b.node.close(), consume]));
  await world.finish();
});

test("a consumer that never releases holds up its own sender alone, for as long as it likes", async () => {
  const { world, a, b } = await pair(6, {}, { limits: { memoryBudgetBytes: 8 * MiB } });
  const c = await world.start({ peers: [world.addressOf(b.host)], discovery: false });
  await world.meet(1, c);
  const held: Disposable[] = [];
  const consume = (async () => {
    for await (const stream of b.node.incoming) void stream.tensor().then((tensor) => held.push(tensor));
  })();
  const sends = Promise.all(Array.from({ length: 6 }, () => a.node.send(b.node.id, new Uint8Array(2 * MiB))));
  await world.time.run(2000);
  const heldBefore = held.length;
  assert.ok(heldBefore >= 1 && heldBefore < 6, `${heldBefore} tensors fit`);
  for (let i = 0; i < 5; i++) await world.time.settle(c.node.send(b.node.id, new Uint8Array(1000 + i)));
  await world.time.run(300_000);
  const [told, ...more] = eventsOf(b, "starved");
  assert.deepEqual([told?.peer.id, told?.error.code, more], [a.node.id, "ASOC_MEMORY_BUDGET", []]);
  assert.match(String(told?.error), /of 8388608 bytes \(memoryBudgetBytes/);
  assert.equal(held.length, heldBefore + 5, "the other peer's tensors did not come");
  assert.ok(b.node.stats.memoryUsedBytes <= 8 * MiB);
  assert.deepEqual([eventsOf(b, "left"), eventsOf(b, "streamFailed")], [[], []]);
  for (let released = 0; released < 11; released++) {
    await world.time.until(() => held.length > released, 10_000);
    held[released]?.[Symbol.dispose]();
  }
  for (const { delivery } of await world.time.settle(sends)) assert.equal(delivery, "verified");
  await world.time.settle(Promise.all([b.node.close(), consume]));
  await world.finish();
});

test("a reader of chunks that stops reading loses nothing, and another stream of its connection goes on", async () => {
  const { world, a, b } = await pair(7, {}, { limits: { maxChunkAheadBytes: 2 * MiB } });
  const bytes = world.random.bytes(16 * MiB);
  const sent = a.node.send(b.node.id, [bytes]); // of a length that nobody knows, or memory would be reserved for all of it
  const stream = await world.time.settle(world.nextStream(b));
  const chunks = stream.chunks();
  const parts = [(await world.time.settle(chunks.next())).value?.slice() ?? new Uint8Array(0)];
  const small = world.random.bytes(1000);
  assert.deepEqual(await world.exchange(a, b, small), small);
  await world.time.run(300_000);
  assert.ok(stream.receivedBytes <= 4 * MiB, `${stream.receivedBytes} bytes came ahead of the reader`);
  const rest = (async () => {
    for await (const part of chunks) parts.push(part.slice());
  })();
  await world.time.settle(Promise.all([rest, sent]));
  assert.equal(Buffer.compare(Buffer.concat(parts), bytes), 0);
  await world.finish();
});

test("v1: a reader of chunks that stops reading gets ASOC_CONSUMER_TOO_SLOW with the limit's name", async () => {
  const { world, a, b } = await pair(7, {}, { ...V1, limits: { maxChunkAheadBytes: 2 * MiB } });
  const sent = a.node.send(b.node.id, new Uint8Array(16 * MiB)).catch((error: unknown) => error);
  const stream = await world.time.settle(world.nextStream(b));
  const chunks = stream.chunks();
  await world.time.settle(chunks.next());
  await world.time.run(60_000);
  const rest = (async () => {
    for await (const part of chunks) assert.ok(part.length > 0);
  })();
  await assert.rejects(world.time.settle(rest), {
    code: "ASOC_CONSUMER_TOO_SLOW",
    message: /maxChunkAheadBytes/,
  });
  assert.equal(((await world.time.settle(sent)) as { code?: string }).code, "ASOC_CONNECTION_LOST");
  await world.finish();
});

test("an aborted send is an error at the receiver; the connection to a peer known by token lives", async () => {
  const { world, a, b } = await pair(8, SLOW);
  const controller = new AbortController();
  const reason = new Error("changed my mind");
  const sent = a.node.send(b.node.id, new Uint8Array(32 * MiB), { signal: controller.signal });
  const outcome = assert.rejects(sent, reason);
  const stream = await world.time.settle(world.nextStream(b));
  const received = assert.rejects(stream.tensor(), { code: "ASOC_RESET" });
  await world.time.run(500);
  controller.abort(reason);
  await world.time.settle(Promise.all([outcome, received]));
  assert.equal(world.network.uncleanEnds.length, 0);
  const bytes = world.random.bytes(1000);
  assert.deepEqual(await world.exchange(a, b, bytes), bytes);
  assert.equal(eventsOf(b, "left").length, 0);
  await world.finish();
});

test("an aborted send to a peer without our token ends the connection, and never leaves a short tensor", async () => {
  const world = new World(9, SLOW);
  const host = world.host();
  const peers: RawPeer[] = [];
  await acceptRaw(host, PORT, (peer) => peers.push(peer));
  const a = await world.start({ peers: [world.addressOf(host)], discovery: false });
  await world.meet(1, a);
  const controller = new AbortController();
  const sent = a.node.send(world.addressOf(host), new Uint8Array(32 * MiB), { signal: controller.signal });
  const outcome = assert.rejects(sent, { name: "AbortError" });
  await world.time.run(500);
  controller.abort();
  await world.time.settle(outcome);
  await world.time.until(() => (peers[0]?.sink.ends ?? 0) + (peers[0]?.sink.failures ?? 0) === 1, 5000);
  const bytes = peers[0]?.sink.bytes() ?? new Uint8Array(0);
  const end = frame(FrameType.END, 1, 32);
  assert.notDeepEqual(bytes.slice(-end.length), end);
  for (const peer of peers) peer.conn.abort();
});

test("a source that pauses does not keep an aborted send, or one whose connection was lost, from settling as failed", async () => {
  const { world, a, b } = await pair(10);
  const source = (async function* () {
    await world.time.sleep(5000);
    yield Uint8Array.of(1, 2, 3);
  })();
  const controller = new AbortController();
  const sent = a.node.send(b.node.id, source, { signal: controller.signal });
  const outcome = assert.rejects(sent);
  await world.time.run(100);
  for (const connection of [...world.network.connections]) world.network.cut(connection);
  await world.time.run(100);
  controller.abort();
  await world.time.settle(outcome);
  await world.finish();
});

test("close() is done once the last send under way was given up, although nothing of that one had gone out", async () => {
  const { world, a, b } = await pair(11);
  const source = (async function* () {
    await world.time.sleep(100);
    yield Uint8Array.of(1);
  })();
  const controller = new AbortController();
  const outcome = assert.rejects(a.node.send(b.node.id, source, { signal: controller.signal }));
  await world.time.run(10);
  const closing = a.node.close();
  await world.time.run(10);
  controller.abort();
  const startMs = world.time.nowMs();
  await world.time.settle(Promise.all([outcome, closing]));
  assert.ok(world.time.nowMs() - startMs < 1000, `close() took ${world.time.nowMs() - startMs} ms`);
  await world.finish();
});
