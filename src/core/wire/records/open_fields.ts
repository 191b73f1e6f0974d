/**
 * The TLVs of OPEN:
 *
 * | type | name | value |
 * |---|---|---|
 * | 1 | group | `group id[8] \| index u32 \| count u32 \| name length u8 \| file name \| file metadata` |
 * | 2 | strides | `i64 × rank`, in elements; may be negative |
 * | 3 | shard | `u64 × rank` shape of the whole, then `u64 × rank` where this part begins in it |
 * | 4 | step | u64 |
 * | 5 | traceparent | 55 bytes of W3C Trace Context |
 * | 6 | user metadata | text, at most 8 KiB |
 * | 7 | digest | u8: the algorithm that CLOSE will name; without this field CRC-32 |
 *
 * File metadata and user metadata are JSON text. Its length and its UTF-8 are checked here; whoever uses it parses it.
 */
import { MAX_FILE_METADATA_BYTES, MAX_FILE_NAME_BYTES, MAX_USER_METADATA_BYTES } from "../../limits.ts";
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";
import { readTlvs, writeTlv } from "./tlv.ts";

export const GROUP_ID_BYTES = 8;
const TRACEPARENT_BYTES = 55;

const GROUP = 1;
const STRIDES = 2;
const SHARD = 3;
const STEP = 4;
const TRACEPARENT = 5;
const USER_METADATA = 6;
const DIGEST = 7;
const TLV_NAMES: ReadonlyMap<number, string> = new Map([
  [GROUP, "group"],
  [STRIDES, "strides"],
  [SHARD, "shard"],
  [STEP, "step"],
  [TRACEPARENT, "traceparent"],
  [USER_METADATA, "user metadata"],
  [DIGEST, "digest"],
]);

/** Version, trace id, parent id and flags; neither id is all zero, and version ff is invalid (W3C Trace Context). */
const TRACE = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const TRACE_FORM = "version-traceid-parentid-flags in lower-case hex";

/** A tensor that is one of several of a file. */
export interface TensorGroup {
  /** GROUP_ID_BYTES random bytes, the same for all tensors of the group. */
  readonly id: Uint8Array;
  /** A name and no path: without `/`, `\` and U+0000, and not `.` or `..`; may be empty. A claim, like all of OPEN. */
  readonly fileName: string;
  /** Place of this tensor in the group, from 0. */
  readonly index: number;
  /** Tensors in the group; 0: not known yet. */
  readonly count: number;
  /** JSON text; empty for none. */
  readonly fileMetadata: string;
}

/** A tensor that is a part of a larger one: `offsets[i] + shape[i] <= shape of the whole[i]`. */
export interface TensorShard {
  readonly globalShape: readonly number[];
  readonly offsets: readonly number[];
}

/** What an OPEN may say beside its fixed fields. */
export interface OpenFields {
  readonly group?: TensorGroup | undefined;
  /** In elements, one for each dimension; exactly when the layout is STRIDED. */
  readonly strides?: readonly number[] | undefined;
  readonly shard?: TensorShard | undefined;
  /** Step of a training run, or whatever counts for the user. */
  readonly step?: number | undefined;
  /** The `traceparent` of W3C Trace Context. */
  readonly traceparent?: string | undefined;
  /** JSON text of the user's. */
  readonly userMetadata?: string | undefined;
  /** One of `DigestAlgorithm`, or a later one; undefined: CRC-32. A receiver that takes the digest as bytes come must know. */
  readonly digest?: number | undefined;
}

/** Throws RangeError on a field that is out of its range or does not fit `shape`. */
export function writeOpenFields(fields: OpenFields, shape: readonly number[], out: FieldWriter): void {
  const { group, strides, shard, step, traceparent, userMetadata, digest } = fields;
  if (group) tlv(out, GROUP, () => writeGroup(group, out));
  if (strides) {
    if (strides.length !== shape.length) throw out.bad("strides", `${shape.length}`, strides.length);
    tlv(out, STRIDES, () => {
      for (const stride of strides) out.i64("stride", stride);
    });
  }
  if (shard) tlv(out, SHARD, () => writeShard(shard, shape, out));
  if (step !== undefined) tlv(out, STEP, () => out.u64("step", step));
  if (traceparent !== undefined) {
    if (!TRACE.test(traceparent)) throw out.bad("traceparent", TRACE_FORM, JSON.stringify(traceparent));
    tlv(out, TRACEPARENT, () => out.text("traceparent", traceparent, TRACEPARENT_BYTES));
  }
  if (userMetadata !== undefined) {
    tlv(out, USER_METADATA, () => out.text("user metadata", userMetadata, MAX_USER_METADATA_BYTES));
  }
  if (digest !== undefined) tlv(out, DIGEST, () => out.u8("digest", digest));
}

