/** A soak: one node on one runtime under a mixed load, and whether its memory, handles and timers stay flat. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { commandFor, type Json, Process, type RuntimeName } from "../support/process.ts";
import { isFlat, type Trend, trend } from "./flatness.ts";
import { Load, type Subject } from "./load.ts";

const MiB = 1024 * 1024;
const KEY = randomBytes(32).toString("hex");
/** Of the whole time: memory is warm after it. */
const WARM_UP = 0.35;

const LIMITS = {
  // The load knocks far more often than strangers may.
  maxAttemptsPerHour: 1e6,
  maxFailedHandshakes: 1e6,
  // What a node remembers on purpose has to be full before the warm-up ends.
  resumeMs: 2000,
  memoryBudgetBytes: 256 * MiB,
  idleMemoryBytes: 32 * MiB,
  maxDelivered: 256,
  maxReplayEntries: 64,
  maxTrackedAddresses: 64,
};

/** What is watched, and what it may grow by: a share of its median, and so much besides. */
const WATCHED = [
  { name: "resident memory", unit: "MiB", share: 0.08, more: 8 * MiB },
  { name: "heap", unit: "MiB", share: 0.1, more: 2 * MiB },
  { name: "file descriptors", unit: "", share: 0, more: 6 },
  { name: "timers and handles", unit: "", share: 0, more: 6 },
] as const;
type Name = (typeof WATCHED)[number]["name"];

export interface SoakRow {
  readonly name: Name;
  readonly unit: string;
  readonly trend: Trend;
  readonly flat: boolean;
}

export interface SoakReport {
  readonly runtime: RuntimeName;
  readonly seconds: number;
  readonly samples: number;
  readonly rows: readonly SoakRow[];
  readonly load: Readonly<Record<string, number>>;
  /** What the subject itself said last. */
  readonly last: Json;
}

function command(runtime: RuntimeName): [string, ...string[]] {
  const limits = JSON.stringify({ apiKey: KEY, host: "127.0.0.1", discovery: false, limits: LIMITS });
  const [bin, ...args] = commandFor(runtime, "test/soak/subject.ts", [limits]);
  if (runtime === "node") return [bin, "--expose-gc", ...args];
  if (runtime === "deno") return [bin, args[0] ?? "run", "--v8-flags=--expose-gc", ...args.slice(1)];
  return [bin, ...args];
}

function resident(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** Linux only: handles are counted in /proc. */
export async function soak(
  runtime: RuntimeName,
  seconds: number,
  seed: number,
  say: (text: string) => void,
): Promise<SoakReport> {
  await using process = new Process(command(runtime));
  const ready = await process.waitFor(({ event }) => event === "ready", 60_000);
  const subject = { ...ready, apiKey: KEY } as unknown as Subject;
  const pid = process.child.pid ?? 0;
  const load = new Load(subject, seed);
  const startMs = performance.now();
  const everyMs = Math.max(250, Math.min(5000, (seconds * 1000) / 60));
  const series = new Map<Name, { seconds: number; value: number }[]>(WATCHED.map(({ name }) => [name, []]));
  let last: Json = {};
  let samples = 0;
  while (performance.now() - startMs < seconds * 1000) {
    await delay(everyMs);
    const from = process.events.length;
    process.child.stdin?.write("sample\n");
    last = await process.waitFor(({ event }) => event === "sample", 20_000, from);
    const at = (performance.now() - startMs) / 1000;
    const values: Record<Name, number> = {
      "resident memory": resident(pid),
      heap: Number(last.heapBytes),
      "file descriptors": readdirSync(`/proc/${pid}/fd`).length,
      "timers and handles": Number(last.resources),
    };
    for (const { name } of WATCHED) series.get(name)?.push({ seconds: at, value: values[name] });
    samples++;
    say(
      `${at.toFixed(0).padStart(5)} s  ${mib(values["resident memory"])} MiB resident, ${mib(values.heap)} MiB heap, ${values["file descriptors"]} descriptors, ${values["timers and handles"]} timers and handles, ${last.tensors} tensors`,
    );
  }
  await load.end();
  const rows = WATCHED.map(({ name, unit, share, more }) => {
    const found = trend(series.get(name) ?? [], seconds * WARM_UP);
    return { name, unit, trend: found, flat: isFlat(found, share, more) };
  });
  return { runtime, seconds: Math.round(seconds), samples, rows, load: load.counts, last };
}

const mib = (bytes: number) => (bytes / MiB).toFixed(1);

/** What is wrong with a run; empty: nothing. */
export function verdict({ rows, load }: SoakReport): string[] {
  const wrong = rows.filter(({ flat }) => !flat).map(({ name }) => `${name} grows`);
  if (!load["tensors verified"]) wrong.push("nothing was delivered");
  return wrong;
}

/** For people. */
export function soakText({ runtime, seconds, samples, rows, load, last }: SoakReport): string {
  const text = (value: number, unit: string) => (unit === "MiB" ? `${mib(value)} MiB` : value.toFixed(1));
  return [
    `${runtime}, ${seconds} s, ${samples} samples; after the warm-up:`,
    "| watched | median | growth by the line | verdict |",
    "|---|---:|---:|---|",
    ...rows.map(
      ({ name, unit, trend: { median, growth }, flat }) =>
        `| ${name} | ${text(median, unit)} | ${text(growth, unit)} | ${flat ? "flat" : "GROWS"} |`,
    ),
    "",
    ...Object.entries(load).map(([name, count]) => `  ${String(count).padStart(7)}  ${name}`),
    `  ${String(last.tensors).padStart(7)}  tensors taken, ${last.failed} cut off, ${last.refused} strangers refused, ${last.connections} connections in the end`,
  ].join("\n");
}
