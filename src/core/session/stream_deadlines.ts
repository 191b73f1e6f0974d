/** Streams that are of no use any more after some time, and the earliest of those times. */
export class StreamDeadlines<Stream> {
  readonly #atMs = new Map<Stream, number>();
  #earliestMs = Number.POSITIVE_INFINITY;

  /** When the first of them passes; Infinity: never. */
  get earliestMs(): number {
    return this.#earliestMs;
  }

  /** `atMs`: Infinity for a stream that is always of use. */
  add(stream: Stream, atMs: number): void {
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#atMs.set(stream, atMs);
    this.#earliestMs = Math.min(this.#earliestMs, atMs);
  }

  delete(stream: Stream): void {
    if (!this.#atMs.delete(stream)) return;
    this.#earliestMs = Number.POSITIVE_INFINITY;
    for (const atMs of this.#atMs.values()) this.#earliestMs = Math.min(this.#earliestMs, atMs);
  }

  /** Those whose time has passed; they stay until they are deleted. */
  passed(nowMs: number): Stream[] {
    const passed: Stream[] = [];
    if (nowMs < this.#earliestMs) return passed;
    for (const [stream, atMs] of this.#atMs) if (atMs <= nowMs) passed.push(stream);
    return passed;
  }

  clear(): void {
    this.#atMs.clear();
    this.#earliestMs = Number.POSITIVE_INFINITY;
  }
}
