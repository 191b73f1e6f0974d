/**
 * Remembers (uuid, challenge) pairs for a while, bounded (RFC-0001, Handshake and Discovery).
 *
 * When it is full the oldest pair goes first: memory never grows with what strangers send,
 * because only authentic pairs are entered. A pair that is repeated pushes nothing out.
 */
export class ReplayWindow {
  readonly #windowMs: number;
  readonly #maxEntries: number;
  /** In order of entry, so the first is the oldest. */
  readonly #seen = new Map<string, number>();

  constructor(windowMs: number, maxEntries: number) {
    this.#windowMs = windowMs;
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#seen.size;
  }

  /** Enters the pair. Returns how many milliseconds ago it was entered before, or undefined when it is new. */
  enter(nodeId: string, challenge: number, nowMs: number): number | undefined {
    for (const [pair, atMs] of this.#seen) {
      if (nowMs - atMs < this.#windowMs) break;
      this.#seen.delete(pair);
    }
    const pair = `${nodeId}/${challenge}`;
    const before = this.#seen.get(pair);
    if (before !== undefined) return nowMs - before;
    if (this.#seen.size >= this.#maxEntries) {
      const oldest = this.#seen.keys().next();
      if (!oldest.done) this.#seen.delete(oldest.value);
    }
    this.#seen.set(pair, nowMs);
    return undefined;
  }
}
