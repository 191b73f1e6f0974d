/** The sending side of tensor streams: when they may go, and how they end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HELD_BYTES, HELD_CHUNK_BYTES, KiB, LEAD_MS, MiB } from "../../../src/core/limits.ts";
import { patternBytes, seededRandom } from "../../support/core_crypto.ts";
import { TensorPair } from "../../support/tensor_pair.ts";

test("Session.abandonStream() ends the wait for a receiver that never says that it has the tensor", () => {
  const pair = new TensorPair();
  pair.acceptor.mute = true;
  const sent = pair.dialler.send(patternBytes(100));
  pair.run();
  assert.deepEqual([sent.done, sent.settled], [true, false]);
  pair.dialler.session.abandonStream(sent);
  pair.run();
  assert.deepEqual([sent.settled, sent.error?.code], [true, "ASOC_CANCELLED"]);
  assert.equal(pair.dialler.said("reset").length, 0, "END was out");
});

/** A source whose length nobody knows; the test writes it by hand. */
const UNKNOWN: Iterable<Uint8Array> = [];

test("Outbound lets a tensor of higher priority overtake between chunks, and tensors of equal priority share", () => {
  const pair = new TensorPair({ delayMs: () => 1 });
  const { dialler } = pair;
  const low = [0, 1].map(() => dialler.send(new Uint8Array(32 * MiB), { priority: 1, chunkBytes: 64 * KiB }));
  pair.advance(10);
  const before = dialler.dataFrames().length;
  const high = dialler.send(new Uint8Array(MiB), { priority: 2, chunkBytes: 64 * KiB });
  pair.run();
  const order = dialler.dataFrames().map(({ streamId }) => streamId);
  const last = order.lastIndexOf(high.id);
  const between = order.slice(order.indexOf(high.id), last).filter((id) => id !== high.id);
  assert.ok(before <= order.indexOf(high.id) && last < order.length - 20);
  assert.ok(between.length * 64 * KiB <= HELD_BYTES, `${between.length} chunks of others between`);
  const shares = order.slice(last + 1, last + 21).filter((id) => id === low[0]?.id).length;
  assert.ok(shares >= 8 && shares <= 12, `${shares} of 20 turns`);
  assert.ok([high, ...low].every(({ verified }) => verified));
});

test("Outbound keeps 1 MiB of lower priorities unconfirmed while something urgent is under way, and lets go after 1 s", () => {
  const pair = new TensorPair();
  const { dialler, acceptor } = pair;
  const low = dialler.send(UNKNOWN, { priority: 1 });
  dialler.session.write(low, patternBytes(10));
  pair.run();
  const urgent = dialler.send(UNKNOWN, { priority: 9 });
  dialler.session.write(urgent, patternBytes(10));
  pair.run();
  acceptor.mute = true;
  pair.inject(acceptor, acceptor.control(low.id, { kind: "credit", limitBytes: 64 * MiB }));
  const from = dialler.dataFrames(low.id).length;
  dialler.session.write(low, new Uint8Array(8 * MiB));
  pair.run();
  const held = dialler.dataFrames(low.id).slice(from);
  assert.ok(held.every(({ payloadBytes }) => payloadBytes <= HELD_CHUNK_BYTES));
  assert.equal(low.promisedBytes - low.ackedBytes, HELD_BYTES);
  pair.advance(LEAD_MS + 1);
  assert.equal(low.promisedBytes, 8 * MiB + 10);
});

test("Outbound ends a tensor at its deadline, before and in the middle of it, and tells the receiver once", () => {
  for (const begun of [false, true]) {
    const pair = new TensorPair();
    const { dialler, acceptor } = pair;
    const sent = dialler.send(UNKNOWN, { deadlineMs: 50 }, pair.nowMs);
    if (begun) dialler.session.write(sent, patternBytes(1000));
    pair.advance(49);
    assert.equal(sent.settled, false);
    pair.advance(1);
    assert.equal(sent.error?.code, "ASOC_DEADLINE");
    assert.equal(dialler.said("open").length, begun ? 1 : 0);
    assert.deepEqual(
      dialler.said("reset").map(({ code }) => code),
      begun ? [5] : [],
    );
    assert.deepEqual(acceptor.failures(), begun ? [`${sent.id} ASOC_DEADLINE`] : []);
    assert.equal(acceptor.pool.usedBytes, 0);
  }
});

test("Outbound that cannot write says so of a tensor past its deadline when its connection ends, and not that it broke", () => {
  const pair = new TensorPair();
  const { dialler } = pair;
  const sent = dialler.send(UNKNOWN, { deadlineMs: 50 }, pair.nowMs);
  const other = dialler.send(UNKNOWN, {}, pair.nowMs);
  dialler.blocked = true;
  for (const stream of [sent, other]) dialler.session.write(stream, patternBytes(1000));
  pair.advance(51);
  assert.equal(sent.settled, false, "its bytes are with the socket");
  pair.breakOff();
  assert.deepEqual([sent.error?.code, other.error?.code], ["ASOC_DEADLINE", "ASOC_CONNECTION_LOST"]);
});

