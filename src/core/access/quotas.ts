/** Bytes that peers have sent here in this hour and this day (RFC-0103). Bounded: who was quiet for longest is forgotten first. */

export interface QuotaLimits {
  readonly bytesPerHour?: number | undefined;
  readonly bytesPerDay?: number | undefined;
}

interface Used {
  hourStartMs: number;
  hourBytes: number;
  dayStartMs: number;
  dayBytes: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export class Quotas {
  readonly #maxPeers: number;
  readonly #used = new Map<string, Used>();

  constructor(maxPeers: number) {
    this.#maxPeers = maxPeers;
  }

  /** Counts `byteCount` against the peer `key`; false, and nothing is counted, where that is more than it may. */
  take(key: string, byteCount: number, limits: QuotaLimits, nowMs: number): boolean {
    if (byteCount > this.left(key, limits, nowMs)) return false;
    const used = this.#usedBy(key, nowMs);
    used.hourBytes += byteCount;
    used.dayBytes += byteCount;
    return true;
  }

  /** What it may still send now; Infinity: as much as it likes. */
  left(key: string, { bytesPerHour, bytesPerDay }: QuotaLimits, nowMs: number): number {
    if (bytesPerHour === undefined && bytesPerDay === undefined) return Number.POSITIVE_INFINITY;
    const { hourBytes, dayBytes } = this.#usedBy(key, nowMs);
    const ofHour = (bytesPerHour ?? Number.POSITIVE_INFINITY) - hourBytes;
    return Math.max(0, Math.min(ofHour, (bytesPerDay ?? Number.POSITIVE_INFINITY) - dayBytes));
  }

  #usedBy(key: string, nowMs: number): Used {
    let used = this.#used.get(key);
    if (!used) {
      if (this.#used.size >= this.#maxPeers) this.#forgetOldest();
      used = { hourStartMs: nowMs, hourBytes: 0, dayStartMs: nowMs, dayBytes: 0 };
      this.#used.set(key, used);
    }
    if (nowMs - used.hourStartMs >= HOUR_MS) {
      used.hourStartMs = nowMs;
      used.hourBytes = 0;
      this.#used.delete(key); // now it is the newest
      this.#used.set(key, used);
    }
    if (nowMs - used.dayStartMs >= DAY_MS) {
      used.dayStartMs = nowMs;
      used.dayBytes = 0;
    }
    return used;
  }

  #forgetOldest(): void {
    const oldest = this.#used.keys().next();
    if (!oldest.done) this.#used.delete(oldest.value);
  }
}
