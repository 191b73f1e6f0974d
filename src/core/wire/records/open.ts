/**
 * OPEN (op 0x10): what the stream of its CONTROL frame carries. Sent before the stream's first DATA.
 *
 * Body: `transfer id[8] | total bytes u64 (all ones: not known) | base offset u64 | dtype code u8 | bits u8 | lanes u16 |
 * rank u8 | priority u8 | codec u8 | layout u8 | device type u8 | device id u8 | name length u16 | deadline ms u32`,
 * 40 bytes; then `dims u64 × rank`; then the name, which is the topic; then the TLVs of `open_fields.ts`.
 *
 * Code, bits and lanes are those of DLPack. All three 0, with rank 0, mean bytes that are no tensor.
 */
import { MAX_RANK, MAX_TOPIC_BYTES } from "../../limits.ts";
import { type FieldReader, overLimit } from "./field_reader.ts";
import { encodeText, type FieldWriter } from "./field_writer.ts";
import { type OpenFields, readOpenFields, writeOpenFields } from "./open_fields.ts";
import { readTransferId, writeTransferId } from "./transfer_id.ts";

/** Order of the elements; other values are read as they are, and the receiver refuses the stream. */
export const TensorLayout = { ROW_MAJOR: 0, COLUMN_MAJOR: 1, STRIDED: 2 } as const;

/** How chunks are encoded; other values are read as they are, and the receiver refuses the stream. */
export const ChunkCodec = { NONE: 0 } as const;

/** DLPack's `DLDataType`. */
export interface WireDtype {
  /** int 0, uint 1, float 2, bfloat 4, complex 5, bool 6, the small floats above; 0 to 255. */
  readonly code: number;
  /** Bits of one lane, 1 to 255. */
  readonly bits: number;
  /** Lanes of one element, 1 to 65,535; 1 except for vector types. */
  readonly lanes: number;
}

export interface OpenRecord extends OpenFields {
  readonly kind: "open";
  /** 8 random bytes that name the transfer on any connection. */
  readonly transferId: Uint8Array;
  /** Length of the whole tensor, before the codec; undefined: not known yet. */
  readonly totalBytes: number | undefined;
  /** Where in the tensor the first DATA byte lies; 0 except on a resumed transfer. */
  readonly baseOffset: number;
  /** Undefined: bytes without a type. */
  readonly dtype: WireDtype | undefined;
  /** Length of each dimension; empty for a scalar and for bytes without a type. */
  readonly shape: readonly number[];
  /** 0 to 255, the larger the more urgent. */
  readonly priority: number;
  /** One of `ChunkCodec`, or a later one. */
  readonly codec: number;
  /** One of `TensorLayout`, or a later one. */
  readonly layout: number;
  /** DLPack's `DLDeviceType` of where the tensor was; 0: not said. */
  readonly deviceType: number;
  readonly deviceId: number;
  /** Milliseconds from this record on in which the tensor is of use; 0: for ever. */
  readonly deadlineMs: number;
  /** At most 255 bytes of UTF-8; may be empty. */
  readonly topic: string;
}

/** Throws RangeError on a field that is out of its range or does not fit another. */
export function writeOpen(record: OpenRecord, out: FieldWriter): void {
  const { dtype, shape } = record;
  if (shape.length > MAX_RANK) throw out.bad("rank", `at most ${MAX_RANK}`, shape.length);
  const topic = encodeText(out.what, "topic", record.topic, MAX_TOPIC_BYTES);
  writeTransferId(record.transferId, out);
  out.u64OrNone("total bytes", record.totalBytes);
  out.u64("base offset", record.baseOffset);
  out.u8("dtype code", dtype?.code ?? 0);
  out.u8("dtype bits", dtype?.bits ?? 0);
  out.u16("dtype lanes", dtype?.lanes ?? 0);
  out.u8("rank", shape.length);
  out.u8("priority", record.priority);
  out.u8("codec", record.codec);
  out.u8("layout", record.layout);
  out.u8("device type", record.deviceType);
  out.u8("device id", record.deviceId);
  out.u16("name length", topic.length);
  out.u32("deadline", record.deadlineMs);
  for (const dim of shape) out.u64("dim", dim);
  out.raw("topic", topic, MAX_TOPIC_BYTES);
  const fault = faultOf(record);
  if (fault) throw out.bad(fault.field, fault.expected, fault.got);
  if (largestBytes(record) > Number.MAX_SAFE_INTEGER)
    throw out.bad("shape", "at most 2^53 - 1 bytes", "more");
  writeOpenFields(record, shape, out);
}

