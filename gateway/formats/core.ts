/** What the formats need of the core, and one thing that it does not give by that name. */
import { type DType, tensorBytes } from "../../src/mod.ts";

export { type DType, dtypeName, FormatError, LimitError, parseDType, tensorBytes } from "../../src/mod.ts";

/** Elements of a tensor. Throws ASOC_BAD_SHAPE when it has more than can be counted. */
export function elementCount(dtype: DType, shape: readonly number[]): number {
  tensorBytes(dtype, shape);
  return shape.reduce((product, size) => product * size, 1);
}
