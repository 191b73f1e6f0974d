/**
 * Runs inputs through a target and finds what must not be: errors that nobody documented, hangs, growth, bytes read or written
 * outside of what was given, and answers that differ from one run to the next.
 *
 * Inputs are seeds from the golden vectors, mutated, and made by the target's grammar. What takes a way that none has taken
 * before, by the label of its outcome, joins the seeds: a guide that costs the same on every runtime, where none of the three
 * tells of the engine's own coverage cheaply.
 */
import { joined, MAX_INPUT_BYTES, mutated } from "./mutate.ts";
import { FuzzRandom } from "./random.ts";
import { FuzzFault, type FuzzTarget, must, type Outcome } from "./target.ts";

/** Longest processor time of one input, far more than any takes. Not time on the wall: the machine may be busy. */
const MAX_INPUT_MS = 2000;
const MAX_CORPUS = 1024;
const MARGIN_BYTES = 64;
/** Every so many inputs are run twice, elsewhere in memory and among other bytes. */
const TWICE_EVERY = 8;
const BATCH = 512;
const MAX_MINIMISING_RUNS = 4000;

export interface Finding {
  readonly target: string;
  readonly input: Uint8Array;
  readonly what: string;
}

export class Fuzzer {
  readonly target: FuzzTarget;
  readonly #random: FuzzRandom;
  readonly #corpus: Uint8Array[];
  readonly #labels = new Set<string>();
  readonly #guard = new Uint8Array(MAX_INPUT_BYTES + 4 * MARGIN_BYTES);
  #inputs = 0;

  constructor(target: FuzzTarget, seed: number) {
    this.target = target;
    this.#random = new FuzzRandom(seed);
    this.#corpus = [...target.seeds];
  }

  get inputs(): number {
    return this.#inputs;
  }
  /** Different ways that inputs have taken. */
  get ways(): number {
    return this.#labels.size;
  }

  /** Runs `count` inputs. Resolves with the first fault, minimised, or undefined. */
  async run(count: number): Promise<Finding | undefined> {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0; // most inputs are refused, and stacks would be most of the time
    try {
      return await this.#run(count);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  }

  async #run(count: number): Promise<Finding | undefined> {
    for (let done = 0; done < count; ) {
      const batch: Uint8Array[] = [];
      const startMs = processorMs();
      const end = Math.min(count, done + BATCH);
      for (; done < end; done++) {
        const input = this.#inputs < this.target.seeds.length ? this.#seed() : this.#next();
        this.#inputs++;
        batch.push(input);
        const what = await this.#faultOf(input);
        if (what !== undefined) return this.#finding(input, what);
      }
      if (processorMs() - startMs > MAX_INPUT_MS) {
        const slow = await this.#slowest(batch);
        if (slow) return this.#finding(slow, `takes more than ${MAX_INPUT_MS} ms`);
      }
    }
    return undefined;
  }

  #seed(): Uint8Array {
    return this.target.seeds[this.#inputs] as Uint8Array; // asked for within its length only
  }

  #next(): Uint8Array {
    const random = this.#random;
    const pick = () => random.pick(this.#corpus);
    if (this.target.make && (this.#corpus.length === 0 || random.oneIn(2))) {
      const made = this.target.make(random, pick);
      return made.length > MAX_INPUT_BYTES ? made.slice(0, MAX_INPUT_BYTES) : made;
    }
    return mutated(pick(), pick(), random);
  }

  /** Why it is a fault, or undefined. */
  async #faultOf(input: Uint8Array): Promise<string | undefined> {
    try {
      const made = this.#guarded(input, 0xa5, MARGIN_BYTES);
      const outcome = made instanceof Promise ? await made : made;
      if (!this.#labels.has(outcome.label)) {
        this.#labels.add(outcome.label);
        if (this.#corpus.length < MAX_CORPUS) this.#corpus.push(input);
      }
      if (this.#inputs % TWICE_EVERY === 0) {
        const detail = outcome.detail?.();
        const remade = this.#guarded(input, 0x3c, MARGIN_BYTES + 1 + (this.#inputs % 7));
        const again = remade instanceof Promise ? await remade : remade;
        must(again.label === outcome.label, `another way: ${outcome.label}, then ${again.label}`);
        must(again.detail?.() === detail, "it reads otherwise among other bytes");
      }
      return undefined;
    } catch (error) {
      return error instanceof FuzzFault
        ? error.message
        : `threw ${error instanceof Error ? error.stack : error}`;
    }
  }

  /** Runs it in the middle of other bytes, which must stay as they are, and so must the input. */
  #guarded(input: Uint8Array, canary: number, at: number): Outcome | Promise<Outcome> {
    const guard = this.#guard;
    const end = at + input.length;
    guard.fill(canary, 0, at);
    guard.set(input, at);
    guard.fill(canary, end, end + MARGIN_BYTES);
    const check = (outcome: Outcome) => {
      must(isFilled(guard, 0, at, canary), "it writes before its input");
      must(Buffer.compare(guard.subarray(at, end), input) === 0, "it changes its input");
      must(isFilled(guard, end, end + MARGIN_BYTES, canary), "it writes behind its input");
      return outcome;
    };
    const outcome = this.target.run(guard.subarray(at, end));
    return outcome instanceof Promise ? outcome.then(check) : check(outcome);
  }

  async #slowest(batch: readonly Uint8Array[]): Promise<Uint8Array | undefined> {
    for (const input of batch) {
      const startMs = processorMs();
      await this.target.run(input.slice());
      if (processorMs() - startMs > MAX_INPUT_MS) return input;
    }
    return undefined;
  }

