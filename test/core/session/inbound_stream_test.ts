import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AsocError } from "../../../src/core/errors.ts";
import { KiB, MiB } from "../../../src/core/limits.ts";
import type { InboundContext } from "../../../src/core/session/inbound_context.ts";
import { InboundStream } from "../../../src/core/session/inbound_stream.ts";
import { BufferPool } from "../../../src/core/tensor/buffer_pool.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { joinBytes } from "../../support/core_frames.ts";

const CHUNK = 64 * KiB;

function contextWith(
  memoryBudgetBytes = 64 * MiB,
  limits: Partial<InboundContext["limits"]> = {},
): InboundContext {
  return {
    pool: new BufferPool({ memoryBudgetBytes, idleMemoryBytes: 0 }),
    limits: { maxTensorBytes: 64 * MiB, maxChunkAheadBytes: 4 * MiB, ...limits },
    copiedBytes: 0,
  };
}

/** Lets `bytes` arrive as one payload; false when there was no room for all of it. */
function arrive(stream: InboundStream, bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; ) {
    const target = stream.target(bytes.length - at);
    if (!target) return false;
    assert.ok(target.length > 0 && target.length <= bytes.length - at);
    const part = bytes.subarray(at, at + target.length);
    target.set(part);
    stream.filled(part.length);
    at += part.length;
  }
  return true;
}

function takeAll(stream: InboundStream): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let piece = stream.takePiece(); piece; piece = stream.takePiece()) {
    parts.push(piece.bytes.slice());
    stream.releasePiece(piece);
  }
  return joinBytes(...parts);
}

const hasCode = (code: string) => (error: unknown) => error instanceof AsocError && error.code === code;

test("InboundStream assembles a tensor of any length, counts what growth copied, and gives all memory back", () => {
  const context = contextWith();
  const stream = new InboundStream(1, context);
  const bytes = patternBytes(3 * MiB + 5);
  for (let at = 0; at < bytes.length; at += CHUNK) arrive(stream, bytes.subarray(at, at + CHUNK));
  stream.finish();
  const whole = stream.takeWhole();
  assert.deepEqual(whole.bytes, bytes);
  assert.ok(
    context.copiedBytes > 0 && context.copiedBytes < 2 * bytes.length,
    `${context.copiedBytes} bytes were copied`,
  );
  whole.buffer?.release();
  assert.equal(context.pool.usedBytes, 0);
});

test("InboundStream begins with the size of the peer's last tensor, so that the next one of its size never grows", () => {
  const context = contextWith();
  for (let turn = 0; turn < 2; turn++) {
    const stream = new InboundStream(1, context);
    context.copiedBytes = 0;
    for (let i = 0; i < 5; i++) arrive(stream, new Uint8Array(MiB));
    stream.finish();
    stream.takeWhole().buffer?.release();
    assert.equal(context.copiedBytes > 0, turn === 0);
  }
  assert.equal(context.pool.usedBytes, 0);
});

test("InboundStream tells tensors cut into small frames from those cut into large ones", () => {
  const context = contextWith();
  const tensor = (frameBytes: number, frames: number) => {
    const stream = new InboundStream(1, context);
    context.copiedBytes = 0;
    for (let i = 0; i < frames; i++) arrive(stream, new Uint8Array(frameBytes));
    stream.finish();
    const { buffer } = stream.takeWhole();
    const heldBytes = context.pool.usedBytes;
    buffer?.release();
    return { heldBytes, copiedBytes: context.copiedBytes };
  };
  tensor(MiB, 5);
  tensor(CHUNK, 16);
  tensor(KiB, 1);
  assert.deepEqual(tensor(MiB, 5), { heldBytes: 5 * MiB, copiedBytes: 0 });
  assert.deepEqual(tensor(CHUNK, 16), { heldBytes: MiB, copiedBytes: 0 });
  assert.deepEqual(tensor(KiB, 1), { heldBytes: 4 * KiB, copiedBytes: 0 });
});

