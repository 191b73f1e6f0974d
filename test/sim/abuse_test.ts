/** Whole nodes on virtual time: strangers who cost something, and peers who are served all the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dialSilently, dialWithHello } from "./raw_peer.ts";
import { eventsOf, PORT, World } from "./world.ts";

test("64 idle sockets do not keep a real peer out: the oldest handshake makes way", async () => {
  const world = new World(1);
  const b = await world.start({ discovery: false });
  const stranger = world.host();
  const idle = [];
  for (let i = 0; i < 64; i++) idle.push(await dialSilently(stranger, { host: b.host.address, port: PORT }));
  await world.time.run(300); // which each handshake has to itself
  const a = await world.start({ peers: [world.addressOf(b.host)], discovery: false });
  await world.time.until(() => a.node.peers.size === 1 && b.node.peers.size === 1, 1000);
  await world.time.run(10);
  assert.equal((idle[0]?.sink.ends ?? 0) + (idle[0]?.sink.failures ?? 0), 1, "the oldest did not make way");
  assert.equal((idle[1]?.sink.ends ?? 0) + (idle[1]?.sink.failures ?? 0), 0, "another one made way");
  assert.equal(eventsOf(b, "refused")[0]?.error?.code, "ASOC_ADMISSION");
  await world.time.run(11_000);
  assert.equal(b.node.stats.connections, 1, "idle handshakes are not ended after 10 s");
  for (const { conn } of idle) conn.abort();
  await world.finish();
});

test("5 failed handshakes block their address, for twice as long each time; another address is served", async () => {
  const world = new World(2);
  const b = await world.start({ discovery: false });
  const stranger = world.host();
  const attempt = async (key: string) => {
    const challenge = world.random.between(0, 0xffff_ffff);
    const peer = await dialWithHello(
      stranger,
      { host: b.host.address, port: PORT },
      world.random.bytes(16),
      challenge,
      key,
    );
    await world.time.run(50);
    return peer;
  };
  for (let i = 0; i < 5; i++) await attempt("another key");
  assert.equal(b.node.stats.refusedConnections.ASOC_WRONG_KEY, 5);
  await attempt("another key");
  assert.equal(b.node.stats.refusedConnections.blocked, 1);
  const a = await world.start({ peers: [world.addressOf(b.host)], discovery: false });
  await world.meet(1, a, b);
  assert.deepEqual(await world.exchange(a, b, Uint8Array.of(1)), Uint8Array.of(1));
  await world.time.run(30_000);
  for (let i = 0; i < 5; i++) await attempt("another key");
  await world.time.run(31_000);
  await attempt("another key");
  assert.equal(b.node.stats.refusedConnections.blocked, 2, "the second block is not longer than the first");
  await world.finish();
});
