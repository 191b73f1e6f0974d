/** Turns the bytes of every number of a tensor round, for files of big-endian machines. */
import { FormatError } from "../errors.ts";
import { type DType, DTypeCode, dtypeName } from "./dtype.ts";

/**
 * Swaps in place, in the caller's memory: each number of `bytes`, each part of a complex one. Numbers of one byte or
 * less have no order and stay. Throws ASOC_BAD_SHAPE when `bytes` is no whole number of elements,
 * ASOC_UNSUPPORTED_DTYPE for opaque elements of several bytes: nobody knows of which numbers they consist.
 */
export function swapBytes(dtype: DType, bytes: Uint8Array): void {
  const name = dtypeName(dtype);
  const numberBytes = dtype.bits / (dtype.code === DTypeCode.complex ? 16 : 8);
  if (numberBytes <= 1) return;
  if (dtype.code === DTypeCode.opaque) {
    throw new FormatError(
      "ASOC_UNSUPPORTED_DTYPE",
      `Cannot swap the bytes of ${name}: its parts are unknown`,
      {
        details: { got: name },
      },
    );
  }
  const elementBytes = (dtype.bits * dtype.lanes) / 8;
  const { byteLength } = bytes;
  if (byteLength % elementBytes !== 0) {
    throw new FormatError(
      "ASOC_BAD_SHAPE",
      `Cannot swap ${byteLength} bytes of ${name}: expected a multiple of ${elementBytes}`,
      { details: { expected: elementBytes, got: byteLength } },
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, byteLength);
  if (numberBytes === 2) {
    for (let i = 0; i < byteLength; i += 2) view.setUint16(i, view.getUint16(i, false), true);
  } else if (numberBytes === 4) {
    for (let i = 0; i < byteLength; i += 4) view.setUint32(i, view.getUint32(i, false), true);
  } else {
    for (let i = 0; i < byteLength; i += 8) {
      const high = view.getUint32(i, false);
      view.setUint32(i, view.getUint32(i + 4, false), true);
      view.setUint32(i + 4, high, true);
    }
  }
}
