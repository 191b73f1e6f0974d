/**
 * Costs of single operations, in nanoseconds, on each runtime: the header codec, the frame reader, the check of a HELLO.
 *
 * Run as a script on a runtime (`node test/bench/micro.ts [--full]`) it measures there and prints one JSON line;
 * `micro` runs it so on all three.
 */
import { existsSync, readFileSync } from "node:fs";
import { Bench } from "tinybench";
import { KiB } from "../../src/core/limits.ts";
import { type FrameConsumer, FrameReader } from "../../src/core/wire/frame_reader.ts";
import {
  decodeHeader,
  encodeHeader,
  FrameType,
  HEADER_BYTES,
  type Header,
} from "../../src/core/wire/header.ts";
import { decodeHello, encodeHello } from "../../src/core/wire/hello.ts";
import { runtimeAtHand } from "../../src/join.ts";
import { Process } from "../support/process.ts";
import { RUNTIMES, type RuntimeName } from "./rig.ts";
import { say as print } from "./roles/role.ts";
import type { Section } from "./section.ts";

const NAMES = { node: "Node.js", bun: "Bun", deno: "Deno" } as const;
const FRAME_BYTES = KiB;
const FRAMES = 256;
/** Times an operation is done in one sample: one alone is shorter than a clock can tell. */
const HEADERS = 1000;
const HELLOS = 50;
const NPY_HEADERS = 100;
const NPY = new URL("../../src/core/tensor/npy.ts", import.meta.url);
const NPY_SAMPLE = new URL("../../examples/data/sine.npy", import.meta.url);

interface Cost {
  readonly operation: string;
  readonly p50Ns: number;
  readonly p99Ns: number;
  /** Relative margin of error of the mean, percent. */
  readonly errorPercent: number;
  readonly samples: number;
}

interface Task {
  readonly operation: string;
  /** Operations of one run. */
  readonly batch: number;
  /** Returns something that depends on the work, so that none of it can be left out. */
  readonly run: () => number;
}

function headerTasks(): Task[] {
  const bytes = new Uint8Array(HEADERS * HEADER_BYTES);
  const encode = () => {
    for (let i = 0; i < HEADERS; i++)
      encodeHeader(bytes, i * HEADER_BYTES, FrameType.DATA, i, i + 1, FRAME_BYTES);
    return bytes[bytes.length - 1] ?? 0;
  };
  encode(); // there is something to decode
  const header: Header = { type: 0, streamId: 0, seq: 0, payloadBytes: 0 };
  const decode = () => {
    let sum = 0;
    for (let i = 0; i < HEADERS; i++) {
      decodeHeader(bytes, i * HEADER_BYTES, header);
      sum += header.seq + header.payloadBytes;
    }
    return sum;
  };
  return [
    { operation: "encode a header", batch: HEADERS, run: encode },
    { operation: "decode a header", batch: HEADERS, run: decode },
  ];
}

/** Takes payloads into one piece of memory and counts frames. */
class Counter implements FrameConsumer {
  readonly #memory = new Uint8Array(FRAME_BYTES);
  #at = 0;
  frames = 0;
  readonly targetMoved = false;
  onHeader(): void {
    this.#at = 0;
  }
  payloadTarget(remainingBytes: number): Uint8Array {
    return this.#memory.subarray(this.#at, this.#at + remainingBytes);
  }
  onPayload(byteCount: number): void {
    this.#at += byteCount;
  }
  onFrameEnd(): void {
    this.frames++;
  }
}

function readerTask(): Task {
  const frameBytes = HEADER_BYTES + FRAME_BYTES;
  const bytes = new Uint8Array(FRAMES * frameBytes);
  for (let i = 0; i < FRAMES; i++) encodeHeader(bytes, i * frameBytes, FrameType.DATA, 1, i, FRAME_BYTES);
  const counter = new Counter();
  const reader = new FrameReader(counter);
  const run = () => {
    const before = counter.frames;
    reader.push(bytes);
    if (counter.frames - before !== FRAMES) throw new Error(`${counter.frames - before} frames were read`);
    return counter.frames;
  };
  return { operation: "read a frame of 1 KiB with `push`", batch: FRAMES, run };
}

