/** What was found, part by part: JSON for programs, Markdown for people. */

import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { type Bulk, LARGE_BYTES } from "./bulk.ts";
import { FLOOR, type MatrixCell } from "./matrix.ts";
import { PARTS, type Part } from "./plan.ts";
import type { Spread } from "./rig.ts";
import type { Section } from "./section.ts";

/** How a part was measured. */
export interface Made {
  readonly date: string;
  readonly command: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  /** How long it took. */
  readonly seconds: number;
}

/** One part: bulk or a section, or neither where it could not be measured. */
export interface PartReport {
  readonly part: Part;
  readonly made: Made;
  readonly bulk?: Bulk;
  readonly section?: Section;
  /** What was left out, and why. */
  readonly skipped: readonly string[];
}

export interface Report {
  readonly parts: readonly PartReport[];
}

/** The report with `fresh` in the place of what it had of that part. */
export function merge({ parts }: Report, fresh: PartReport): Report {
  const others = parts.filter(({ part }) => part !== fresh.part);
  return {
    parts: [...others, fresh].sort((a, b) => PARTS.indexOf(a.part) - PARTS.indexOf(b.part)),
  };
}

/** Processors, memory, kernel and congestion control. */
export function machineText(): string {
  const [first] = cpus();
  const system = `${process.platform} ${process.arch} ${release()}, ${congestionControl()}`;
  return `${cpus().length} × ${first?.model.trim() ?? "processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${system}`;
}

export function congestionControl(): string {
  try {
    return readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
  } catch {
    return "unknown";
  }
}

const gb = (bytesPerSecond: number) => (bytesPerSecond / 1e9).toFixed(2);
const two = (value: number) => value.toFixed(2);
const range = ({ median, low, high }: Spread, text: (value: number) => string) =>
  `${text(median)} (${text(low)}-${text(high)})`;
export const NAMES = { node: "Node.js", bun: "Bun", deno: "Deno" } as const;

/** At least so much of the bare socket; Bun reads before it tells, and has to copy a part. */
const MATRIX_TARGET = { node: 0.95, bun: 0.9, deno: 0.95 } as const;
/** Our Node.js → Node.js over a library, at least; gloo under other congestion controls than bbr: 0.95. */
const PEER_TARGETS: Readonly<Record<string, number>> = {
  "zeromq.js": 1.5,
  ws: 2,
  "grpc-js": 8,
  "js-libp2p": 8,
  "Python v0.1 peer": 3,
};
const GLOO_TARGET = { bbr: 1.5, other: 0.95 } as const;

/** Targets of bulk transfer that were not met. */
export function missedInBulk({ congestionControl: cc, matrix, peers }: Bulk): string[] {
  const missed: string[] = [];
  for (const { from, to, ratio } of matrix) {
    if (ratio.median >= MATRIX_TARGET[to]) continue;
    missed.push(
      `${NAMES[from]} → ${NAMES[to]} under ${cc}: ${two(ratio.median)} of the bare socket, the target is ${MATRIX_TARGET[to]}`,
    );
  }
  for (const { name, ratio } of peers) {
    const gloo = cc === "bbr" ? GLOO_TARGET.bbr : GLOO_TARGET.other;
    const target = name === "torch gloo" ? gloo : PEER_TARGETS[name];
    if (target === undefined || ratio.median >= target) continue;
    missed.push(`Node.js → Node.js over ${name} under ${cc}: ${two(ratio.median)}, the target is ${target}`);
  }
  return missed;
}

function matrixTable(matrix: readonly MatrixCell[]): string[] {
  return [
    "| from | to | ASoc, GB/s | bare socket, GB/s | ratio of each round |",
    "|---|---|---:|---:|---:|",
    ...matrix.map(
      ({ from, to, asoc, bare, ratio }) =>
        `| ${NAMES[from]} | ${NAMES[to]} | ${range(asoc, gb)} | ${range(bare, gb)} | ${range(ratio, two)} |`,
    ),
  ];
}

