/**
 * Which part of a tensor the heat map fetches: at most 64 × 64 elements, spread evenly over the last two axes, at
 * one index of each axis before them. Knows no DOM and no network.
 */

export const SIDE = 64;

/**
 * @typedef {object} SlicePlan
 * @property {string} slice       for `?slice=`
 * @property {number} rows
 * @property {number} columns
 * @property {number} rowStep     every n-th row of the tensor is shown
 * @property {number} columnStep
 * @property {readonly number[]} leading  lengths of the axes whose index can be chosen
 */

/** @param {number} length */
const stepOf = (length) => Math.max(1, Math.ceil(length / SIDE));

/** @param {number} length @param {number} step */
const partOf = (length, step) => (step === 1 ? ":" : `0:${length}:${step}`);

/**
 * @param {readonly number[]} shape
 * @param {readonly number[]} [indices]  of the leading axes; what is missing or too large is clamped
 * @returns {SlicePlan | undefined} undefined when there is nothing to show
 */
export function planSlice(shape, indices = []) {
  if (shape.some((length) => length === 0)) return undefined;
  if (shape.length === 0) return { slice: "", rows: 1, columns: 1, rowStep: 1, columnStep: 1, leading: [] };
  if (shape.length === 1) return planVector(shape[0] ?? 0);
  const leading = shape.slice(0, -2);
  const [height = 0, width = 0] = shape.slice(-2);
  const rowStep = stepOf(height);
  const columnStep = stepOf(width);
  const chosen = leading.map((length, axis) => clampIndex(indices[axis] ?? 0, length));
  return {
    slice: [...chosen, partOf(height, rowStep), partOf(width, columnStep)].join(","),
    rows: Math.ceil(height / rowStep),
    columns: Math.ceil(width / columnStep),
    rowStep,
    columnStep,
    leading,
  };
}

/** A vector is folded into rows of up to 64. @param {number} length @returns {SlicePlan} */
function planVector(length) {
  const step = Math.max(1, Math.ceil(length / (SIDE * SIDE)));
  const shown = Math.ceil(length / step);
  const columns = Math.min(SIDE, shown);
  const rows = Math.ceil(shown / columns);
  return {
    slice: partOf(length, step),
    rows,
    columns,
    rowStep: step * columns,
    columnStep: step,
    leading: [],
  };
}

/** @param {number} index @param {number} length */
export function clampIndex(index, length) {
  return Math.min(Math.max(0, Math.trunc(index) || 0), length - 1);
}

/**
 * The gateway's JSON as numbers, row after row; complex elements by their magnitude.
 *
 * @param {unknown} data  nested arrays
 * @param {boolean} complex
 * @returns {Float64Array}
 */
export function flatten(data, complex) {
  /** @type {number[]} */
  const values = [];
  const visit = (/** @type {unknown} */ part) => {
    if (!Array.isArray(part)) values.push(toNumber(part));
    else if (complex && part.length === 2 && !Array.isArray(part[0]))
      values.push(Math.hypot(toNumber(part[0]), toNumber(part[1])));
    else for (const each of part) visit(each);
  };
  visit(data);
  return Float64Array.from(values);
}

/** "NaN", "Infinity" and large integers come as strings, booleans as such. @param {unknown} value */
function toNumber(value) {
  return value === null ? Number.NaN : Number(value);
}
