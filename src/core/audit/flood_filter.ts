/**
 * Which events are told one by one, sans-IO: a flood of refusals must not fill a disk, nor hide what else happens.
 *
 * Events of one name and reason share a window. In it each address may be told of so often, and all together so often; the
 * rest is counted, and told as one event when the window is over. Memory is bounded whatever comes.
 */
import type { AuditEntry } from "./audit_event.ts";

export interface FloodLimits {
  /** Refusals of one reason from one address that are told in one window. */
  readonly maxAuditPerAddress: number;
  /** The same from all addresses, and other events of one name. */
  readonly maxAuditPerKind: number;
  readonly auditWindowMs: number;
}

/** What was left out of one window. */
export interface Omitted {
  /** The last one of them. */
  readonly last: AuditEntry;
  readonly count: number;
  /** Exact up to the number of addresses that a window remembers. */
  readonly addresses: number;
}

interface Window {
  readonly endsMs: number;
  told: number;
  omitted: number;
  last: AuditEntry;
  readonly byAddress: Map<string, number>;
  readonly omittedFrom: Set<string>;
}

/** Addresses that one window tells apart, and windows at once; names and reasons are fewer. */
const MAX_ADDRESSES = 256;
const MAX_WINDOWS = 256;

export class FloodFilter {
  readonly #limits: FloodLimits;
  /** In order of their ends. */
  readonly #windows = new Map<string, Window>();

  constructor(limits: FloodLimits) {
    this.#limits = limits;
  }

  /** Whether `entry` is told itself. `address`: whom it is counted against. */
  take(entry: AuditEntry, address: string, nowMs: number): boolean {
    const { maxAuditPerAddress, maxAuditPerKind, auditWindowMs } = this.#limits;
    const own = `${entry.what} ${entry.reason ?? ""}`;
    const key =
      this.#windows.has(own) || this.#windows.size < MAX_WINDOWS ? own : (entry.what.split(".")[0] ?? "");
    let window = this.#windows.get(key);
    if (!window) {
      const endsMs = nowMs + auditWindowMs;
      window = { endsMs, told: 0, omitted: 0, last: entry, byAddress: new Map(), omittedFrom: new Set() };
      this.#windows.set(key, window);
    }
    const { byAddress } = window;
    const before = byAddress.get(address) ?? 0;
    const tooOften = entry.outcome === "refused" && before >= maxAuditPerAddress;
    if (!tooOften && window.told < maxAuditPerKind) {
      window.told++;
      if (before > 0 || byAddress.size < MAX_ADDRESSES) byAddress.set(address, before + 1);
      return true;
    }
    window.omitted++;
    window.last = entry;
    if (window.omittedFrom.size < MAX_ADDRESSES) window.omittedFrom.add(address);
    return false;
  }

  /** The next window that is over at `nowMs` and has left something out; Infinity: whatever the time. */
  poll(nowMs: number): Omitted | undefined {
    for (const [key, window] of this.#windows) {
      if (window.endsMs > nowMs) return undefined;
      this.#windows.delete(key);
      if (window.omitted > 0)
        return { last: window.last, count: window.omitted, addresses: window.omittedFrom.size };
    }
    return undefined;
  }

  /** When `poll` has something to do; undefined: nothing was noted lately. */
  get deadlineMs(): number | undefined {
    return this.#windows.values().next().value?.endsMs;
  }
}
