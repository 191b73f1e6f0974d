import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { KiB, MiB, READ_BYTES, SMALL_PAYLOAD_BYTES } from "../../../src/core/limits.ts";
import { fromHex } from "../../../src/core/wire/bytes.ts";
import { type FrameConsumer, FrameReader } from "../../../src/core/wire/frame_reader.ts";
import { HEADER_BYTES, type Header } from "../../../src/core/wire/header.ts";
import { patternBytes, seededRandom } from "../../support/core_crypto.ts";
import { data, end, frame, header, joinBytes } from "../../support/core_frames.ts";
import { vectors } from "../../support/core_vectors.ts";

interface Frame extends Header {
  payload: string;
}

const toHex = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");

/** The naive decoder: the whole stream at once. */
function decodeAll(bytes: Uint8Array): Frame[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const payloadBytes = view.getUint32(at + 10);
    frames.push({
      type: view.getUint8(at + 1),
      streamId: view.getUint32(at + 2),
      seq: view.getUint32(at + 6),
      payloadBytes,
      payload: toHex(bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + payloadBytes)),
    });
    at += HEADER_BYTES + payloadBytes;
  }
  return frames;
}

/** Keeps frames; gives room in pieces, and sometimes none. */
class Keeper implements FrameConsumer {
  readonly frames: Frame[] = [];
  hasRoom: () => boolean = () => true;
  roomBytes: () => number = () => 1 << 30;
  /** The next header may be read along. */
  hasSpare: () => boolean = () => false;
  memory = new Uint8Array(0);
  #header: Header = { type: 0, streamId: 0, seq: 0, payloadBytes: 0 };
  #target: Uint8Array = this.memory;
  #payload: string[] = [];
  #looks = 0;

