/** `asoc bench`: what the path to a peer can carry, as iperf tells it for TCP. */
import type { AsocNode, DigestName, NodeEvent, Peer, SendReport } from "../mod.ts";
import { Echoes } from "./bench_echoes.ts";
import type { Command, Context } from "./command.ts";
import { flag, nodeSettings } from "./config.ts";
import { markBulk } from "./echo.ts";
import { CliError, ExitCode, usageError } from "./exit_codes.ts";
import { withNode } from "./joined.ts";
import type { Output } from "./output.ts";
import { ProgressBar } from "./progress.ts";
import { DEFAULT_TIMEOUT_S, parseTargets, waitForTargets, withTargets } from "./targets.ts";
import { bytesText } from "./text.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const SIZES = [64 * KiB, MiB, 16 * MiB, 64 * MiB] as const;
const SMALL_FRAME_BYTES = KiB;
const ROUND_TRIP_BYTES = KiB;
const STREAMS_AT_ONCE = 100;
/** Of what a path carries in the time of a measurement, a tensor may be so much: two are under way when it is over. */
const TENSOR_SHARE = 0.5;
const DEFAULT_SECONDS = 2;

export const bench: Command = {
  name: "bench",
  summary: "measure throughput and delay to a peer",
  usage: "bench --to PEER [--seconds N] [--digest NAME] [FLAGS]",
  about: `Sends random bytes to a peer that runs \`asoc serve\`, and measures: throughput by tensor size, the rate of 1 KiB frames,
round trips of 1 KiB, ${STREAMS_AT_ONCE} tensors at once, and what it costs this machine's processor. A measurement is over when the
peer has read everything and has said so. The peer keeps nothing of it, --out or not. On a slow path tensors are
smaller, so that a measurement does not take much longer than --seconds.`,
  flags: {
    to: { value: "PEER", help: "a node id or the beginning of one, a name, or HOST:PORT" },
    seconds: { value: "N", help: `how long each measurement takes (default ${DEFAULT_SECONDS})` },
    digest: { value: "NAME", help: "crc32, sha256 or none: what the peer checks (default crc32)" },
    timeout: { value: "SECONDS", help: `how long to wait for the peer (default ${DEFAULT_TIMEOUT_S})` },
  },
  joins: true,
  examples: [
    ["asoc bench --to 10.0.0.5:9000", "the path to that machine"],
    ["asoc bench --to gpu1 --json > path.jsonl", "one JSON object for each result"],
  ],
  run: benchCommand,
};

async function benchCommand({ args, env, output }: Context): Promise<ExitCode> {
  if (args.positionals.length > 0)
    throw usageError(`bench: expected no words, got ${args.positionals.join(" ")}`);
  const wanted = parseTargets(args.list("to"));
  if (wanted.all) throw usageError("--to: expected one peer, got all");
  const timeoutMs = (flag("seconds", args, "timeout") ?? DEFAULT_TIMEOUT_S) * 1000;
  const budgetMs = (flag("seconds", args, "seconds") ?? DEFAULT_SECONDS) * 1000;
  const digest = flag("digest", args, "digest") ?? "crc32";
  const settings = withTargets(await nodeSettings(args, env, 0), wanted);
  const losses = new Losses();
  return withNode(settings, output, {
    announces: false,
    stays: false,
    onEvent: (event) => losses.see(event),
    async run(node, stop) {
      const echoes = new Echoes(node);
      const { peers } = await waitForTargets(node, settings, wanted, timeoutMs, stop, output);
      const peer = peers[0];
      if (!peer) throw usageError("--to: expected a peer");
      const ends = AbortSignal.any([stop, losses.of(peer)]);
      await new Bench({ node, peer, echoes, budgetMs, digest, stop: ends, output }).run();
      return ExitCode.OK;
    },
  });
}

/** A measurement ends with the connection: what a second one carries is another path. */
class Losses {
  readonly #lost = new AbortController();
  #peer: Peer | undefined;

  /** Aborts when `peer` leaves. */
  of(peer: Peer): AbortSignal {
    this.#peer = peer;
    return this.#lost.signal;
  }

