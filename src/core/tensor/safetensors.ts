/**
 * Headers of safetensors files: what they say, and how they are written.
 *
 * `length u64, little-endian | JSON | elements`: the JSON begins with a brace and may end in spaces. It gives each tensor
 * its dtype, shape and place among the elements, which the tensors fill in row-major order, little-endian, without
 * holes or overlaps (README of the safetensors repository, "Format"). Reading is safetensors_decode.ts.
 */
import { FormatError, LimitError } from "../errors.ts";
import { MAX_SAFETENSORS_ENTRIES, MAX_SAFETENSORS_HEADER_BYTES } from "../limits.ts";
import type { DType } from "./dtype.ts";
import { encodeSafetensorsDType } from "./safetensors_dtype.ts";
import { tensorBytes } from "./shape.ts";
import { quote } from "./text_reader.ts";

/** A tensor to be written. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A tensor in a file. */
export interface SafetensorsTensor extends TensorInfo {
  /** Where its bytes begin and end, counted from the header's `dataOffset`. */
  readonly start: number;
  readonly end: number;
}

/** A whole header. */
export interface SafetensorsHeader {
  /** In the order of their bytes. */
  readonly tensors: readonly SafetensorsTensor[];
  /** The file's `__metadata__`; empty when there is none. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Where the elements begin in the file, and how many bytes they are: nothing may follow them. */
  readonly dataOffset: number;
  readonly dataBytes: number;
}

/** The key of a header that is no tensor. */
export const METADATA_KEY = "__metadata__";
/** The u64 in front; the JSON is padded to a multiple of this too. */
export const LENGTH_BYTES = 8;

/**
 * The header for `tensors`, whose bytes the caller puts behind it one after the other: `bytes` is the header itself,
 * the rest says where each tensor goes. The same arguments give the same bytes: tensors and metadata keep the order
 * that they are given in, without spaces but at the end. Given tensors in descending order of alignment, as the
 * reference implementation sorts them, every one of them is aligned, and the header equals its own. The buffer is the
 * caller's.
 *
 * Throws ASOC_BAD_SAFETENSORS for a name that comes twice, is `__metadata__` or no Unicode text, for metadata that is
 * no Unicode text, and for packed elements that fill no whole number of bytes; ASOC_UNSUPPORTED_DTYPE; ASOC_BAD_SHAPE;
 * ASOC_TOO_MANY_TENSORS and ASOC_HEADER_TOO_LARGE for what would not be read again.
 */
export function encodeSafetensorsHeader(
  tensors: readonly TensorInfo[],
  metadata: ReadonlyMap<string, string> = new Map(),
): SafetensorsHeader & { readonly bytes: Uint8Array } {
  checkEntryCount(Math.max(tensors.length, metadata.size));
  const entries: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${jsonText(key)}:${jsonText(value)}`);
    entries.push(`"${METADATA_KEY}":{${pairs.join(",")}}`);
  }
  const names = new Set([METADATA_KEY]);
  const placed: SafetensorsTensor[] = [];
  let start = 0;
  for (const { name, dtype, shape } of tensors) {
    if (names.has(name)) throw refuse(`the name ${quote(name)} is taken`);
    names.add(name);
    const theirs = encodeSafetensorsDType(dtype);
    const end = start + safetensorsBytes(name, dtype, shape);
    if (!Number.isSafeInteger(end)) throw refuse(`tensor ${quote(name)} ends beyond what can be counted`);
    const place = `"shape":[${shape.join(",")}],"data_offsets":[${start},${end}]`;
    entries.push(`${jsonText(name)}:{"dtype":"${theirs}",${place}}`);
    placed.push({ name, dtype, shape: [...shape], start, end });
    start = end;
  }
  const bytes = frame(`{${entries.join(",")}}`);
  return {
    bytes,
    tensors: placed,
    metadata: new Map(metadata),
    dataOffset: bytes.length,
    dataBytes: start,
  };
}

/**
 * Bytes of a tensor in a safetensors file. Throws ASOC_BAD_SHAPE as `tensorBytes` does, and ASOC_BAD_SAFETENSORS when
 * packed elements fill no whole number of bytes: the format does not fill up the last one.
 */
export function safetensorsBytes(name: string, dtype: DType, shape: readonly number[]): number {
  const bytes = tensorBytes(dtype, shape);
  const elementBits = dtype.bits * dtype.lanes;
  if (elementBits % 8 !== 0) {
    const elements = shape.reduce((product, size) => product * size, 1);
    if ((elements * elementBits) % 8 !== 0)
      throw refuse(`tensor ${quote(name)}: ${elements} elements of ${elementBits} bits are no whole bytes`);
  }
  return bytes;
}

/** Throws when a header of so many tensors, or pairs of metadata, is refused. */
export function checkEntryCount(count: number): void {
  if (count <= MAX_SAFETENSORS_ENTRIES) return;
  throw new LimitError(
    "ASOC_TOO_MANY_TENSORS",
    `Cannot use safetensors header: more than ${MAX_SAFETENSORS_ENTRIES} tensors, or pairs of metadata`,
    { details: { limit: "MAX_SAFETENSORS_ENTRIES", expected: MAX_SAFETENSORS_ENTRIES, got: count } },
  );
}

/** Throws when a header whose JSON takes so many bytes is refused. */
export function checkHeaderBytes(jsonBytes: number | bigint): void {
  if (jsonBytes <= MAX_SAFETENSORS_HEADER_BYTES) return;
  throw new LimitError(
    "ASOC_HEADER_TOO_LARGE",
    `Cannot use safetensors header: ${jsonBytes} bytes, at most ${MAX_SAFETENSORS_HEADER_BYTES} are allowed`,
    {
      details: {
        limit: "MAX_SAFETENSORS_HEADER_BYTES",
        expected: MAX_SAFETENSORS_HEADER_BYTES,
        got: Number(jsonBytes),
      },
    },
  );
}

/** JSON as the reference implementation writes it: no escapes but those that must be. */
function jsonText(text: string): string {
  // Half a surrogate pair has no UTF-8; readers refuse its escape.
  if (!text.isWellFormed()) throw refuse(`${quote(text)} is no Unicode text`);
  return JSON.stringify(text);
}

/** Length, JSON, and spaces up to a multiple of 8, so that the elements begin at one. */
function frame(json: string): Uint8Array {
  const text = new TextEncoder().encode(json);
  const padded = Math.ceil(text.length / LENGTH_BYTES) * LENGTH_BYTES;
  checkHeaderBytes(padded);
  const bytes = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, LENGTH_BYTES);
  return bytes;
}

function refuse(why: string): FormatError {
  return new FormatError("ASOC_BAD_SAFETENSORS", `Cannot use safetensors header: ${why}`);
}