test("InboundStream leaves none of the memory that a tensor has outgrown in the pool", () => {
  const pool = new BufferPool({ memoryBudgetBytes: 64 * MiB, idleMemoryBytes: 64 * MiB });
  const stream = new InboundStream(1, { ...contextWith(), pool });
  for (let i = 0; i < 8; i++) arrive(stream, new Uint8Array(MiB));
  stream.finish();
  stream.takeWhole().buffer?.release();
  assert.equal(pool.idleBytes, 8 * MiB);
});

test("InboundStream takes no more than three quarters of the free memory on the word of the last size", () => {
  const context = contextWith(16 * MiB);
  context.pool.sizeHints.set(Math.clz32(MiB), 1000 * MiB);
  arrive(new InboundStream(1, context), new Uint8Array(MiB));
  assert.ok(context.pool.usedBytes <= 12 * MiB);
});

test("InboundStream assembles no tensor over maxTensorBytes", () => {
  const context = contextWith(64 * MiB, { maxTensorBytes: 100_000 });
  const stream = new InboundStream(1, context);
  arrive(stream, new Uint8Array(60_000));
  assert.throws(() => stream.target(40_001), hasCode("ASOC_TENSOR_TOO_LARGE"));
  assert.equal(stream.target(40_000) !== undefined, true);
});

test("InboundStream with the caller's memory fills exactly that, from the first byte, and copies nothing", () => {
  const context = contextWith();
  const stream = new InboundStream(1, context);
  const memory = new Uint8Array(100_000);
  stream.prepareInto(memory);
  assert.equal(stream.target(50_000)?.buffer, memory.buffer);
  arrive(stream, patternBytes(100_000));
  stream.finish();
  const whole = stream.takeWhole();
  assert.equal(whole.buffer, undefined);
  assert.equal(whole.bytes.buffer, memory.buffer);
  assert.deepEqual(memory, patternBytes(100_000));
  assert.deepEqual([context.copiedBytes, context.pool.usedBytes], [0, 0]);
});

test("InboundStream hands over only what came when the caller's memory is larger", () => {
  const stream = new InboundStream(1, contextWith());
  stream.readInto(new Uint8Array(10).fill(9));
  arrive(stream, Uint8Array.of(1, 2, 3));
  stream.finish();
  assert.deepEqual(stream.takeWhole().bytes, Uint8Array.of(1, 2, 3));
});

test("InboundStream copies what came before the caller's memory was given, and gives the pool's back", () => {
  const context = contextWith();
  const stream = new InboundStream(1, context);
  arrive(stream, patternBytes(30_000));
  const memory = new Uint8Array(50_000);
  stream.readInto(memory);
  arrive(stream, patternBytes(20_000, 1));
  assert.equal(context.pool.usedBytes, 0);
  assert.equal(context.copiedBytes, 30_000);
  stream.finish();
  assert.deepEqual(stream.takeWhole().bytes, joinBytes(patternBytes(30_000), patternBytes(20_000, 1)));
});

test("InboundStream refuses a tensor that is too large for the caller's memory, before, while and after it comes", () => {
  const context = contextWith();
  const early = new InboundStream(1, context);
  early.readInto(new Uint8Array(99));
  assert.throws(() => early.target(100), hasCode("ASOC_TENSOR_TOO_LARGE"));
  const late = new InboundStream(3, context);
  arrive(late, new Uint8Array(100));
  late.readInto(new Uint8Array(99));
  assert.throws(() => late.target(1), hasCode("ASOC_TENSOR_TOO_LARGE"));
  late.dropMemory();
  const whole = new InboundStream(5, context);
  arrive(whole, new Uint8Array(100));
  whole.finish();
  whole.readInto(new Uint8Array(99));
  assert.throws(() => whole.takeWhole(), hasCode("ASOC_TENSOR_TOO_LARGE"));
  assert.equal(context.pool.usedBytes, 0, "a tensor that was not handed over keeps memory");
});