test("a receiver stops a tensor whose deadline has passed by its own clock", () => {
  const pair = new TensorPair();
  const { dialler, acceptor } = pair;
  const sent = dialler.send(UNKNOWN, { deadlineMs: 50 }, pair.nowMs);
  dialler.session.write(sent, patternBytes(1000));
  pair.run();
  dialler.blocked = true;
  acceptor.session.handleTimeout(pair.nowMs + 50);
  pair.run();
  assert.deepEqual(acceptor.failures(), [`${sent.id} ASOC_DEADLINE`]);
  assert.equal(acceptor.said("stop")[0]?.code, 5);
  dialler.blocked = false;
  pair.run();
  assert.equal(sent.error?.code, "ASOC_DEADLINE");
  assert.equal(acceptor.pool.usedBytes, 0);
});

test("STOP and RESET at any moment, also when they cross, end the stream on both sides and nothing else", () => {
  fc.assert(
    fc.property(
      fc.integer(),
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 0, max: 60 }),
      (seed, stopAt, resetAt) => {
        const random = seededRandom(seed);
        const pair = new TensorPair({
          cut: () => Math.ceil(random() * 3000),
          delayMs: () => Math.floor(random() * 4),
          direct: () => random() < 0.5,
        });
        const { dialler, acceptor } = pair;
        const other = dialler.send(patternBytes(200_000, 1), { chunkBytes: 7000 });
        const sent = dialler.send(patternBytes(60_000, 2), { chunkBytes: 5000 });
        for (let ms = 0; ms <= 60; ms++) {
          const [stream] = acceptor.streams.filter(({ id }) => id === sent.id);
          if (ms === stopAt && stream && !stream.ended) acceptor.session.giveUp(stream, "not wanted");
          if (ms === resetAt) dialler.session.abandonStream(sent);
          pair.advance(1);
        }
        pair.run();
        assert.equal(dialler.closedWith() ?? acceptor.closedWith(), undefined);
        assert.ok(sent.settled && other.verified);
        const whole = acceptor.arrived.filter(({ stream }) => stream.id === sent.id);
        if (sent.verified && !sent.error) assert.equal(whole.length, 1);
        for (const { bytes } of whole) assert.deepEqual(bytes, patternBytes(60_000, 2));
        assert.ok(acceptor.streams.every(({ ended }) => ended));
        assert.equal(acceptor.pool.usedBytes, 0);
        assert.equal(dialler.said("reset").filter(({ streamId }) => streamId === sent.id).length <= 1, true);
      },
    ),
    { numRuns: 100 },
  );
});

test("Outbound fails a tensor whose digest differs at both sides, with crc32 and sha256, and cannot with none", () => {
  for (const digest of ["crc32", "sha256", "none"] as const) {
    const pair = new TensorPair();
    const bytes = patternBytes(300_000);
    const sent = pair.dialler.send(UNKNOWN, { digest });
    pair.dialler.session.write(sent, bytes);
    pair.dialler.session.endStream(sent);
    sent.tensor?.digest.update(patternBytes(1, 3), 0); // what it took is not what goes out
    if (digest === "none") assert.equal(sent.tensor?.digest.finish().length, 0);
    pair.run();
    const good = digest === "none";
    assert.equal(sent.error?.code, good ? undefined : "ASOC_DIGEST_MISMATCH");
    assert.deepEqual(pair.acceptor.failures(), good ? [] : ["1 ASOC_DIGEST_MISMATCH"]);
    assert.equal(pair.acceptor.arrived.length, good ? 1 : 0);
    assert.equal(pair.acceptor.pool.usedBytes, 0);
  }
});

test("a Session whose receiver says that more came than was sent, or that less is whole, ends the connection", () => {
  for (const [level, contiguousBytes] of [
    ["received", 101],
    ["verified", 99],
    ["verified", 101],
  ] as const) {
    const pair = new TensorPair();
    const { dialler, acceptor } = pair;
    acceptor.mute = true;
    const sent = dialler.send(patternBytes(100));
    pair.run();
    const transferId = sent.tensor?.transferId ?? new Uint8Array(8);
    pair.inject(acceptor, acceptor.control(sent.id, { kind: "ack", transferId, contiguousBytes, level }));
    assert.equal(dialler.closedWith(), "ASOC_UNEXPECTED_RECORD");
    assert.deepEqual([sent.verified, sent.error?.code], [false, "ASOC_CONNECTION_LOST"]);
  }
});

test("a Session does not take ACK verified for true before END is out", () => {
  const pair = new TensorPair();
  const { dialler, acceptor } = pair;
  acceptor.mute = true;
  const sent = dialler.send(UNKNOWN);
  dialler.session.write(sent, patternBytes(100));
  pair.run();
  const transferId = sent.tensor?.transferId ?? new Uint8Array(8);
  pair.inject(
    acceptor,
    acceptor.control(sent.id, { kind: "ack", transferId, contiguousBytes: 100, level: "verified" }),
  );
  assert.deepEqual([sent.settled, dialler.closedWith()], [false, undefined]);
});