async function helloTask(): Promise<Task> {
  const { crypto } = await runtimeAtHand();
  const key = crypto.randomBytes(32);
  const payload = encodeHello({ nodeId: crypto.randomBytes(16), challenge: 7 }, key, crypto);
  const run = () => {
    let authentic = 0;
    for (let i = 0; i < HELLOS; i++) if (decodeHello(payload, key, crypto).authentic) authentic++;
    if (authentic !== HELLOS) throw new Error("a HELLO was not authentic");
    return authentic;
  };
  return { operation: "check a HELLO (HMAC-SHA256 of 20 bytes)", batch: HELLOS, run };
}

/** The .npy header codec, by the names that codecs have here; none where it does not exist. */
async function npyTasks(): Promise<Task[]> {
  if (!existsSync(NPY) || !existsSync(NPY_SAMPLE)) return [];
  const module: Record<string, unknown> = await import(NPY.href);
  const { decodeNpyHeader: decode, encodeNpyHeader: encode } = module;
  if (typeof decode !== "function") return [];
  const file = new Uint8Array(readFileSync(NPY_SAMPLE));
  const repeat = (one: () => unknown) => () => {
    let found = 0;
    for (let i = 0; i < NPY_HEADERS; i++) if (one() !== undefined) found++;
    return found;
  };
  const header: unknown = decode(file);
  const tasks = [{ operation: "decode an .npy header", batch: NPY_HEADERS, run: repeat(() => decode(file)) }];
  if (typeof encode === "function") {
    tasks.push({
      operation: "encode an .npy header",
      batch: NPY_HEADERS,
      run: repeat(() => encode(header)),
    });
  }
  return tasks;
}

/** Measures on the runtime at hand. */
async function costs(full: boolean): Promise<Cost[]> {
  const tasks = [...headerTasks(), readerTask(), await helloTask(), ...(await npyTasks())];
  const bench = new Bench({ time: full ? 1500 : 250, warmupTime: full ? 300 : 100, throws: true });
  let kept = 0;
  for (const { operation, run } of tasks) {
    bench.add(operation, () => {
      kept += run();
    });
  }
  await bench.run();
  if (!Number.isFinite(kept)) throw new Error("nothing was done");
  return tasks.map(({ operation, batch }) => {
    const result = bench.getTask(operation)?.result;
    if (result?.state !== "completed") throw new Error(`${operation}: ${result?.state}`);
    const { p50, p99, rme, samplesCount } = result.latency;
    const perOperation = (ms: number) => (ms * 1e6) / batch;
    return {
      operation,
      p50Ns: perOperation(p50),
      p99Ns: perOperation(p99),
      errorPercent: rme,
      samples: samplesCount,
    };
  });
}

const ns = (value: number) => value.toFixed(value < 100 ? 1 : 0);

/** Each runtime in a process of its own, one after another. */
export async function micro(full: boolean, say: (text: string) => void): Promise<Section> {
  const found = new Map<RuntimeName, readonly Cost[]>();
  for (const runtime of RUNTIMES) {
    say(`single operations: ${NAMES[runtime]}`);
    await using process = Process.script(runtime, "test/bench/micro.ts", full ? ["--full"] : []);
    const { costs: rows } = await process.waitFor(({ event }) => event === "micro", 60_000);
    found.set(runtime, rows as Cost[]);
  }
  const operations = (found.get("node") ?? []).map(({ operation }) => operation);
  const cell = (runtime: RuntimeName, operation: string) => {
    const cost = found.get(runtime)?.find((one) => one.operation === operation);
    return cost ? `${ns(cost.p50Ns)} / ${ns(cost.p99Ns)}` : "";
  };
  return {
    name: "micro",
    title: "Single operations",
    markdown: [
      `Nanoseconds of one operation in one thread, p50 / p99 of samples of ${HELLOS} to ${HEADERS} operations each, ${full ? "1.5" : "0.25"} s an operation.`,
      "",
      `| operation | ${RUNTIMES.map((runtime) => NAMES[runtime]).join(" | ")} |`,
      "|---|---:|---:|---:|",
      ...operations.map(
        (operation) =>
          `| ${operation} | ${RUNTIMES.map((runtime) => cell(runtime, operation)).join(" | ")} |`,
      ),
    ],
    data: { full, costs: Object.fromEntries(found) },
    missed: [],
  };
}

if (import.meta.main) print({ event: "micro", costs: await costs(process.argv.includes("--full")) });