  see(event: NodeEvent): void {
    if (event.kind !== "left" || event.peer.id !== this.#peer?.id) return;
    const message = `Peer ${event.peer.id} was lost during the measurement: ${event.reason}`;
    this.#lost.abort(new CliError(ExitCode.INCOMPLETE, "ASOC_CONNECTION_LOST", message));
  }
}

interface BenchSetup {
  readonly node: AsocNode;
  readonly peer: Peer;
  readonly echoes: Echoes;
  readonly budgetMs: number;
  readonly digest: DigestName;
  /** Aborts with what ends it before its time. */
  readonly stop: AbortSignal;
  readonly output: Output;
}

class Bench {
  readonly #node: AsocNode;
  readonly #peer: Peer;
  readonly #echoes: Echoes;
  readonly #budgetMs: number;
  readonly #digest: DigestName;
  readonly #stop: AbortSignal;
  readonly #output: Output;
  #bar: ProgressBar | undefined;
  /** What the path has carried so far at its best; undefined before the first measurement. */
  #bytesPerSecond: number | undefined;

  constructor({ node, peer, echoes, budgetMs, digest, stop, output }: BenchSetup) {
    this.#node = node;
    this.#peer = peer;
    this.#echoes = echoes;
    this.#budgetMs = budgetMs;
    this.#digest = digest;
    this.#stop = stop;
    this.#output = output;
  }

  async run(): Promise<void> {
    await this.#allRead();
    if (!this.#output.json) this.#row("MEASUREMENT", "RESULT", "");
    const bytes = randomBytes(64 * MiB);
    markBulk(bytes);
    const measured = new Set<number>();
    for (const wanted of SIZES) {
      const size = fittingSize(wanted, this.#budgetBytes());
      if (!measured.has(size)) await this.#throughput(bytes.subarray(0, size));
      measured.add(size);
    }
    await this.#smallFrames(bytes.subarray(0, fittingSize(16 * MiB, this.#budgetBytes())));
    const each = fittingSize(MiB, this.#budgetBytes() / STREAMS_AT_ONCE);
    await this.#streamsAtOnce(bytes.subarray(0, each));
    await this.#roundTrips();
    this.#bar?.hide();
  }

  /** What a tensor may have for the time of a measurement. */
  #budgetBytes(): number {
    if (this.#bytesPerSecond === undefined) return SIZES[0];
    return (this.#bytesPerSecond * this.#budgetMs * TENSOR_SHARE) / 1000;
  }

  /** The peer has read everything that was sent. */
  #allRead(byteCount = 64): Promise<void> {
    return this.#echoes.ask(this.#peer, byteCount, this.#digest, this.#stop);
  }

  /** Rejects with the reason of whatever ends the benchmark, and not with what that does to a send. */
  async #sent(tensor: Uint8Array, chunkBytes?: number): Promise<SendReport> {
    this.#stop.throwIfAborted();
    const options = { digest: this.#digest, signal: this.#stop, ...(chunkBytes ? { chunkBytes } : {}) };
    try {
      return await this.#node.send(this.#peer, tensor, options);
    } catch (error) {
      this.#stop.throwIfAborted();
      throw error;
    }
  }

  async #throughput(tensor: Uint8Array): Promise<void> {
    this.#begin(`${sizeText(tensor.length)} tensors`);
    const startMs = performance.now();
    const cpu = process.cpuUsage();
    let tensors = 0;
    let previous: Promise<SendReport> | undefined;
    while (performance.now() - startMs < this.#budgetMs) {
      const sent = this.#sent(tensor);
      sent.catch(() => {}); // it is awaited in the next turn, which may not come
      await previous;
      previous = sent;
      this.#bar?.update(++tensors * tensor.length);
    }
    const digest = digestOf(await previous);
    await this.#allRead();
    const seconds = (performance.now() - startMs) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    const byteCount = tensors * tensor.length;
    const bytesPerSecond = byteCount / seconds;
    this.#bytesPerSecond = Math.max(bytesPerSecond, this.#bytesPerSecond ?? 0);
    const cpuSecondsPerGB = (user + system) / 1e6 / (byteCount / 1e9);
    const facts = `${(tensors / seconds).toFixed(0)} tensors/s, digest ${digest}, ${cpuSecondsPerGB.toFixed(2)} s of processor per GB here`;
    this.#report(
      {
        test: "throughput",
        tensorBytes: tensor.length,
        tensors,
        digest,
        seconds,
        bytesPerSecond,
        cpuSecondsPerGB,
      },
      `throughput, ${sizeText(tensor.length)} tensors`,
      `${bytesText(bytesPerSecond)}/s`,
      facts,
    );
  }

  async #smallFrames(tensor: Uint8Array): Promise<void> {
    this.#begin("small frames");
    const startMs = performance.now();
    let sentBytes = 0;
    let report: SendReport | undefined;
    while (performance.now() - startMs < this.#budgetMs) {
      report = await this.#sent(tensor, SMALL_FRAME_BYTES);
      sentBytes += tensor.length;
      this.#bar?.update(sentBytes);
    }
    const digest = digestOf(report);
    await this.#allRead();
    const seconds = (performance.now() - startMs) / 1000;
    const framesPerSecond = sentBytes / SMALL_FRAME_BYTES / seconds;
    this.#report(
      { test: "frames", frameBytes: SMALL_FRAME_BYTES, digest, seconds, framesPerSecond },
      `frames of ${sizeText(SMALL_FRAME_BYTES)}, one stream`,
      `${(framesPerSecond / 1e6).toFixed(2)} M/s`,
      `${bytesText(framesPerSecond * SMALL_FRAME_BYTES)}/s, digest ${digest}`,
    );
  }

