/**
 * Keys as the connections of a node need them: which one a connection begins with, and what becomes of those that rest
 * on a key that is no longer believed (RFC-0102, The end of a key).
 */
import { addressKey } from "./auth/admission.ts";
import type { KeyRing, RingKey } from "./auth/key_ring.ts";
import { RateLimit } from "./auth/rate_limit.ts";
import type { Connection } from "./connection.ts";
import { DialKeys } from "./dial_keys.ts";
import { AuthError } from "./errors.ts";
import { KEY_DRAIN_MS, KEY_RENEW_MS, type Limits } from "./limits.ts";
import type { Clock } from "./runtime.ts";
import type { SessionConfig } from "./session/session_types.ts";
import type { Target } from "./swarm/swarm.ts";
import { GoawayCode } from "./wire/records/goaway.ts";

const MINUTE_MS = 60_000;

export class ConnectionKeys {
  readonly ring: KeyRing;
  readonly #clock: Clock;
  readonly #dials: DialKeys;
  readonly #exchanges: RateLimit;

  constructor(ring: KeyRing, clock: Clock, limits: Limits) {
    this.ring = ring;
    this.#clock = clock;
    this.#dials = new DialKeys(ring, limits.maxDiscoveredPeers);
    this.#exchanges = new RateLimit(limits.maxKeyExchangesPerMinute, MINUTE_MS, limits.maxTrackedAddresses);
  }

  /** The key for a dial of `target`. Throws ASOC_NO_VALID_KEY. */
  dialling(target: Target): RingKey {
    const key = this.#dials.choose(target, this.#clock.unixMs());
    if (key) return key;
    throw new AuthError("ASOC_NO_VALID_KEY", "Cannot dial: no key of this node holds now");
  }

  /** What a session for a connection from `host` is made with; undefined: no key holds. */
  accepting(host: string): Pick<SessionConfig, "key" | "otherKeys" | "mayExchange"> | undefined {
    const [first, ...others] = this.ring.verifying(this.#clock.unixMs());
    if (!first) return undefined;
    return {
      key: first.key,
      otherKeys: others.map(({ key }) => key),
      mayExchange: () => this.#exchanges.take(addressKey(host), this.#clock.nowMs()),
    };
  }

  heard(nodeId: string, key: Uint8Array): void {
    this.#dials.heard(nodeId, key);
  }

  /** A connection is open. Returns the key that it rests on, unless that has ended meanwhile. */
  opened({ target, driver }: Connection): RingKey | undefined {
    const { key } = driver.session;
    if (target) this.#dials.opened(target, key, this.#clock.unixMs());
    return this.ring.holds(key, this.#clock.unixMs()) ? this.ring.entryOf(key) : undefined;
  }

  /** A dial has ended before the connection was open. `answered`: the other side knows the key. */
  refused({ target, driver }: Connection, answered: boolean): void {
    if (target && !answered) this.#dials.refused(target, driver.session.key, this.#clock.unixMs());
  }

  /**
   * Renews what rests on a key whose end is near, and ends what rests on one that is no longer believed: a revoked one at
   * once; one that has come to its end with GOAWAY after KEY_DRAIN_MS, and after as much again with whatever is left on it.
   * Returns in how many milliseconds to look again; undefined: never.
   */
  end(connections: Iterable<Connection>, actions: KeyActions): number | undefined {
    const unixMs = this.#clock.unixMs();
    let againMs = Number.POSITIVE_INFINITY;
    for (const connection of [...connections]) {
      // An acceptor's key is a guess before HELLO: what it is then is judged once it is open.
      if (!connection.link && !connection.target) continue;
      const { key } = connection.driver.session;
      const entry = this.ring.entryOf(key);
      const dueMs = this.ring.holds(key, unixMs)
        ? this.#renew(connection, entry?.notAfterMs, unixMs, actions)
        : this.#end(connection, entry, unixMs, actions);
      againMs = Math.min(againMs, dueMs);
    }
    return againMs === Number.POSITIVE_INFINITY ? undefined : againMs;
  }

  /** In how many milliseconds to look again. */
  #renew(connection: Connection, endMs: number | undefined, unixMs: number, actions: KeyActions): number {
    const { link, target } = connection;
    // Whoever has dialled dials again. A v0.1 peer does so of itself.
    if (endMs === undefined || !link?.proven || !target || link.renewing) return Number.POSITIVE_INFINITY;
    const leftMs = endMs - KEY_RENEW_MS - unixMs;
    if (leftMs > 0) return leftMs;
    const next = this.#dials.choose(target, unixMs);
    const lasts = next && (next.notAfterMs === undefined || next.notAfterMs > endMs);
    if (!lasts) return KEY_DRAIN_MS; // the other side knows no other key
    actions.renew(connection);
    return Number.POSITIVE_INFINITY;
  }

  #end(connection: Connection, entry: RingKey | undefined, unixMs: number, actions: KeyActions): number {
    const { driver, link } = connection;
    const { session } = driver;
    const ended = isEnded(entry, unixMs) || (connection.keyEnded === true && entry === undefined);
    connection.keyEnded = ended;
    connection.keyEndedMs ??= unixMs;
    const sinceMs = unixMs - connection.keyEndedMs;
    if (ended && link && sinceMs < 2 * KEY_DRAIN_MS) {
      if (sinceMs < KEY_DRAIN_MS) {
        this.#renew(connection, entry?.notAfterMs, unixMs, actions);
        return KEY_DRAIN_MS - sinceMs;
      }
      if (session.open) actions.leave(connection, GoawayCode.KEY_ENDED);
      return 2 * KEY_DRAIN_MS - sinceMs;
    }
    const error = ended
      ? new AuthError("ASOC_KEY_ENDED", "The key of this connection has come to its end")
      : new AuthError("ASOC_KEY_REVOKED", "The key of this connection was revoked");
    session.abort(error, this.#clock.nowMs());
    driver.pump();
    return Number.POSITIVE_INFINITY;
  }
}

/** What becomes of a connection. */
export interface KeyActions {
  /** Another one has to take its place, which goes on until then. */
  renew(connection: Connection): void;
  /** Says GOAWAY with `code`; it ends after its streams. */
  leave(connection: Connection, code: number): void;
}

/** It has come to its end by itself; undefined, or revoked: somebody has ended it. */
function isEnded(entry: RingKey | undefined, unixMs: number): boolean {
  return entry?.notAfterMs !== undefined && entry.notAfterMs <= unixMs && entry.state !== "revoked";
}
