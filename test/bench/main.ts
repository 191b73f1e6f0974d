/**
 * `npm run bench`: what nodes carry, beside the bare socket of the same runtimes, a C program, and other libraries.
 *
 * Processes are real, sockets are loopback, rounds are interleaved, and what counts is the ratio within a round: absolute times
 * differ from run to run. Ends with 1 when a pair falls under FLOOR of its control.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../support/process.ts";
import { type Bulk, bulk } from "./bulk.ts";
import { chart } from "./chart.ts";
import { cluster } from "./cluster.ts";
import { floods } from "./floods.ts";
import { gateway } from "./gateway.ts";
import { hostile } from "./hostile.ts";
import { ALL_PAIRS, FLOOR } from "./matrix.ts";
import { memory } from "./memory.ts";
import { micro } from "./micro.ts";
import { RenoNamespace } from "./reno.ts";
import { congestionControl, machineText, markdown, missedInBulk, NAMES, type Report } from "./report.ts";
import { Rig, RUNTIMES } from "./rig.ts";
import { scale } from "./scale.ts";
import type { Section } from "./section.ts";
import { amidBulk, roundTrips, smallFrames } from "./small.ts";
import { encryption } from "./tls.ts";
import { extension } from "./x1.ts";

const PARTS = [
  "bulk",
  "reno",
  "frames",
  "trips",
  "mixed",
  "x1",
  "tls",
  "memory",
  "hostile",
  "floods",
  "scale",
  "cluster",
  "gateway",
  "micro",
] as const;
type Part = (typeof PARTS)[number];

const HELP = `usage: npm run bench -- [options]

Measures nodes beside the bare socket, a C program and other libraries, on loopback.
Ends with 1 when a pair falls under ${FLOOR} of its control.

  --full          more rounds, real sizes: half an hour instead of three minutes
  --rounds N      so many rounds
  --only PART,..  some of: ${PARTS.join(", ")}
  --no-peers      without the other libraries
  --out DIR       where bench.json, bench.md and bench.svg go (default .bench)
  --help
`;

const { values: flags } = parseArgs({
  options: {
    full: { type: "boolean", default: false },
    rounds: { type: "string" },
    only: { type: "string" },
    "no-peers": { type: "boolean", default: false },
    out: { type: "string", default: ".bench" },
    help: { type: "boolean", default: false },
  },
});
if (flags.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const { full } = flags;
const rounds = Number(flags.rounds ?? (full ? 9 : 3));
if (!Number.isInteger(rounds) || rounds < 1)
  throw new RangeError(`--rounds: expected a whole number from 1, got ${flags.rounds}`);
const only = (flags.only?.split(",") ?? PARTS) as readonly string[];
for (const part of only)
  if (!PARTS.includes(part as Part))
    throw new RangeError(`--only: expected some of ${PARTS.join(", ")}, got ${part}`);
/** Of what takes long and has no floor. */
const fewer = full ? rounds : 1;
const wants = (part: Part) => only.includes(part);

const tty = process.stderr.isTTY;
const say = (text: string) => process.stderr.write(tty ? `\r\u001b[K${text}` : "");

function versionOf(runtime: string): string {
  const text = execFileSync(join(ROOT, "node_modules", ".bin", runtime), ["--version"], { encoding: "utf8" });
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? "unknown";
}

const skipped = new Set<string>();

async function bulkRuns(): Promise<Bulk[]> {
  const runs: Bulk[] = [];
  const tensors = full ? 17 : 9;
  const peers = flags["no-peers"] ? [] : undefined;
  if (wants("bulk"))
    runs.push(
      await bulk(
        {
          congestionControl: congestionControl(),
          pairs: ALL_PAIRS,
          rounds,
          peerRounds: fewer,
          tensors,
          peers,
        },
        skipped,
        say,
      ),
    );
  if (!wants("reno")) return runs;
  const why = RenoNamespace.whyNot();
  if (why) {
    skipped.add(`reno (${why})`);
    return runs;
  }
  using reno = new RenoNamespace();
  const few = { pairs: [{ from: "node", to: "node" }] as const, peers: peers ?? ["torch gloo"] };
  const wanted = full ? { pairs: ALL_PAIRS, peers } : few;
  runs.push(
    await bulk(
      { congestionControl: "reno", netns: reno.netns, rounds, peerRounds: fewer, tensors, ...wanted },
      skipped,
      say,
    ),
  );
  return runs;
}

async function sectionsOf(): Promise<Section[]> {
  const sections: Section[] = [];
  {
    await using rig = new Rig();
    if (wants("frames")) sections.push(await smallFrames(rig, full, fewer, say));
    if (wants("trips")) sections.push(await roundTrips(rig, full, fewer, full && !flags["no-peers"], say));
    if (wants("x1")) sections.push(await extension(rig, full, full ? rounds : 3, say));
    if (wants("tls")) sections.push(await encryption(rig, full, full ? rounds : 3, say));
    if (wants("mixed")) sections.push(await amidBulk(rig, full, fewer, say));
  }
  if (wants("memory")) sections.push(await memory(full, say));
  if (wants("hostile")) sections.push(await hostile(full, fewer, say));
  if (wants("floods")) sections.push(await floods(full, full ? rounds : 3, say));
  if (wants("scale")) sections.push(await scale(full, say));
  if (wants("cluster")) sections.push(await cluster(full, say));
  if (wants("gateway")) sections.push(await gateway(full, fewer, say));
  if (wants("micro")) sections.push(await micro(full, say));
  return sections;
}

const runs = await bulkRuns();
const sections = await sectionsOf();
say("");
const report: Report = {
  date: new Date().toISOString(),
  command: `npm run bench${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(" ")}` : ""}`,
  machine: machineText(),
  versions: Object.fromEntries(RUNTIMES.map((runtime) => [runtime, versionOf(runtime)])),
  bulk: runs,
  sections,
  skipped: [...skipped],
  missed: [...runs.flatMap(missedInBulk), ...sections.flatMap(({ missed }) => missed)],
};
mkdirSync(flags.out, { recursive: true });
writeFileSync(join(flags.out, "bench.json"), `${JSON.stringify(report, undefined, 1)}\n`);
writeFileSync(join(flags.out, "bench.md"), `${markdown(report)}\n`);
const [first] = runs;
if (first) writeFileSync(join(flags.out, "bench.svg"), chart(first, report.date));
process.stdout.write(`${markdown(report)}\n\nWritten: ${flags.out}/bench.json, bench.md, bench.svg\n`);
for (const { matrix, congestionControl: cc } of runs) {
  for (const { from, to, ratio } of matrix) {
    if (ratio.median >= FLOOR) continue;
    process.stderr.write(
      `${NAMES[from]} → ${NAMES[to]} under ${cc}: ${ratio.median.toFixed(2)} of the bare socket, the floor is ${FLOOR}\n`,
    );
    process.exitCode = 1;
  }
}
