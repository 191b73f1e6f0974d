/** Whether a series stays flat: the slope of a straight line through what comes after the warm-up. */

export interface Point {
  readonly seconds: number;
  readonly value: number;
}

export interface Trend {
  readonly median: number;
  /** By the line, from the end of the warm-up to the last sample. */
  readonly growth: number;
}

/** Least squares over the points from `fromSeconds` on. Throws RangeError on fewer than three. */
export function trend(points: readonly Point[], fromSeconds: number): Trend {
  const late = points.filter(({ seconds }) => seconds >= fromSeconds);
  if (late.length < 3) throw new RangeError(`points: expected 3 after the warm-up, got ${late.length}`);
  const mean = (of: (point: Point) => number) =>
    late.reduce((sum, point) => sum + of(point), 0) / late.length;
  const [x, y] = [mean(({ seconds }) => seconds), mean(({ value }) => value)];
  const covariance = mean(({ seconds, value }) => (seconds - x) * (value - y));
  const variance = mean(({ seconds }) => (seconds - x) ** 2);
  const spanSeconds = (late.at(-1)?.seconds ?? 0) - (late[0]?.seconds ?? 0);
  const sorted = late.map(({ value }) => value).sort((one, other) => one - other);
  return {
    median: sorted[sorted.length >> 1] ?? 0,
    growth: variance === 0 ? 0 : (covariance / variance) * spanSeconds,
  };
}

/** It grew by no more than that share of its median and that much. */
export function isFlat({ median, growth }: Trend, share: number, more: number): boolean {
  return growth <= median * share + more;
}
