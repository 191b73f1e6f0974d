import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../../../../src/core/wire/bytes.ts";
import type { OpenRecord } from "../../../../src/core/wire/records/open.ts";
import { decodeRecords, encodeRecord } from "../../../../src/core/wire/records/records.ts";
import { assertRefused, assertUnwritable, extended, patched } from "../../../support/x1_expect.ts";
import { FULL_OPEN, MINIMAL_OPEN } from "../../../support/x1_samples.ts";

const BAD = "ASOC_BAD_RECORD";
const LIMIT = "ASOC_RECORD_LIMIT";
const F32 = { code: 2, bits: 32, lanes: 1 };
const TYPED: OpenRecord = { ...MINIMAL_OPEN, dtype: F32, shape: [2, 3] };
/** Offsets in the body. */
const AT = { total: 8, base: 16, code: 24, bits: 25, lanes: 26, rank: 28, layout: 31, name: 34, dims: 40 };

test("encodeRecord() lays OPEN out as specified", () => {
  const hex = toHex(encodeRecord(FULL_OPEN));
  const expected = [
    "10 00 0107",
    "a0a1a2a3a4a5a6a7 0000000000001000 0000000000000400",
    "02 20 0001 02 c8 00 02 02 07 000d 00007530",
    "0000000000000020 0000000000000020",
    "747261696e2f6772c3b6c39f65",
    "0001 0029 0102030405060708 00000003 0000000c 11 6d6f64656c2e7361666574656e736f7273 7b2261223a317d",
    "0002 0010 ffffffffffffffe0 0000000000000001",
    "0003 0020 0000000000000040 0000000000000020 0000000000000020 0000000000000000",
    "0004 0008 001fffffffffffff",
    "0005 0037 30302d3462663932663335373762333464613661336365393239643065306534373336",
    "2d303066303637616130626139303262372d3031",
    "0006 000d 7b226c6f7373223a302e32357d",
    "0007 0001 02",
  ];
  assert.equal(hex, expected.join("").replaceAll(" ", ""));
});

test("decodeRecords() tells a total of all ones from every other", () => {
  const known = decodeRecords(patched(MINIMAL_OPEN, AT.total, 0, 0, 0, 0, 0, 0, 0, 0));
  assert.deepEqual(known, [{ ...MINIMAL_OPEN, totalBytes: 0 }]);
  assertRefused(
    patched(MINIMAL_OPEN, AT.total, 0, 0x20),
    LIMIT,
    /total bytes: expected at most \d+, got \d+$/,
  );
});

test("decodeRecords() refuses a base offset behind the total, and takes one at it", () => {
  const resumed = { ...MINIMAL_OPEN, totalBytes: 100, baseOffset: 100 };
  assert.deepEqual(decodeRecords(encodeRecord(resumed)), [resumed]);
  assertRefused(
    patched(resumed, AT.base + 7, 101),
    BAD,
    /base offset: expected at most the total of 100, got 101$/,
  );
});

test("decodeRecords() takes a type whole or not at all", () => {
  assertRefused(
    patched(TYPED, AT.bits, 0),
    BAD,
    /dtype: expected bits and lanes of at least 1, got 0 and 1$/,
  );
  assertRefused(patched(TYPED, AT.lanes, 0, 0), BAD, /got 32 and 0$/);
  assertRefused(
    patched(TYPED, AT.code, 0, 0, 0, 0),
    BAD,
    /rank: expected 0 for bytes without a type, got 2$/,
  );
});

test("decodeRecords() takes 64 dimensions and refuses 65", () => {
  const widest = { ...MINIMAL_OPEN, dtype: F32, shape: Array.from({ length: 64 }, () => 1) };
  assert.deepEqual(decodeRecords(encodeRecord(widest)), [widest]);
  assertRefused(patched(widest, AT.rank, 65), LIMIT, /rank: expected at most 64, got 65$/);
  assertUnwritable({ ...widest, shape: [...widest.shape, 1] }, /rank: expected at most 64, got 65/);
});

