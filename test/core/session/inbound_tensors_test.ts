/** The receiving side of tensor streams: what it grants, confirms and refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CONNECTION_CREDIT_FACTOR, DEFAULT_LIMITS, KiB, MiB } from "../../../src/core/limits.ts";
import { BufferPool } from "../../../src/core/tensor/buffer_pool.ts";
import { StreamCode } from "../../../src/core/wire/records/reset.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { data } from "../../support/core_frames.ts";
import { TensorPair } from "../../support/tensor_pair.ts";
import { MINIMAL_OPEN } from "../../support/x1_samples.ts";

/** A source whose length nobody knows; the test writes it by hand. */
const UNKNOWN: Iterable<Uint8Array> = [];

test("InboundTensors confirms the small rests of many streams: none is held back for them", () => {
  const pair = new TensorPair({ cut: () => 300_000 });
  const urgent = pair.dialler.send(UNKNOWN, { priority: 200 });
  pair.dialler.session.write(urgent, patternBytes(10));
  pair.run();
  const streams = Array.from({ length: 24 }, () => pair.dialler.send(UNKNOWN, { priority: 1 }));
  for (const stream of streams) pair.dialler.session.write(stream, patternBytes(256 * KiB));
  pair.run();
  assert.ok(pair.acceptor.said("ack").length >= 20);
  for (const { promisedBytes } of streams) assert.equal(promisedBytes, 256 * KiB);
});

test("InboundTensors confirms a tensor in its midst, and one whose last byte is here only as verified", () => {
  const pair = new TensorPair({ limits: { ...DEFAULT_LIMITS, ackBytes: 2 * MiB } });
  pair.dialler.send(patternBytes(5 * MiB));
  pair.dialler.send(patternBytes(4 * MiB));
  pair.run();
  const acks = pair.acceptor.said("ack").map((ack) => [ack.streamId, ack.level, ack.contiguousBytes / MiB]);
  const last = acks.filter(([, level]) => level === "verified");
  assert.deepEqual(last.sort(), [
    [1, "verified", 5],
    [3, "verified", 4],
  ]);
  const midst = acks.filter(([, level]) => level === "received");
  assert.ok(midst.length >= 3, "there were several rounds");
  for (const [id, , mebibytes] of midst) assert.ok(Number(mebibytes) < (id === 1 ? 5 : 4), `${acks}`);
});

test("InboundTensors grants the connection's credit anew when whole tensors are taken out of its window", () => {
  const limits = { ...DEFAULT_LIMITS, memoryBudgetBytes: 64 * KiB, initialCreditBytes: 16 * KiB };
  const pool = new BufferPool(limits);
  const held = pool.acquire(64 * KiB); // somebody else holds all there is
  held?.delivered();
  const pair = new TensorPair({ limits, pools: { acceptor: pool } });
  pair.acceptor.onReadable = () => {};
  const sent = Array.from({ length: 40 }, (_, seed) => pair.dialler.send(patternBytes(16 * KiB, seed)));
  pair.run();
  assert.equal(sent.filter(({ verified }) => verified).length, CONNECTION_CREDIT_FACTOR);
  for (let taken = 0; taken < 40; taken++) {
    const stream = pair.acceptor.streams[taken];
    assert.ok(stream?.ended, `stream ${taken} did not come`);
    pair.acceptor.take(stream);
    pair.run();
  }
  assert.ok(sent.every(({ verified }) => verified));
});

test("InboundTensors gives a transfer back that begins where nothing is held: it may come from byte 0", () => {
  const arriving = new Set<string>();
  const pair = new TensorPair({
    books: {
      acceptor: {
        begin: (id) => {
          if (arriving.has(id)) return "busy";
          arriving.add(id);
          return "new";
        },
        delivered: () => {},
        gaveUp: (id) => void arriving.delete(id),
      },
    },
  });
  const { dialler, acceptor } = pair;
  dialler.mute = true;
  pair.inject(dialler, dialler.control(1, { ...MINIMAL_OPEN, totalBytes: 100, baseOffset: 50 }));
  assert.match(acceptor.said("stop")[0]?.reason ?? "", /has 0 bytes here, OPEN begins at 50/);
  assert.equal(arriving.size, 0);
  pair.inject(dialler, dialler.control(3, { ...MINIMAL_OPEN, totalBytes: 100 }));
  assert.equal(acceptor.streams.length, 1);
});

test("InboundTensors gives back the memory of a stream that was cancelled in the middle of a payload, when the connection breaks", () => {
  const pair = new TensorPair();
  const { dialler, acceptor } = pair;
  dialler.mute = true;
  const half = data(1, 0, patternBytes(1000)).subarray(0, 500);
  pair.inject(dialler, dialler.control(1, { ...MINIMAL_OPEN, totalBytes: 100_000 }), half);
  const [stream] = acceptor.streams;
  assert.ok(stream && acceptor.pool.usedBytes > 0);
  acceptor.session.giveUp(stream, "enough");
  pair.breakOff();
  assert.equal(acceptor.pool.usedBytes, 0);
});

test("InboundTensors says that a cancelled stream has ended, so that nobody keeps it", () => {
  const pair = new TensorPair();
  pair.acceptor.onStream = (stream) => pair.acceptor.session.giveUp(stream, "enough");
  const sent = pair.dialler.send(patternBytes(1_000_000));
  pair.run();
  const [stream] = pair.acceptor.streams;
  assert.deepEqual([stream?.ended, stream?.error?.code], [true, "ASOC_CANCELLED"]);
  assert.ok(pair.acceptor.events.some((event) => event.kind === "readable" && event.stream === stream));
  assert.deepEqual([sent.error?.code, sent.reset?.code], ["ASOC_STOPPED", 1]);
  assert.equal(pair.acceptor.pool.usedBytes, 0);
});

test("InboundTensors of a side that takes none stops an OPEN that comes all the same", () => {
  const pair = new TensorPair({ takesTensors: { acceptor: false } });
  const { dialler, acceptor } = pair;
  dialler.mute = true;
  pair.inject(dialler, dialler.control(1, { ...MINIMAL_OPEN, totalBytes: 100 }));
  assert.equal(acceptor.said("stop")[0]?.code, StreamCode.TOO_LARGE);
  assert.deepEqual([acceptor.streams.length, acceptor.closedWith()], [0, undefined]);
});
