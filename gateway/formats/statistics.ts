/** Statistics of a tensor, computed on a sample that is spread over all of it. */
import { elementForm } from "./elements.ts";

const BINS = 32;

export interface TensorStatistics {
  /** Elements of the tensor, and those that were looked at; all that follows is of these. */
  readonly count: number;
  readonly sampled: number;
  /** Null: there is no finite element. */
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  readonly std: number | null;
  readonly maxAbs: number | null;
  /** Sum of magnitudes, and root of the sum of squares. */
  readonly l1: number;
  readonly l2: number;
  readonly nan: number;
  readonly inf: number;
  readonly zeros: number;
  /** Finite elements in 32 bins of the same width. */
  readonly histogram: {
    readonly from: number;
    readonly to: number;
    readonly counts: readonly number[];
  } | null;
}

/** Undefined for elements that are no numbers. Bytes without a type count as uint8. */
export function statistics(
  dtype: string | undefined,
  bytes: Uint8Array,
  maxSampled: number,
): TensorStatistics | undefined {
  const form = elementForm(dtype ?? "uint8");
  if (!form) return undefined;
  const count = Math.floor(bytes.length / form.laneBytes);
  const stride = Math.max(1, Math.ceil(count / maxSampled));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float64Array(Math.floor(count / stride));
  let finite = 0;
  let nan = 0;
  let inf = 0;
  let zeros = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let l1 = 0;
  let squares = 0;
  for (let index = 0; index < values.length; index++) {
    // Not at even steps: these might meet the same column of every row.
    const place = index * stride + ((index * 40_503) % stride);
    const value = form.number(view, place * form.laneBytes);
    if (Number.isNaN(value)) nan++;
    else if (!Number.isFinite(value)) inf++;
    else {
      values[finite++] = value;
      if (value === 0) zeros++;
      if (value < min) min = value;
      if (value > max) max = value;
      sum += value;
      l1 += Math.abs(value);
      squares += value * value;
    }
  }
  const common = { count, sampled: values.length, nan, inf, zeros };
  if (finite === 0) {
    const none = { min: null, max: null, mean: null, std: null, maxAbs: null, l1: 0, l2: 0, histogram: null };
    return { ...common, ...none };
  }
  const mean = sum / finite;
  let spread = 0;
  const counts = new Array<number>(BINS).fill(0);
  const width = (max - min) / BINS;
  for (let index = 0; index < finite; index++) {
    const value = values[index] as number; // index < finite
    spread += (value - mean) ** 2;
    const bin =
      width > 0 && Number.isFinite(width) ? Math.min(BINS - 1, Math.floor((value - min) / width)) : 0;
    counts[bin] = (counts[bin] as number) + 1; // bin < BINS
  }
  return {
    ...common,
    min,
    max,
    mean: finiteOrNull(mean),
    std: finiteOrNull(Math.sqrt(spread / finite)),
    maxAbs: Math.max(Math.abs(min), Math.abs(max)),
    l1: Math.min(l1, Number.MAX_VALUE),
    l2: Math.min(Math.sqrt(squares), Number.MAX_VALUE),
    histogram: { from: min, to: max, counts },
  };
}

/** Sums of the largest doubles overflow; JSON has no infinity. */
function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