function bulkText({ congestionControl: cc, rounds, tensors, matrix, c, large, peers }: Bulk): string[] {
  const lines = [
    `### 64 MiB tensors under ${cc}`,
    "",
    `${rounds} interleaved rounds of ${tensors - 1} tensors in frames of 1 MiB, loopback; median (range).`,
    "",
    ...matrixTable(matrix),
  ];
  if (c) lines.push("", `C, \`recv\` into place and \`writev\`, in the same rounds: ${range(c, gb)} GB/s.`);
  if (large)
    lines.push(
      "",
      `Tensors of ${LARGE_BYTES / 2 ** 20} MiB, more than \`idleMemoryBytes\`, Node.js → Node.js: ${range(large.asoc, gb)} GB/s, ${range(large.ratio, two)} of the bare socket, whose memory is the same every time; no target.`,
    );
  if (peers.length > 0) {
    lines.push(
      "",
      "| beside it, the same work | GB/s | ASoc Node.js → Node.js over it | how |",
      "|---|---:|---:|---|",
    );
    for (const { name, version, throughput, ratio, how } of peers) {
      const full = version ? `${name} ${version}` : name;
      lines.push(`| ${full} | ${range(throughput, gb)} | ${range(ratio, two)} | ${how} |`);
    }
  }
  return lines;
}

/** Pairs under the floor, a sentence each: the benchmark fails then. */
export function belowFloor({ parts }: Report): string[] {
  return parts.flatMap(({ bulk }) =>
    (bulk?.matrix ?? [])
      .filter(({ ratio }) => ratio.median < FLOOR)
      .map(
        ({ from, to, ratio }) =>
          `${NAMES[from]} → ${NAMES[to]} under ${bulk?.congestionControl}: ${two(ratio.median)} of the bare socket, the floor is ${FLOOR}`,
      ),
  );
}

/** Targets that were missed, a sentence each. */
export function missed({ parts }: Report): string[] {
  return parts.flatMap(({ bulk, section }) => [
    ...(bulk ? missedInBulk(bulk) : []),
    ...(section?.missed ?? []),
  ]);
}

const day = ({ date }: Made) => date.slice(0, 10);
const versionsText = (versions: Made["versions"]) =>
  Object.entries(versions)
    .map(([name, version]) => `${NAMES[name as keyof typeof NAMES] ?? name} ${version}`)
    .join(", ");
/** Parts of one run are told once. */
const runOf = ({ date, command }: Made) => `${day({ date } as Made)} ${command}`;

/** How most of the parts were measured. */
export function mostly({ parts }: Report): Made | undefined {
  const counts = new Map<string, number>();
  for (const { made } of parts) counts.set(runOf(made), (counts.get(runOf(made)) ?? 0) + 1);
  const most = Math.max(0, ...counts.values());
  return parts.find(({ made }) => counts.get(runOf(made)) === most)?.made;
}

/** Date, command, machine and versions. */
export function aboutText(report: Report): string {
  const made = mostly(report);
  if (!made) return "Nothing was measured.";
  const minutes = report.parts
    .filter((part) => runOf(part.made) === runOf(made))
    .reduce((sum, part) => sum + part.made.seconds / 60, 0);
  return [
    `- **Date** ${day(made)} · **command** \`${made.command}\`, ${minutes.toFixed(0)} minutes`,
    `- **Machine** ${made.machine}, loopback`,
    `- **Versions** ${versionsText(made.versions)}`,
  ].join("\n");
}

/** What a part says about its run where that is not the one of the page. */
function elsewhere(made: Made, usual: Made | undefined): string[] {
  if (!usual || runOf(made) === runOf(usual)) return [];
  const machine = made.machine === usual.machine ? "" : `, on ${made.machine}`;
  const versions = versionsText(made.versions);
  const withThese = versions === versionsText(usual.versions) ? "" : `, with ${versions}`;
  return [`Measured on ${day(made)}, by itself${machine}${withThese}: \`${made.command}\`.`, ""];
}

/** The figures. */
export function resultsText(report: Report): string {
  const usual = mostly(report);
  const parts: string[][] = [];
  for (const { made, bulk, section } of report.parts) {
    const [head = "", ...lines] = bulk ? bulkText(bulk) : section ? sectionText(section) : [];
    if (head) parts.push([head, "", ...elsewhere(made, usual), ...lines.slice(1)]);
  }
  return parts.map((lines) => lines.join("\n")).join("\n\n");
}

const sectionText = ({ title, markdown: lines }: Section) => [`### ${title}`, "", ...lines];

/** Missed targets and what was left out. */
export function missedText(report: Report): string {
  const parts: string[][] = [];
  const lines = missed(report);
  if (lines.length > 0)
    parts.push(["### Targets that were missed", "", ...lines.map((line) => `- ${line.replace(/\.?$/, "")}`)]);
  const skipped = [...new Set(report.parts.flatMap((part) => part.skipped))];
  if (skipped.length > 0) parts.push([`Skipped: ${skipped.join("; ")}.`]);
  return parts.map((each) => each.join("\n")).join("\n\n");
}

/** Everything that was measured, as Markdown. */
export function markdown(report: Report): string {
  return [resultsText(report), missedText(report)].filter((text) => text !== "").join("\n\n");
}
