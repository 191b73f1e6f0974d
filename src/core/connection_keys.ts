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
import { KEY_DRAIN_MS, type Limits } from "./limits.ts";
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
   * Ends what rests on keys that are no longer believed: a revoked one at once, one that has come to its end after its
   * streams, or after KEY_DRAIN_MS. `leave` says GOAWAY. Returns in how many milliseconds to look again; undefined: never.
   */
  end(
    connections: Iterable<Connection>,
    leave: (connection: Connection, code: number) => void,
  ): number | undefined {
    const unixMs = this.#clock.unixMs();
    let againMs: number | undefined;
    for (const connection of [...connections]) {
      const { session } = connection.driver;
      const { key } = session;
      if (this.ring.holds(key, unixMs)) continue;
      // An acceptor's key is a guess before HELLO: what it is then is judged once it is open.
      if (!connection.link && !connection.target) continue;
      connection.keyEndedMs ??= unixMs;
      const leftMs = connection.keyEndedMs + KEY_DRAIN_MS - unixMs;
      const entry = this.ring.entryOf(key);
      const ended = isEnded(entry, unixMs) || (connection.keyEnded === true && entry === undefined);
      connection.keyEnded = ended;
      if (ended && connection.link && leftMs > 0) {
        againMs = Math.min(againMs ?? leftMs, leftMs);
        if (session.open) leave(connection, GoawayCode.KEY_ENDED);
        continue;
      }
      const error = ended
        ? new AuthError("ASOC_KEY_ENDED", "The key of this connection has come to its end")
        : new AuthError("ASOC_KEY_REVOKED", "The key of this connection was revoked");
      session.abort(error, this.#clock.nowMs());
      connection.driver.pump();
    }
    return againMs;
  }
}

/** It has come to its end by itself; undefined, or revoked: somebody has ended it. */
function isEnded(entry: RingKey | undefined, unixMs: number): boolean {
  return entry?.notAfterMs !== undefined && entry.notAfterMs <= unixMs && entry.state !== "revoked";
}