/** Throws ASOC_BAD_RECORD or ASOC_RECORD_LIMIT. */
export function readOpenFields(from: FieldReader, shape: readonly number[]): OpenFields {
  let group: TensorGroup | undefined;
  let strides: readonly number[] | undefined;
  let shard: TensorShard | undefined;
  let step: number | undefined;
  let traceparent: string | undefined;
  let userMetadata: string | undefined;
  let digest: number | undefined;
  readTlvs(from, TLV_NAMES, (type, value) => {
    if (type === GROUP) group = readGroup(value);
    else if (type === STRIDES) strides = shape.map(() => value.i64("stride"));
    else if (type === SHARD) shard = readShard(value, shape);
    else if (type === STEP) step = value.u64("step");
    else if (type === TRACEPARENT) traceparent = readTraceparent(value);
    else if (type === USER_METADATA) userMetadata = value.restText("text", MAX_USER_METADATA_BYTES);
    else digest = value.u8("digest");
  });
  return { group, strides, shard, step, traceparent, userMetadata, digest };
}

function tlv(out: FieldWriter, type: number, write: () => void): void {
  writeTlv(out, type, TLV_NAMES.get(type) ?? "", write);
}

function isFileName(name: string): boolean {
  return name !== "." && name !== ".." && !["/", "\\", "\0"].some((character) => name.includes(character));
}

function writeGroup(group: TensorGroup, out: FieldWriter): void {
  const { id, fileName, index, count, fileMetadata } = group;
  if (!isFileName(fileName)) throw out.bad("file name", "a name and no path", JSON.stringify(fileName));
  if (count > 0 && index >= count) throw out.bad("index", `less than the count of ${count}`, index);
  out.fixed("group id", id, GROUP_ID_BYTES);
  out.u32("index", index);
  out.u32("count", count);
  out.text8("file name", fileName, MAX_FILE_NAME_BYTES);
  out.text("file metadata", fileMetadata, MAX_FILE_METADATA_BYTES);
}

function readGroup(from: FieldReader): TensorGroup {
  const id = from.bytes("group id", GROUP_ID_BYTES);
  const index = from.u32("index");
  const count = from.u32("count");
  if (count > 0 && index >= count) throw from.bad("index", `less than the count of ${count}`, index);
  const fileName = from.text("file name", from.u8("name length"), MAX_FILE_NAME_BYTES);
  if (!isFileName(fileName)) throw from.bad("file name", "a name and no path", JSON.stringify(fileName));
  return {
    id,
    fileName,
    index,
    count,
    fileMetadata: from.restText("file metadata", MAX_FILE_METADATA_BYTES),
  };
}

function writeShard(shard: TensorShard, shape: readonly number[], out: FieldWriter): void {
  const { globalShape, offsets } = shard;
  if (globalShape.length !== shape.length || offsets.length !== shape.length) {
    throw out.bad("shard", `rank ${shape.length}`, `${globalShape.length} and ${offsets.length}`);
  }
  const outside = axisOutside(shard, shape);
  if (outside >= 0) throw out.bad("shard", "a part of the whole", `one that leaves it in axis ${outside}`);
  for (const dim of globalShape) out.u64("dim of the whole", dim);
  for (const offset of offsets) out.u64("offset", offset);
}

function readShard(from: FieldReader, shape: readonly number[]): TensorShard {
  const globalShape = shape.map(() => from.u64("dim of the whole"));
  const offsets = shape.map(() => from.u64("offset"));
  const outside = axisOutside({ globalShape, offsets }, shape);
  if (outside >= 0) throw from.bad("shard", "a part of the whole", `one that leaves it in axis ${outside}`);
  return { globalShape, offsets };
}

/** The first axis in which the shard leaves the whole, or -1. A sum of two safe integers may round; a difference not. */
function axisOutside({ globalShape, offsets }: TensorShard, shape: readonly number[]): number {
  return shape.findIndex((dim, axis) => dim > (globalShape[axis] ?? 0) - (offsets[axis] ?? 0));
}

function readTraceparent(from: FieldReader): string {
  const text = from.text("text", TRACEPARENT_BYTES, TRACEPARENT_BYTES);
  if (!TRACE.test(text)) throw from.bad("text", TRACE_FORM, JSON.stringify(text));
  return text;
}
