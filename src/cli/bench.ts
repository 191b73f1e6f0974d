/** `asoc bench`: what the path to a peer can carry, as iperf tells it for TCP. */
import type { AsocNode, Peer } from "../mod.ts";
import type { Command, Context } from "./command.ts";
import { flag, nodeSettings } from "./config.ts";
import { echoedNumber, echoRequest, markBulk } from "./echo.ts";
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
const ECHO_TIMEOUT_MS = 10_000;
const DEFAULT_SECONDS = 2;

export const bench: Command = {
  name: "bench",
  summary: "measure the path to a peer",
  usage: "bench --to PEER [--seconds N] [FLAGS]",
  about: `Sends random bytes to a peer that runs \`asoc serve\`, and measures: throughput by tensor size, the rate of 1 KiB frames,
round trips of 1 KiB, ${STREAMS_AT_ONCE} tensors at once, and what it costs this machine's processor. A measurement is over when the
peer has read everything and has said so. The peer keeps nothing of it, --out or not.`,
  flags: {
    to: { value: "PEER", help: "a node id or the beginning of one, a name, or HOST:PORT" },
    seconds: { value: "N", help: `how long each measurement takes (default ${DEFAULT_SECONDS})` },
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
  const settings = withTargets(await nodeSettings(args, env, 0), wanted);
  return withNode(settings, output, {
    announces: false,
    stays: false,
    async run(node, stop) {
      const echoes = new Echoes(node);
      const { peers } = await waitForTargets(node, settings, wanted, timeoutMs, stop, output);
      const peer = peers[0];
      if (!peer) throw usageError("--to: expected a peer");
      await new Bench(node, peer, echoes, budgetMs, stop, output).run();
      return ExitCode.OK;
    },
  });
}

/** The replies of the peer, by number. */
class Echoes {
  readonly #node: AsocNode;
  readonly #waiting = new Map<number, () => void>();
  #next = 1;

  constructor(node: AsocNode) {
    this.#node = node;
    void this.#read();
  }

  async #read(): Promise<void> {
    for await (const stream of this.#node.incoming) {
      try {
        const tensor = await stream.tensor();
        this.#waiting.get(echoedNumber(tensor.bytes) ?? -1)?.();
        tensor.release();
      } catch {
        // a reply that does not come is reported by whoever waits for it
      }
    }
  }

  /** Resolves when the peer has read all that was sent before, and this. */
  async ask(peer: Peer, byteCount: number, stop: AbortSignal): Promise<void> {
    const number = this.#next++;
    const answered = new Promise<void>((resolve, reject) => {
      const give = (error: unknown) => reject(error);
      const timer = setTimeout(() => give(noAnswer(peer)), ECHO_TIMEOUT_MS);
      const abort = () => give(stop.reason);
      stop.addEventListener("abort", abort, { once: true });
      this.#waiting.set(number, () => {
        clearTimeout(timer);
        stop.removeEventListener("abort", abort);
        resolve();
      });
    });
    try {
      await this.#node.send(peer, echoRequest(byteCount, number));
      await answered;
    } finally {
      this.#waiting.delete(number);
      answered.catch(() => {});
    }
  }
}

function noAnswer(peer: Peer): CliError {
  return new CliError(
    ExitCode.FAILURE,
    "ASOC_CANCELLED",
    `Peer ${peer.id} did not answer within ${ECHO_TIMEOUT_MS / 1000} s: \`asoc serve\` answers, other programs may not`,
  );
}

class Bench {
  readonly #node: AsocNode;
  readonly #peer: Peer;
  readonly #echoes: Echoes;
  readonly #budgetMs: number;
  readonly #stop: AbortSignal;
  readonly #output: Output;
  #bar: ProgressBar | undefined;

  constructor(
    node: AsocNode,
    peer: Peer,
    echoes: Echoes,
    budgetMs: number,
    stop: AbortSignal,
    output: Output,
  ) {
    this.#node = node;
    this.#peer = peer;
    this.#echoes = echoes;
    this.#budgetMs = budgetMs;
    this.#stop = stop;
    this.#output = output;
  }

