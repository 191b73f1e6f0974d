/** The small records: their bytes as specified, and what each refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, toHex } from "../../../../src/core/wire/bytes.ts";
import { digestBytes } from "../../../../src/core/wire/records/close.ts";
import { RecordOp } from "../../../../src/core/wire/records/ops.ts";
import { decodeRecords, encodeRecord, type X1Record } from "../../../../src/core/wire/records/records.ts";
import { assertRefused, assertUnwritable, extended, patched, withBody } from "../../../support/x1_expect.ts";
import { counting, TRANSFER } from "../../../support/x1_samples.ts";

const BAD = "ASOC_BAD_RECORD";
const LIMIT = "ASOC_RECORD_LIMIT";

const LAYOUTS: readonly (readonly [X1Record, string])[] = [
  [{ kind: "proof", proof: new Uint8Array(32).fill(7) }, `02 00 0020 ${"07".repeat(32)}`],
  [
    {
      kind: "close",
      transferId: TRANSFER,
      rawBytes: 9,
      algorithm: 1,
      status: 3,
      digest: fromHex("cbf43926"),
    },
    "11 00 0018 a0a1a2a3a4a5a6a7 0000000000000009 01 03 0000 cbf43926",
  ],
  [{ kind: "reset", code: 258, reason: "no" }, "12 00 0004 0102 6e6f"],
  [{ kind: "stop", code: 1, reason: "" }, "13 00 0002 0001"],
  [{ kind: "credit", limitBytes: 2 ** 32 + 1 }, "20 00 0008 0000000100000001"],
  [{ kind: "blocked", limitBytes: 0 }, "21 00 0008 0000000000000000"],
  [
    { kind: "ack", transferId: TRANSFER, contiguousBytes: 5, level: "verified" },
    "22 00 0011 a0a1a2a3a4a5a6a7 0000000000000005 02",
  ],
  [{ kind: "resume_query", transferId: TRANSFER }, "23 00 0008 a0a1a2a3a4a5a6a7"],
  [
    { kind: "resume_answer", transferId: TRANSFER, offset: undefined },
    "24 00 0010 a0a1a2a3a4a5a6a7 ffffffffffffffff",
  ],
  [{ kind: "ping", opaque: counting(1, 8), unixMs: 255 }, "30 00 0010 0102030405060708 00000000000000ff"],
  [{ kind: "pong", opaque: counting(1, 8), unixMs: 0 }, "31 00 0010 0102030405060708 0000000000000000"],
  [{ kind: "goaway", lastStream: 7, drainMs: 1000, code: 1 }, "32 00 000a 00000007 000003e8 0001"],
  [{ kind: "error", code: 2, stream: 7, frameSeq: 9, text: "ä" }, "33 00 000c 0002 00000007 00000009 c3a4"],
  [{ kind: "agent", text: "bun 1" }, "34 00 0005 62756e2031"],
  [
    { kind: "key_new", counter: 3, sealed: new Uint8Array(33).fill(5) },
    `40 00 0029 0000000000000003 ${"05".repeat(33)}`,
  ],
  [
    { kind: "key_ack", counter: 4, sealed: counting(0, 24) },
    "41 00 0020 0000000000000004 000102030405060708090a0b0c0d0e0f1011121314151617",
  ],
  [
    { kind: "tap", glob: "a/*", oneIn: 10, bytesPerSecond: 256 },
    "50 00 000f 0000000a 0000000000000100 612f2a",
  ],
  [{ kind: "untap", glob: "a/*" }, "51 00 0003 612f2a"],
];

test("encodeRecord() lays the small records out as specified", () => {
  for (const [record, hex] of LAYOUTS) {
    assert.equal(toHex(encodeRecord(record)), hex.replaceAll(" ", ""), record.kind);
    assert.deepEqual(decodeRecords(fromHex(hex.replaceAll(" ", ""))), [record]);
  }
});

test("decodeRecords() refuses bytes behind the last field of a record of fixed length", () => {
  const open = new Set(["reset", "stop", "error", "agent", "key_new", "tap", "untap"]);
  for (const [record] of LAYOUTS) {
    if (open.has(record.kind)) continue;
    assertRefused(extended(record, 0), BAD, /length: expected \d+ bytes, got \d+$/);
  }
});

test("decodeRecords() takes reasons and texts of 256 bytes and refuses 257", () => {
  const kinds: readonly ((text: string) => X1Record)[] = [
    (text) => ({ kind: "reset", code: 0, reason: text }),
    (text) => ({ kind: "stop", code: 0, reason: text }),
    (text) => ({ kind: "error", code: 0, stream: 0, frameSeq: 0, text }),
  ];
  const longest = "ä".repeat(128);
  for (const saying of kinds) {
    assert.deepEqual(decodeRecords(encodeRecord(saying(longest))), [saying(longest)]);
    assertRefused(extended(saying(longest), 0x61), LIMIT, /bytes: expected at most 256, got 257$/);
    assertUnwritable(saying(`${longest}a`), /257 bytes, expected at most 256/);
    assertRefused(extended(saying(""), 0xff), BAD, /expected UTF-8/);
  }
});

test("decodeRecords() wants a digest of the length of its algorithm, and takes any of those to come", () => {
  assert.deepEqual([0, 1, 2, 3].map(digestBytes), [0, 4, 32, undefined]);
  const close = { kind: "close", transferId: TRANSFER, rawBytes: 1, status: 0 } as const;
  for (const [algorithm, byteCount] of [
    [0, 0],
    [1, 4],
    [2, 32],
  ] as const) {
    const record = { ...close, algorithm, digest: new Uint8Array(byteCount) };
    assertRefused(extended(record, 0), BAD, /CLOSE: length/);
    if (byteCount > 0) {
      const body = encodeRecord(record).subarray(4, -1);
      assertRefused(withBody(RecordOp.CLOSE, body), BAD, /CLOSE: digest: expected \d+ bytes/);
    }
    assertUnwritable({ ...record, digest: new Uint8Array(byteCount + 1) }, /digest: \d+ bytes, expected/);
  }
  const later = { ...close, algorithm: 77, digest: new Uint8Array(64) };
  assert.deepEqual(decodeRecords(encodeRecord(later)), [later]);
  assertRefused(extended(later, 0), LIMIT, /digest bytes: expected at most 64, got 65$/);
});

test("decodeRecords() does not look at the reserved bytes of CLOSE", () => {
  const record: X1Record = {
    kind: "close",
    transferId: TRANSFER,
    rawBytes: 1,
    algorithm: 0,
    status: 0,
    digest: new Uint8Array(0),
  };
  assert.deepEqual(decodeRecords(patched(record, 18, 0xff, 0xff)), [record]);
});

test("decodeRecords() takes the three levels of ACK and no other", () => {
  const ack: X1Record = { kind: "ack", transferId: TRANSFER, contiguousBytes: 0, level: "received" };
  for (const level of [0, 4, 255]) {
    assertRefused(patched(ack, 16, level), BAD, new RegExp(`ACK: level: expected 1 to 3, got ${level}$`));
  }
});

test("decodeRecords() tells RESUME! of all ones from every other offset", () => {
  const answer: X1Record = { kind: "resume_answer", transferId: TRANSFER, offset: undefined };
  assertRefused(patched(answer, 15, 0xfe), LIMIT, /byte offset: expected at most/);
});

test("decodeRecords() refuses a credit that no number holds", () => {
  const credit: X1Record = { kind: "credit", limitBytes: 0 };
  assertRefused(patched(credit, 1, 0x20), LIMIT, /CREDIT: limit: expected at most/);
  assertRefused(patched(credit, 0, ...new Uint8Array(8).fill(255)), LIMIT, /got 18446744073709551615$/);
});

test("decodeRecords() refuses a TAP of none, and globs that are empty or too long", () => {
  const tap = { kind: "tap", glob: "g".repeat(255), oneIn: 1, bytesPerSecond: 0 } as const;
  assert.deepEqual(decodeRecords(encodeRecord(tap)), [tap]);
  assertRefused(patched(tap, 3, 0), BAD, /TAP: one in: expected at least 1, got 0$/);
  assertRefused(extended(tap, 0x61), LIMIT, /glob bytes: expected at most 255, got 256$/);
  assertRefused(withBody(RecordOp.UNTAP, new Uint8Array(0)), BAD, /UNTAP: glob: expected at least 1 bytes/);
  assertRefused(withBody(RecordOp.UNTAP, new Uint8Array(256)), LIMIT, /UNTAP: glob bytes/);
  assertUnwritable({ ...tap, oneIn: 0 }, /one in: expected at least 1, got 0/);
  assertUnwritable({ ...tap, glob: "" }, /glob: 0 bytes, expected 1 to 255/);
});
