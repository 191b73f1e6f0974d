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
/** After so many rounds new processes take over: two of the same program differ more than two rounds of one. */
const ROUNDS_OF_PROCESSES = 3;
/** A pair that seems to be under the floor is measured with so many more of them before it is believed: others share the machine. */
const MORE_SETS = 3;

export const ALL_PAIRS: readonly PairOfRuntimes[] = RUNTIMES.flatMap((from) =>
  RUNTIMES.map((to) => ({ from, to })),
);

/**
 * New processes exchange so many tensors first, and then a round that does not count, nodes and controls alike: until more
 * than a thousand tensors have been sent, what happens once for each of them runs as compilers have not seen it yet. A node
 * runs for hours.
 */
const WARM_UP = { tensorBytes: MiB, frameBytes: MiB, count: 1500 } as const;

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
  const cells: MatrixCell[] = [];
  for (const { from, to } of pairs) {
    const asoc: number[] = [];
    const bare: number[] = [];
    const ratio: number[] = [];
    /** New processes, alone on the machine, and some rounds of them. */
    const some = async (count: number) => {
      await Promise.all([rig.stop("asoc"), rig.stop("bare")]);
      const node = await rig.pair("asoc", from, to);
      const control = await rig.pair("bare", from, to);
      // A pass of its own: content, which the measured rounds do not look at.
      await measure(node, { ...load, count: 2, verify: true });
      for (const pair of [node, control]) {
        await measure(pair, WARM_UP);
        await measure(pair, load);
      }
      let before = (await measure(control, load)).bytesPerSecond;
      bare.push(before);
      for (let round = 0; round < count; round++) {
        say(`${from} → ${to}: round ${ratio.length + 1} of ${rounds}`);
        const rate = (await measure(node, load)).bytesPerSecond;
        const after = (await measure(control, load)).bytesPerSecond;
        asoc.push(rate);
        bare.push(after);
        ratio.push(rate / ((before + after) / 2));
        before = after;
        if (cells.length === 0) await eachRound?.();
      }
    };
    while (ratio.length < rounds) await some(Math.min(ROUNDS_OF_PROCESSES, rounds - ratio.length));
    if (insists && spread(ratio).median < FLOOR) {
      say(`${from} → ${to}: again, because it seems slow`);
      for (let set = 0; set < MORE_SETS; set++) await some(ROUNDS_OF_PROCESSES);
    }
    cells.push({ from, to, asoc: spread(asoc), bare: spread(bare), ratio: spread(ratio) });
  }
  return cells;
}
