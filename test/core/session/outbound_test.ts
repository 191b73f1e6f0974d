import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AsocError } from "../../../src/core/errors.ts";
import { KiB, MAX_WRITE_BYTES, MIN_WRITE_BYTES, MiB, SMALL_PAYLOAD_BYTES } from "../../../src/core/limits.ts";
import { Outbound, type OutboundStream } from "../../../src/core/session/outbound.ts";
import { fromHex, toHex } from "../../../src/core/wire/bytes.ts";
import { decodeHeader, FrameType, HEADER_BYTES, type Header } from "../../../src/core/wire/header.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { joinBytes } from "../../support/core_frames.ts";
import { vectors } from "../../support/core_vectors.ts";

/** The next batch as its parts; they are only valid until it is written. */
function batch(outbound: Outbound, nowMs = 0): Uint8Array[] {
  const parts: Uint8Array[] = [];
  outbound.pollTransmit(parts, nowMs);
  return parts;
}

/** Writes all there is, each batch taking `tookMs`; returns the bytes and the size of each batch. */
function writeAll(outbound: Outbound, tookMs = 0): { bytes: Uint8Array; sizes: number[] } {
  const all: Uint8Array[] = [];
  const sizes: number[] = [];
  for (let nowMs = 0; ; nowMs += tookMs) {
    const bytes = joinBytes(...batch(outbound, nowMs));
    if (bytes.length === 0) return { bytes: joinBytes(...all), sizes };
    all.push(bytes);
    sizes.push(bytes.length);
    outbound.handleWritten(nowMs + tookMs, () => {});
  }
}

function send(outbound: Outbound, bytes: Uint8Array, chunkBytes?: number): OutboundStream {
  const stream = outbound.open(chunkBytes);
  outbound.write(stream, bytes);
  outbound.end(stream);
  return stream;
}

function headers(bytes: Uint8Array): Header[] {
  const found: Header[] = [];
  for (let at = 0; at < bytes.length; ) {
    const header: Header = { type: 0, streamId: 0, seq: 0, payloadBytes: 0 };
    decodeHeader(bytes, at, header);
    found.push(header);
    at += HEADER_BYTES + header.payloadBytes;
  }
  return found;
}

test("Outbound writes the golden streams", () => {
  for (const { streamId, chunkSize, tensor, wire } of vectors.streams) {
    const outbound = new Outbound(streamId);
    send(outbound, fromHex(tensor), chunkSize);
    assert.equal(toHex(writeAll(outbound).bytes), wire);
  }
});

test("Outbound gives ids of one parity that go up by two", () => {
  for (const first of [1, 2]) {
    const outbound = new Outbound(first);
    assert.deepEqual(
      [outbound.open().id, outbound.open().id, outbound.open().id],
      [first, first + 2, first + 4],
    );
  }
});

test("Outbound begins again after the last id, and passes over those that are open", () => {
  const outbound = new Outbound(0xffff_fffd);
  outbound.open();
  const last = send(outbound, new Uint8Array(0));
  assert.equal(last.id, 0xffff_ffff);
  writeAll(outbound);
  assert.equal(outbound.open().id, 0xffff_ffff, "the first id is still open here");
});

test("Outbound never joins header and payload of a large chunk: its part is the caller's own memory", () => {
  const outbound = new Outbound(1);
  const bytes = patternBytes(MiB);
  send(outbound, bytes, 64 * KiB);
  const parts = batch(outbound);
  const large = parts.filter((part) => part.length > SMALL_PAYLOAD_BYTES);
  assert.equal(large.length, 4);
  for (const part of large) assert.equal(part.buffer, bytes.buffer);
  assert.deepEqual(
    parts.map((part) => part.length),
    [14, 65_536, 14, 65_536, 14, 65_536, 14, 65_536],
  );
});

test("Outbound writes many small frames as one part", () => {
  const outbound = new Outbound(1);
  for (let i = 0; i < 100; i++) send(outbound, patternBytes(1000, i));
  const parts = batch(outbound);
  assert.equal(parts.length, 1);
  assert.ok((parts[0]?.length ?? 0) >= 100_000);
});

test("Outbound keeps the order of small and large chunks in one batch", () => {
  const outbound = new Outbound(1);
  const sizes = [100, 40_000, 200, 16 * KiB, 16 * KiB + 1, 5];
  for (const [index, size] of sizes.entries()) send(outbound, patternBytes(size, index));
  const { bytes } = writeAll(outbound);
  assert.deepEqual(
    headers(bytes)
      .filter(({ type }) => type === FrameType.DATA)
      .map(({ payloadBytes }) => payloadBytes),
    sizes,
  );
});

