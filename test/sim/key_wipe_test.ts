/** Keys that a running node has no use for any more are overwritten, and none before that (RFC-0002, Keys). */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { utf8 } from "../../src/core/wire/bytes.ts";
import { dialSilently, dialWithHello } from "./raw_peer.ts";
import { eventsOf, KEY, PORT, type SimNode, World } from "./world.ts";

const NEW = "the key that stays";
const BOTH = {
  apiKey: undefined,
  discovery: false,
  keys: [{ key: NEW }, { key: KEY, state: "current" }],
} as const;

const isWiped = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
/** The ring's own bytes of a key: not a copy. */
function bytesOf({ node }: SimNode, key: string): Uint8Array {
  const entry = node.keys.ring.find(node.keys.idOf(key));
  assert.ok(entry && !isWiped(entry.key));
  return entry.key;
}

async function revoke(world: World, { node }: SimNode, key: string): Promise<void> {
  await world.time.settle(node.keys.setCurrent(node.keys.idOf(NEW)));
  await world.time.settle(node.keys.revoke(node.keys.idOf(key)));
}

test("a revoked key is overwritten once its last connection has ended, and the one that stays is not", async () => {
  const world = new World(41);
  const a = await world.start(BOTH);
  const b = await world.start({ ...BOTH, peers: [world.addressOf(a.host)] });
  await world.meet(1, a, b);
  const [old, stays] = [bytesOf(a, KEY), bytesOf(a, NEW)];
  await revoke(world, a, KEY);
  await world.time.run(10);
  assert.ok(isWiped(old));
  assert.equal(
    eventsOf(b, "left")[0]?.error?.code,
    "ASOC_PEER_ERROR",
    "the connection has ended with its reason",
  );
  await world.time.run(60_000);
  await world.meet(1, a, b);
  assert.deepEqual(stays, utf8(NEW));
  assert.deepEqual(await world.exchange(a, b, Uint8Array.of(1)), Uint8Array.of(1));
  await world.finish();
});

test("a key that was handed in as a Buffer is copied: the caller's own stays as it is", async () => {
  const world = new World(46);
  const own = Buffer.from(KEY);
  const keys = [{ key: NEW }, { key: own, state: "current" as const }];
  const a = await world.start({ ...BOTH, keys });
  const old = bytesOf(a, KEY);
  for (const { key } of a.node.keys.ring.snapshot()) key.fill(0);
  assert.deepEqual(old, utf8(KEY), "what is given out is a copy, too");
  await revoke(world, a, KEY);
  assert.ok(isWiped(old));
  assert.equal(own.toString(), KEY);
  await world.finish();
});

test("a handshake that has begun before the end of a key goes on with it, and it is overwritten after that", async () => {
  const world = new World(42);
  const a = await world.start(BOTH);
  const at = { host: a.host.address, port: PORT };
  const silent = await dialSilently(world.host(), at);
  const [old, stays] = [bytesOf(a, KEY), bytesOf(a, NEW)];
  await revoke(world, a, KEY);
  await world.time.run(1000);
  assert.deepEqual(old, utf8(KEY), "the handshake may be about this key");
  silent.conn.abort();
  await world.time.run(10);
  assert.ok(isWiped(old));
  // Nobody begins with it any more.
  await dialWithHello(world.host(), at, world.random.bytes(16), 1, KEY);
  await world.time.run(1000);
  assert.equal(eventsOf(a, "refused").at(-1)?.error?.code, "ASOC_WRONG_KEY");
  assert.deepEqual(stays, utf8(NEW));
  await world.finish();
});

test("a silent stranger keeps a revoked key no longer than a handshake may take", async () => {
  const world = new World(43);
  const a = await world.start(BOTH);
  const silent = await dialSilently(world.host(), { host: a.host.address, port: PORT });
  const old = bytesOf(a, KEY);
  await revoke(world, a, KEY);
  await world.time.run(11_000);
  assert.ok(isWiped(old));
  silent.conn.abort();
  await world.finish();
});

test("keys that are not in a ring that is read anew are overwritten; one that stays keeps its connections", async () => {
  const world = new World(44);
  const a = await world.start(BOTH);
  const b = await world.start({ ...BOTH, peers: [world.addressOf(a.host)] });
  await world.meet(1, a, b);
  const [stays, gone] = [bytesOf(a, KEY), bytesOf(a, NEW)];
  a.node.keys.replace([{ key: KEY, state: "current" }]);
  await world.time.run(10);
  assert.ok(isWiped(gone));
  assert.deepEqual(stays, utf8(KEY));
  assert.deepEqual(eventsOf(a, "left"), []);
  assert.deepEqual(await world.exchange(b, a, Uint8Array.of(1)), Uint8Array.of(1));
  await world.finish();
});

test("a key that a rotation takes back is overwritten at both sides, and one that it brings is not", async () => {
  const world = new World(45);
  const a = await world.start({ discovery: false });
  const b = await world.start({ discovery: false, peers: [world.addressOf(a.host)] });
  await world.meet(1, a, b);
  const offered: Uint8Array[] = [];
  const look = () => {
    for (const { node, runtime } of [a, b]) {
      const key = node.keys.ring.offered(runtime.clock.unixMs())?.key;
      if (key && !offered.includes(key)) offered.push(key);
    }
  };
  // A peer that is not there: the offer ends without a commit.
  const peers = [b.node.id, "00000000-0000-4000-8000-000000000000"];
  const report = await world.time.settle(a.node.keys.rotate({ waitMs: 2000, peers, onProgress: look }));
  assert.equal(report.switched, false);
  await world.time.run(1000);
  assert.deepEqual(offered.map(isWiped), [true, true]);
  const again = await world.time.settle(a.node.keys.rotate());
  assert.equal(again.switched, true);
  for (const { node } of [a, b]) {
    const { ring } = node.keys;
    assert.ok(!isWiped(ring.find(again.keyId ?? "")?.key ?? new Uint8Array(1)));
    assert.equal(ring.hasLeft, false);
  }
  await world.finish();
});