test("InboundStream loses no byte when the way of reading changes after memory was prepared", () => {
  const bytes = patternBytes(200_000);
  const [head, tail] = [bytes.subarray(0, 120_000), bytes.subarray(120_000)];
  const context = contextWith();
  const chunked = new InboundStream(1, context);
  chunked.prepareInto(new Uint8Array(500_000));
  arrive(chunked, head);
  chunked.readChunks();
  arrive(chunked, tail);
  chunked.finish();
  assert.deepEqual(takeAll(chunked), bytes);
  const moved = new InboundStream(3, context);
  moved.prepareInto(new Uint8Array(500_000));
  arrive(moved, head);
  const memory = new Uint8Array(200_000);
  moved.readInto(memory);
  arrive(moved, tail);
  moved.finish();
  assert.deepEqual(moved.takeWhole().bytes, bytes);
  assert.deepEqual(memory, bytes);
  const later = new InboundStream(5, context);
  later.prepareInto(new Uint8Array(500_000));
  arrive(later, bytes);
  later.finish();
  later.readChunks();
  assert.deepEqual(takeAll(later), bytes);
  assert.equal(context.pool.usedBytes, 0);
});

test("InboundStream has one reader", () => {
  const stream = new InboundStream(1, contextWith());
  stream.readWhole();
  for (const again of [
    () => stream.readWhole(),
    () => stream.readChunks(),
    () => stream.readInto(new Uint8Array(1)),
  ])
    assert.throws(again, TypeError);
});

test("InboundStream read chunk by chunk copies nothing, hands the bytes on in order, and stalls when its reader is behind", () => {
  const context = contextWith(64 * MiB, { maxChunkAheadBytes: 200_000 });
  const stream = new InboundStream(1, context);
  stream.readChunks();
  const bytes = patternBytes(CHUNK);
  let arrived = 0;
  while (arrive(stream, bytes)) arrived++;
  assert.ok(arrived >= 3 && arrived <= 5, `${arrived} chunks ahead`);
  assert.ok(context.pool.usedBytes <= 200_000 + CHUNK);
  const piece = stream.takePiece();
  assert.ok(piece);
  assert.equal(stream.target(10), undefined, "taken, but still held by the reader");
  stream.releasePiece(piece);
  const used = context.pool.usedBytes;
  assert.notEqual(stream.target(10), undefined);
  assert.ok(context.pool.usedBytes > used);
  stream.finish();
  takeAll(stream);
  assert.deepEqual([context.copiedBytes, context.pool.usedBytes], [0, 0]);
});

test("InboundStream hands on the part of a chunk that has come, and the rest later", () => {
  const context = contextWith();
  const stream = new InboundStream(1, context);
  stream.readChunks();
  const bytes = patternBytes(1000);
  arrive(stream, bytes.subarray(0, 300));
  assert.equal(stream.hasPieces, true);
  const first = stream.takePiece();
  arrive(stream, bytes.subarray(300));
  stream.finish();
  const second = stream.takePiece();
  assert.ok(first && second);
  assert.deepEqual(joinBytes(first.bytes, second.bytes), bytes);
  stream.releasePiece(first);
  stream.releasePiece(second);
  assert.equal(stream.takePiece(), undefined);
  assert.equal(context.pool.usedBytes, 0);
});

test("InboundStream gives what was assembled to a reader of chunks that comes later", () => {
  for (const isLate of [false, true]) {
    const context = contextWith();
    const stream = new InboundStream(1, context);
    const bytes = patternBytes(300_000);
    arrive(stream, bytes.subarray(0, 150_000));
    if (!isLate) stream.readChunks();
    arrive(stream, bytes.subarray(150_000));
    stream.finish();
    if (isLate) stream.readChunks();
    assert.deepEqual(takeAll(stream), bytes);
    assert.equal(context.pool.usedBytes, 0);
  }
});

test("InboundStream gives a reader of chunks at once what has come before it", () => {
  const stream = new InboundStream(1, contextWith());
  arrive(stream, patternBytes(1000));
  stream.readChunks();
  assert.equal(stream.hasPieces, true);
  assert.deepEqual(takeAll(stream), patternBytes(1000));
});