  onHeader(next: Header): void {
    this.#header = { ...next };
    this.#payload = [];
  }
  payloadTarget(remainingBytes: number, spareBytes: number): Uint8Array | undefined {
    assert.ok(remainingBytes > 0, "asked for room for nothing");
    if (!this.hasRoom()) return undefined;
    const length = Math.max(1, Math.min(remainingBytes, this.roomBytes()));
    const spare = length === remainingBytes && this.hasSpare() ? spareBytes : 0;
    this.memory = new Uint8Array(length + spare);
    this.#target = this.memory;
    return this.#target;
  }
  /** Every second time: the reader has to ask again, and not to. */
  get targetMoved(): boolean {
    return this.#looks++ % 2 === 1;
  }
  onPayload(byteCount: number): void {
    this.#payload.push(toHex(this.#target.subarray(0, byteCount)));
  }
  onFrameEnd(): void {
    this.frames.push({ ...this.#header, payload: this.#payload.join("") });
  }
}

/** Feeds `bytes` in random ways; retries after a stall at random moments. */
function feed(reader: FrameReader, bytes: Uint8Array, random: () => number, maxPartBytes: number): void {
  const size = () => 1 + Math.floor(random() * random() * maxPartBytes);
  let at = 0;
  let lent: Uint8Array | undefined;
  for (let steps = 0; at < bytes.length || reader.stalled; steps++) {
    assert.ok(steps < 1_000_000, "no progress");
    if (reader.stalled && random() < 0.5) {
      reader.retry();
      continue;
    }
    if (at >= bytes.length) continue;
    // What was lent must be committed before anything is pushed; retry() may come between.
    if (lent || random() < 0.6) {
      if (!lent) {
        lent = reader.next();
        assert.ok(lent.length > 0, "next() was empty");
        if (random() < 0.2) continue;
      }
      const part = bytes.subarray(at, at + Math.min(size(), lent.length));
      lent.set(part);
      lent = undefined;
      at += part.length;
      reader.commit(part.length);
    } else {
      const part = bytes.slice(at, at + size());
      at += part.length;
      reader.push(part);
      part.fill(0xee); // valid during the call only
    }
  }
}

const tiny = () => fc.nat(40);
const mixed = () =>
  fc.oneof(
    { weight: 6, arbitrary: tiny() },
    { weight: 2, arbitrary: fc.nat(3000) },
    { weight: 1, arbitrary: fc.integer({ min: SMALL_PAYLOAD_BYTES - 1, max: SMALL_PAYLOAD_BYTES + 1 }) },
    { weight: 1, arbitrary: fc.integer({ min: 20_000, max: 60_000 }) },
  );
const frames = (sizes: fc.Arbitrary<number>) => {
  const one = fc.record({
    type: fc.nat(255),
    streamId: fc.nat(0xffff_ffff),
    seq: fc.nat(0xffff_ffff),
    size: sizes,
  });
  return fc
    .array(one, { maxLength: 30 })
    .map((list) =>
      joinBytes(
        ...list.map(({ type, streamId, seq, size }, index) =>
          frame(type, streamId, seq, patternBytes(size, index)),
        ),
      ),
    );
};

test("FrameReader finds the same frames as a naive decoder, however the bytes are cut and read, with and without room", () => {
  const input = fc.oneof(
    fc.tuple(frames(tiny()), fc.constantFrom(1, 2, 20)),
    fc.tuple(frames(mixed()), fc.constantFrom(300, 5000, 100_000)),
  );
  fc.assert(
    fc.property(input, fc.nat(), fc.constantFrom(0, 0.1, 0.5), ([bytes, maxPartBytes], seed, stallShare) => {
      const random = seededRandom(seed);
      const keeper = new Keeper();
      keeper.hasRoom = () => random() >= stallShare;
      keeper.roomBytes = () => (random() < 0.5 ? 1 + Math.floor(random() * 5000) : 1 << 30);
      keeper.hasSpare = () => random() < 0.5;
      const reader = new FrameReader(keeper);
      feed(reader, bytes, random, maxPartBytes);
      assert.deepEqual(keeper.frames, decodeAll(bytes));
      assert.equal(reader.atBoundary, true);
    }),
    { numRuns: 150 },
  );
});

test("FrameReader reads the golden frames and streams in parts of one byte, pushed and in place", () => {
  const golden = fromHex(
    [...vectors.frames.map((v) => v.frame), ...vectors.streams.map((v) => v.wire)].join(""),
  );
  for (const direct of [false, true]) {
    const keeper = new Keeper();
    const reader = new FrameReader(keeper);
    for (const byte of golden) {
      if (!direct) reader.push(Uint8Array.of(byte));
      else {
        reader.next()[0] = byte;
        reader.commit(1);
      }
    }
    assert.deepEqual(keeper.frames, decodeAll(golden));
  }
});

/** Reads all of `bytes` in place, as large as the reader takes it. */
function readInPlace(reader: FrameReader, bytes: Uint8Array): number[] {
  const reads: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const target = reader.next();
    const part = bytes.subarray(at, at + target.length);
    target.set(part);
    at += part.length;
    reads.push(part.length);
    reader.commit(part.length);
  }
  return reads;
}

test("FrameReader copies no byte of large frames that are read in place", () => {
  const bytes = joinBytes(
    data(1, 0, patternBytes(2 * MiB + 5)),
    data(1, 1, patternBytes(SMALL_PAYLOAD_BYTES + 1)),
    end(1, 2),
  );
  const keeper = new Keeper();
  const reader = new FrameReader(keeper);
  const reads = readInPlace(reader, bytes);
  assert.equal(reader.copiedBytes, 0);
  assert.deepEqual(reads, [14, READ_BYTES, READ_BYTES, 5, 14, SMALL_PAYLOAD_BYTES + 1, 14]);
  assert.deepEqual(keeper.frames, decodeAll(bytes));
});

test("FrameReader reads the next header along with a payload where there is memory behind it", () => {
  const bytes = joinBytes(
    ...[0, 1, 2].map((seq) => data(1, seq, patternBytes(READ_BYTES + 100, seq))),
    end(1, 3),
  );
  const keeper = new Keeper();
  keeper.hasSpare = () => true;
  const reader = new FrameReader(keeper);
  const reads = readInPlace(reader, bytes);
  assert.deepEqual(reads, [14, READ_BYTES, 114, READ_BYTES, 114, READ_BYTES, 114]);
  assert.equal(reader.copiedBytes, 0);
  assert.deepEqual(keeper.frames, decodeAll(bytes));
});

test("FrameReader reads in place although some small frames lie between large ones", () => {
  const between = Array.from({ length: 7 }, () => joinBytes(header(3, 0, 0, 16), patternBytes(16)));
  const large = (seq: number) => data(1, seq, patternBytes(MiB, seq));
  const bytes = joinBytes(large(0), ...between, large(1), ...between, large(2));
  const keeper = new Keeper();
  const reader = new FrameReader(keeper);
  readInPlace(reader, bytes);
  assert.equal(reader.copiedBytes, 0);
  assert.deepEqual(keeper.frames, decodeAll(bytes));
});

test("FrameReader names the consumer's own memory for a payload", () => {
  const keeper = new Keeper();
  const reader = new FrameReader(keeper);
  reader.next().set(header(1, 1, 0, 1000));
  reader.commit(HEADER_BYTES);
  const target = reader.next();
  assert.equal(target.buffer, keeper.memory.buffer);
  assert.equal(target.length, 1000);
});

test("FrameReader reads runs of small frames through staging, many at a time", () => {
  const bytes = joinBytes(...Array.from({ length: 2000 }, (_, seq) => data(1, seq, patternBytes(100, seq))));
  const keeper = new Keeper();
  const reader = new FrameReader(keeper);
  const reads = readInPlace(reader, bytes);
  assert.ok(reads.length < 25, `${reads.length} reads for 2000 frames`);
  assert.deepEqual(keeper.frames, decodeAll(bytes));
});

test("FrameReader returns to reading in place when large frames follow small ones", () => {
  const small = joinBytes(...Array.from({ length: 50 }, (_, seq) => data(1, seq, patternBytes(10, seq))));
  const large = joinBytes(...Array.from({ length: 4 }, (_, seq) => data(3, seq, patternBytes(MiB, seq))));
  const keeper = new Keeper();
  const reader = new FrameReader(keeper);
  readInPlace(reader, joinBytes(small, large));
  assert.ok(reader.copiedBytes <= 128 * KiB, `${reader.copiedBytes} bytes were copied`);
  assert.deepEqual(keeper.frames, decodeAll(joinBytes(small, large)));
});

test("FrameReader is stalled as soon as the header of a payload without room is read in place", () => {
  const keeper = new Keeper();
  keeper.hasRoom = () => false;
  const reader = new FrameReader(keeper);
  reader.next().set(header(1, 1, 0, 50_000));
  reader.commit(HEADER_BYTES);
  assert.equal(reader.stalled, true);
});

test("FrameReader spills what comes while it is stalled, and takes it in order at retry()", () => {
  const bytes = joinBytes(data(1, 0, patternBytes(3000)), data(1, 1, patternBytes(3000, 1)), end(1, 2));
  const keeper = new Keeper();
  keeper.hasRoom = () => false;
  const reader = new FrameReader(keeper);
  reader.push(bytes.slice(0, 1000));
  assert.equal(reader.stalled, true);
  const spill = reader.next();
  spill.set(bytes.subarray(1000, 1500));
  reader.commit(500);
  reader.push(bytes.slice(1500));
  assert.deepEqual(keeper.frames, []);
  assert.equal(reader.atBoundary, false);
  reader.retry();
  assert.equal(reader.stalled, true);
  keeper.hasRoom = () => true;
  reader.retry();
  assert.equal(reader.stalled, false);
  assert.deepEqual(keeper.frames, decodeAll(bytes));
});

test("FrameReader.commit() refuses counts that cannot be", () => {
  const reader = new FrameReader(new Keeper());
  assert.throws(() => reader.commit(1), RangeError);
  reader.next();
  for (const byteCount of [0, -1, HEADER_BYTES + 1])
    assert.throws(() => reader.commit(byteCount), RangeError);
});

test("FrameReader asks for no room before the consumer has passed the header", () => {
  for (const direct of [false, true]) {
    const keeper = new Keeper();
    let asked = 0;
    keeper.hasRoom = () => asked++ >= 0;
    keeper.onHeader = () => {
      throw new Error("too large");
    };
    const reader = new FrameReader(keeper);
    const bytes = header(1, 1, 0, 0xffff_ffff);
    if (direct) reader.next().set(bytes);
    assert.throws(() => (direct ? reader.commit(HEADER_BYTES) : reader.push(bytes)), /too large/);
    assert.equal(asked, 0);
  }
});
