/** Node to node beside the bare socket of the same runtimes, every pair, in interleaved rounds. */
import { MiB } from "../../src/core/limits.ts";
import { measure, type Rig, RUNTIMES, type RuntimeName, type Spread, spread } from "./rig.ts";

export const BULK = { tensorBytes: 64 * MiB, frameBytes: MiB } as const;

export interface MatrixCell {
  readonly from: RuntimeName;
  readonly to: RuntimeName;
  readonly asoc: Spread;
  readonly bare: Spread;
  /** Of each round: the node over the mean of the controls right before and after it. */
  readonly ratio: Spread;
}

export interface PairOfRuntimes {
  readonly from: RuntimeName;
  readonly to: RuntimeName;
}

/** Against regressions; the targets are higher (docs/benchmarks.md). */
export const FLOOR = 0.8;
/** A pair that seems to be under the floor is measured so many times more before it is believed: others share the machine. */
const MORE_ROUNDS = 6;
/** After so many rounds new processes take over: two of the same program differ more than two rounds of one. */
const ROUNDS_OF_PROCESSES = 3;

export const ALL_PAIRS: readonly PairOfRuntimes[] = RUNTIMES.flatMap((from) =>
  RUNTIMES.map((to) => ({ from, to })),
);

/**
 * New processes exchange so many tensors first, nodes and controls alike: until some hundreds of tensors have been sent, what
 * happens once for each of them runs as compilers have not seen it yet. A node runs for hours.
 */
const WARM_UP = { tensorBytes: 4 * MiB, frameBytes: MiB, count: 300 } as const;

export interface MatrixOptions {
  readonly pairs: readonly PairOfRuntimes[];
  readonly rounds: number;
  /** Of each measurement; the first one warms up. */
  readonly tensors: number;
  readonly tensorBytes?: number;
  /** What else belongs into every round. */
  readonly eachRound?: () => Promise<void>;
  /** Measure a pair that seems to be under the floor again. */
  readonly insists?: boolean;
}

/** Every one of the pairs, `rounds` times; `say` hears how far it is. */
export async function matrix(
  rig: Rig,
  { pairs, rounds, tensors, tensorBytes = BULK.tensorBytes, eachRound, insists = true }: MatrixOptions,
  say: (text: string) => void,
): Promise<MatrixCell[]> {
  const load = { ...BULK, tensorBytes, count: tensors };
  const found = new Map<string, { asoc: number[]; bare: number[]; ratio: number[] }>();
  for (const { from, to } of pairs) found.set(`${from}/${to}`, { asoc: [], bare: [], ratio: [] });
  const begin = async (some: readonly PairOfRuntimes[]) => {
    await Promise.all([rig.stop("asoc"), rig.stop("bare")]);
    for (const { from, to } of some) {
      say(`warms up: ${from} → ${to}`);
      for (const kind of ["asoc", "bare"] as const) await measure(await rig.pair(kind, from, to), WARM_UP);
    }
    for (const { from, to } of some) {
      // A pass of its own: content, which the measured rounds do not look at.
      await measure(await rig.pair("asoc", from, to), { ...load, count: 2, verify: true });
      await measure(await rig.pair("bare", from, to), { ...load, count: 2 });
    }
  };
  const once = async ({ from, to }: PairOfRuntimes) => {
    const bare = await rig.pair("bare", from, to);
    const asoc = await rig.pair("asoc", from, to);
    const before = (await measure(bare, load)).bytesPerSecond;
    const node = (await measure(asoc, load)).bytesPerSecond;
    const after = (await measure(bare, load)).bytesPerSecond;
    const cell = found.get(`${from}/${to}`);
    cell?.asoc.push(node);
    cell?.bare.push(before, after);
    cell?.ratio.push(node / ((before + after) / 2));
  };
  for (let round = 1; round <= rounds; round++) {
    if (round % ROUNDS_OF_PROCESSES === 1) await begin(pairs);
    for (const pair of pairs) {
      say(`round ${round} of ${rounds}: ${pair.from} → ${pair.to}`);
      await once(pair);
    }
    await eachRound?.();
  }
  for (const pair of insists ? pairs : []) {
    if (spread(found.get(`${pair.from}/${pair.to}`)?.ratio ?? []).median >= FLOOR) continue;
    say(`again, because it seems slow: ${pair.from} → ${pair.to}`);
    await begin([pair]);
    for (let round = 0; round < MORE_ROUNDS; round++) await once(pair);
  }
  return pairs.map(({ from, to }) => {
    const { asoc = [], bare = [], ratio = [] } = found.get(`${from}/${to}`) ?? {};
    return { from, to, asoc: spread(asoc), bare: spread(bare), ratio: spread(ratio) };
  });
}