  async #streamsAtOnce(tensor: Uint8Array): Promise<void> {
    this.#begin(`${STREAMS_AT_ONCE} tensors at once`);
    const startMs = performance.now();
    let tensors = 0;
    let report: SendReport | undefined;
    while (performance.now() - startMs < this.#budgetMs) {
      [report] = await Promise.all(Array.from({ length: STREAMS_AT_ONCE }, () => this.#sent(tensor)));
      tensors += STREAMS_AT_ONCE;
      this.#bar?.update(tensors * tensor.length);
    }
    const digest = digestOf(report);
    await this.#allRead();
    const seconds = (performance.now() - startMs) / 1000;
    const bytesPerSecond = (tensors * tensor.length) / seconds;
    this.#report(
      {
        test: "streams",
        streams: STREAMS_AT_ONCE,
        tensorBytes: tensor.length,
        tensors,
        digest,
        seconds,
        bytesPerSecond,
      },
      `${STREAMS_AT_ONCE} tensors of ${sizeText(tensor.length)} at once`,
      `${bytesText(bytesPerSecond)}/s`,
      `digest ${digest}`,
    );
  }

  async #roundTrips(): Promise<void> {
    this.#begin("round trips");
    const startMs = performance.now();
    const timesMs: number[] = [];
    while (performance.now() - startMs < this.#budgetMs) {
      const beganMs = performance.now();
      await this.#allRead(ROUND_TRIP_BYTES);
      timesMs.push(performance.now() - beganMs);
      this.#bar?.update(2 * timesMs.length * ROUND_TRIP_BYTES);
    }
    timesMs.sort((a, b) => a - b);
    const at = (share: number) =>
      timesMs[Math.min(timesMs.length - 1, Math.floor(timesMs.length * share))] ?? 0;
    const p50Us = at(0.5) * 1000;
    const p99Us = at(0.99) * 1000;
    this.#report(
      { test: "roundTrip", tensorBytes: ROUND_TRIP_BYTES, count: timesMs.length, p50Us, p99Us },
      `round trip of ${sizeText(ROUND_TRIP_BYTES)}`,
      `${p50Us.toFixed(0)} us`,
      `p99 ${p99Us.toFixed(0)} us, ${timesMs.length} of them`,
    );
  }

  #begin(label: string): void {
    this.#bar?.hide();
    this.#bar = new ProgressBar(label, undefined);
    this.#output.bar = this.#bar;
  }

  #report(facts: object, name: string, result: string, more: string): void {
    this.#bar?.hide();
    if (this.#output.json) this.#output.event({ event: "bench", peer: this.#peer.id, ...facts }, undefined);
    else this.#row(name, result, more);
  }

  #row(name: string, result: string, more: string): void {
    this.#output.event({ event: "bench" }, `${name.padEnd(34)}${result.padStart(12)}  ${more}`.trimEnd());
  }
}

/** At most `wanted`: a size that takes no more than `budgetBytes`, as long as it is one that means something. */
export function fittingSize(wanted: number, budgetBytes: number): number {
  if (wanted <= budgetBytes) return wanted;
  return Math.min(wanted, Math.max(KiB, 2 ** Math.floor(Math.log2(Math.max(1, budgetBytes)))));
}

/** What the peer has checked, by its own word; a v0.1 peer checks nothing. */
function digestOf(report: SendReport | undefined): string {
  return report?.digest?.split(":")[0] ?? "none";
}

function sizeText(byteCount: number): string {
  return byteCount >= MiB ? `${byteCount / MiB} MiB` : `${byteCount / KiB} KiB`;
}

/** Bytes that no path can compress. */
function randomBytes(byteCount: number): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  for (let at = 0; at < byteCount; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}
