/**
 * Streams that are of no use any more after some time, and the earliest of those times: a binary heap, so that thousands of
 * open streams cost next to nothing when one begins or ends. Entries of streams that are gone stay in it until they come to
 * its top, or are the most of it.
 */
import { popHeap, pushHeap } from "./heap.ts";

interface Entry<Stream> {
  readonly stream: Stream;
  readonly atMs: number;
}

/** Gone entries that are not worth a clearing. */
const FEW = 64;

export class StreamDeadlines<Stream> {
  readonly #atMs = new Map<Stream, number>();
  #heap: Entry<Stream>[] = [];

  /** When the first of them passes; Infinity: never. */
  get earliestMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }
  /** Entries, those of gone streams among them. */
  get heldEntries(): number {
    return this.#heap.length;
  }

  /** `atMs`: Infinity for a stream that is always of use. */
  add(stream: Stream, atMs: number): void {
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#atMs.set(stream, atMs);
    pushHeap(this.#heap, { stream, atMs }, isEarlier);
  }

  delete(stream: Stream): void {
    if (!this.#atMs.delete(stream)) return;
    for (let top = this.#heap[0]; top && this.#atMs.get(top.stream) !== top.atMs; top = this.#heap[0])
      popHeap(this.#heap, isEarlier);
    if (this.#heap.length > 2 * this.#atMs.size + FEW) this.#rebuild();
  }

  /** Those whose time has passed; they stay until they are deleted. */
  passed(nowMs: number): Stream[] {
    const passed: Stream[] = [];
    if (nowMs < this.earliestMs) return passed;
    for (const [stream, atMs] of this.#atMs) if (atMs <= nowMs) passed.push(stream);
    return passed;
  }

  clear(): void {
    this.#atMs.clear();
    this.#heap = [];
  }

  #rebuild(): void {
    this.#heap = [];
    for (const [stream, atMs] of this.#atMs) pushHeap(this.#heap, { stream, atMs }, isEarlier);
  }
}

function isEarlier(one: Entry<unknown>, other: Entry<unknown>): boolean {
  return one.atMs < other.atMs;
}
