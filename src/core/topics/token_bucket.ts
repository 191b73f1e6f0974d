/**
 * A rate of bytes that lets one second's worth pass at once, and something larger than that when nothing was used for a
 * while: the bucket then owes the rest, and nothing passes until that is paid.
 *
 * In any time of t seconds at most `t × bytesPerSecond + max(bytesPerSecond, the largest that passed)` bytes pass.
 */
export class TokenBucket {
  readonly #bytesPerSecond: number;
  #tokens: number;
  #atMs: number;

  /** It starts full. */
  constructor(bytesPerSecond: number, nowMs: number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#tokens = bytesPerSecond;
    this.#atMs = nowMs;
  }

  /** Takes `byteCount` if that may pass now. */
  take(byteCount: number, nowMs: number): boolean {
    const full = this.#bytesPerSecond;
    const gained = (Math.max(0, nowMs - this.#atMs) / 1000) * full;
    this.#tokens = Math.min(full, this.#tokens + gained);
    this.#atMs = Math.max(this.#atMs, nowMs);
    if (this.#tokens < Math.min(byteCount, full)) return false;
    this.#tokens -= byteCount;
    return true;
  }
}