test("Outbound has one batch under way at a time, and leaves its memory alone until it is written", () => {
  const outbound = new Outbound(1);
  for (let i = 0; i < 10; i++) send(outbound, patternBytes(500, i));
  const parts = batch(outbound);
  const copy = joinBytes(...parts);
  for (let i = 0; i < 10; i++) send(outbound, patternBytes(500, 50 + i));
  outbound.sendControl(FrameType.CONTROL, new Uint8Array(3));
  assert.deepEqual(batch(outbound), []);
  assert.deepEqual(joinBytes(...parts), copy);
  outbound.handleWritten(0, () => {});
  const [control] = headers(joinBytes(...batch(outbound)));
  assert.equal(control?.type, FrameType.CONTROL, "control frames come first");
});

test("Outbound writes more at once while writes are fast, and less when they are slow", () => {
  const fast = new Outbound(1);
  send(fast, new Uint8Array(32 * MiB));
  const { sizes } = writeAll(fast, 1);
  assert.ok((sizes[0] ?? 0) < MiB);
  assert.ok(
    Math.max(...sizes) >= MAX_WRITE_BYTES && Math.max(...sizes) <= MAX_WRITE_BYTES + 2 * MIN_WRITE_BYTES,
  );
  const slow = new Outbound(1);
  send(slow, new Uint8Array(4 * MiB));
  const last = writeAll(slow, 60).sizes.at(-2) ?? 0;
  assert.ok(last <= 2 * MIN_WRITE_BYTES + HEADER_BYTES, `${last} bytes on a slow link`);
  const middling = new Outbound(1);
  send(middling, new Uint8Array(4 * MiB));
  const steady = new Set(writeAll(middling, 20).sizes.slice(0, 4));
  assert.equal(Math.max(...steady) < 2 * Math.min(...steady), true);
});

test("Outbound takes turns chunk by chunk, and goes on with a chunk that a batch has cut", () => {
  const outbound = new Outbound(1);
  for (let i = 0; i < 3; i++) send(outbound, patternBytes(200_000, i), 50_000);
  const order = headers(writeAll(outbound).bytes)
    .filter(({ type }) => type === FrameType.DATA)
    .map(({ streamId }) => streamId);
  assert.equal(order.length, 12);
  for (let i = 3; i < 9; i += 3) assert.equal(new Set(order.slice(i, i + 3)).size, 3, order.join());
});

test("Outbound lets a stream that has not sent yet go before bulk at the second turn", () => {
  const outbound = new Outbound(1);
  send(outbound, new Uint8Array(4 * MiB));
  batch(outbound);
  outbound.handleWritten(0, () => {});
  const small = send(outbound, patternBytes(10));
  for (let i = 0; i < 3 && !small.done; i++) {
    batch(outbound);
    outbound.handleWritten(0, () => {});
  }
  assert.equal(small.done, true);
});

test("Outbound cuts bulk into short chunks for a second after a small tensor has come in between, and no longer", () => {
  const outbound = new Outbound(1);
  send(outbound, new Uint8Array(32 * MiB));
  const written: Uint8Array[] = [];
  const write = (...times: number[]) => {
    for (const nowMs of times) {
      written.push(joinBytes(...batch(outbound, nowMs)));
      outbound.handleWritten(nowMs, () => {});
    }
  };
  write(0, 0);
  const small = send(outbound, patternBytes(10));
  write(0, 1, 500, 999);
  write(1001, 1002);
  const sent = headers(joinBytes(...written)).filter(({ type }) => type === FrameType.DATA);
  const at = sent.findIndex(({ streamId }) => streamId === small.id);
  const sizes = (list: Header[]) => list.map(({ payloadBytes }) => payloadBytes / KiB);
  assert.deepEqual(new Set(sizes(sent.slice(0, at))), new Set([1024]));
  assert.deepEqual(sizes(sent.slice(at + 1, at + 5)), [512, 512, 512, 512]);
  assert.deepEqual(new Set(sizes(sent.slice(at + 5))), new Set([1024]));
});

test("Outbound does not let bulk starve behind streams that have not sent yet", () => {
  const outbound = new Outbound(1);
  const bulk = send(outbound, new Uint8Array(4 * MiB));
  batch(outbound);
  outbound.handleWritten(0, () => {});
  const small = Array.from({ length: 400 }, () => send(outbound, new Uint8Array(10_000)));
  while (!bulk.done) {
    batch(outbound);
    outbound.handleWritten(0, () => {});
  }
  assert.ok(small.filter(({ done }) => done).length < 100, "every second turn is bulk's");
});