test("InboundStream gives its memory back when it is discarded, however it was read", () => {
  for (const prepare of [
    () => {},
    (s: InboundStream) => s.readChunks(),
    (s: InboundStream) => s.readInto(new Uint8Array(MiB)),
  ]) {
    const context = contextWith();
    const stream = new InboundStream(1, context);
    prepare(stream);
    arrive(stream, patternBytes(200_000));
    stream.discard();
    assert.equal(stream.discarded, true);
    stream.finish();
    assert.equal(context.pool.usedBytes, 0);
    assert.equal(stream.hasPieces, false);
  }
});

test("InboundStream keeps a piece valid that its reader holds while the stream is dropped", () => {
  const context = contextWith();
  const stream = new InboundStream(1, context);
  stream.readChunks();
  arrive(stream, patternBytes(500));
  const piece = stream.takePiece();
  assert.ok(piece);
  stream.fail(new AsocError("ASOC_INCOMPLETE_STREAM", "lost"));
  stream.dropMemory();
  assert.deepEqual(piece.bytes, patternBytes(500));
  assert.notEqual(context.pool.usedBytes, 0);
  stream.releasePiece(piece);
  assert.equal(context.pool.usedBytes, 0);
});

test("InboundStream waits for memory that a reader can release, and fails when all of it is still arriving", () => {
  for (const way of ["assemble", "chunks"]) {
    const context = contextWith(2 * CHUNK);
    const other = context.pool.acquire(2 * CHUNK - 4 * KiB);
    const stream = new InboundStream(1, context);
    if (way === "chunks") stream.readChunks();
    assert.throws(() => stream.target(CHUNK), hasCode("ASOC_MEMORY_BUDGET"), way);
    other?.delivered();
    assert.equal(stream.target(CHUNK), undefined, way);
    other?.release();
    assert.notEqual(stream.target(CHUNK), undefined, way);
  }
});

test("InboundStream grows in a tight budget by less than double rather than fail", () => {
  const context = contextWith(1000 * KiB);
  const stream = new InboundStream(1, context);
  const bytes = patternBytes(500 * KiB);
  for (let at = 0; at < bytes.length; at += 10 * KiB)
    assert.equal(arrive(stream, bytes.subarray(at, at + 10 * KiB)), true);
  stream.finish();
  const whole = stream.takeWhole();
  assert.deepEqual(whole.bytes, bytes);
  whole.buffer?.release();
});

test("whatever arrives is read equal in every way, with the reader's choice at any moment", () => {
  const ways = fc.constantFrom("whole", "into", "chunks");
  const parts = fc.array(fc.nat(100_000), { maxLength: 8 });
  fc.assert(
    fc.property(parts, ways, fc.nat(9), fc.boolean(), (sizes, way, moment, isPrepared) => {
      const context = contextWith();
      const stream = new InboundStream(1, context);
      const bytes = sizes.map((size, index) => patternBytes(size, index));
      const total = sizes.reduce((sum, size) => sum + size, 0);
      if (isPrepared) stream.prepareInto(new Uint8Array(total));
      const choose = () => {
        if (way === "whole") stream.readWhole();
        else if (way === "chunks") stream.readChunks();
        else stream.readInto(new Uint8Array(total));
      };
      const got: Uint8Array[] = [];
      for (const [index, part] of bytes.entries()) {
        if (index === moment) choose();
        assert.equal(arrive(stream, part), true);
        if (way === "chunks" && index >= moment) got.push(takeAll(stream));
      }
      stream.finish();
      if (moment >= bytes.length) choose();
      if (way === "chunks") got.push(takeAll(stream));
      else {
        const whole = stream.takeWhole();
        got.push(whole.bytes.slice());
        whole.buffer?.release();
      }
      assert.deepEqual(joinBytes(...got), joinBytes(...bytes));
      assert.equal(context.pool.usedBytes, 0);
    }),
    { numRuns: 100 },
  );
});
