/** What TLS costs: the same tensors between the same nodes, encrypted and not. */
import { MiB } from "../../src/core/limits.ts";
import { NAMES } from "./report.ts";
import { measure, type Rig, RUNTIMES, type RuntimeName, type Spread, spread } from "./rig.ts";
import type { Section } from "./section.ts";

interface Row {
  readonly runtime: RuntimeName;
  readonly plain: Spread;
  readonly tls: Spread;
  /** Of each round, over plain right before and after. */
  readonly ratio: Spread;
}

const two = (value: number) => value.toFixed(2);
const text = ({ median, low, high }: Spread) => `${two(median)} (${two(low)}-${two(high)})`;

async function rowOf(rig: Rig, runtime: RuntimeName, full: boolean, rounds: number): Promise<Row> {
  const plain = await rig.pair("asoc", runtime, runtime);
  const tls = await rig.pair("tls", runtime, runtime);
  const load = { tensorBytes: 64 * MiB, count: full ? 17 : 9, frameBytes: MiB };
  for (const pair of [plain, tls]) await measure(pair, { ...load, count: 2, verify: true });
  const rates = { plain: [] as number[], tls: [] as number[], ratio: [] as number[] };
  let before = (await measure(plain, load)).bytesPerSecond;
  for (let round = 0; round < rounds; round++) {
    const encrypted = (await measure(tls, load)).bytesPerSecond;
    const after = (await measure(plain, load)).bytesPerSecond;
    rates.plain.push(before / 1e9);
    rates.tls.push(encrypted / 1e9);
    rates.ratio.push(encrypted / ((before + after) / 2));
    before = after;
  }
  return { runtime, plain: spread(rates.plain), tls: spread(rates.tls), ratio: spread(rates.ratio) };
}

/** Each runtime with itself. */
export async function encryption(
  rig: Rig,
  full: boolean,
  rounds: number,
  say: (text: string) => void,
): Promise<Section> {
  const rows: Row[] = [];
  for (const runtime of RUNTIMES) {
    say(`TLS: ${NAMES[runtime]}`);
    rows.push(await rowOf(rig, runtime, full, rounds));
  }
  return {
    name: "tls",
    title: "TLS 1.3",
    markdown: [
      "64 MiB tensors, each runtime with itself, GB/s without TLS and with it, and the share of each round. Both ends encrypt on the thread that moves the bytes, and nothing lands in place on the accepting side.",
      "",
      "| runtime | plain, GB/s | TLS, GB/s | share |",
      "|---|---:|---:|---:|",
      ...rows.map(
        ({ runtime, plain, tls, ratio }) =>
          `| ${NAMES[runtime]} | ${text(plain)} | ${text(tls)} | ${text(ratio)} |`,
      ),
    ],
    data: { rows },
    missed: [],
  };
}
