/** Two sessions in memory: the handshake, tensors both ways, and the end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { KiB, MAX_WRITE_BYTES, MiB } from "../../../src/core/limits.ts";
import { State } from "../../../src/core/session/transitions.ts";
import { utf8 } from "../../../src/core/wire/bytes.ts";
import { patternBytes, seededRandom } from "../../support/core_crypto.ts";
import { DIALLER_ID } from "../../support/core_frames.ts";
import { type PairOptions, SessionPair, type Side } from "../../support/core_session_pair.ts";

function assertClean(pair: SessionPair): void {
  for (const side of [pair.dialler, pair.acceptor]) {
    assert.equal(side.pool.usedBytes, 0, "memory is missing from the pool");
    assert.equal(side.session.inboundStreams, 0);
    assert.equal(side.session.outboundStreams, 0);
  }
}

test("two Sessions shake hands in 80 bytes; the acceptor learns the dialler's id, and v1 tells the dialler nobody's", () => {
  const pair = SessionPair.open();
  assert.deepEqual(pair.dialler.writes, [[50]]);
  assert.deepEqual(pair.acceptor.writes, [[30]]);
  const [opened] = pair.acceptor.events;
  assert.ok(opened?.kind === "open");
  assert.deepEqual(opened.nodeId, DIALLER_ID);
  const [dialled] = pair.dialler.events;
  assert.ok(dialled?.kind === "open");
  assert.equal(dialled.nodeId, undefined);
  assert.deepEqual([pair.dialler.session.state, pair.acceptor.session.state], [State.OPEN, State.OPEN]);
});

test("two Sessions with different keys part without a word", () => {
  const pair = SessionPair.open({ acceptorKey: utf8("another") });
  assert.equal(pair.acceptor.closedWith(), "ASOC_WRONG_KEY");
  assert.equal(pair.dialler.closedWith(), "ASOC_HANDSHAKE_REFUSED");
  assert.deepEqual(pair.acceptor.writes, []);
});

test("a Session hands a tensor over equal and whole, from either side, of every size around a chunk", () => {
  const sizes = [0, 1, 64 * KiB, MiB - 1, MiB, MiB + 1, 3 * MiB + 7];
  const pair = SessionPair.open();
  for (const [index, size] of sizes.entries()) {
    pair.dialler.send(patternBytes(size, index));
    pair.acceptor.send(patternBytes(size, 100 + index));
  }
  pair.run();
  for (const [from, to, seed] of [
    [pair.dialler, pair.acceptor, 0],
    [pair.acceptor, pair.dialler, 100],
  ] as const) {
    assert.equal(to.tensors.length, sizes.length);
    for (const [index, size] of sizes.entries()) {
      const id = (from === pair.dialler ? 1 : 2) + 2 * index;
      const tensor = to.tensors.find((one) => one.id === id);
      assert.deepEqual(tensor?.bytes, patternBytes(size, seed + index));
    }
  }
  assertClean(pair);
});

test("a Session reads large tensors in place: no payload byte is copied, except where a buffer grows", () => {
  const pair = SessionPair.open();
  const memory = new Uint8Array(4 * MiB);
  pair.acceptor.onStream = (stream) => stream.prepareInto(memory);
  pair.dialler.send(patternBytes(4 * MiB));
  pair.run();
  const { copiedBytes, grownBytes } = pair.acceptor.session.counters;
  assert.deepEqual([copiedBytes, grownBytes], [0, 0]);
  assert.deepEqual(memory, patternBytes(4 * MiB));
});

/** Sends `plan` in both directions over arbitrary cuts and checks that everything arrives, once, in order. */
function exchange(
  plan: readonly { from: "dialler" | "acceptor"; sizes: number[]; chunkBytes: number }[],
  options: PairOptions,
): SessionPair {
  const pair = SessionPair.open(options);
  const sent: { to: Side; id: number; bytes: Uint8Array }[] = [];
  for (const [index, { from, sizes, chunkBytes }] of plan.entries()) {
    const parts = sizes.map((size, part) => patternBytes(size, 1000 * index + part));
    const side = pair[from];
    const stream = side.send(parts.length === 0 ? [new Uint8Array(0)] : parts, chunkBytes);
    const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    sent.push({ to: from === "dialler" ? pair.acceptor : pair.dialler, id: stream.id, bytes });
  }
  pair.run();
  for (const side of [pair.dialler, pair.acceptor]) {
    const expected = sent.filter(({ to }) => to === side);
    assert.equal(side.tensors.length, expected.length, "one tensor for each that was sent");
    for (const { id, bytes } of expected) {
      const got = side.tensors.find((tensor) => tensor.id === id);
      assert.deepEqual(got?.bytes.length, bytes.length);
      assert.ok(
        got?.bytes.every((byte, index) => byte === bytes[index]),
        `stream ${id} differs`,
      );
    }
    assert.deepEqual(side.failures(), []);
  }
  assertClean(pair);
  return pair;
}

