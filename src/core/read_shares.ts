/**
 * How many frames each connection may bring while others are active. A frame costs the same whether it carries a byte or a
 * mebibyte, and all connections of a node share one thread: one that sends tiny frames as fast as it can would have it alone.
 * What is beyond the share waits in the kernel, and slows down its sender alone.
 */

/** Others count as active for so long after they have brought something. */
const ACTIVE_MS = 100;
/** So much of a second's share may come at once. */
const BURST_S = 0.05;

export class ReadShares {
  readonly #framesPerSecond: number;
  /** Who has brought something last, and when; and when any other did. */
  #latest: ReadShare | undefined;
  #latestMs = Number.NEGATIVE_INFINITY;
  #otherMs = Number.NEGATIVE_INFINITY;

  constructor(framesPerSecond: number) {
    this.#framesPerSecond = framesPerSecond;
  }

  /** That of a new connection. */
  open(): ReadShare {
    return new ReadShare(this, this.#framesPerSecond);
  }

  /** @internal `share` brings something. True: so did another one, lately. */
  note(share: ReadShare, nowMs: number): boolean {
    if (this.#latest !== share) {
      this.#otherMs = this.#latestMs;
      this.#latest = share;
    }
    this.#latestMs = nowMs;
    return nowMs - this.#otherMs < ACTIVE_MS;
  }
}

export class ReadShare {
  readonly #shares: ReadShares;
  readonly #framesPerSecond: number;
  #left: number;
  #atMs = 0;

  /** Only `ReadShares.open` makes these. */
  constructor(shares: ReadShares, framesPerSecond: number) {
    this.#shares = shares;
    this.#framesPerSecond = framesPerSecond;
    this.#left = framesPerSecond * BURST_S;
  }

  /** `frames` have come. In how many milliseconds to read on; 0: at once. */
  take(frames: number, nowMs: number): number {
    const rate = this.#framesPerSecond;
    const gained = ((nowMs - this.#atMs) / 1000) * rate;
    this.#left = Math.min(rate * BURST_S, this.#left + gained);
    this.#atMs = nowMs;
    if (!this.#shares.note(this, nowMs)) return 0;
    this.#left -= frames;
    return this.#left >= 0 ? 0 : Math.ceil((-this.#left / rate) * 1000);
  }
}