  async run(): Promise<void> {
    await this.#echoes.ask(this.#peer, 64, this.#stop);
    if (!this.#output.json) this.#row("MEASUREMENT", "RESULT", "");
    const bytes = randomBytes(64 * MiB);
    markBulk(bytes);
    for (const size of SIZES) await this.#throughput(bytes.subarray(0, size));
    await this.#smallFrames(bytes);
    await this.#streamsAtOnce(bytes.subarray(0, MiB));
    await this.#roundTrips();
    this.#bar?.hide();
  }

  async #throughput(tensor: Uint8Array): Promise<void> {
    this.#begin(`${sizeText(tensor.length)} tensors`);
    const startMs = performance.now();
    const cpu = process.cpuUsage();
    let tensors = 0;
    let previous: Promise<unknown> | undefined;
    while (performance.now() - startMs < this.#budgetMs) {
      this.#stop.throwIfAborted();
      const sent = this.#node.send(this.#peer, tensor);
      await previous;
      previous = sent;
      this.#bar?.update(++tensors * tensor.length);
    }
    await previous;
    await this.#echoes.ask(this.#peer, 64, this.#stop);
    const seconds = (performance.now() - startMs) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    const byteCount = tensors * tensor.length;
    const bytesPerSecond = byteCount / seconds;
    const cpuSecondsPerGB = (user + system) / 1e6 / (byteCount / 1e9);
    const facts = `${(tensors / seconds).toFixed(0)} tensors/s, ${cpuSecondsPerGB.toFixed(2)} s of processor per GB here`;
    this.#report(
      { test: "throughput", tensorBytes: tensor.length, tensors, seconds, bytesPerSecond, cpuSecondsPerGB },
      `throughput, ${sizeText(tensor.length)} tensors`,
      `${bytesText(bytesPerSecond)}/s`,
      facts,
    );
  }

  async #smallFrames(bytes: Uint8Array): Promise<void> {
    this.#begin("small frames");
    const startMs = performance.now();
    let sentBytes = 0;
    while (performance.now() - startMs < this.#budgetMs) {
      this.#stop.throwIfAborted();
      await this.#node.send(this.#peer, bytes.subarray(0, 16 * MiB), { chunkBytes: SMALL_FRAME_BYTES });
      sentBytes += 16 * MiB;
      this.#bar?.update(sentBytes);
    }
    await this.#echoes.ask(this.#peer, 64, this.#stop);
    const seconds = (performance.now() - startMs) / 1000;
    const framesPerSecond = sentBytes / SMALL_FRAME_BYTES / seconds;
    this.#report(
      { test: "frames", frameBytes: SMALL_FRAME_BYTES, seconds, framesPerSecond },
      `frames of ${sizeText(SMALL_FRAME_BYTES)}, one stream`,
      `${(framesPerSecond / 1e6).toFixed(2)} M/s`,
      `${bytesText(framesPerSecond * SMALL_FRAME_BYTES)}/s`,
    );
  }

  async #streamsAtOnce(tensor: Uint8Array): Promise<void> {
    this.#begin(`${STREAMS_AT_ONCE} tensors at once`);
    const startMs = performance.now();
    let tensors = 0;
    while (performance.now() - startMs < this.#budgetMs) {
      this.#stop.throwIfAborted();
      const sends = Array.from({ length: STREAMS_AT_ONCE }, () => this.#node.send(this.#peer, tensor));
      await Promise.all(sends);
      tensors += STREAMS_AT_ONCE;
      this.#bar?.update(tensors * tensor.length);
    }
    await this.#echoes.ask(this.#peer, 64, this.#stop);
    const seconds = (performance.now() - startMs) / 1000;
    const bytesPerSecond = (tensors * tensor.length) / seconds;
    this.#report(
      {
        test: "streams",
        streams: STREAMS_AT_ONCE,
        tensorBytes: tensor.length,
        tensors,
        seconds,
        bytesPerSecond,
      },
      `${STREAMS_AT_ONCE} tensors of ${sizeText(tensor.length)} at once`,
      `${bytesText(bytesPerSecond)}/s`,
      "",
    );
  }

  async #roundTrips(): Promise<void> {
    this.#begin("round trips");
    const startMs = performance.now();
    const timesMs: number[] = [];
    while (performance.now() - startMs < this.#budgetMs) {
      const beganMs = performance.now();
      await this.#echoes.ask(this.#peer, ROUND_TRIP_BYTES, this.#stop);
      timesMs.push(performance.now() - beganMs);
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

function sizeText(byteCount: number): string {
  return byteCount >= MiB ? `${byteCount / MiB} MiB` : `${byteCount / KiB} KiB`;
}

/** Bytes that no path can compress. */
function randomBytes(byteCount: number): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  for (let at = 0; at < byteCount; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}
