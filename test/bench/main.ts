/**
 * `npm run bench`: what nodes carry, beside the bare socket of the same runtimes, a C program, and other libraries.
 *
 * Processes are real, sockets are loopback, rounds are interleaved, and what counts is the ratio within a round: absolute times
 * differ from run to run. Ends with 1 when a pair falls under FLOOR of its control, or a part could not be measured.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../support/process.ts";
import { type Bulk, bulk } from "./bulk.ts";
import { cluster } from "./cluster.ts";
import { floods } from "./floods.ts";
import { gateway } from "./gateway.ts";
import { hostile } from "./hostile.ts";
import { ALL_PAIRS, FLOOR } from "./matrix.ts";
import { memory } from "./memory.ts";
import { micro } from "./micro.ts";
import { readReport, writeReport } from "./page.ts";
import { PEERS } from "./peers/peers.ts";
import { FULL_MINUTES, PARTS, type Part, PEER_ROUNDS, PLANS, planOf } from "./plan.ts";
import { RenoNamespace } from "./reno.ts";
import {
  belowFloor,
  congestionControl,
  type Made,
  machineText,
  markdown,
  merge,
  type PartReport,
  type Report,
} from "./report.ts";
import { Rig, RUNTIMES } from "./rig.ts";
import { scale } from "./scale.ts";
import type { Section } from "./section.ts";
import { amidBulk, roundTrips, smallFrames } from "./small.ts";
import { encryption } from "./tls.ts";
import { extension } from "./x1.ts";

const rare = PARTS.filter((part) => PLANS[part].quick === 0);
const HELP = `usage: npm run bench -- [options]

Measures nodes beside the bare socket, a C program and other libraries, on loopback.
Ends with 1 when a pair falls under ${FLOOR} of its control, or a part could not be measured.

  --full          more rounds, real sizes, and all parts: about ${FULL_MINUTES} minutes instead of three
  --rounds N      so many rounds
  --only PART,..  some of: ${PARTS.join(", ")}
                  (${rare.join(", ")}: only with --full, or when named here)
  --no-peers      without the other libraries
  --out DIR       where bench.json, bench.md and bench.svg go (default .bench)
  --into FILE     put what is measured into this report (a .json file) in place of what it has of the same parts, and
                  write its page and chart anew beside it
  --help
`;

const { values: flags } = parseArgs({
  options: {
    full: { type: "boolean", default: false },
    rounds: { type: "string" },
    only: { type: "string" },
    "no-peers": { type: "boolean", default: false },
    out: { type: "string", default: ".bench" },
    into: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (flags.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const { full, into } = flags;
const wantedRounds = flags.rounds === undefined ? undefined : Number(flags.rounds);
if (wantedRounds !== undefined && (!Number.isInteger(wantedRounds) || wantedRounds < 1))
  throw new RangeError(`--rounds: expected a whole number from 1, got ${flags.rounds}`);
if (into !== undefined && !into.endsWith(".json"))
  throw new RangeError(`--into: expected a .json file, got ${into}`);
const plan = planOf({ full, only: flags.only?.split(","), rounds: wantedRounds });
const peers = flags["no-peers"] ? [] : PEERS;

const startMs = performance.now();
const elapsedText = () => {
  const seconds = Math.round((performance.now() - startMs) / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
};
const tty = process.stderr.isTTY;
const say = (text: string) => process.stderr.write(tty ? `\r\u001b[K${elapsedText()} ${text}` : "");

function versionOf(runtime: string): string {
  const text = execFileSync(join(ROOT, "node_modules", ".bin", runtime), ["--version"], { encoding: "utf8" });
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? "unknown";
}

async function underReno(rounds: number, skipped: Set<string>): Promise<Bulk | undefined> {
  const why = RenoNamespace.whyNot();
  if (why) {
    skipped.add(`reno (${why})`);
    return undefined;
  }
  using reno = new RenoNamespace();
  const few = {
    pairs: [{ from: "node", to: "node" }] as const,
    peers: peers.filter(({ name }) => name === "torch gloo"),
  };
  const wanted = full ? { pairs: ALL_PAIRS, peers } : few;
  const options = { congestionControl: "reno", netns: reno.netns, ...bulkOptions(rounds), ...wanted };
  return await bulk(options, skipped, say); // the namespace is there until then
}

const bulkOptions = (rounds: number) => ({
  rounds,
  peerRounds: Math.min(rounds, full ? PEER_ROUNDS : 1),
  tensors: 17,
});

async function sectionOf(part: Part, rounds: number): Promise<Section> {
  await using rig = new Rig();
  switch (part) {
    case "frames":
      return await smallFrames(rig, full, rounds, say);
    case "trips":
      return await roundTrips(rig, full, rounds, full && !flags["no-peers"], say);
    case "mixed":
      return await amidBulk(rig, full, rounds, say);
    case "x1":
      return await extension(rig, full, rounds, say);
    case "tls":
      return await encryption(rig, full, rounds, say);
    case "memory":
      return await memory(full, say);
    case "hostile":
      return await hostile(full, rounds, say);
    case "floods":
      return await floods(full, rounds, say);
    case "scale":
      return await scale(full, say);
    case "cluster":
      return await cluster(full, say);
    case "gateway":
      return await gateway(full, rounds, say);
    case "micro":
      return await micro(full, say);
    default:
      throw new RangeError(`part: ${part} has no section`);
  }
}

const machine = machineText();
const versions = Object.fromEntries(RUNTIMES.map((runtime) => [runtime, versionOf(runtime)]));
const command = `npm run bench${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(" ")}` : ""}`;

async function measured(part: Part, rounds: number): Promise<PartReport> {
  const skipped = new Set<string>();
  const date = new Date().toISOString();
  const beganMs = performance.now();
  const found: { bulk?: Bulk; section?: Section } = {};
  if (part === "bulk") {
    const options = { congestionControl: congestionControl(), ...bulkOptions(rounds), pairs: ALL_PAIRS };
    found.bulk = await bulk({ ...options, peers, large: full }, skipped, say);
  } else if (part === "reno") {
    const run = await underReno(rounds, skipped);
    if (run) found.bulk = run;
  } else found.section = await sectionOf(part, rounds);
  const made: Made = { date, command, machine, versions, seconds: (performance.now() - beganMs) / 1000 };
  return { part, made, ...found, skipped: [...skipped] };
}

const jsonFile = into ?? join(flags.out, "bench.json");
let kept = into === undefined ? { parts: [] } : readReport(into);
let fresh: Report = { parts: [] };
let files: string[] = [];
for (const { part, rounds } of plan) {
  try {
    const found = await measured(part, rounds);
    fresh = merge(fresh, found);
    kept = merge(kept, found);
    files = writeReport(kept, jsonFile); // at once: a long run may be ended
    say("");
    process.stderr.write(`${elapsedText()} ${part}: ${found.made.seconds.toFixed(0)} s\n`);
  } catch (error) {
    say("");
    process.stderr.write(`${part}: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 1;
  }
}
say("");
process.stdout.write(`${markdown(fresh)}\n\nTook ${elapsedText()} minutes`);
const times = fresh.parts.map(({ part, made }) => `${part} ${made.seconds.toFixed(0)} s`);
process.stdout.write(`: ${times.join(", ")}\nWritten: ${files.join(", ")}\n`);
for (const line of belowFloor(fresh)) {
  process.stderr.write(`${line}\n`);
  process.exitCode = 1;
}
