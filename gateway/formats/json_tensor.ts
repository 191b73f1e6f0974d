/** Tensors as JSON: `{ topic, dtype, shape, data }`, nested as the shape is. Both ways in memory: for small ones. */
import { type DType, elementCount, FormatError, parseDType } from "./core.ts";
import { elementForm, type JsonElement } from "./elements.ts";

/** The value of `data`. Throws ASOC_UNSUPPORTED_DTYPE. */
export function toJsonData(dtype: string, shape: readonly number[], bytes: Uint8Array): JsonElement {
  const form = elementForm(dtype);
  if (!form) {
    throw new FormatError("ASOC_UNSUPPORTED_DTYPE", `Cannot write JSON: it has no elements of ${dtype}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // A vector's lanes are a dimension of their own.
  const dims = form.lanes > 1 ? [...shape, form.lanes] : shape;
  // An empty tensor may have other dimensions that are huge: nothing may run over them.
  if (dims.includes(0)) return [];
  let at = 0;
  const build = (axis: number): JsonElement => {
    if (axis === dims.length) {
      const element = form.json(view, at);
      at += form.laneBytes;
      return element;
    }
    return Array.from({ length: dims[axis] as number }, () => build(axis + 1)); // axis < length
  };
  return build(0);
}

/**
 * The bytes of a tensor that JSON gives: `data` nested as the shape is, or flat. Throws FormatError.
 */
export function fromJsonData(
  dtype: DType,
  name: string,
  shape: readonly number[],
  data: unknown,
): Uint8Array {
  const form = elementForm(name);
  if (!form || form.lanes > 1) {
    throw new FormatError("ASOC_UNSUPPORTED_DTYPE", `Cannot read JSON: it has no elements of ${name}`);
  }
  const count = elementCount(dtype, shape);
  const flat = flatten(data, shape, count);
  if (flat.length !== count) {
    throw new FormatError(
      "ASOC_BAD_SHAPE",
      `Cannot read JSON: shape [${shape.slice(0, 8)}] has ${count} elements, got ${flat.length}`,
    );
  }
  const bytes = new Uint8Array(count * form.bytes);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < count; index++) form.write(view, index * form.bytes, flat[index]);
  return bytes;
}

/** Complex elements are arrays themselves: only as many levels are opened as the shape has. */
function flatten(data: unknown, shape: readonly number[], count: number): readonly unknown[] {
  if (shape.length === 0) return [data];
  if (!Array.isArray(data)) {
    throw new FormatError(
      "ASOC_BAD_SHAPE",
      "Cannot read JSON: expected data to be an array, as the shape is",
    );
  }
  if (count === 0) return emptyRows(data, shape.length);
  if (shape.length === 1 || (data.length === count && data.length !== shape[0])) return data;
  if (shape.length > 1 && data.length === count && !Array.isArray(data[0])) return data;
  let level: unknown[] = data;
  for (let axis = 0; axis < shape.length; axis++) {
    const wanted = shape.slice(0, axis + 1).reduce((product, size) => product * size, 1);
    if (level.length !== wanted) return ragged(axis);
    if (axis === shape.length - 1) break;
    const next: unknown[] = [];
    for (const row of level) {
      if (!Array.isArray(row) || row.length !== shape[axis + 1]) return ragged(axis + 1);
      for (const one of row) next.push(one);
    }
    level = next;
  }
  return level;
}

/** What is in arrays nested `rank` deep: nothing, if all is well. */
function emptyRows(data: readonly unknown[], rank: number): readonly unknown[] {
  let level = data;
  for (let axis = 1; axis < rank && level.length > 0; axis++) {
    if (!level.every(Array.isArray)) return ragged(axis);
    level = level.flat();
  }
  return level;
}

function ragged(axis: number): never {
  throw new FormatError(
    "ASOC_BAD_SHAPE",
    `Cannot read JSON: data does not fit the shape in dimension ${axis}`,
  );
}

/** Name and dtype of what JSON calls `dtype`. Throws ASOC_BAD_DTYPE. */
export function namedDType(name: string): DType {
  return parseDType(name);
}
