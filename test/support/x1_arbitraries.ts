/** Random records of every kind, within what the wire can say. */
import fc from "fast-check";
import type { CapsRecord } from "../../src/core/wire/records/caps.ts";
import { digestBytes } from "../../src/core/wire/records/close.ts";
import type { OpenRecord } from "../../src/core/wire/records/open.ts";
import type { X1Record } from "../../src/core/wire/records/records.ts";

const u8 = () => fc.integer({ min: 0, max: 0xff });
const u16 = () => fc.integer({ min: 0, max: 0xffff });
const u32 = () => fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = () => fc.maxSafeNat();
const bytes = (byteCount: number) => fc.uint8Array({ minLength: byteCount, maxLength: byteCount });
/** Text of at most `maxBytes` bytes of UTF-8: a character has 4 at most. */
const text = (maxBytes: number, minLength = 0) =>
  fc.string({ unit: "binary", minLength, maxLength: Math.floor(maxBytes / 4) });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

/** Objects as literals make them. */
const fields = <T>(model: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;

const address = () =>
  fields({
    host: fc.stringMatching(/^[0-9A-Za-z._:-]{1,30}$/),
    port: fc.integer({ min: 1, max: 0xffff }),
  });

export const caps = (): fc.Arbitrary<CapsRecord> =>
  fields({
    kind: fc.constant("caps"),
    extVersion: fc.integer({ min: 1, max: 0xff }),
    keepaliveS: u8(),
    maxStreams: u16(),
    maxFrameBytes: u32(),
    initialCreditBytes: u32(),
    capabilities: u32(),
    uuid: bytes(16),
    nonce: bytes(16),
    communityHash: bytes(8),
    keyId: bytes(4),
    bootEpoch: u32(),
    publicKey: maybe(bytes(32)),
    addresses: fc.array(address(), { maxLength: 8 }),
    zone: maybe(text(64, 1)),
    labels: fc.array(fc.tuple(text(24, 1), text(24)), { maxLength: 6 }).map((entries) => new Map(entries)),
  });

const traceparent = () =>
  fc
    .tuple(
      fc.integer({ min: 0, max: 0xfe }),
      fc.bigInt(1n, 2n ** 128n - 1n),
      fc.bigInt(1n, 2n ** 64n - 1n),
      u8(),
    )
    .map(([version, trace, parent, flags]) =>
      [
        version.toString(16).padStart(2, "0"),
        trace.toString(16).padStart(32, "0"),
        parent.toString(16).padStart(16, "0"),
        flags.toString(16).padStart(2, "0"),
      ].join("-"),
    );

const group = () =>
  fields({
    id: bytes(8),
    fileName: text(255).map((name) => name.replace(/[/\\\0]|^\.\.?$/g, "_")),
    index: u32(),
    count: u32(),
    fileMetadata: text(1000),
  }).map((value) => (value.index < value.count ? value : { ...value, count: 0 }));

/** Shape, strides and shard fit each other. */
const geometry = () =>
  fc
    .array(fields({ dim: fc.nat(2000), before: fc.nat(2000), after: fc.nat(2000), stride: fc.integer() }), {
      maxLength: 3,
    })
    .chain((axes) =>
      fields({
        shape: fc.constant(axes.map((axis) => axis.dim)),
        strides: maybe(fc.constant(axes.map((axis) => axis.stride))),
        shard: maybe(
          fc.constant({
            globalShape: axes.map((axis) => axis.before + axis.dim + axis.after),
            offsets: axes.map((axis) => axis.before),
          }),
        ),
        layout: fc.nat(5),
      }),
    )
    .map((value) => ({
      ...value,
      layout: value.strides ? 2 : value.layout === 2 ? 0 : value.layout,
    }));

export const open = (): fc.Arbitrary<OpenRecord> =>
  fc
    .tuple(
      fields({
        transferId: bytes(8),
        totalBytes: maybe(u64()),
        baseOffset: u64(),
        dtype: maybe(
          fields({
            code: u8(),
            bits: fc.integer({ min: 1, max: 0xff }),
            // With the dims below always less than 2^53 bytes.
            lanes: fc.integer({ min: 1, max: 4096 }),
          }),
        ),
        priority: u8(),
        codec: u8(),
        deviceType: u8(),
        deviceId: u8(),
        deadlineMs: u32(),
        topic: text(255),
      }),
      geometry(),
      fields({
        group: maybe(group()),
        step: maybe(u64()),
        traceparent: maybe(traceparent()),
        userMetadata: maybe(text(2000)),
        digest: maybe(fc.integer({ min: 0, max: 255 })),
      }),
    )
    .map(([fixed, shaped, said]) => {
      const baseOffset = Math.min(fixed.baseOffset, fixed.totalBytes ?? fixed.baseOffset);
      const untyped = {
        layout: shaped.strides ? 0 : shaped.layout,
        shape: [],
        strides: undefined,
        shard: undefined,
      };
      return { kind: "open", ...fixed, baseOffset, ...(fixed.dtype ? shaped : untyped), ...said };
    });

const close = (): fc.Arbitrary<X1Record> =>
  fc
    .tuple(bytes(8), u64(), fc.nat(5), u8(), bytes(64))
    .map(([transferId, rawBytes, algorithm, status, all]) => ({
      kind: "close",
      transferId,
      rawBytes,
      algorithm,
      status,
      digest: all.slice(0, digestBytes(algorithm) ?? status % 65),
    }));

/** Any record. */
export const record = (): fc.Arbitrary<X1Record> =>
  fc.oneof<fc.Arbitrary<X1Record>[]>(
    caps(),
    open(),
    close(),
    fields({ kind: fc.constant("proof"), proof: bytes(32) }),
    fields({ kind: fc.constantFrom("reset", "stop"), code: u16(), reason: text(256) }),
    fields({ kind: fc.constantFrom("credit", "blocked"), limitBytes: u64() }),
    fields({
      kind: fc.constant("ack"),
      transferId: bytes(8),
      contiguousBytes: u64(),
      level: fc.constantFrom("received", "verified", "consumed"),
    }),
    fields({ kind: fc.constant("resume_query"), transferId: bytes(8) }),
    fields({ kind: fc.constant("resume_answer"), transferId: bytes(8), offset: maybe(u64()) }),
    fields({ kind: fc.constantFrom("ping", "pong"), opaque: bytes(8), unixMs: u64() }),
    fields({ kind: fc.constant("goaway"), lastStream: u32(), drainMs: u32(), code: u16() }),
    fields({ kind: fc.constant("agent"), text: text(64, 1) }),
    fields({ kind: fc.constant("error"), code: u16(), stream: u32(), frameSeq: u32(), text: text(256) }),
    fields({
      kind: fc.constant("key_new"),
      counter: u64(),
      sealed: fc.uint8Array({ minLength: 33, maxLength: 1056 }),
    }),
    fields({ kind: fc.constant("key_ack"), counter: u64(), sealed: bytes(24) }),
    fields({
      kind: fc.constant("tap"),
      glob: text(255, 1),
      oneIn: fc.integer({ min: 1, max: 0xffff_ffff }),
      bytesPerSecond: u64(),
    }),
    fields({ kind: fc.constant("untap"), glob: text(255, 1) }),
  );
