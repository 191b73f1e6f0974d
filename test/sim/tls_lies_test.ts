/** Never plaintext by mistake: a transport that takes and dials without TLS, although it was asked for, gets no word. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AsocNode } from "../../src/core/node.ts";
import { nodeConfig } from "../../src/join.ts";
import { RecordingSink } from "../support/recording_sink.ts";
import { configOf, content, makeSelfSigned } from "../support/tls.ts";
import type { SimHost } from "./network.ts";
import { dialWithHello } from "./raw_peer.ts";
import { simRuntime } from "./runtime.ts";
import { eventsOf, KEY, PORT, type SimNode, World } from "./world.ts";

const tls = configOf(await makeSelfSigned(content()));

/** A node with TLS whose transport knows none: the simulated one. */
async function lying(world: World, on: SimHost, peers: string[] = []): Promise<SimNode> {
  const runtime = simRuntime(on);
  const config = nodeConfig({ apiKey: KEY, port: PORT, discovery: false, peers }, runtime);
  const node = await world.time.settle(AsocNode.start(runtime, { ...config, tls }));
  const started: SimNode = { node, host: on, runtime, events: [] };
  world.nodes.push(started);
  void (async () => {
    for await (const event of node.events()) started.events.push({ ...event, atMs: world.time.nowMs() });
  })();
  return started;
}

test("an acceptor with TLS takes no connection without it, and says nothing on it", async () => {
  const world = new World(31);
  const node = await lying(world, world.host());
  const to = { host: node.host.address, port: PORT };
  const peer = await dialWithHello(world.host(), to, world.random.bytes(16), 7);
  await world.time.run(50);
  assert.equal(peer.sink.receivedBytes, 0, "it was answered");
  assert.equal(node.node.stats.refusedConnections.ASOC_TLS_INSECURE, 1);
  assert.deepEqual(
    eventsOf(node, "refused").map(({ error, address }) => [error?.code, address.host]),
    [["ASOC_TLS_INSECURE", peer.conn.local.host]],
  );
  await world.finish();
});

test("a dialler with TLS says nothing on a connection without it", async () => {
  const world = new World(32);
  const plain = world.host();
  const heard: RecordingSink[] = [];
  const listener = await plain.transport.listen({ host: "0.0.0.0", port: PORT }, (conn) => {
    const sink = new RecordingSink(64);
    heard.push(sink);
    conn.start(sink);
  });
  const node = await lying(world, world.host(), [world.addressOf(plain)]);
  await world.time.run(2000);
  const failed = eventsOf(node, "dialFailed");
  assert.ok(failed.length > 0 && heard.length > 0);
  for (const { error } of failed) assert.equal(error.code, "ASOC_TLS_INSECURE");
  for (const sink of heard) assert.equal(sink.receivedBytes, 0, "not even HELLO");
  assert.equal(node.node.peers.size, 0);
  await listener.close();
  await world.finish();
});
