/** Memory that a node's user chooses for what arrives (`join({ memoryFor })`), and memory that is taken back (`detachReleased`). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StreamCode } from "../../src/core/wire/records/reset.ts";
import type { JoinOptions } from "../../src/join.ts";
import { type SimNode, World } from "./world.ts";

async function pair(options: Pick<JoinOptions, "memoryFor" | "detachReleased">) {
  const world = new World(7);
  const to = await world.start({ discovery: false, ...options });
  const from = await world.start({ discovery: false, peers: [world.addressOf(to.host)] });
  await world.meet(1, to, from);
  const send = (bytes: Uint8Array, topic: string) => from.node.send(to.node.id, bytes, { topic });
  return { world, to, from, send };
}

function noise(byteCount: number): Uint8Array {
  return Uint8Array.from({ length: byteCount }, (_, index) => (index * 31 + (index >> 8)) & 0xff);
}

async function close(world: World): Promise<void> {
  await world.finish();
}

const BYTES = 300_000;
const { TOO_LARGE } = StreamCode;

test("memoryFor() of the right size is where the tensor lies, and none of the node's own is used", async () => {
  const memory = new Uint8Array(BYTES);
  const asked: unknown[] = [];
  const { world, to, from, send } = await pair({
    memoryFor: ({ peer, description }) => {
      asked.push([peer.id, description?.topic, description?.totalBytes]);
      return memory;
    },
  });
  const bytes = noise(BYTES);
  const arriving = world.nextStream(to).then((stream) => stream.tensor());
  const [report, tensor] = await world.time.settle(Promise.all([send(bytes, "mine"), arriving]));
  assert.equal(report.delivery, "verified");
  assert.deepEqual(asked, [[from.node.id, "mine", BYTES]], "once, before the first byte");
  assert.equal(tensor.bytes.buffer, memory.buffer);
  assert.deepEqual(memory, bytes);
  assert.equal(to.node.stats.memoryUsedBytes, 0);
  tensor.release();
  assert.deepEqual(memory, bytes, "it is the user's");
  await close(world);
});

test("memoryFor() that is too small refuses the tensor: its sender gets STOP that says so, and the next one arrives", async () => {
  const sizes = [BYTES - 1, BYTES];
  const { world, to, send } = await pair({ memoryFor: () => new Uint8Array(sizes.shift() ?? 0) });
  const refused = send(noise(BYTES), "large");
  await assert.rejects(
    world.time.settle(refused),
    (error: Error & { code?: string; details?: { code?: number } }) => {
      assert.equal(error.code, "ASOC_STOPPED", String(error));
      assert.equal(error.details?.code, TOO_LARGE);
      return true;
    },
  );
  const arriving = world.nextStream(to).then((stream) => stream.tensor());
  const [, tensor] = await world.time.settle(Promise.all([send(noise(BYTES), "fits"), arriving]));
  assert.equal(tensor.bytes.length, BYTES);
  tensor.release();
  await close(world);
});

test("memoryFor() that is undefined leaves the tensor to the node's own memory", async () => {
  const { world, to, send } = await pair({ memoryFor: () => undefined });
  const arriving = world.nextStream(to).then((stream) => stream.tensor());
  const [, tensor] = await world.time.settle(Promise.all([send(noise(BYTES), ""), arriving]));
  assert.deepEqual(tensor.bytes.slice(), noise(BYTES));
  assert.ok(to.node.stats.memoryUsedBytes >= BYTES);
  tensor.release();
  assert.equal(to.node.stats.memoryUsedBytes, 0);
  await close(world);
});

/** What is left of a whole tensor's data, and of the chunks of another one, when they are released. */
async function afterRelease({
  world,
  to,
  send,
}: {
  world: World;
  to: SimNode;
  send: (b: Uint8Array, t: string) => Promise<unknown>;
}) {
  const whole = world.nextStream(to).then((stream) => stream.tensor());
  const [, tensor] = await world.time.settle(Promise.all([send(noise(BYTES), "whole"), whole]));
  const { data, bytes } = tensor;
  assert.ok(data && data.byteLength === BYTES);
  tensor.release();
  const chunks: Uint8Array[] = [];
  const read = async () => {
    const stream = await world.nextStream(to);
    for await (const chunk of stream.chunks()) {
      assert.deepEqual(chunk.slice(), noise(BYTES).subarray(sum(chunks), sum(chunks) + chunk.length));
      lengths.push(chunk.length);
      chunks.push(chunk);
    }
  };
  const lengths: number[] = [];
  const sum = (_: unknown) => lengths.reduce((all, one) => all + one, 0);
  await world.time.settle(Promise.all([send(noise(BYTES), "chunks"), read()]));
  assert.equal(sum(chunks), BYTES);
  await world.finish();
  return { data: data.byteLength, bytes: bytes.length, chunks: chunks.map(({ length }) => length), lengths };
}

test("detachReleased takes Tensor.data and chunks away when they are released; without it they stay as they are", async () => {
  const detached = await afterRelease(await pair({ detachReleased: true }));
  assert.deepEqual([detached.data, detached.bytes], [0, 0]);
  assert.ok(
    detached.chunks.length > 0 && detached.chunks.every((length) => length === 0),
    String(detached.chunks),
  );
  const kept = await afterRelease(await pair({}));
  assert.deepEqual([kept.data, kept.bytes], [BYTES, BYTES]);
  assert.deepEqual(kept.chunks, kept.lengths);
});
