/** What a run found: JSON for programs, Markdown for people. */

import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import type { Bulk } from "./bulk.ts";
import type { MatrixCell } from "./matrix.ts";
import type { Spread } from "./rig.ts";
import type { Section } from "./section.ts";

export interface Report {
  readonly date: string;
  readonly command: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  /** The machine's congestion control first. */
  readonly bulk: readonly Bulk[];
  readonly sections: readonly Section[];
  readonly skipped: readonly string[];
  readonly missed: readonly string[];
}

export function machineText(): string {
  const [first] = cpus();
  return `${cpus().length} × ${first?.model.trim() ?? "processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${process.arch}`;
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

function bulkText({ congestionControl: cc, rounds, tensors, matrix, c, peers }: Bulk): string[] {
  const lines = [
    `### 64 MiB tensors under ${cc}`,
    "",
    `${rounds} interleaved rounds of ${tensors - 1} tensors in frames of 1 MiB, loopback; median (range).`,
    "",
    ...matrixTable(matrix),
  ];
  if (c) lines.push("", `C, \`recv\` into place and \`writev\`: ${range(c, gb)} GB/s.`);
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

/** Everything, as Markdown. */
export function markdown(report: Report): string {
  const parts = report.bulk.map(bulkText);
  for (const { title, markdown: lines } of report.sections) parts.push([`### ${title}`, "", ...lines]);
  if (report.missed.length > 0)
    parts.push(["### Targets that this run missed", "", ...report.missed.map((line) => `- ${line}`)]);
  if (report.skipped.length > 0) parts.push([`Skipped: ${report.skipped.join("; ")}.`]);
  return parts.map((lines) => lines.join("\n")).join("\n\n");
}
