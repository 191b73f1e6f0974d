/**
 * `npm run bench`: node to node on every pair of runtimes beside the bare socket, a C program, and other libraries.
 *
 * Processes are real, sockets are loopback, rounds are interleaved, and what counts is the ratio within a round: absolute times
 * differ from run to run. Ends with 1 when a pair falls under FLOOR of its control.
 *
 *   --full           more rounds
 *   --rounds N       so many
 *   --no-peers       without the other libraries
 *   --out DIR        where bench.json, bench.md and bench.svg go (default .bench)
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../support/process.ts";
import { chart } from "./chart.ts";
import { BULK, matrix } from "./matrix.ts";
import { PEERS } from "./peers/peers.ts";
import { congestionControl, machineText, markdown, type PeerRow, type Report } from "./report.ts";
import { measure, Rig, RUNTIMES, type Spread, spread } from "./rig.ts";

/** Against regressions; the targets are higher (docs/benchmarks.md). */
const FLOOR = 0.8;

const { values: flags } = parseArgs({
  options: {
    full: { type: "boolean", default: false },
    rounds: { type: "string" },
    "no-peers": { type: "boolean", default: false },
    out: { type: "string", default: ".bench" },
  },
});
const rounds = Number(flags.rounds ?? (flags.full ? 9 : 3));
const tensors = flags.full ? 17 : 9;
if (!Number.isInteger(rounds) || rounds < 1)
  throw new RangeError(`--rounds: expected a whole number from 1, got ${flags.rounds}`);

const tty = process.stderr.isTTY;
const say = (text: string) => process.stderr.write(tty ? `\r\u001b[K${text}` : "");

/** The C control, compiled for this run; undefined without a compiler. */
async function cControl(count: number): Promise<Spread | undefined> {
  const program = join(tmpdir(), `asoc-bare-${process.pid}`);
  try {
    execFileSync("gcc", ["-O2", "-o", program, join(ROOT, "test/bench/roles/bare.c")]);
  } catch {
    return undefined;
  }
  const rates: number[] = [];
  for (let round = 0; round < count; round++) {
    const receiver = spawn(program, ["recv", String(BULK.tensorBytes), String(tensors)]);
    let text = "";
    receiver.stdout.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      const port = /"ready","port":(\d+)/.exec(text)?.[1];
      if (!port || started) return;
      started = true;
      spawn(program, ["send", port, String(BULK.tensorBytes), String(tensors), String(BULK.frameBytes)]);
    });
    let started = false;
    await new Promise((resolve) => receiver.once("close", resolve));
    const done = JSON.parse(text.trim().split("\n").at(-1) ?? "{}") as { bytes: number; seconds: number };
    rates.push(done.bytes / done.seconds);
  }
  return spread(rates);
}

async function peersBeside(rig: Rig, count: number, skipped: string[]): Promise<PeerRow[]> {
  const rows: PeerRow[] = [];
  const ours = await rig.pair("asoc", "node", "node");
  const load = { ...BULK, count: tensors };
  for (const peer of PEERS) {
    const missing = await peer.missing();
    if (missing) {
      skipped.push(`${peer.name} (${missing} is not installed)`);
      continue;
    }
    const rates: number[] = [];
    const ratios: number[] = [];
    try {
      const pair = await rig.peerPair(peer);
      await measure(pair, { ...BULK, count: 2, verify: true });
      for (let round = 1; round <= count; round++) {
        say(`${peer.name}, round ${round} of ${count}`);
        const theirs = (await measure(pair, { ...load, count: Math.min(tensors, 9) })).bytesPerSecond;
        const node = (await measure(ours, load)).bytesPerSecond;
        rates.push(theirs);
        ratios.push(node / theirs);
      }
      rows.push({
        name: peer.name,
        version: await peer.version(),
        how: peer.how,
        throughput: spread(rates),
        ratio: spread(ratios),
      });
    } catch (error) {
      skipped.push(
        `${peer.name} (${error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error)})`,
      );
    }
    await rig.stop(peer.name);
  }
  return rows;
}

function versionOf(runtime: string): string {
  const text = execFileSync(join(ROOT, "node_modules", ".bin", runtime), ["--version"], { encoding: "utf8" });
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? "unknown";
}

await using rig = new Rig();
const cells = await matrix(rig, rounds, tensors, say);
say("C control");
const c = await cControl(rounds);
const skipped: string[] = c ? [] : ["C control (gcc is not installed)"];
const peers = flags["no-peers"] ? [] : await peersBeside(rig, Math.min(rounds, 5), skipped);
say("");
const report: Report = {
  date: new Date().toISOString(),
  command: `npm run bench${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(" ")}` : ""}`,
  machine: machineText(),
  congestionControl: congestionControl(),
  versions: Object.fromEntries(RUNTIMES.map((runtime) => [runtime, versionOf(runtime)])),
  rounds,
  tensors,
  matrix: cells,
  c,
  peers,
  skipped,
};
mkdirSync(flags.out, { recursive: true });
writeFileSync(join(flags.out, "bench.json"), `${JSON.stringify(report, undefined, 1)}\n`);
writeFileSync(join(flags.out, "bench.md"), `${markdown(report)}\n`);
writeFileSync(join(flags.out, "bench.svg"), chart(report));
process.stdout.write(`${markdown(report)}\n\nWritten: ${flags.out}/bench.json, bench.md, bench.svg\n`);
for (const { from, to, ratio } of cells) {
  if (ratio.median >= FLOOR) continue;
  process.stderr.write(
    `${from} → ${to}: ${ratio.median.toFixed(2)} of the bare socket, the floor is ${FLOOR}\n`,
  );
  process.exitCode = 1;
}
