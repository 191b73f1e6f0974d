/** Counts events of a key within a fixed window; bounded, the oldest key goes first. */
export class RateLimit {
  readonly #perWindow: number;
  readonly #windowMs: number;
  readonly #maxKeys: number;
  readonly #windows = new Map<string, { startMs: number; count: number }>();

  constructor(perWindow: number, windowMs: number, maxKeys: number) {
    this.#perWindow = perWindow;
    this.#windowMs = windowMs;
    this.#maxKeys = maxKeys;
  }

  /** Counts one event; false when the key has had its share of this window. `factor` enlarges the share. */
  take(key: string, nowMs: number, factor = 1): boolean {
    let window = this.#windows.get(key);
    if (!window || nowMs - window.startMs >= this.#windowMs) {
      this.#windows.delete(key);
      if (this.#windows.size >= this.#maxKeys) {
        const oldest = this.#windows.keys().next();
        if (!oldest.done) this.#windows.delete(oldest.value);
      }
      window = { startMs: nowMs, count: 0 };
      this.#windows.set(key, window);
    }
    window.count++;
    return window.count <= this.#perWindow * factor;
  }

  /** Whether the next `take` would be refused. */
  isSpent(key: string, nowMs: number, factor = 1): boolean {
    const window = this.#windows.get(key);
    if (!window || nowMs - window.startMs >= this.#windowMs) return this.#perWindow * factor < 1;
    return window.count >= this.#perWindow * factor;
  }

  /** Takes one event back: it turned out not to be one that counts. */
  giveBack(key: string): void {
    const window = this.#windows.get(key);
    if (window && window.count > 0) window.count--;
  }
}