  /** Takes away what the fault does not need. */
  async #finding(input: Uint8Array, what: string): Promise<Finding> {
    let smallest: Uint8Array = input.slice();
    let runs = 0;
    for (let size = smallest.length >> 1; size >= 1; size >>= 1) {
      for (let at = 0; at < smallest.length && runs < MAX_MINIMISING_RUNS; ) {
        const rest = joined(smallest.subarray(0, at), smallest.subarray(at + size));
        runs++;
        if (await this.#isFault(rest)) smallest = rest;
        else at += size;
      }
    }
    for (let at = 0; at < smallest.length && runs < MAX_MINIMISING_RUNS; at++) {
      if (smallest[at] === 0) continue;
      const zeroed = smallest.slice();
      zeroed[at] = 0;
      runs++;
      if (await this.#isFault(zeroed)) smallest = zeroed;
    }
    Error.stackTraceLimit = 20;
    return { target: this.target.name, input: smallest, what: (await this.#thrownBy(smallest)) ?? what };
  }

  async #isFault(input: Uint8Array): Promise<boolean> {
    return (await this.#thrownBy(input)) !== undefined;
  }

  async #thrownBy(input: Uint8Array): Promise<string | undefined> {
    try {
      await this.target.run(input);
      return undefined;
    } catch (error) {
      return whatOf(error);
    }
  }
}

/** What this process has used of processors so far. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function whatOf(error: unknown): string {
  if (error instanceof FuzzFault) return error.message;
  return `threw ${error instanceof Error ? (error.stack ?? error.message) : error}`;
}

function isFilled(bytes: Uint8Array, from: number, to: number, value: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== value) return false;
  return true;
}

/** Bytes of the heap, and of memory outside of it, after garbage was collected; undefined where the runtime lets nobody ask for that. */
export function heldBytes(): number | undefined {
  const host = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };
  if (!host.gc && !host.Bun) return undefined;
  for (let round = 0; round < 3; round++) {
    if (host.Bun) host.Bun.gc(true);
    else host.gc?.();
  }
  // Array buffers are a part of `external` on Node.js; not every runtime counts both.
  const { heapUsed, external, arrayBuffers = 0 } = process.memoryUsage();
  return heapUsed + Math.max(external, arrayBuffers);
}
