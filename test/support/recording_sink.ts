/** A Sink that keeps everything, for the contract suite; checks the order of calls as it goes. */
import type { Sink } from "../../src/core/runtime.ts";

export class RecordingSink implements Sink {
  readonly #readBytes: number;
  readonly #parts: Uint8Array[] = [];
  readonly #waiting = new Set<() => void>();
  #lent: Uint8Array | undefined;
  receivedBytes = 0;
  committedBytes = 0;
  ends = 0;
  failures = 0;
  failure: unknown;
  readonly ended: Promise<void>;
  /** Ended or failed. */
  readonly over: Promise<void>;
  #resolveEnded: () => void = () => {};
  #resolveOver: () => void = () => {};

  constructor(readBytes: number) {
    this.#readBytes = readBytes;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.over = new Promise((resolve) => {
      this.#resolveOver = resolve;
    });
  }

  next(): Uint8Array {
    if (this.failures > 0 || this.ends > 0) throw new Error("next() after the end");
    this.#lent ??= new Uint8Array(this.#readBytes);
    return this.#lent;
  }

  commit(byteCount: number): boolean {
    if (!this.#lent || byteCount < 1 || byteCount > this.#lent.length)
      throw new Error(`commit(${byteCount}) without next()`);
    this.#add(this.#lent.subarray(0, byteCount));
    this.#lent = undefined;
    this.committedBytes += byteCount;
    this.#check();
    return false;
  }

  push(part: Uint8Array): void {
    if (this.failures > 0 || this.ends > 0) throw new Error("push() after the end");
    this.#add(part.slice());
    this.#check();
  }

  end(): void {
    this.ends++;
    if (this.ends > 1 || this.failures > 0) throw new Error("end() twice or after fail()");
    this.#resolveEnded();
    this.#resolveOver();
  }

  fail(cause: unknown): void {
    this.failures++;
    this.failure ??= cause;
    this.#resolveOver();
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.receivedBytes);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** Resolves once `byteCount` bytes have come in all. */
  received(byteCount: number): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.receivedBytes < byteCount) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Resolves once nothing has come for 150 ms of the time that `sleep` knows. */
  async quiet(sleep: (delayMs: number) => Promise<void>): Promise<void> {
    for (let before = -1; before !== this.receivedBytes; ) {
      before = this.receivedBytes;
      await sleep(150);
    }
  }

  #add(part: Uint8Array): void {
    this.#parts.push(part);
    this.receivedBytes += part.length;
  }

  #check(): void {
    for (const look of [...this.#waiting]) look();
  }
}
