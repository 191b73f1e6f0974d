/** Whole nodes on virtual time: those who are slow on purpose, and those whom the network makes so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/core/wire/bytes.ts";
import { FrameType } from "../../src/core/wire/header.ts";
import { encodeHello } from "../../src/core/wire/hello.ts";
import { testCrypto } from "../support/core_crypto.ts";
import { dialSilently, frame } from "./raw_peer.ts";
import { KEY, PORT, World } from "./world.ts";

test("a handshake that trickles byte by byte ends when its time is over, like one that says nothing", async () => {
  const world = new World(1);
  const server = await world.start({ discovery: false });
  const stranger = world.host();
  const slow = await dialSilently(stranger, { host: server.host.address, port: PORT });
  const hello = frame(
    FrameType.HELLO,
    0,
    0,
    encodeHello({ nodeId: world.random.bytes(16), challenge: 1 }, utf8(KEY), testCrypto()),
  );
  // 50 bytes, one each 300 ms: it would be through after 15 s.
  for (let at = 0; at < hello.length && slow.sink.ends + slow.sink.failures === 0; at++) {
    await world.time.settle(slow.conn.write([hello.subarray(at, at + 1)]).catch(() => {}));
    await world.time.run(300);
  }
  assert.equal(server.node.stats.refusedConnections.ASOC_HANDSHAKE_TIMEOUT, 1);
  assert.equal(server.node.stats.connections, 0);
  slow.conn.abort();
  await world.finish();
});

test("half-open connections of an address that had a session do not block it, and those of a stranger do", async () => {
  const world = new World(2);
  const server = await world.start({ discovery: false });
  const honest = world.host();
  const peer = await world.start({ discovery: false, on: honest, peers: [world.addressOf(server.host)] });
  await world.meet(1, server, peer);
  const halfOpen = async (host: typeof honest) => {
    const silent = [];
    for (let i = 0; i < 6; i++)
      silent.push(await dialSilently(host, { host: server.host.address, port: PORT }).catch(() => undefined));
    await world.time.run(10_500);
    for (const one of silent) one?.conn.abort();
  };
  const blocked = () => server.node.stats.refusedConnections.blocked ?? 0;
  await halfOpen(honest);
  await world.time.settle(peer.node.close());
  await halfOpen(honest);
  const again = await world.start({
    discovery: false,
    on: honest,
    port: 9001,
    peers: [world.addressOf(server.host)],
  });
  await world.meet(1, server, again);
  assert.equal(blocked(), 0);
  const stranger = world.host();
  await halfOpen(stranger);
  await dialSilently(stranger, { host: server.host.address, port: PORT }).catch(() => {});
  await world.time.run(10);
  assert.equal(blocked(), 1);
  await world.finish();
});
