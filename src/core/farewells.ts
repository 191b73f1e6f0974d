/** Connections that stop taking streams, or end, while their node goes on: GOAWAY, twins, worn-out ids, silence. */
import type { Connection } from "./connection.ts";
import { ConnectionError } from "./errors.ts";
import { KEY_DRAIN_MS } from "./limits.ts";
import type { Clock } from "./runtime.ts";
import type { Goaway, Swarm } from "./swarm/swarm.ts";
import { GoawayCode } from "./wire/records/goaway.ts";

export class Farewells {
  readonly #swarm: Swarm;
  readonly #clock: Clock;
  readonly #byLink: ReadonlyMap<number, Connection>;
  readonly #changed: () => void;

  /** `byLink`: the open connections, as they are at any time. `changed`: the swarm has news. */
  constructor(swarm: Swarm, clock: Clock, byLink: ReadonlyMap<number, Connection>, changed: () => void) {
    this.#swarm = swarm;
    this.#clock = clock;
    this.#byLink = byLink;
    this.#changed = changed;
  }

  /** Carries out what the swarm wants of connections that there are. */
  tend(): void {
    const nowMs = this.#clock.nowMs();
    for (let link = this.#swarm.pollProbe(); link; link = this.#swarm.pollProbe()) {
      const connection = this.#byLink.get(link.id);
      connection?.driver.session.probe(nowMs);
      connection?.driver.pump();
    }
    for (let link = this.#swarm.pollRetire(); link; link = this.#swarm.pollRetire()) {
      const connection = this.#byLink.get(link.id);
      connection?.driver.session.close(nowMs, GoawayCode.DUPLICATE);
      connection?.driver.pump();
    }
  }

  /** The other side has answered: it has the connection open. */
  heard({ link, driver }: Connection): void {
    if (!link) return;
    link.roundTripMs = driver.session.roundTripMs;
    link.clockSkewMs = driver.session.clockSkewMs;
    this.#swarm.handleConfirmed(link);
    this.#changed();
  }

  /** The other side has said GOAWAY. */
  left({ link }: Connection, code: number): void {
    if (!link) return;
    this.#swarm.handleGoaway(link, goawayOf(code), this.#clock.nowMs());
    this.#changed();
  }

  /** Ids of a connection run out after some 2^31 tensors: it is given up while there are some left. */
  retireWornOut(connection: Connection): void {
    const { link, driver } = connection;
    if (link && driver.session.wornOut) this.leave(connection, GoawayCode.STREAM_IDS);
  }

  /** No new streams begin on it, and another one takes its place. */
  leave({ link, driver }: Connection, code: number): void {
    const nowMs = this.#clock.nowMs();
    driver.session.close(nowMs, code, code === GoawayCode.KEY_ENDED ? KEY_DRAIN_MS : 0);
    driver.pump();
    if (link) this.#swarm.handleGoaway(link, goawayOf(code), nowMs);
    this.#changed();
  }

  /**
   * Ends the connections of a discovered peer whose beacons have ceased and of which nothing else comes: its machine has
   * vanished, for all we know. Returns when to look again at those that are not silent for long enough.
   */
  endSilent(nodeId: string, peerStaleMs: number): number | undefined {
    const nowMs = this.#clock.nowMs();
    let againMs: number | undefined;
    for (const [id, link] of this.#swarm.links) {
      const connection = this.#byLink.get(id);
      if (link.nodeId !== nodeId || link.target?.isStatic || !connection) continue;
      const { session } = connection.driver;
      const silentMs = nowMs - session.lastReadMs;
      if (session.outboundStreams > 0 || silentMs < peerStaleMs) {
        againMs = Math.min(againMs ?? peerStaleMs, Math.max(peerStaleMs - silentMs, 1000));
        continue;
      }
      const why = `stale: no beacon and nothing else came for ${peerStaleMs / 1000} s`;
      session.abort(new ConnectionError("ASOC_PEER_SILENT", why), nowMs);
      connection.driver.pump();
    }
    return againMs;
  }
}

function goawayOf(code: number): Goaway {
  if (code === GoawayCode.DUPLICATE) return "duplicate";
  return code === GoawayCode.STREAM_IDS || code === GoawayCode.KEY_ENDED ? "streamIds" : "shutdown";
}
