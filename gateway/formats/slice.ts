/**
 * NumPy's basic slicing on tensors that lie in memory: `0:2,:`, `-1`, `...,::4`. A single index takes its dimension away;
 * steps are positive. The bytes are never assembled: they are copied out block by block, as they are asked for.
 */
import { GatewayError } from "../errors.ts";

const MAX_CHARACTERS = 1024;
/** Bytes of one block. */
const BLOCK_BYTES = 1024 * 1024;

interface Axis {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** What a slice takes of a shape. */
export interface Slice {
  readonly axes: readonly Axis[];
  /** Of the result. */
  readonly shape: readonly number[];
}

function refuse(why: string): GatewayError {
  return new GatewayError(400, "GATEWAY_BAD_SLICE", `Cannot slice: ${why}`);
}

/** Throws GATEWAY_BAD_SLICE. */
export function parseSlice(text: string, shape: readonly number[]): Slice {
  if (text.length > MAX_CHARACTERS) throw refuse(`more than ${MAX_CHARACTERS} characters`);
  const items = text.split(",").map((item) => item.trim());
  if (items.at(-1) === "" && items.length > 1) items.pop(); // as in Python
  const dots = items.indexOf("...");
  if (dots !== items.lastIndexOf("...")) throw refuse("... may be there once");
  const named = dots < 0 ? items.length : items.length - 1;
  if (named > shape.length) throw refuse(`${named} indices for ${shape.length} dimensions`);
  const filled: string[] = [];
  for (const item of dots < 0 ? [...items, "..."] : items) {
    if (item === "...") for (let more = shape.length - named; more > 0; more--) filled.push(":");
    else filled.push(item);
  }
  const axes: Axis[] = [];
  const kept: number[] = [];
  for (const [axis, item] of filled.entries()) {
    const size = shape[axis] ?? 0;
    const taken = parseItem(item, size, axis);
    axes.push(taken);
    if (item.includes(":")) kept.push(taken.count);
  }
  return { axes, shape: kept };
}

function parseItem(item: string, size: number, axis: number): Axis {
  if (/^[+-]?\d{1,16}$/.test(item)) {
    const index = Number(item);
    const start = index < 0 ? index + size : index;
    if (start < 0 || start >= size)
      throw refuse(`index ${index} is outside of dimension ${axis}, which has ${size}`);
    return { start, step: 1, count: 1 };
  }
  const match = /^([+-]?\d{1,16})?:([+-]?\d{1,16})?(?::([+-]?\d{1,16})?)?$/.exec(item);
  if (!match)
    throw refuse(`expected an index, START:STOP:STEP or "...", got ${JSON.stringify(item.slice(0, 40))}`);
  const step = match[3] === undefined ? 1 : Number(match[3]);
  if (!Number.isSafeInteger(step) || step < 1) throw refuse(`step ${match[3]}, expected 1 or more`);
  const start = bound(match[1], 0, size);
  const stop = bound(match[2], size, size);
  return { start, step, count: Math.max(0, Math.ceil((stop - start) / step)) };
}

function bound(text: string | undefined, otherwise: number, size: number): number {
  if (text === undefined) return otherwise;
  const index = Number(text);
  return Math.min(size, Math.max(0, index < 0 ? index + size : index));
}

/** Bytes that are read from anywhere in blocks. */
export interface ByteRun {
  readonly length: number;
  blocks(from: number, to: number): Generator<Uint8Array, void, undefined>;
}

/** Memory as it lies; blocks share it. */
export function wholeRun(bytes: Uint8Array): ByteRun {
  return {
    length: bytes.length,
    *blocks(from, to) {
      for (let at = from; at < to; at += BLOCK_BYTES)
        yield bytes.subarray(at, Math.min(to, at + BLOCK_BYTES));
    },
  };
}

/** The bytes of a slice of row-major elements of `elementBytes`; blocks are the caller's. */
export function slicedRun(
  bytes: Uint8Array,
  shape: readonly number[],
  elementBytes: number,
  slice: Slice,
): ByteRun {
  const strides: number[] = [];
  let stride = elementBytes;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis] as number; // within the loop
  }
  // The longest tail that lies in one piece: whole dimensions, and of one more a run without steps.
  let runBytes = elementBytes;
  let outer = shape.length;
  while (outer > 0) {
    const { start, step, count } = slice.axes[outer - 1] as Axis;
    if (step !== 1 && count !== 1) break;
    outer--;
    runBytes = (strides[outer] as number) * count;
    if (start !== 0 || count !== shape[outer]) break;
  }
  const counts = slice.axes.slice(0, outer).map(({ count }) => count);
  const base = slice.axes.reduce((sum, { start }, axis) => sum + start * (strides[axis] as number), 0);
  const length = counts.reduce((product, count) => product * count, runBytes);
  const placeOf = (run: number): number => {
    let place = base;
    let rest = run;
    for (let axis = outer - 1; axis >= 0; axis--) {
      const count = counts[axis] as number;
      place += (rest % count) * (slice.axes[axis] as Axis).step * (strides[axis] as number);
      rest = Math.floor(rest / count);
    }
    return place;
  };
  return {
    length,
    *blocks(from, to) {
      let at = from;
      while (at < to) {
        const block = new Uint8Array(Math.min(BLOCK_BYTES, to - at));
        let filled = 0;
        while (filled < block.length) {
          const run = Math.floor(at / runBytes);
          const within = at - run * runBytes;
          const place = placeOf(run) + within;
          const take = Math.min(runBytes - within, block.length - filled);
          block.set(bytes.subarray(place, place + take), filled);
          filled += take;
          at += take;
        }
        yield block;
      }
    },
  };
}
