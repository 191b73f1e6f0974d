/** CONTROL payloads that must be refused, with the error that says so. */
import type { AsocErrorCode } from "../../src/core/errors.ts";
import { MAX_CONTROL_BYTES } from "../../src/core/limits.ts";
import { joinBytes, utf8 } from "../../src/core/wire/bytes.ts";
import { RecordOp } from "../../src/core/wire/records/ops.ts";
import { encodeRecord, type X1Record } from "../../src/core/wire/records/records.ts";
import { extended, patched, withBody } from "./x1_expect.ts";
import {
  counting,
  FULL_CAPS,
  FULL_OPEN,
  MINIMAL_CAPS,
  MINIMAL_OPEN,
  SAMPLES,
  TRANSFER,
} from "./x1_samples.ts";

export interface Rejected {
  readonly name: string;
  readonly payload: Uint8Array;
  readonly error: AsocErrorCode;
}

const BAD = "ASOC_BAD_RECORD";
const LIMIT = "ASOC_RECORD_LIMIT";
const CREDIT: X1Record = { kind: "credit", limitBytes: 0 };
const ACK: X1Record = { kind: "ack", transferId: TRANSFER, contiguousBytes: 0, level: "received" };
const RESET: X1Record = { kind: "reset", code: 0, reason: "" };
const TAP: X1Record = { kind: "tap", glob: "g".repeat(255), oneIn: 1, bytesPerSecond: 0 };

/** A TLV of `type` behind the body of `record`. */
function withTlv(record: X1Record, type: number, value: readonly number[] | Uint8Array): Uint8Array {
  return extended(record, type >> 8, type & 0xff, value.length >> 8, value.length & 0xff, ...value);
}

/** The body without its last byte, in a record whose length says so: every field is still there but the last. */
function shortened(record: X1Record): Uint8Array {
  const bytes = encodeRecord(record);
  return withBody(bytes[0] ?? 0, bytes.subarray(4, -1));
}

/** Kinds whose last field has no length of its own: one byte less is another value, not a fault. */
const OPEN_ENDED = new Set(["reset", "stop", "error", "agent", "key_new", "tap", "untap", "open", "caps"]);

const framing: readonly Rejected[] = [
  { name: "header of a record cut off", payload: Uint8Array.of(0x30, 0, 0), error: BAD },
  { name: "body of a record cut off", payload: encodeRecord(FULL_CAPS).subarray(0, -1), error: BAD },
  {
    name: "second record cut off",
    payload: joinBytes([encodeRecord(CREDIT), encodeRecord(ACK).subarray(0, -1)]),
    error: BAD,
  },
  { name: "unknown op cut off", payload: Uint8Array.of(0x7f, 0, 0, 1), error: BAD },
  {
    name: "unknown op, critical",
    payload: Uint8Array.of(0x7f, 1, 0, 0),
    error: "ASOC_UNKNOWN_CRITICAL_RECORD",
  },
  {
    name: "unknown op, critical, behind a known one",
    payload: joinBytes([encodeRecord(CREDIT), Uint8Array.of(0x7f, 0xff, 0, 1, 9)]),
    error: "ASOC_UNKNOWN_CRITICAL_RECORD",
  },
  {
    name: "payload over 16 KiB",
    payload: new Uint8Array(MAX_CONTROL_BYTES + 1),
    error: "ASOC_FRAME_TOO_LARGE",
  },
  { name: "CAPS over 1 KiB", payload: withTlv(MINIMAL_CAPS, 0x7777, new Uint8Array(953)), error: LIMIT },
];

const caps: readonly Rejected[] = [
  { name: "CAPS of version 0", payload: patched(MINIMAL_CAPS, 0, 0), error: BAD },
  {
    name: "CAPS without its last fixed field",
    payload: withBody(RecordOp.CAPS, new Uint8Array(63).fill(1)),
    error: BAD,
  },
  {
    name: "CAPS with an X25519 key of 31 bytes",
    payload: withTlv(MINIMAL_CAPS, 1, counting(0, 31)),
    error: BAD,
  },
  {
    name: "CAPS with two zones",
    payload: extended(MINIMAL_CAPS, 0, 3, 0, 1, 0x61, 0, 3, 0, 1, 0x62),
    error: BAD,
  },
  { name: "CAPS with a TLV cut off", payload: extended(MINIMAL_CAPS, 0, 3, 0, 2, 0x61), error: BAD },
  {
    name: "CAPS with a zone that is no UTF-8",
    payload: withTlv(MINIMAL_CAPS, 3, [0xed, 0xa0, 0x80]),
    error: BAD,
  },
  {
    name: "CAPS with a zone of 65 bytes",
    payload: withTlv(MINIMAL_CAPS, 3, counting(0x20, 65)),
    error: LIMIT,
  },
  { name: "CAPS with port 0", payload: withTlv(MINIMAL_CAPS, 2, [0, 0, 1, 0x61]), error: BAD },
  {
    name: "CAPS with a line break in a host",
    payload: withTlv(MINIMAL_CAPS, 2, [0, 1, 2, 0x61, 0x0a]),
    error: BAD,
  },
  {
    name: "CAPS with nine addresses",
    payload: withTlv(MINIMAL_CAPS, 2, Array.from({ length: 9 }, () => [0, 1, 1, 0x61]).flat()),
    error: LIMIT,
  },
  {
    name: "CAPS with one label twice",
    payload: withTlv(MINIMAL_CAPS, 4, [1, 0x61, 0, 1, 0x61, 0]),
    error: BAD,
  },
];

