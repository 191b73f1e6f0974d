/**
 * What every program of the benchmark has in common: commands come as JSON lines on stdin, results go out as JSON lines.
 *
 *   {"cmd":"receive","tensorBytes":n,"count":n}            the next connection brings that many tensors
 *   {"cmd":"send","port":n,"tensorBytes":n,"count":n,"frameBytes":n}
 *                                                          with "verify" both have "first": tensor i is fill(first + i)
 *   {"cmd":"echo"}                                         from now on what arrives goes back
 *   {"cmd":"ping","port":n,"bytes":n,"count":n}            round trips of a message of that size
 *   {"cmd":"receiveMixed"} / {"cmd":"sendMixed","port":n,"seconds":n}   small tensors amid bulk: how long each takes
 *   {"cmd":"exit"}
 *
 * A receiver times from the first byte of the second tensor (the first one warms up) to the last byte of the last one.
 */
import { createInterface } from "node:readline";

export interface Command {
  readonly cmd: string;
  readonly port: number;
  readonly tensorBytes: number;
  readonly count: number;
  readonly frameBytes: number;
  /** The receiver compares every tensor with what `fill` makes of its number. */
  readonly verify?: boolean;
  /** Number of the first tensor, for `fill`. */
  readonly first?: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Sends under way at once; one after another by default. */
  readonly atOnce?: number;
  /** A sender holds back so that it is no more than this. */
  readonly bytesPerSecond?: number;
  /** What the receiver checks x1 tensors with; default none, as the bare socket. */
  readonly digest?: "none" | "crc32" | "sha256";
  /** Of the small tensors amid bulk. */
  readonly priority?: number;
}

export function say(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

/** Runs `handle` for each command, one after another; "exit" or the end of stdin ends the process. */
export async function serveCommands(handle: (command: Command) => Promise<void> | void): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as Command;
    if (command.cmd === "exit") break;
    await handle(command);
  }
  process.exit(0);
}

/** After so many bytes the content of a tensor repeats: a prime, so that no two frames of one tensor are alike. */
const PERIOD_BYTES = 2 ** 20 - 3;

/** The content of tensor `number`: cheap to make, another for every number. ../peers/role.py makes the same. */
export function fill(memory: Uint8Array, number: number): void {
  const words = new Uint32Array(Math.ceil(Math.min(PERIOD_BYTES, memory.length) / 4));
  let word = Math.imul(number + 1, 0x9e3779b1) || 1;
  for (let i = 0; i < words.length; i++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    words[i] = word;
  }
  let filled = Math.min(PERIOD_BYTES, memory.length);
  memory.set(new Uint8Array(words.buffer, 0, filled));
  for (; filled < memory.length; filled *= 2) memory.copyWithin(filled, 0, memory.length - filled);
}

/** Compares tensors with what was to come, in a pass that is not timed. */
export class Verifier {
  #number: number;
  #expected = new Uint8Array(0);

  constructor(first: number) {
    this.#number = first;
  }

  /** Of the next tensor. Says "different" where it is, and wipes the memory: nothing may be found there that was not sent. */
  check(bytes: Uint8Array): void {
    if (this.#expected.length !== bytes.length) this.#expected = new Uint8Array(bytes.length);
    fill(this.#expected, this.#number++);
    if (Buffer.compare(bytes, this.#expected) !== 0) say({ event: "different", number: this.#number - 1 });
    bytes.fill(0);
  }
}

/** Counts received bytes of framed tensors and reports at the end. */
export class Meter {
  readonly #total: number;
  readonly #warmBytes: number;
  #received = 0;
  #startMs = 0;
  #cpu = process.cpuUsage();

  constructor(tensorBytes: number, count: number) {
    this.#total = tensorBytes * count;
    this.#warmBytes = tensorBytes;
  }

  /** True when all has come; the result has been printed then. */
  add(payloadBytes: number): boolean {
    const before = this.#received;
    this.#received += payloadBytes;
    if (before < this.#warmBytes && this.#received >= this.#warmBytes) {
      this.#startMs = performance.now();
      this.#cpu = process.cpuUsage();
    }
    if (this.#received < this.#total) return false;
    const seconds = (performance.now() - this.#startMs) / 1000;
    const { user, system } = process.cpuUsage(this.#cpu);
    say({
      event: "done",
      bytes: this.#total - this.#warmBytes,
      seconds,
      cpuSeconds: (user + system) / 1e6,
      rssBytes: process.memoryUsage.rss(),
    });
    return true;
  }
}

/** Times in microseconds, and what they come to. */
export class Times {
  readonly #us: number[] = [];

  add(us: number): void {
    this.#us.push(us);
  }
  get count(): number {
    return this.#us.length;
  }
  /** Prints `event` with p50Us, p99Us and count. */
  say(event: string): void {
    const sorted = Float64Array.from(this.#us).sort();
    const at = (share: number) =>
      Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 10) / 10;
    say({ event, p50Us: at(0.5), p99Us: at(0.99), count: sorted.length });
  }
}

const WARM_PINGS = 200;

/** Does `count` round trips one after another, some before to warm up, and prints "pings". */
export async function timePings(count: number, roundTrip: () => Promise<void>): Promise<void> {
  for (let i = 0; i < Math.min(WARM_PINGS, count); i++) await roundTrip();
  const times = new Times();
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await roundTrip();
    times.add((performance.now() - start) * 1000);
  }
  times.say("pings");
}

/** Microseconds on a clock that the processes of this machine share. */
export function sharedNowUs(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

/** Payload of a small tensor amid bulk: when it was wanted to go. */
export const STAMPED_BYTES = 1024;
/** Between two small tensors amid bulk: no multiple of anything that happens there. */
export const STAMP_EVERY_MS = 7;

export function stamp(bytes: Uint8Array): void {
  new DataView(bytes.buffer, bytes.byteOffset).setFloat64(0, sharedNowUs());
}

export function ageUs(bytes: Uint8Array): number {
  return sharedNowUs() - new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0);
}
