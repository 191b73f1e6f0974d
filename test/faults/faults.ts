/** A fault run: a seed decides what breaks, where, for how long, while tensors pass all the time. */
import { setTimeout as delay } from "node:timers/promises";
import { Random } from "../sim/random.ts";
import { Field, HOSTS, wiresOf } from "./field.ts";
import { Ledger, type LedgerReport } from "./ledger.ts";
import { Load } from "./load.ts";

type End = () => void | Promise<void>;

/** How long what was cut may take to go on, once all is whole again; the resume time is two minutes. */
const SETTLE_MS = 150_000;

const FAULTS: readonly (readonly [
  string,
  (field: Field, random: Random, ledger: Ledger) => End | Promise<End>,
])[] = [
  [
    "cut of one connection",
    (field, random) => {
      const host = random.pick(HOSTS);
      return field.cut(host, random.pick(wiresOf(host)), "both");
    },
  ],
  [
    "one direction of one connection cut",
    (field, random) => {
      const host = random.pick(HOSTS);
      return field.cut(host, random.pick(wiresOf(host)), "in");
    },
  ],
  ["host deaf", (field, random) => field.cut(random.pick(HOSTS), undefined, "in")],
  ["host partitioned", (field, random) => field.cut(random.pick(HOSTS), undefined, "both")],
  [
    "connection reset",
    (field, random) => {
      const host = random.pick(HOSTS);
      return field.reset(host, random.pick(wiresOf(host)));
    },
  ],
  ["5% loss", (field, random) => field.lose(random.pick(HOSTS), 5)],
  ["50 ms delay each way", (field) => field.delay(50)],
  ["50 Mbit/s", (field, random) => field.slow(random.pick(HOSTS), 50)],
  ["process suspended", (field, random) => field.suspend(random.pick(HOSTS))],
  [
    "process killed and started again",
    async (field, random, ledger) => {
      const host = random.pick(HOSTS);
      ledger.killed(host);
      const again = await field.kill(host);
      ledger.killed(host);
      return again;
    },
  ],
];

export interface FaultReport extends LedgerReport {
  readonly seed: number;
  readonly seconds: number;
  readonly faults: Readonly<Record<string, number>>;
}

/** Everything once in a seeded order, then in another one, and so on for `seconds`. */
export async function runFaults(
  seed: number,
  seconds: number,
  say: (text: string) => void,
): Promise<FaultReport> {
  const random = new Random(seed);
  const startMs = performance.now();
  await using field = await Field.start();
  const ledger = new Ledger();
  const load = new Load(field, ledger, random.fork());
  const faults: Record<string, number> = {};
  const endMs = startMs + seconds * 1000;
  let order: (typeof FAULTS)[number][] = [];
  while (performance.now() < endMs) {
    if (order.length === 0) order = shuffled(FAULTS, random);
    // Sometimes two at once; they may hit the same host.
    const chosen = order.splice(0, random.chance(0.25) && order.length > 1 ? 2 : 1);
    const ends: End[] = [];
    for (const [name, begin] of chosen) {
      say(`${((performance.now() - startMs) / 1000).toFixed(0)} s: ${name}`);
      faults[name] = (faults[name] ?? 0) + 1;
      ends.push(await begin(field, random, ledger));
    }
    await delay(random.between(300, 5000));
    for (const end of ends.reverse()) await end();
    await delay(random.between(300, 2000));
  }
  say("all is whole again");
  await field.whole();
  await load.finish(SETTLE_MS);
  return { seed, seconds: Math.round((performance.now() - startMs) / 1000), faults, ...ledger.close() };
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const left = [...items];
  const out: T[] = [];
  while (left.length > 0) out.push(...left.splice(random.between(0, left.length - 1), 1));
  return out;
}

/** What is wrong with a run; empty: nothing. */
export function verdict(report: FaultReport): string[] {
  const { lost, duplicated, corrupt, unsettled, unnamed, counts } = report;
  const wrong: string[] = [];
  for (const [name, count] of Object.entries({ lost, duplicated, corrupt, unsettled }))
    if (count > 0) wrong.push(`${count} ${name}`);
  if (unnamed.length > 0) wrong.push(`errors that are not in the list: ${unnamed.slice(0, 5).join("; ")}`);
  if ((counts.verified ?? 0) === 0) wrong.push("nothing was delivered");
  return wrong;
}

/** For people. */
export function ledgerText(report: FaultReport): string {
  const { seed, seconds, faults, lost, duplicated, corrupt, unsettled, verifiedBytes, counts } = report;
  const rows = (title: string, entries: Readonly<Record<string, number>>) => [
    title,
    ...Object.entries(entries).map(([name, count]) => `  ${String(count).padStart(7)}  ${name}`),
  ];
  return [
    `seed ${seed}, ${seconds} s, ${(verifiedBytes / 2 ** 20).toFixed(0)} MiB verified`,
    ...rows("faults", faults),
    ...rows("ledger", { ...counts, lost, duplicated, corrupt, "neither delivered nor failed": unsettled }),
  ].join("\n");
}
