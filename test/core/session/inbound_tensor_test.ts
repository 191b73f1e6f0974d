/** One arriving tensor: its memory, and the ways to read it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MiB } from "../../../src/core/limits.ts";
import { HEADER_BYTES } from "../../../src/core/wire/header.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { data, joinBytes } from "../../support/core_frames.ts";
import { TensorPair } from "../../support/tensor_pair.ts";
import type { TensorSide } from "../../support/tensor_side.ts";
import { MINIMAL_OPEN } from "../../support/x1_samples.ts";

const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;
/** A source whose length nobody knows; the test writes it by hand. */
const UNKNOWN: Iterable<Uint8Array> = [];

function only(side: TensorSide) {
  const [stream] = side.streams;
  assert.ok(stream, "no stream came");
  return stream;
}

test("InboundTensor.readInto() refuses memory that is smaller than what came of a tensor of unknown length", () => {
  for (const ended of [false, true]) {
    const pair = new TensorPair();
    pair.acceptor.onStream = () => {};
    pair.acceptor.onReadable = () => {};
    const sent = pair.dialler.send(UNKNOWN);
    pair.dialler.session.write(sent, patternBytes(100_000));
    if (ended) pair.dialler.session.endStream(sent);
    pair.run();
    assert.throws(
      () => only(pair.acceptor).readInto(new Uint8Array(99_999)),
      hasCode("ASOC_TENSOR_TOO_LARGE"),
    );
    pair.dialler.session.endStream(sent);
    pair.run();
    assert.equal(pair.acceptor.closedWith(), undefined);
  }
});

test("InboundTensor keeps no list of tiny frames: 200,000 of one byte each are copied a few times", () => {
  const pair = new TensorPair({ limits: { maxTensorBytes: MiB } });
  const { dialler, acceptor } = pair;
  dialler.mute = true;
  acceptor.onStream = () => {};
  const count = 200_000;
  const frames = new Uint8Array(count * 15);
  for (let seq = 0; seq < count; seq++) frames.set(data(1, seq, Uint8Array.of(seq)), seq * 15);
  // Too large to be assembled, so it gets no memory of its own.
  pair.inject(dialler, dialler.control(1, { ...MINIMAL_OPEN, totalBytes: 2 ** 40 }), frames);
  const stream = only(acceptor);
  assert.equal(stream.receivedBytes, count);
  assert.ok(acceptor.session.counters.grownBytes < 20 * count);
  stream.readChunks();
  pair.run();
  const bytes: Uint8Array[] = [];
  for (let piece = stream.takePiece(); piece; piece = stream.takePiece()) {
    bytes.push(piece.bytes.slice());
    stream.releasePiece(piece);
  }
  assert.ok(bytes.length < 40, `${bytes.length} pieces`);
  assert.deepEqual(
    joinBytes(...bytes),
    Uint8Array.from({ length: count }, (_, index) => index),
  );
});

test("InboundTensor of the whole budget gets it, although it was given a little before it had a reader", () => {
  const pair = new TensorPair({ limits: { memoryBudgetBytes: 65 * MiB } });
  pair.acceptor.onStream = () => {};
  const sent = pair.dialler.send(new Uint8Array(65 * MiB));
  pair.run();
  only(pair.acceptor).readWhole();
  pair.run();
  assert.equal(sent.verified, true);
});

test("InboundTensor arrives without any initial credit, whether its length is known or not", () => {
  const pair = new TensorPair({ limits: { initialCreditBytes: 0 } });
  const known = pair.dialler.send(patternBytes(10_000));
  const unknown = pair.dialler.send(UNKNOWN);
  pair.dialler.session.write(unknown, patternBytes(10_000));
  pair.dialler.session.endStream(unknown);
  pair.run();
  assert.deepEqual([known.verified, unknown.verified], [true, true]);
});

test("InboundTensor of unknown length that fills all the memory there is arrives whole, and fails with one byte more", () => {
  const CAPACITY = 4 * MiB; // twice that has no room beside it
  for (const length of [3 * MiB, CAPACITY, CAPACITY + 1]) {
    const pair = new TensorPair({ limits: { memoryBudgetBytes: 2 * CAPACITY } });
    const { dialler, acceptor } = pair;
    acceptor.onReadable = () => {};
    const sent = dialler.send(UNKNOWN);
    dialler.session.write(sent, patternBytes(length));
    dialler.session.endStream(sent);
    pair.run();
    assert.equal(sent.verified, length <= CAPACITY, `${length} bytes`);
    if (length > CAPACITY) assert.equal(only(acceptor).error?.code, "ASOC_MEMORY_BUDGET");
  }
});

test("InboundTensor lends room for the next header only within the tensor: its reader's memory behind it stays as it was", () => {
  const CHUNK = 20_000;
  for (const totalBytes of [3 * CHUNK, undefined]) {
    const pair = new TensorPair({ direct: () => true });
    const { dialler, acceptor } = pair;
    dialler.mute = true;
    const memory = new Uint8Array(4 * CHUNK).fill(7);
    acceptor.onStream = (stream) => stream.readInto(memory);
    const chunks = [0, 1, 2].map((seq) => patternBytes(CHUNK, seq));
    pair.inject(dialler, dialler.control(1, { ...MINIMAL_OPEN, totalBytes }));
    const lent = only(acceptor).target(CHUNK, HEADER_BYTES).length;
    assert.equal(lent, totalBytes === undefined ? CHUNK : CHUNK + HEADER_BYTES);
    pair.inject(dialler, ...chunks.map((chunk, seq) => data(1, seq, chunk)));
    assert.equal(only(acceptor).receivedBytes, 3 * CHUNK);
    assert.deepEqual(memory.subarray(0, 3 * CHUNK), joinBytes(...chunks));
    assert.ok(memory.subarray(3 * CHUNK).every((byte) => byte === 7));
    assert.equal(acceptor.session.counters.copiedBytes, 0);
  }
});
