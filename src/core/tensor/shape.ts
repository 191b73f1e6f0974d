/**
 * What a shape holds: elements and bytes, computed without overflow. A shape may come from anywhere: every dimension
 * is checked before it is multiplied.
 */
import { FormatError, LimitError } from "../errors.ts";
import { MAX_RANK } from "../limits.ts";
import { type DType, dtypeName } from "./dtype.ts";

/** Of a shape in a message. */
const SHOWN_DIMENSIONS = 8;

/**
 * Throws ASOC_BAD_SHAPE unless `shape` has at most MAX_RANK dimensions, each a safe integer from 0 on. No dimensions
 * at all is the shape of a scalar.
 */
export function checkShape(shape: readonly number[]): void {
  if (shape.length > MAX_RANK) {
    throw new LimitError(
      "ASOC_BAD_SHAPE",
      `Cannot use shape: ${shape.length} dimensions, at most ${MAX_RANK} are allowed`,
      { details: { limit: "MAX_RANK", expected: MAX_RANK, got: shape.length } },
    );
  }
  for (let axis = 0; axis < shape.length; axis++) {
    const size: unknown = shape[axis];
    if (!Number.isSafeInteger(size) || (size as number) < 0) {
      throw new FormatError(
        "ASOC_BAD_SHAPE",
        `Cannot use shape: expected 0 to 2^53 - 1 in dimension ${axis}, got ${String(size).slice(0, 32)}`,
        { details: { axis, got: size } },
      );
    }
  }
}

/**
 * Elements of a tensor of this shape: 1 for a scalar, 0 when a dimension is 0. Throws ASOC_BAD_SHAPE when `checkShape`
 * does, and when the product of all dimensions but zeros is 2^53 or more: as in NumPy, it depends neither on their
 * order nor on a zero among them whether a shape is allowed, so that strides never overflow either.
 */
export function elementCount(shape: readonly number[]): number {
  checkShape(shape);
  let product = 1;
  let empty = false;
  for (const size of shape) {
    if (size === 0) empty = true;
    else product *= size;
    // A product that is too large is never rounded down into the safe range.
    if (!Number.isSafeInteger(product)) throw overflow(shape, "elements");
  }
  return empty ? 0 : product;
}

/**
 * Bytes of a tensor in row-major (or column-major) order without padding. Elements of less than a byte are packed
 * bit by bit, as DLPack has it, and the last byte of the tensor is filled up: five of 4 bits take three bytes.
 * Throws ASOC_BAD_SHAPE when `elementCount` does, or when the result (in bits for packed ones) is 2^53 or more;
 * ASOC_BAD_DTYPE for fields that stand for no data type.
 */
export function tensorBytes(dtype: DType, shape: readonly number[]): number {
  dtypeName(dtype);
  const elementBits = dtype.bits * dtype.lanes;
  const packed = elementBits % 8 !== 0;
  const unit = packed ? elementBits : elementBits / 8;
  const total = elementCount(shape) * unit;
  if (!Number.isSafeInteger(total)) throw overflow(shape, `elements of ${dtypeName(dtype)}`);
  return packed ? Math.ceil(total / 8) : total;
}

function overflow(shape: readonly number[], what: string): FormatError {
  const dims = shape.slice(0, SHOWN_DIMENSIONS).join(", ") + (shape.length > SHOWN_DIMENSIONS ? ", …" : "");
  return new FormatError(
    "ASOC_BAD_SHAPE",
    `Cannot use shape: (${dims}) has more ${what} than can be counted`,
    { details: { got: [...shape] } },
  );
}