test("decodeRecords() refuses a shape whose bytes no number holds, unless a dimension is 0", () => {
  const huge = { ...MINIMAL_OPEN, dtype: { code: 1, bits: 8, lanes: 1 }, shape: [2 ** 26, 2 ** 26, 1] };
  assert.deepEqual(decodeRecords(encodeRecord(huge)), [huge]);
  assertRefused(patched(huge, AT.dims + 23, 2), LIMIT, /bytes of the shape/);
  const empty = { ...huge, shape: [2 ** 52, 2 ** 52, 0] };
  assert.deepEqual(decodeRecords(encodeRecord(empty)), [empty]);
  assertUnwritable({ ...huge, shape: [2 ** 26, 2 ** 26, 2] }, /shape: expected at most 2\^53 - 1 bytes/);
});

test("decodeRecords() takes a topic of 255 bytes and refuses 256", () => {
  const longest = { ...MINIMAL_OPEN, topic: `${"ä".repeat(127)}a` };
  assert.deepEqual(decodeRecords(encodeRecord(longest)), [longest]);
  assertRefused(patched(longest, AT.name, 1, 0), LIMIT, /topic bytes: expected at most 255, got 256$/);
  assertUnwritable({ ...MINIMAL_OPEN, topic: "ä".repeat(128) }, /topic: 256 bytes, expected at most 255/);
});

test("decodeRecords() passes codecs, layouts and devices on that it does not know", () => {
  const later = { ...TYPED, codec: 200, layout: 99, deviceType: 255, deviceId: 255, priority: 255 };
  assert.deepEqual(decodeRecords(encodeRecord(later)), [later]);
});

test("decodeRecords() wants strides with the strided layout and with no other", () => {
  const message = /strides: expected strides with layout 2 and with no other, got layout 2 without strides$/;
  assertRefused(patched(TYPED, AT.layout, 2), BAD, message);
  const strided = { ...TYPED, layout: 2, strides: [-3, 0] };
  assert.deepEqual(decodeRecords(encodeRecord(strided)), [strided]);
  assertRefused(patched(strided, AT.layout, 1), BAD, /got layout 1 with strides$/);
  assertUnwritable({ ...TYPED, layout: 2 }, /strides/);
  assertUnwritable({ ...TYPED, strides: [1, 1] }, /strides/);
  assertUnwritable({ ...strided, strides: [1] }, /strides: expected 2, got 1/);
});

test("decodeRecords() refuses strides and shards of another rank", () => {
  const eight = [0, 0, 0, 0, 0, 0, 0, 1];
  assertRefused(extended(TYPED, 0, 2, 0, 8, ...eight), BAD, /OPEN strides: stride: expected 8 bytes/);
  assertRefused(extended(TYPED, 0, 2, 0, 24, ...eight, ...eight, ...eight), BAD, /strides: length/);
  assertRefused(extended(TYPED, 0, 3, 0, 8, ...eight), BAD, /OPEN shard/);
  assertUnwritable(
    { ...TYPED, shard: { globalShape: [9], offsets: [0] } },
    /shard: expected rank 2, got 1 and 1/,
  );
});

test("decodeRecords() refuses a shard that leaves the whole", () => {
  const shard = { globalShape: [4, 3], offsets: [2, 0] };
  const record = { ...TYPED, shard };
  assert.deepEqual(decodeRecords(encodeRecord(record)), [record]);
  const outside = { globalShape: [4, 3], offsets: [2, 1] };
  assertUnwritable({ ...TYPED, shard: outside }, /one that leaves it in axis 1/);
  const lastOffset = encodeRecord(record).length - 4 - 1;
  assertRefused(
    patched(record, lastOffset, 1),
    BAD,
    /expected a part of the whole, got one that leaves it in axis 1$/,
  );
  const beyond = { globalShape: [Number.MAX_SAFE_INTEGER, 3], offsets: [Number.MAX_SAFE_INTEGER - 1, 0] };
  assertUnwritable({ ...TYPED, shard: beyond }, /axis 0/);
});

