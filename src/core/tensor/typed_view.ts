/**
 * Tensor bytes as the typed arrays that JavaScript has.
 *
 * Typed arrays are in the byte order of the machine, the file formats and the wire are little-endian. All machines
 * that the three runtimes are built for are little-endian, but for Node.js on IBM Z: there, `swapBytes` comes first.
 */
import { FormatError } from "../errors.ts";
import { type DType, DTypeCode, dtypeName, parseDType } from "./dtype.ts";

/** The arrays that `typedView` returns and `dtypeOf` knows. */
export type TensorArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float16Array
  | Float32Array
  | Float64Array;

interface ArrayClass {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TensorArray;
}

/** Not in Node.js before 24. */
const Half: ArrayClass = typeof Float16Array === "undefined" ? Uint16Array : Float16Array;

/** By the bits of a number, of each part for complex ones. */
const CLASSES: ReadonlyMap<number, Readonly<Record<number, ArrayClass>>> = new Map([
  [DTypeCode.int, { 8: Int8Array, 16: Int16Array, 32: Int32Array, 64: BigInt64Array }],
  [DTypeCode.uint, { 8: Uint8Array, 16: Uint16Array, 32: Uint32Array, 64: BigUint64Array }],
  [DTypeCode.float, { 16: Half, 32: Float32Array, 64: Float64Array }],
  [DTypeCode.bfloat, { 16: Uint16Array }],
  [DTypeCode.complex, { 16: Half, 32: Float32Array, 64: Float64Array }],
]);

/** The names of `TypedArray.prototype[Symbol.toStringTag]` and what their elements are. */
const DTYPE_OF_ARRAY: ReadonlyMap<string, string> = new Map([
  ["Int8Array", "int8"],
  ["Uint8Array", "uint8"],
  ["Uint8ClampedArray", "uint8"],
  ["Int16Array", "int16"],
  ["Uint16Array", "uint16"],
  ["Int32Array", "int32"],
  ["Uint32Array", "uint32"],
  ["BigInt64Array", "int64"],
  ["BigUint64Array", "uint64"],
  ["Float16Array", "float16"],
  ["Float32Array", "float32"],
  ["Float64Array", "float64"],
]);

/**
 * `bytes` as an array of numbers.
 *
 * Integers and floats come as the array of their name: float16 as a Uint16Array of bits where the runtime has no
 * Float16Array, complex numbers as floats, two for each, and vectors as their lanes one after the other. What
 * JavaScript has no numbers for comes as bits: bfloat16 as a Uint16Array; bool (0 and 1), float8, opaque and packed
 * elements (below 8 bits) as a Uint8Array.
 *
 * The result shares its memory with `bytes`, so it lives no longer than they do, unless they begin at an offset of
 * their buffer that the array cannot: then it is a copy. Throws ASOC_BAD_SHAPE when `bytes` is no whole number of
 * elements, ASOC_BAD_DTYPE for fields that stand for no data type.
 */
export function typedView(dtype: DType, bytes: Uint8Array): TensorArray {
  const name = dtypeName(dtype);
  const elementBytes = (dtype.bits * dtype.lanes) / 8;
  if (Number.isInteger(elementBytes) && bytes.byteLength % elementBytes !== 0) {
    throw new FormatError(
      "ASOC_BAD_SHAPE",
      `Cannot view ${bytes.byteLength} bytes as ${name}: expected a multiple of ${elementBytes}`,
      { details: { expected: elementBytes, got: bytes.byteLength } },
    );
  }
  const partBits = dtype.code === DTypeCode.complex ? dtype.bits / 2 : dtype.bits;
  const Class: ArrayClass = CLASSES.get(dtype.code)?.[partBits] ?? Uint8Array;
  const unit = Class.BYTES_PER_ELEMENT;
  // A plain array of bytes even for a subclass such as Buffer, whose slice() would not copy.
  const { buffer, byteOffset } = bytes.byteOffset % unit === 0 ? bytes : new Uint8Array(bytes);
  return new Class(buffer, byteOffset, bytes.byteLength / unit);
}

/**
 * The data type of a typed array's elements, of a subclass and of another realm too. Throws TypeError for anything
 * else, a DataView for instance: its bytes say nothing of their type.
 */
export function dtypeOf(view: TensorArray): DType {
  const name = ArrayBuffer.isView(view) ? DTYPE_OF_ARRAY.get(view[Symbol.toStringTag]) : undefined;
  if (name === undefined)
    throw new TypeError(`dtypeOf(): expected a typed array, got ${Object.prototype.toString.call(view)}`);
  return parseDType(name);
}
