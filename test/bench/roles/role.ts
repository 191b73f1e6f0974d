/**
 * What every program of the benchmark has in common: commands come as JSON lines on stdin, results go out as JSON lines.
 *
 *   {"cmd":"receive","tensorBytes":n,"count":n}            the next connection brings that many tensors
 *   {"cmd":"send","port":n,"tensorBytes":n,"count":n,"frameBytes":n}
 *   {"cmd":"echo"} / {"cmd":"ping","port":n,"bytes":n,"count":n}
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
  readonly verify?: boolean;
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

/** Byte `index` of tensor `number`: cheap to make, and different for every tensor. */
export function fill(memory: Uint8Array, number: number): void {
  for (let i = 0; i < memory.length; i++) memory[i] = (i * 31 + (i >>> 12) + number * 7) & 0xff;
}

/** Counts received bytes of framed tensors and reports at the end; used by the bare receivers. */
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

/** The bare receivers' parser: exact rest of a header or a payload, in place in one reused tensor. */
export class BareReader {
  readonly #header = new Uint8Array(14);
  readonly #memory: Uint8Array;
  readonly #meter: Meter;
  #headerFilled = 0;
  #payloadLeft = 0;
  #at = 0;
  done = false;

  constructor(memory: Uint8Array, meter: Meter) {
    this.#memory = memory;
    this.#meter = meter;
  }

  next(): Uint8Array {
    if (this.#payloadLeft === 0) return this.#header.subarray(this.#headerFilled);
    return this.#memory.subarray(this.#at, this.#at + this.#payloadLeft);
  }

  commit(byteCount: number): void {
    if (this.#payloadLeft > 0) {
      this.#payloadLeft -= byteCount;
      this.#at += byteCount;
      if (this.#at === this.#memory.length) this.#at = 0;
      if (this.#meter.add(byteCount)) this.done = true;
      return;
    }
    this.#headerFilled += byteCount;
    if (this.#headerFilled < 14) return;
    this.#headerFilled = 0;
    const header = this.#header;
    this.#payloadLeft =
      (((header[10] as number) << 24) |
        ((header[11] as number) << 16) |
        ((header[12] as number) << 8) |
        (header[13] as number)) >>>
      0;
    if (header[1] !== 1) this.#payloadLeft = 0; // END
  }

  push(part: Uint8Array): void {
    let at = 0;
    while (at < part.length) {
      const target = this.next();
      const byteCount = Math.min(target.length, part.length - at);
      target.set(part.subarray(at, at + byteCount));
      at += byteCount;
      this.commit(byteCount);
    }
  }
}

export function header(type: number, seq: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(14);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 1);
  view.setUint8(1, type);
  view.setUint32(2, 1);
  view.setUint32(6, seq);
  view.setUint32(10, payloadBytes);
  return bytes;
}