test("Outbound says a stream is writable again only when its bytes are in the kernel", () => {
  const outbound = new Outbound(1);
  const stream = outbound.open(1000);
  outbound.write(stream, patternBytes(1500));
  assert.equal(stream.writable, false);
  assert.throws(() => outbound.write(stream, patternBytes(1)), /not writable/);
  batch(outbound);
  assert.equal(stream.writable, false);
  assert.equal(stream.sentBytes, 0);
  const moved: number[] = [];
  outbound.handleWritten(0, (one) => moved.push(one.id));
  assert.deepEqual(moved, [1], "told once although it had two turns");
  assert.equal(stream.writable, true);
  assert.equal(stream.sentBytes, 1500);
  outbound.end(stream);
  outbound.end(stream);
  assert.equal(stream.writable, false);
  assert.deepEqual(headers(writeAll(outbound).bytes), [
    { type: FrameType.END, streamId: 1, seq: 2, payloadBytes: 0 },
  ]);
  assert.equal(stream.done, true);
  assert.equal(outbound.idle, true);
});

test("Outbound.fail() fails all that is not done, and forgets it", () => {
  const outbound = new Outbound(1);
  const [a, b] = [send(outbound, patternBytes(10)), outbound.open()];
  batch(outbound);
  outbound.handleWritten(0, () => {});
  const failed: number[] = [];
  outbound.fail(
    () => new AsocError("ASOC_CONNECTION_LOST", "lost"),
    (stream) => failed.push(stream.id),
  );
  assert.deepEqual(failed, [b.id]);
  assert.deepEqual([a.error, b.error?.code, b.done], [undefined, "ASOC_CONNECTION_LOST", true]);
  assert.equal(outbound.openStreams, 0);
  assert.deepEqual(batch(outbound), []);
});

test("whatever is written to any number of streams comes out once, in order, with seq from 0 and END last", () => {
  const streams = fc.array(
    fc.record({
      sizes: fc.array(fc.oneof(fc.nat(50), fc.nat(40_000)), { maxLength: 4 }),
      chunkBytes: fc.integer({ min: 7, max: 30_000 }),
      abandonAt: fc.option(fc.nat(3)),
    }),
    { minLength: 1, maxLength: 6 },
  );
  fc.assert(
    fc.property(streams, (plan) => {
      const outbound = new Outbound(2);
      const open = plan.map(({ sizes, chunkBytes, abandonAt }, index) => ({
        stream: outbound.open(chunkBytes),
        parts: sizes.map((size, part) => patternBytes(size, index * 10 + part)),
        at: 0,
        abandonAt: abandonAt ?? undefined,
      }));
      const all: Uint8Array[] = [];
      for (let turns = 0; open.some(({ stream }) => !stream.done); turns++) {
        assert.ok(turns < 10_000, "no end");
        for (const one of open) {
          if (one.at === one.abandonAt) outbound.abandon(one.stream, () => {});
          if (!one.stream.writable) continue;
          const part = one.parts[one.at++];
          if (part) outbound.write(one.stream, part);
          else outbound.end(one.stream);
        }
        all.push(joinBytes(...batch(outbound)));
        if (outbound.inFlight) outbound.handleWritten(0, () => {});
      }
      assert.equal(outbound.idle, true);
      const got = new Map<number, { seq: number; bytes: Uint8Array[]; ended: boolean }>();
      const wire = joinBytes(...all);
      let at = 0;
      for (const header of headers(wire)) {
        const state = got.get(header.streamId) ?? { seq: 0, bytes: [], ended: false };
        got.set(header.streamId, state);
        at += HEADER_BYTES;
        assert.equal(state.ended, false, "a frame after END");
        if (header.seq !== 0xffff_ffff) {
          assert.equal(header.seq, state.seq);
          if (header.type === FrameType.DATA) state.seq++;
        }
        state.bytes.push(wire.slice(at, at + header.payloadBytes));
        at += header.payloadBytes;
        state.ended = header.type === FrameType.END;
      }
      for (const { stream, parts } of open) {
        if (stream.abandoned) continue;
        assert.deepEqual(joinBytes(...(got.get(stream.id)?.bytes ?? [])), joinBytes(...parts));
        assert.equal(got.get(stream.id)?.ended, true);
      }
    }),
    { numRuns: 60 },
  );
});
