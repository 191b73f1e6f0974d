/** Whoever observes a node sees each tensor that passes it, and those bytes that it asks for, whole and in order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TensorSource } from "../../src/core/tensor/source.ts";
import type { TrafficStream } from "../../src/core/traffic.ts";
import { patternBytes } from "../support/core_crypto.ts";
import { type SimNode, World } from "./world.ts";

/** What an observer has seen of each stream. */
class Seen {
  readonly started: TrafficStream[] = [];
  readonly ended: TrafficStream[] = [];
  readonly bytes = new Map<number, number[]>();

  constructor({ node }: SimNode, wanted: (stream: TrafficStream) => boolean = () => true) {
    node.observe({
      started: (stream) => {
        this.started.push(stream);
        return wanted(stream);
      },
      data: ({ id }, bytes, offset) => {
        const all = this.bytes.get(id) ?? [];
        assert.equal(offset, all.length);
        this.bytes.set(id, [...all, ...bytes]);
      },
      ended: (stream) => this.ended.push(stream),
    });
  }
}

async function couple(options: { readonly extension?: boolean } = {}) {
  const world = new World(7);
  const to = await world.start({ discovery: false, ...options });
  const from = await world.start({ discovery: false, peers: [world.addressOf(to.host)], ...options });
  await world.meet(1, from, to);
  return { world, from, to };
}

/** Reads all that arrives: whole, or every second one in chunks. */
function readAll({ node }: SimNode, inChunks: (count: number) => boolean): void {
  void (async () => {
    let count = 0;
    for await (const stream of node.incoming) {
      if (inChunks(count++)) for await (const _ of stream.chunks());
      else (await stream.tensor()).release();
    }
  })();
}

const BYTES = patternBytes(5000);
const SOURCES: Readonly<Record<string, () => TensorSource>> = {
  memory: () => BYTES,
  "an iterable": () => [BYTES.subarray(0, 1), BYTES.subarray(1, 4000), BYTES.subarray(4000)],
  "a reader": () => (from: number) => [BYTES.subarray(from, from + 1234), BYTES.subarray(from + 1234)],
};

for (const extension of [true, false]) {
  for (const [name, source] of Object.entries(SOURCES)) {
    test(`${extension ? "x1" : "v1"}: a tensor sent from ${name} is seen at both ends, with its bytes`, async () => {
      const { world, from, to } = await couple({ extension });
      const [out, into] = [new Seen(from), new Seen(to)];
      readAll(to, (count) => count % 2 === 1);
      for (let i = 0; i < 2; i++)
        await world.time.settle(
          from.node.send([...from.node.peers][0]?.id ?? "", source(), { topic: "a/b" }),
        );
      await world.time.run(1000);
      for (const [seen, direction] of [
        [out, "out"],
        [into, "in"],
      ] as const) {
        assert.deepEqual(
          seen.ended.map((one) => [one.direction, one.state, one.movedBytes, one.error]),
          [
            [direction, "done", 5000, undefined],
            [direction, "done", 5000, undefined],
          ],
        );
        for (const { id } of seen.ended) assert.deepEqual(seen.bytes.get(id), [...BYTES]);
      }
      if (extension) {
        assert.deepEqual(
          into.ended.map(({ topic, digest, transferId }) => [topic, digest, transferId]),
          out.ended.map(({ digest, transferId }) => ["a/b", digest, transferId]),
        );
        assert.match(into.ended[0]?.digest ?? "", /^crc32:/);
      }
      for (const { node } of [from, to]) assert.deepEqual(node.traffic(), []);
      for (const node of world.nodes) await world.time.settle(node.node.abort());
    });
  }
}

test("a tensor whose receiver gives it up has failed at both ends, with why", async () => {
  const { world, from, to } = await couple();
  const [out, into] = [new Seen(from), new Seen(to)];
  void (async () => {
    for await (const stream of to.node.incoming) stream.cancel("not today");
  })();
  const endless = (async function* () {
    for (;;) yield BYTES;
  })();
  await assert.rejects(world.time.settle(from.node.send(to.node.id, endless)), /not today/);
  assert.deepEqual([out.ended[0]?.state, into.ended[0]?.state], ["failed", "failed"]);
  assert.match(String(out.ended[0]?.error), /not today/);
  for (const node of world.nodes) await world.time.settle(node.node.abort());
});

test("what nobody wants is not shown, and after the end of watching nothing is", async () => {
  const { world, from, to } = await couple();
  const seen = new Seen(from, () => false);
  const stop = to.node.observe({ started: () => assert.fail("it has ended") });
  stop();
  readAll(to, () => false);
  await world.time.settle(from.node.sendAll(BYTES));
  assert.deepEqual([seen.started.length, seen.ended.length, seen.bytes.size], [1, 1, 0]);
  for (const node of world.nodes) await world.time.settle(node.node.abort());
});

test("a stream that is on its way is listed, with what has moved", async () => {
  const { world, from, to } = await couple();
  new Seen(from);
  new Seen(to);
  readAll(to, () => false);
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slow = (async function* () {
    yield BYTES;
    await gate;
    yield BYTES;
  })();
  const sending = from.node.send(to.node.id, slow);
  await world.time.run(1000);
  for (const { node } of [from, to])
    assert.deepEqual(
      node.traffic().map(({ state, movedBytes, endedAtMs }) => [state, movedBytes, endedAtMs]),
      [["live", 5000, undefined]],
    );
  release();
  await world.time.settle(sending);
  for (const node of world.nodes) await world.time.settle(node.node.abort());
});
