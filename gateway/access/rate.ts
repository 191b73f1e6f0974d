/** Requests a second of each address, of IPv6 its first 64 bits: a bucket of tokens for each, of which the longest unused go first. */
import { addressKey } from "../../src/mod.ts";
import { GatewayError } from "../errors.ts";

interface Bucket {
  tokens: number;
  atMs: number;
}

export class RequestRate {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #maxAddresses: number;
  readonly #buckets = new Map<string, Bucket>();
  refused = 0;

  constructor(perSecond: number, burst: number, maxAddresses: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#maxAddresses = maxAddresses;
  }

  /** Counts one request. Throws GATEWAY_RATE_LIMITED. */
  check(asking: string, nowMs: number): void {
    const address = addressKey(asking);
    const old = this.#buckets.get(address);
    const earned = old ? ((nowMs - old.atMs) / 1000) * this.#perSecond : 0;
    const tokens = Math.min(this.#burst, (old?.tokens ?? this.#burst) + Math.max(0, earned));
    const isAllowed = tokens >= 1;
    this.#buckets.delete(address);
    this.#buckets.set(address, { tokens: isAllowed ? tokens - 1 : tokens, atMs: nowMs });
    if (this.#buckets.size > this.#maxAddresses) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    if (isAllowed) return;
    this.refused++;
    throw new GatewayError(429, "GATEWAY_RATE_LIMITED", "Too many requests from this address", {
      headers: { "retry-after": "1" },
    });
  }
}
