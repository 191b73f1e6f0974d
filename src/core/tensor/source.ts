/** What users give to `send`: memory, or bytes as they come, with or without a type. */
import { FormatError } from "../errors.ts";
import { type DType, dtypeName, parseDType } from "./dtype.ts";
import { tensorBytes } from "./shape.ts";
import { dtypeOf, type TensorArray } from "./typed_view.ts";

/** Reads the same bytes again from `fromByte` on, as often as it is asked: what is sent so survives a broken connection. */
export type TensorReader = (fromByte: number) => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Bytes that can be read again. */
export type Rereadable = Uint8Array | TensorReader;

/**
 * The bytes of a tensor. Memory may not change until the send settles; a part of an iterable not until the next one is
 * asked for.
 */
export type TensorBytes =
  | ArrayBufferView
  | ArrayBuffer
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>
  | TensorReader;

/** Bytes that are a tensor: elements of `dtype`, little-endian, rows first. */
export interface TensorData {
  readonly data: TensorBytes;
  /** A name such as "float32" or "bfloat16"; default: that of the typed array. */
  readonly dtype?: string | undefined;
  /** Default: one dimension. Empty for a scalar. */
  readonly shape?: readonly number[] | undefined;
  /** In elements. Only those of an array that lies dense, rows first, are taken: pack it before. */
  readonly strides?: readonly number[] | undefined;
  /** For bytes without a type that are no memory: their number, where it is known. */
  readonly totalBytes?: number | undefined;
}

/** A bare typed array is a tensor of one dimension; a bare Uint8Array, ArrayBuffer or iterable is bytes without a type. */
export type TensorSource = TensorBytes | TensorData;

/** A source, looked at. */
export interface Described {
  /** Undefined: `reader` or `parts` has the bytes. */
  readonly memory: Uint8Array | undefined;
  readonly reader: TensorReader | undefined;
  readonly parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | undefined;
  readonly dtype: DType | undefined;
  readonly shape: readonly number[];
  readonly totalBytes: number | undefined;
}

/** Throws TypeError for what is no source, FormatError for a dtype or a shape that its bytes do not fit. */
export function describeSource(source: TensorSource): Described {
  const given: TensorData = isTensorData(source) ? source : { data: source };
  const { data } = given;
  const memory = memoryOf(data);
  const dtype =
    given.dtype === undefined ? ownDtype(data, given.shape !== undefined) : parseDType(given.dtype);
  const common = {
    memory,
    reader: typeof data === "function" ? data : undefined,
    parts: memory || typeof data === "function" ? undefined : (data as AsyncIterable<Uint8Array>), // memoryOf has looked
  };
  if (!dtype) {
    if (given.shape || given.strides) throw new TypeError("tensor: a shape needs a dtype");
    return { ...common, dtype, shape: [], totalBytes: memory?.byteLength ?? given.totalBytes };
  }
  const shape = given.shape ?? [elementsOf(dtype, memory)];
  const totalBytes = tensorBytes(dtype, shape);
  if (memory && memory.byteLength !== totalBytes) {
    throw new FormatError(
      "ASOC_BAD_SHAPE",
      `Cannot send tensor: ${dtypeName(dtype)} of shape [${shape}] has ${totalBytes} bytes, got ${memory.byteLength}`,
      { details: { expected: totalBytes, got: memory.byteLength } },
    );
  }
  if (given.strides) checkDense(shape, given.strides);
  return { ...common, dtype, shape, totalBytes };
}

/** A bare Uint8Array is bytes; with a shape it is a tensor of uint8. */
function ownDtype(data: TensorBytes, shaped: boolean): DType | undefined {
  if (!ArrayBuffer.isView(data) || data instanceof DataView) return undefined;
  if (data instanceof Uint8Array && !shaped) return undefined;
  return dtypeOf(data as TensorArray);
}

function elementsOf(dtype: DType, memory: Uint8Array | undefined): number {
  if (!memory) throw new TypeError("tensor: expected a shape together with the dtype");
  return Math.floor((memory.byteLength * 8) / (dtype.bits * dtype.lanes));
}

/** Throws ASOC_BAD_SHAPE unless the elements lie one behind the other, the last dimension fastest. */
function checkDense(shape: readonly number[], strides: readonly number[]): void {
  let dense = 1;
  if (strides.length !== shape.length) throw notDense(shape, strides, {});
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] as number; // within the loop
    if (size > 1 && strides[axis] !== dense)
      throw notDense(shape, strides, { expected: dense, got: strides[axis] });
    dense *= size;
  }
}

function notDense(
  shape: readonly number[],
  strides: readonly number[],
  details: Record<string, unknown>,
): FormatError {
  const message = `Cannot send tensor: strides [${strides}] of shape [${shape}] are not dense; pack it first`;
  return new FormatError("ASOC_BAD_SHAPE", message, { details });
}

function isTensorData(source: TensorSource): source is TensorData {
  return typeof source === "object" && source !== null && "data" in source && !ArrayBuffer.isView(source);
}

/** The bytes of a source that is memory; undefined for an iterable or a reader. Throws TypeError for anything else. */
export function memoryOf(data: TensorBytes): Uint8Array | undefined {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (typeof data === "function") return undefined;
  if (typeof data === "object" && (Symbol.asyncIterator in data || Symbol.iterator in data)) return undefined;
  throw new TypeError(
    "source: expected a Uint8Array, another view, an ArrayBuffer, an iterable of Uint8Array, a function that gives one, or { data }",
  );
}
