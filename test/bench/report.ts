/** What a run found: JSON for programs, Markdown for people. */

import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import type { MatrixCell } from "./matrix.ts";
import type { Spread } from "./rig.ts";

export interface PeerRow {
  readonly name: string;
  readonly version: string | undefined;
  readonly how: string;
  readonly throughput: Spread;
  /** Our Node.js → Node.js over this peer, of each round. */
  readonly ratio: Spread;
}

export interface Report {
  readonly date: string;
  readonly command: string;
  readonly machine: string;
  readonly congestionControl: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly tensors: number;
  readonly matrix: readonly MatrixCell[];
  readonly c: Spread | undefined;
  readonly peers: readonly PeerRow[];
  readonly skipped: readonly string[];
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
const range = ({ median, low, high }: Spread, text: (value: number) => string) =>
  `${text(median)} (${text(low)}-${text(high)})`;
const NAMES = { node: "Node.js", bun: "Bun", deno: "Deno" } as const;

/** The tables, as Markdown. */
export function markdown(report: Report): string {
  const lines = [
    `Congestion control ${report.congestionControl}; ${report.rounds} interleaved rounds of ${report.tensors - 1} tensors of 64 MiB in frames of 1 MiB, loopback; median (range).`,
    "",
    "| from | to | ASoc, GB/s | bare socket, GB/s | ratio of each round |",
    "|---|---|---:|---:|---:|",
  ];
  for (const { from, to, asoc, bare, ratio } of report.matrix) {
    lines.push(
      `| ${NAMES[from]} | ${NAMES[to]} | ${range(asoc, gb)} | ${range(bare, gb)} | ${range(ratio, (value) => value.toFixed(2))} |`,
    );
  }
  if (report.c) {
    lines.push("", `C, \`recv\` into place and \`writev\`: ${range(report.c, gb)} GB/s.`);
  }
  if (report.peers.length > 0) {
    lines.push(
      "",
      "| beside it, the same work | GB/s | ASoc Node.js → Node.js over it | how |",
      "|---|---:|---:|---|",
    );
    for (const { name, version, throughput, ratio, how } of report.peers) {
      lines.push(
        `| ${name}${version ? ` ${version}` : ""} | ${range(throughput, gb)} | ${range(ratio, (value) => value.toFixed(2))} | ${how} |`,
      );
    }
  }
  if (report.skipped.length > 0) lines.push("", `Skipped: ${report.skipped.join("; ")}.`);
  return lines.join("\n");
}