/**
 * Throws ASOC_BAD_RECORD on what does not fit the layout or contradicts itself, ASOC_RECORD_LIMIT on too many
 * dimensions, too long a text, a number over 2^53 - 1, or a shape of more bytes than that.
 */
export function readOpen(from: FieldReader): OpenRecord {
  const transferId = readTransferId(from);
  const totalBytes = from.u64OrNone("total bytes");
  const baseOffset = from.u64("base offset");
  const dtype = { code: from.u8("dtype code"), bits: from.u8("dtype bits"), lanes: from.u16("dtype lanes") };
  const isTyped = dtype.code !== 0 || dtype.bits !== 0 || dtype.lanes !== 0;
  const rank = from.u8("rank");
  if (rank > MAX_RANK) throw overLimit(from.what, "rank", MAX_RANK, rank);
  const small = {
    priority: from.u8("priority"),
    codec: from.u8("codec"),
    layout: from.u8("layout"),
    deviceType: from.u8("device type"),
    deviceId: from.u8("device id"),
  };
  const topicBytes = from.u16("name length");
  const deadlineMs = from.u32("deadline");
  const shape: number[] = [];
  while (shape.length < rank) shape.push(from.u64("dim"));
  const topic = from.text("topic", topicBytes, MAX_TOPIC_BYTES);
  const record: OpenRecord = {
    kind: "open",
    transferId,
    totalBytes,
    baseOffset,
    dtype: isTyped ? dtype : undefined,
    shape,
    ...small,
    deadlineMs,
    topic,
    ...readOpenFields(from, shape),
  };
  const fault = faultOf(record);
  if (fault) throw from.bad(fault.field, fault.expected, fault.got);
  if (largestBytes(record) > Number.MAX_SAFE_INTEGER) {
    throw overLimit(from.what, "bytes of the shape", Number.MAX_SAFE_INTEGER, "more");
  }
  return record;
}

interface Fault {
  readonly field: string;
  readonly expected: string;
  readonly got: string | number;
}

/** What contradicts itself, whichever side said it. */
function faultOf(record: OpenRecord): Fault | undefined {
  const { dtype, totalBytes, baseOffset, layout, strides, shape } = record;
  if (dtype && (dtype.bits === 0 || dtype.lanes === 0)) {
    const got = `${dtype.bits} and ${dtype.lanes}`;
    return { field: "dtype", expected: "bits and lanes of at least 1", got };
  }
  if (!dtype && shape.length > 0) {
    return { field: "rank", expected: "0 for bytes without a type", got: shape.length };
  }
  if (totalBytes !== undefined && baseOffset > totalBytes) {
    return { field: "base offset", expected: `at most the total of ${totalBytes}`, got: baseOffset };
  }
  if ((layout === TensorLayout.STRIDED) !== (strides !== undefined)) {
    const expected = `strides with layout ${TensorLayout.STRIDED} and with no other`;
    return { field: "strides", expected, got: `layout ${layout} ${strides ? "with" : "without"} strides` };
  }
  return undefined;
}

/** Bytes of the tensor when it lies dense, rounded up; so large a number is not exact. */
function largestBytes({ dtype, shape }: OpenRecord): number {
  if (!dtype || shape.includes(0)) return 0;
  return Math.ceil(shape.reduce((product, dim) => product * dim, dtype.bits * dtype.lanes) / 8);
}
