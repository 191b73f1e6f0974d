/** 64 MiB tensors over one network: every pair beside its control, a C program, and other libraries. */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Process, ROOT } from "../support/process.ts";
import { BULK, type MatrixCell, matrix, type PairOfRuntimes } from "./matrix.ts";
import { PEERS } from "./peers/peers.ts";
import { measure, Rig, type Spread, spread } from "./rig.ts";

export interface PeerRow {
  readonly name: string;
  readonly version: string | undefined;
  readonly how: string;
  readonly throughput: Spread;
  /** Our Node.js → Node.js over this peer, of each round. */
  readonly ratio: Spread;
}

/** What one congestion control gave. */
export interface Bulk {
  readonly congestionControl: string;
  readonly rounds: number;
  readonly tensors: number;
  readonly matrix: readonly MatrixCell[];
  readonly c: Spread | undefined;
  readonly peers: readonly PeerRow[];
}

export interface BulkOptions {
  readonly congestionControl: string;
  /** Network namespace to run in, if any. */
  readonly netns?: string | undefined;
  readonly pairs: readonly PairOfRuntimes[];
  readonly rounds: number;
  /** Rounds beside the other libraries. */
  readonly peerRounds: number;
  /** Of each measurement; the first one warms up. */
  readonly tensors: number;
  /** Names of the libraries to run beside; undefined: all. */
  readonly peers?: readonly string[] | undefined;
}

/** `skipped` hears what is not installed. */
export async function bulk(
  options: BulkOptions,
  skipped: Set<string>,
  say: (text: string) => void,
): Promise<Bulk> {
  const { congestionControl, netns, pairs, rounds, tensors } = options;
  const tell = (text: string) => say(`${congestionControl}: ${text}`);
  await using rig = new Rig(netns);
  const cells = await matrix(rig, pairs, rounds, tensors, tell);
  tell("C control");
  const c = await cControl(rounds, tensors, netns);
  if (!c) skipped.add("C control (gcc is not installed)");
  const peers = await peersBeside(rig, options, skipped, tell);
  return { congestionControl, rounds, tensors, matrix: cells, c, peers };
}

/** Compiled for this run; undefined without a compiler. */
async function cControl(rounds: number, tensors: number, netns?: string): Promise<Spread | undefined> {
  const program = join(tmpdir(), `asoc-bare-${process.pid}`);
  try {
    execFileSync("gcc", ["-O2", "-o", program, join(ROOT, "test/bench/roles/bare.c")]);
  } catch {
    return undefined;
  }
  const options = netns === undefined ? {} : { netns };
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const { tensorBytes, frameBytes } = BULK;
    await using receiver = new Process([program, "recv", String(tensorBytes), String(tensors)], options);
    const ready = await receiver.waitFor((event) => event.event === "ready", 20_000);
    const sizes = [String(tensorBytes), String(tensors), String(frameBytes)];
    await using _sender = new Process([program, "send", String(ready.port), ...sizes], options);
    const done = await receiver.waitFor((event) => event.event === "done", 60_000);
    rates.push(Number(done.bytes) / Number(done.seconds));
  }
  rmSync(program);
  return spread(rates);
}

async function peersBeside(
  rig: Rig,
  { peerRounds: rounds, tensors, peers: names }: BulkOptions,
  skipped: Set<string>,
  say: (text: string) => void,
): Promise<PeerRow[]> {
  const rows: PeerRow[] = [];
  const wanted = PEERS.filter(({ name }) => names?.includes(name) ?? true);
  if (wanted.length === 0) return rows;
  const ours = await rig.pair("asoc", "node", "node");
  const load = { ...BULK, count: tensors };
  await measure(ours, { ...BULK, count: 2 });
  for (const peer of wanted) {
    const missing = await peer.missing();
    if (missing) {
      skipped.add(`${peer.name} (${missing} is not installed)`);
      continue;
    }
    const rates: number[] = [];
    const ratios: number[] = [];
    try {
      const pair = await rig.peerPair(peer);
      await measure(pair, { ...BULK, count: 2, verify: true });
      for (let round = 1; round <= rounds; round++) {
        say(`${peer.name}, round ${round} of ${rounds}`);
        const before = (await measure(ours, load)).bytesPerSecond;
        const theirs = (await measure(pair, { ...load, count: Math.ceil(tensors / 2) })).bytesPerSecond;
        const after = (await measure(ours, load)).bytesPerSecond;
        rates.push(theirs);
        ratios.push((before + after) / 2 / theirs);
      }
      const { name, how } = peer;
      rows.push({
        name,
        how,
        version: await peer.version(),
        throughput: spread(rates),
        ratio: spread(ratios),
      });
    } catch (error) {
      skipped.add(
        `${peer.name} (${error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error)})`,
      );
    }
    await rig.stop(peer.name);
  }
  return rows;
}