const open: readonly Rejected[] = [
  { name: "OPEN with a rank of 65", payload: patched(MINIMAL_OPEN, 28, 65), error: LIMIT },
  { name: "OPEN with dims cut off", payload: patched(MINIMAL_OPEN, 24, 2, 32, 0, 1, 1), error: BAD },
  {
    name: "OPEN with a type of 0 bits",
    payload: patched({ ...MINIMAL_OPEN, dtype: { code: 2, bits: 32, lanes: 1 } }, 25, 0),
    error: BAD,
  },
  {
    name: "OPEN with a shape and no type",
    payload: patched(FULL_OPEN, 24, 0, 0, 0, 0),
    error: BAD,
  },
  {
    name: "OPEN with a base offset behind its total",
    payload: patched({ ...MINIMAL_OPEN, totalBytes: 1 }, 23, 2),
    error: BAD,
  },
  {
    name: "OPEN with a total of 2^53",
    payload: patched(MINIMAL_OPEN, 8, 0, 0x20, 0, 0, 0, 0, 0, 0),
    error: LIMIT,
  },
  {
    name: "OPEN with more bytes of shape than 2^53 - 1",
    payload: patched({ ...MINIMAL_OPEN, dtype: { code: 2, bits: 32, lanes: 1 }, shape: [1] }, 40, 0, 0x10),
    error: LIMIT,
  },
  {
    name: "OPEN with a topic that is no UTF-8",
    payload: patched({ ...MINIMAL_OPEN, topic: "ab" }, 40, 0xc0, 0xaf),
    error: BAD,
  },
  {
    name: "OPEN with a topic of 256 bytes",
    payload: patched({ ...MINIMAL_OPEN, topic: "t".repeat(255), userMetadata: "a" }, 34, 1, 0),
    error: LIMIT,
  },
  { name: "OPEN strided without strides", payload: patched(MINIMAL_OPEN, 31, 2), error: BAD },
  { name: "OPEN with strides that is not strided", payload: patched(FULL_OPEN, 31, 0), error: BAD },
  {
    name: "OPEN with a path as file name",
    payload: withTlv(MINIMAL_OPEN, 1, [...counting(0, 8), 0, 0, 0, 0, 0, 0, 0, 1, 4, ...utf8("../a")]),
    error: BAD,
  },
  {
    name: "OPEN with an index outside of its group",
    payload: withTlv(MINIMAL_OPEN, 1, [...counting(0, 8), 0, 0, 0, 1, 0, 0, 0, 1, 0]),
    error: BAD,
  },
  { name: "OPEN with a step of 7 bytes", payload: withTlv(MINIMAL_OPEN, 4, counting(0, 7)), error: BAD },
  {
    name: "OPEN with a traceparent in capitals",
    payload: withTlv(MINIMAL_OPEN, 5, utf8("00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01")),
    error: BAD,
  },
  {
    name: "OPEN with user metadata over 8 KiB",
    payload: withTlv(MINIMAL_OPEN, 6, new Uint8Array(8193).fill(0x61)),
    error: LIMIT,
  },
  {
    name: "OPEN with user metadata that is no UTF-8",
    payload: withTlv(MINIMAL_OPEN, 6, [0x22, 0xff, 0x22]),
    error: BAD,
  },
];

const others: readonly Rejected[] = [
  {
    name: "CLOSE with SHA-256 of 31 bytes",
    payload: withBody(0x11, Uint8Array.of(...new Uint8Array(16), 2, 0, 0, 0, ...new Uint8Array(31))),
    error: BAD,
  },
  {
    name: "CLOSE with an unknown digest of 65 bytes",
    payload: withBody(0x11, Uint8Array.of(...new Uint8Array(16), 77, 0, 0, 0, ...new Uint8Array(65))),
    error: LIMIT,
  },
  {
    name: "RESET with a reason of 257 bytes",
    payload: extended(RESET, ...utf8("r".repeat(257))),
    error: LIMIT,
  },
  { name: "RESET with a reason that is no UTF-8", payload: extended(RESET, 0xc3), error: BAD },
  { name: "CREDIT of 2^53", payload: patched(CREDIT, 0, 0, 0x20), error: LIMIT },
  { name: "CREDIT of all ones", payload: patched(CREDIT, 0, ...new Uint8Array(8).fill(255)), error: LIMIT },
  { name: "ACK of level 0", payload: patched(ACK, 16, 0), error: BAD },
  { name: "ACK of level 4", payload: patched(ACK, 16, 4), error: BAD },
  { name: "KEY_NEW with 32 sealed bytes", payload: withBody(0x40, new Uint8Array(40)), error: BAD },
  { name: "KEY_NEW with 1057 sealed bytes", payload: withBody(0x40, new Uint8Array(1065)), error: LIMIT },
  { name: "TAP of one in 0", payload: patched(TAP, 0, 0, 0, 0, 0), error: BAD },
  { name: "TAP with a glob of 256 bytes", payload: extended(TAP, 0x61), error: LIMIT },
  { name: "UNTAP without a glob", payload: withBody(0x51, new Uint8Array(0)), error: BAD },
];

/** Every sample of fixed length with its last byte missing, and with one too many. */
const lengths: readonly Rejected[] = SAMPLES.filter(({ record }) => !OPEN_ENDED.has(record.kind)).flatMap(
  ({ name, record }) => [
    { name: `${name}, a byte too long`, payload: extended(record, 0), error: BAD },
    { name: `${name}, a byte too short`, payload: shortened(record), error: BAD },
  ],
);

export const REJECTED: readonly Rejected[] = [...framing, ...caps, ...open, ...others, ...lengths];
