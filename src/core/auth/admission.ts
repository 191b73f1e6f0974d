/**
 * Who may connect: the abuse limits of RFC-0001 for inbound connections.
 *
 * Handshakes in progress, connections at once, failures and attempts by address.
 * A block concerns new connections only; those that live go on.
 */
import type { Limits } from "../limits.ts";
import { RateLimit } from "./rate_limit.ts";

export type RefusalReason =
  | "blocked"
  | "too many attempts"
  | "too many handshakes"
  | "too many TLS handshakes"
  | "too many connections";

interface AddressRecord {
  failures: number;
  lastFailureMs: number;
  blocks: number;
  blockedUntilMs: number;
  sessions: number;
  /** When it last began or ended one. */
  lastSessionMs: number;
}

const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
const NEVER = Number.NEGATIVE_INFINITY;

export class Admission {
  readonly #limits: Limits;
  readonly #attempts: RateLimit;
  readonly #tlsHandshakes: RateLimit;
  readonly #addresses = new Map<string, AddressRecord>();
  #pending = 0;
  #sessions = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#attempts = new RateLimit(limits.maxAttemptsPerHour, HOUR_MS, limits.maxTrackedAddresses);
    this.#tlsHandshakes = new RateLimit(limits.maxTlsHandshakesPerSecond, SECOND_MS, 2);
  }

  get pendingHandshakes(): number {
    return this.#pending;
  }
  /** There is room only if a handshake in progress makes way. */
  get crowded(): boolean {
    const { maxPendingHandshakes, maxConnections } = this.#limits;
    return (
      this.#pending > 0 &&
      (this.#pending >= maxPendingHandshakes || this.#pending + this.#sessions >= maxConnections)
    );
  }

  /** Why `remote` is refused whatever it says, undefined when it is not. Counts nothing. */
  shut(remote: string, nowMs: number): RefusalReason | undefined {
    const host = addressKey(remote);
    const record = this.#addresses.get(host);
    if (record && record.blockedUntilMs > nowMs) return "blocked";
    const factor = record && record.sessions > 0 ? this.#limits.authenticatedAttemptsFactor : 1;
    return this.#attempts.isSpent(host, nowMs, factor) ? "too many attempts" : undefined;
  }

  /**
   * A connection from `remote` begins a TLS handshake, and counts as an attempt: undefined lets it. `arrive` or `failedTls`
   * may follow. Nothing counts against the address that a flood of others has kept out.
   */
  arriveTls(remote: string, nowMs: number, hasRoom = true): RefusalReason | undefined {
    const shut = this.shut(remote, nowMs);
    if (shut) return shut;
    if (!hasRoom) return "too many handshakes";
    // Who has been here lately does not share a count with strangers: they cannot use it up.
    const whose = this.isFamiliar(remote, nowMs) ? "familiar" : "strangers";
    if (!this.#tlsHandshakes.take(whose, nowMs)) return "too many TLS handshakes";
    return this.#attempt(remote, nowMs);
  }

  /**
   * A connection from `remote`: undefined admits it to the handshake; `authenticated` or `failed` must follow.
   * `counted`: `arriveTls` has let it in.
   */
  arrive(remote: string, nowMs: number, counted = false): RefusalReason | undefined {
    const refused = counted ? undefined : this.#attempt(remote, nowMs);
    if (refused) return refused;
    if (this.#pending >= this.#limits.maxPendingHandshakes) return "too many handshakes";
    if (this.#pending + this.#sessions >= this.#limits.maxConnections) return "too many connections";
    this.#pending++;
    return undefined;
  }

  /** The handshake of an admitted connection succeeded; `left` must follow. */
  authenticated(remote: string): void {
    const host = addressKey(remote);
    this.#attempts.giveBack(host); // v0.1 peers dial again every 10 s: that is no abuse
    this.#pending--;
    this.#sessions++;
    const record = this.#record(host);
    record.sessions++;
    record.failures = 0;
  }

  /** It failed. With `blame` it counts against the address; true when that blocks it now. */
  failed(remote: string, blame: boolean, nowMs: number): boolean {
    this.#pending--;
    return this.failedTls(remote, blame, nowMs);
  }

  /** The same of one that did not get beyond TLS. */
  failedTls(remote: string, blame: boolean, nowMs: number): boolean {
    if (!blame) return false;
    const record = this.#record(addressKey(remote));
    if (nowMs - record.lastFailureMs > this.#limits.failureWindowMs) record.failures = 0;
    if (nowMs - record.lastFailureMs > HOUR_MS) record.blocks = 0;
    record.lastFailureMs = nowMs;
    record.failures++;
    if (record.failures < this.#limits.maxFailedHandshakes) return false;
    record.failures = 0;
    record.blockedUntilMs =
      nowMs + Math.min(this.#limits.maxBlockMs, this.#limits.blockMs * 2 ** Math.min(record.blocks, 30));
    record.blocks++;
    return true;
  }

  /** An authenticated connection has ended. */
  left(remote: string, nowMs: number): void {
    this.#sessions--;
    const record = this.#addresses.get(addressKey(remote));
    if (!record) return;
    record.sessions--;
    record.lastSessionMs = nowMs;
  }

  /** Somebody there holds the key, as far as is known: there was a session from it within the hour. */
  isFamiliar(remote: string, nowMs: number): boolean {
    const record = this.#addresses.get(addressKey(remote));
    return record !== undefined && (record.sessions > 0 || nowMs - record.lastSessionMs < HOUR_MS);
  }

  #attempt(remote: string, nowMs: number): RefusalReason | undefined {
    const host = addressKey(remote);
    const record = this.#addresses.get(host);
    if (record && record.blockedUntilMs > nowMs) return "blocked";
    const factor = record && record.sessions > 0 ? this.#limits.authenticatedAttemptsFactor : 1;
    return this.#attempts.take(host, nowMs, factor) ? undefined : "too many attempts";
  }

  #record(host: string): AddressRecord {
    let record = this.#addresses.get(host);
    if (!record) {
      if (this.#addresses.size >= this.#limits.maxTrackedAddresses) this.#forgetOne();
      record = {
        failures: 0,
        lastFailureMs: 0,
        blocks: 0,
        blockedUntilMs: 0,
        sessions: 0,
        lastSessionMs: NEVER,
      };
      this.#addresses.set(host, record);
    }
    return record;
  }

  /** The oldest without a session goes; sessions are bounded by maxConnections. */
  #forgetOne(): void {
    for (const [host, record] of this.#addresses) {
      if (record.sessions > 0) continue;
      this.#addresses.delete(host);
      return;
    }
  }
}

/** One customer's IPv6 network counts as one address: its first 64 bits. */
export function addressKey(host: string): string {
  if (!host.includes(":")) return host;
  const text = host.toLowerCase();
  if (text.startsWith("::ffff:") && text.includes(".")) return text.slice(7);
  const [head = "", tail] = text.split("::");
  const groups = head.split(":").filter((group) => group !== "");
  if (tail !== undefined) {
    const rest = tail.split(":").filter((group) => group !== "");
    while (groups.length + rest.length < 8) groups.push("0");
    groups.push(...rest);
  }
  const numbers = groups.map((group) => Number.parseInt(group, 16));
  const [a = 0, b = 0] = numbers.slice(6);
  const mapped = numbers.slice(0, 6).join() === "0,0,0,0,0,65535";
  if (mapped) return [a >>> 8, a & 0xff, b >>> 8, b & 0xff].join(".");
  return `${numbers
    .slice(0, 4)
    .map((number) => number.toString(16))
    .join(":")}::/64`;
}