test("decodeRecords() refuses file names that are paths", () => {
  const group = { id: new Uint8Array(8), fileName: "a", index: 0, count: 0, fileMetadata: "" };
  const named = (fileName: string) => ({ ...MINIMAL_OPEN, group: { ...group, fileName } });
  for (const name of [".", "..", "a/b", "/a", "a\\b", "a\0"]) {
    assertUnwritable(named(name), /file name: expected a name and no path/);
    const bytes = [...new TextEncoder().encode(name)];
    const tlv = [0, 1, 0, 17 + bytes.length, ...new Uint8Array(16), bytes.length, ...bytes];
    assertRefused(extended(MINIMAL_OPEN, ...tlv), BAD, /file name: expected a name and no path/);
  }
  for (const name of ["", "...", ".a", "a b", "ä"]) {
    assert.deepEqual(decodeRecords(encodeRecord(named(name))), [named(name)]);
  }
});

test("decodeRecords() refuses an index outside of its group", () => {
  const tlv = [0, 1, 0, 17, ...new Uint8Array(8), 0, 0, 0, 2, 0, 0, 0, 2, 0];
  assertRefused(extended(MINIMAL_OPEN, ...tlv), BAD, /index: expected less than the count of 2, got 2$/);
  const group = { id: new Uint8Array(8), fileName: "", index: 2, count: 2, fileMetadata: "" };
  assertUnwritable({ ...MINIMAL_OPEN, group }, /index: expected less than the count of 2, got 2/);
});

test("decodeRecords() takes a traceparent of W3C Trace Context and nothing else", () => {
  const good = FULL_OPEN.traceparent ?? assert.fail();
  for (const bad of [
    good.toUpperCase(),
    good.replace("00-4b", "ff-4b"),
    `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
    `00-4bf92f3577b34da6a3ce929d0e0e4736-${"0".repeat(16)}-01`,
    good.slice(1),
    `${good}0`,
    "",
  ]) {
    assertUnwritable(
      { ...MINIMAL_OPEN, traceparent: bad },
      /traceparent: expected version-traceid-parentid-flags/,
    );
    const tlv = [0, 5, 0, bad.length, ...new TextEncoder().encode(bad)];
    assertRefused(extended(MINIMAL_OPEN, ...tlv), BAD, /OPEN traceparent/);
  }
});

test("decodeRecords() limits metadata by the bytes of its UTF-8", () => {
  const longest = { ...MINIMAL_OPEN, userMetadata: "ä".repeat(4096) };
  assert.deepEqual(decodeRecords(encodeRecord(longest)), [longest]);
  assertUnwritable(
    { ...MINIMAL_OPEN, userMetadata: `${longest.userMetadata}a` },
    /8193 bytes, expected at most 8192/,
  );
  const user = new Uint8Array(8193).fill(0x61);
  assertRefused(extended(MINIMAL_OPEN, 0, 6, 0x20, 1, ...user), LIMIT, /expected at most 8192, got 8193$/);
  const file = new Uint8Array(17 + 4097);
  assertRefused(
    extended(MINIMAL_OPEN, 0, 1, 0x10, 0x12, ...file),
    LIMIT,
    /file metadata bytes: expected at most 4096/,
  );
});

test("encodeRecord() leaves out the TLVs that are not there", () => {
  const record: OpenRecord = {
    kind: "open",
    transferId: new Uint8Array(8),
    totalBytes: 1,
    baseOffset: 0,
    dtype: undefined,
    shape: [],
    priority: 0,
    codec: 0,
    layout: 0,
    deviceType: 0,
    deviceId: 0,
    deadlineMs: 0,
    topic: "t",
  };
  assert.equal(encodeRecord(record).length, 4 + 40 + 1);
});
