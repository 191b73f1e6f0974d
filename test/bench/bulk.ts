/** 64 MiB tensors over one network: every pair beside its control, a C program, and other libraries. */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB } from "../../src/core/limits.ts";
import { Process, ROOT } from "../support/process.ts";
import { BULK, type MatrixCell, matrix, type PairOfRuntimes } from "./matrix.ts";
import type { Peer } from "./peers/peers.ts";
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
  /** Node.js → Node.js with tensors that are too large for the pool to keep at rest. */
  readonly large?: MatrixCell | undefined;
  readonly peers: readonly PeerRow[];
}

/** Over idleMemoryBytes: its memory is kept for `idleMemoryMs` alone. */
export const LARGE_BYTES = 256 * MiB;
const LARGE_TENSORS = 5;

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
  /** The libraries to run beside. */
  readonly peers: readonly Peer[];
  /** Also tensors of LARGE_BYTES. */
  readonly large?: boolean;
}

/** `skipped` hears what is not installed. */
export async function bulk(
  options: BulkOptions,
  skipped: Set<string>,
  say: (text: string) => void,
): Promise<Bulk> {
  const { congestionControl, netns, pairs, rounds, tensors, large: withLarge = false } = options;
  const tell = (text: string) => say(`${congestionControl}: ${text}`);
  await using rig = new Rig(netns);
  using control = new CControl(tensors, netns);
  if (!control.compiled) skipped.add("C control (gcc is not installed)");
  const eachRound = () => control.run();
  const cells = await matrix(rig, { pairs, rounds, tensors, eachRound }, tell);
  const c = control.compiled ? spread(control.rates) : undefined;
  const largeOptions = {
    pairs: [{ from: "node", to: "node" }] as const,
    rounds,
    tensors: LARGE_TENSORS,
    tensorBytes: LARGE_BYTES,
    insists: false,
  };
  const [large] = withLarge ? await matrix(rig, largeOptions, tell) : [];
  const peers = await peersBeside(rig, options, skipped, tell);
  return { congestionControl, rounds, tensors, matrix: cells, c, large, peers };
}

/** The C program, compiled for this run. */
class CControl implements Disposable {
  readonly #program = join(tmpdir(), `asoc-bare-${process.pid}`);
  readonly #tensors: number;
  readonly #options: { readonly netns?: string };
  readonly rates: number[] = [];
  /** False without a compiler. */
  readonly compiled: boolean;

  constructor(tensors: number, netns?: string) {
    this.#tensors = tensors;
    this.#options = netns === undefined ? {} : { netns };
    let compiled = true;
    try {
      execFileSync("gcc", ["-O2", "-o", this.#program, join(ROOT, "test/bench/roles/bare.c")]);
    } catch {
      compiled = false;
    }
    this.compiled = compiled;
  }

  /** One round. */
  async run(): Promise<void> {
    if (!this.compiled) return;
    const sizes = [String(BULK.tensorBytes), String(this.#tensors)];
    await using receiver = new Process([this.#program, "recv", ...sizes], this.#options);
    const ready = await receiver.waitFor((event) => event.event === "ready", 20_000);
    const to = [String(ready.port), ...sizes, String(BULK.frameBytes)];
    await using _sender = new Process([this.#program, "send", ...to], this.#options);
    const done = await receiver.waitFor((event) => event.event === "done", 60_000);
    this.rates.push(Number(done.bytes) / Number(done.seconds));
  }

  [Symbol.dispose](): void {
    rmSync(this.#program, { force: true });
  }
}

/** The libraries that are installed, each beside our Node.js → Node.js; `skipped` hears the names of the others. */
export async function peersBeside(
  rig: Rig,
  { peerRounds: rounds, tensors, peers }: Pick<BulkOptions, "peerRounds" | "tensors" | "peers">,
  skipped: Set<string>,
  say: (text: string) => void,
): Promise<PeerRow[]> {
  const rows: PeerRow[] = [];
  const installed: Peer[] = [];
  for (const peer of peers) {
    const missing = await peer.missing();
    if (missing) skipped.add(`${peer.name} (${missing} is not installed)`);
    else installed.push(peer);
  }
  if (installed.length === 0) return rows;
  const ours = await rig.pair("asoc", "node", "node");
  const load = { ...BULK, count: tensors };
  await measure(ours, { ...BULK, count: 2 });
  for (const peer of installed) {
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