const plans = (maxBytes: number, minChunk: number) =>
  fc.array(
    fc.record(
      {
        from: fc.constantFrom("dialler" as const, "acceptor" as const),
        sizes: fc.array(fc.oneof(fc.nat(100), fc.nat(maxBytes)), { maxLength: 4 }),
        chunkBytes: fc.integer({ min: minChunk, max: 8 * minChunk }),
      },
      { noNullPrototype: true },
    ),
    { maxLength: 6 },
  );

test("any set of tensors, in both directions, cut and delayed in any way, arrives equal and whole", () => {
  fc.assert(
    fc.property(plans(3000, 50), fc.nat(), fc.constantFrom(1, 30, 3000), (plan, seed, maxCut) => {
      const random = seededRandom(seed);
      exchange(plan, {
        cut: () => 1 + Math.floor(random() * maxCut),
        delayMs: () => Math.floor(random() * 5),
        direct: () => random() < 0.5,
      });
    }),
    { numRuns: 30 },
  );
});

test("tensors of up to 5 MiB, cut and read in any way, arrive equal and whole", () => {
  fc.assert(
    fc.property(plans(1.25 * MiB, 20_000), fc.nat(), (plan, seed) => {
      const random = seededRandom(seed);
      exchange(plan, {
        cut: () => 1 + Math.floor(random() ** 3 * 500_000),
        delayMs: () => random() * 20,
        direct: () => random() < 0.7,
      });
    }),
    { numRuns: 8 },
  );
});

test("tensors arrive whole through a budget that holds only some of them at once", () => {
  const plan = Array.from({ length: 30 }, () => ({
    from: "dialler" as const,
    sizes: [20_000],
    chunkBytes: 4000,
  }));
  const random = seededRandom(4);
  const pair = SessionPair.open({
    limits: { memoryBudgetBytes: 90_000, idleMemoryBytes: 0 },
    cut: () => 1 + Math.floor(random() * 9000),
  });
  const held: (() => void)[] = [];
  let stalls = 0;
  let arrived = 0;
  pair.acceptor.onReadable = (stream) => {
    if (!stream.ended) return;
    assert.equal(stream.error, undefined);
    const { bytes, buffer } = stream.takeWhole();
    assert.equal(bytes.length, 20_000);
    arrived++;
    held.push(() => buffer?.release());
  };
  for (const [index, { sizes, chunkBytes }] of plan.entries()) {
    pair.dialler.send(patternBytes(sizes[0] ?? 0, index), chunkBytes);
    pair.run();
    if (pair.acceptor.session.stalled) {
      stalls++;
      for (const release of held.splice(0)) release();
      pair.run();
    }
  }
  for (const release of held.splice(0)) release();
  pair.run();
  assert.ok(stalls > 2, "the budget was meant to be too small");
  assert.equal(arrived, plan.length);
  assertClean(pair);
});

