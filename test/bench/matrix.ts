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

export const ALL_PAIRS: readonly PairOfRuntimes[] = RUNTIMES.flatMap((from) =>
  RUNTIMES.map((to) => ({ from, to })),
);

/** Every one of `pairs`, `rounds` times; `say` hears how far it is. */
export async function matrix(
  rig: Rig,
  pairs: readonly PairOfRuntimes[],
  rounds: number,
  tensors: number,
  say: (text: string) => void,
): Promise<MatrixCell[]> {
  const load = { ...BULK, count: tensors };
  const found = new Map<string, { asoc: number[]; bare: number[]; ratio: number[] }>();
  for (const { from, to } of pairs) {
    // A pass of its own: content, which the measured rounds do not look at. It also warms up.
    await measure(await rig.pair("asoc", from, to), { ...load, count: 2, verify: true });
    await measure(await rig.pair("bare", from, to), { ...load, count: 2 });
    found.set(`${from}/${to}`, { asoc: [], bare: [], ratio: [] });
  }
  for (let round = 1; round <= rounds; round++) {
    for (const { from, to } of pairs) {
      say(`round ${round} of ${rounds}: ${from} → ${to}`);
      const bare = await rig.pair("bare", from, to);
      const asoc = await rig.pair("asoc", from, to);
      const before = (await measure(bare, load)).bytesPerSecond;
      const node = (await measure(asoc, load)).bytesPerSecond;
      const after = (await measure(bare, load)).bytesPerSecond;
      const cell = found.get(`${from}/${to}`);
      cell?.asoc.push(node);
      cell?.bare.push(before, after);
      cell?.ratio.push(node / ((before + after) / 2));
    }
  }
  return pairs.map(({ from, to }) => {
    const { asoc = [], bare = [], ratio = [] } = found.get(`${from}/${to}`) ?? {};
    return { from, to, asoc: spread(asoc), bare: spread(bare), ratio: spread(ratio) };
  });
}
