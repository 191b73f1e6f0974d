/**
 * Virtual time. Nothing happens by itself: whoever awaits something through `settle`, `run` or
 * `until` steps from timer to timer, and between two steps all microtasks run out.
 */
import { setImmediate } from "node:timers";
import type { Clock, Timer } from "../../src/core/runtime.ts";
import { popHeap, pushHeap } from "../../src/core/session/heap.ts";

/** What the simulated wall clock shows at virtual time 0. */
const EPOCH_S = 1_750_000_000;
/** How long a promise may take. */
const PATIENCE_MS = 2 * 3_600_000;
/** More steps than this within one millisecond are a loop that makes no progress. */
const MAX_STEPS_PER_MS = 200_000;

interface Entry {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

export class VirtualTime {
  #nowMs = 1000;
  #order = 0;
  #stepsNow = 0;
  /** A binary heap, the earliest first; cancelled entries stay until their time. */
  readonly #heap: Entry[] = [];
  /** Called between two steps. */
  watch: () => void = () => {};

  nowMs(): number {
    return this.#nowMs;
  }

  /** Whole milliseconds, rounded up, as with real timers. */
  after(delayMs: number, run: () => void): Timer {
    if (!(delayMs >= 0)) throw new RangeError(`delayMs: expected a number from 0, got ${delayMs}`);
    const entry: Entry = { atMs: this.#nowMs + Math.ceil(delayMs), order: this.#order++, run };
    pushHeap(this.#heap, entry, before);
    return {
      cancel() {
        entry.run = undefined;
      },
    };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve);
    });
  }

  /** Steps until `promise` settles, and gives its outcome. Throws when nothing is left to happen, or for hours nothing did. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const note = () => {
      settled = true;
    };
    promise.then(note, note);
    const endMs = this.#nowMs + PATIENCE_MS;
    for (;;) {
      await microtasks();
      if (settled) return promise;
      if (!this.#step(endMs)) throw new Error("Nothing is left to happen, and the promise has not settled");
    }
  }

  /** Steps through the next `durationMs`. */
  async run(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await microtasks();
    while (this.#step(endMs)) await microtasks();
    this.#nowMs = endMs;
  }

  /** Steps until `condition` holds; throws when `withinMs` pass before that. */
  async until(condition: () => boolean, withinMs = 60_000): Promise<void> {
    const endMs = this.#nowMs + withinMs;
    await microtasks();
    while (!condition()) {
      if (!this.#step(endMs)) throw new Error(`${withinMs} ms of virtual time passed before: ${condition}`);
      await microtasks();
    }
  }

  /** Runs the earliest timer, if it is due by `endMs`. */
  #step(endMs: number): boolean {
    for (let entry = this.#heap[0]; entry && entry.atMs <= endMs; entry = this.#heap[0]) {
      popHeap(this.#heap, before);
      const { run } = entry;
      if (!run) continue;
      this.#stepsNow = entry.atMs > this.#nowMs ? 0 : this.#stepsNow + 1;
      if (this.#stepsNow > MAX_STEPS_PER_MS) throw new Error(`Time stands still at ${this.#nowMs} ms`);
      this.#nowMs = Math.max(this.#nowMs, entry.atMs);
      entry.run = undefined;
      this.watch();
      run();
      return true;
    }
    return false;
  }
}

/** One host's view of the time: counts its own timers, and its wall clock may be wrong. */
export class SimClock implements Clock {
  readonly #time: VirtualTime;
  #skewS: number;
  #live = 0;

  constructor(time: VirtualTime, skewS = 0) {
    this.#time = time;
    this.#skewS = skewS;
  }

  /** Timers that have neither run nor been cancelled. */
  get liveTimers(): number {
    return this.#live;
  }

  nowMs(): number {
    return this.#time.nowMs();
  }

  /** Somebody sets the wall clock; the other one goes on. */
  jump(seconds: number): void {
    this.#skewS += seconds;
  }

  unixMs(): number {
    return (EPOCH_S + this.#skewS) * 1000 + Math.floor(this.#time.nowMs());
  }

  after(delayMs: number, run: () => void): Timer {
    let live = true;
    const over = () => {
      if (live) this.#live--;
      live = false;
    };
    this.#live++;
    const timer = this.#time.after(delayMs, () => {
      over();
      run();
    });
    return {
      cancel() {
        over();
        timer.cancel();
      },
    };
  }
}

/** Resolves when all microtasks have run, those included that they bring about. */
function microtasks(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function before(one: Entry, other: Entry): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