test("a small tensor does not wait for bulk that is under way", () => {
  const pair = SessionPair.open({ delayMs: () => 1 });
  pair.dialler.send(patternBytes(20 * MiB));
  pair.advance(6);
  const order: number[] = [];
  const { onReadable } = pair.acceptor;
  pair.acceptor.onReadable = (stream) => {
    if (stream.ended) order.push(stream.id);
    onReadable(stream);
  };
  const before = pair.acceptor.session.counters.payloadBytesIn;
  pair.dialler.send(patternBytes(1000));
  let after = 0;
  const { takeWhole } = pair.acceptor;
  pair.acceptor.takeWhole = function (stream) {
    if (stream.id === 3) after = pair.acceptor.session.counters.payloadBytesIn;
    takeWhole.call(this, stream);
  };
  pair.run();
  assert.deepEqual(order, [3, 1]);
  // The write that is on its way, the one that is under way, and the rest of a chunk whose header is out.
  const most = 2 * MAX_WRITE_BYTES + MiB;
  assert.ok(after - before <= most, `${(after - before) / MiB} MiB of bulk went first`);
});

test("bulk does not starve behind small tensors without end", () => {
  const pair = SessionPair.open();
  const bulk = pair.dialler.send(patternBytes(8 * MiB));
  let small = 0;
  pair.acceptor.onReadable = (stream) => {
    pair.acceptor.takeWhole(stream);
    if (stream.ended && stream.id !== bulk.id && small++ < 2000 && !bulk.done)
      pair.dialler.send(patternBytes(1000));
  };
  for (let i = 0; i < 20; i++) pair.dialler.send(patternBytes(1000));
  pair.run();
  assert.ok(bulk.done);
  assert.ok(small < 2000, `${small} small ones went first`);
});

test("a stream that is abandoned fails at the receiver, and the others go on", () => {
  const pair = SessionPair.open();
  const lost = pair.dialler.session.openStream(1000);
  pair.dialler.session.write(lost, patternBytes(1500));
  pair.run();
  pair.dialler.session.abandonStream(lost);
  pair.dialler.send(patternBytes(77));
  pair.run();
  assert.deepEqual(pair.acceptor.failures(), ["1 ASOC_STREAM_ABANDONED"]);
  assert.deepEqual(
    pair.acceptor.tensors.map(({ id }) => id),
    [3],
  );
  assert.equal(lost.done, true);
  assertClean(pair);
});

test("a stream that is abandoned before its first frame never was", () => {
  const pair = SessionPair.open();
  const stream = pair.dialler.session.openStream();
  pair.dialler.session.write(stream, patternBytes(10));
  pair.dialler.session.abandonStream(stream);
  pair.run();
  assert.equal(stream.done, true);
  assert.deepEqual(pair.acceptor.kinds(), ["open"]);
  assert.ok(pair.dialler.events.some((event) => event.kind === "sent" && event.stream === stream));
});

test("a stream abandoned in the middle of a chunk completes that chunk, so that the connection stays readable", () => {
  const pair = SessionPair.open();
  const stream = pair.dialler.session.openStream(4 * MiB);
  pair.dialler.session.write(stream, patternBytes(8 * MiB));
  const parts: Uint8Array[] = [];
  assert.equal(pair.dialler.session.pollTransmit(parts, pair.nowMs), true);
  pair.dialler.session.abandonStream(stream);
  for (const part of parts) pair.acceptor.session.handlePart(part, pair.nowMs);
  pair.dialler.session.handleWritten(pair.nowMs);
  pair.dialler.send(patternBytes(5));
  pair.run();
  assert.deepEqual(pair.acceptor.failures(), ["1 ASOC_STREAM_ABANDONED"]);
  assert.deepEqual(
    pair.acceptor.tensors.map(({ id }) => id),
    [3],
  );
  assert.equal(pair.acceptor.session.counters.payloadBytesIn, 4 * MiB + 5);
});
