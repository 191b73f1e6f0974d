/** Ways to a peer, for what is sent: the connection that takes streams now, or the next one. See `delivery.ts`. */
import type { Connection } from "./connection.ts";
import type { ResumeAnswer } from "./delivery.ts";
import { ClosedError, ConnectionError } from "./errors.ts";
import type { Timing } from "./limits.ts";
import { unknownPeer } from "./outgoing.ts";
import type { Clock } from "./runtime.ts";
import { type Peer, peerOf, type Swarm } from "./swarm/swarm.ts";
import { toHex } from "./wire/bytes.ts";

export class ConnectionRoads {
  readonly #swarm: Swarm;
  readonly #clock: Clock;
  readonly #limits: Timing;
  readonly #byLink: ReadonlyMap<number, Connection>;
  readonly #watchers = new Set<() => void>();
  #closed = false;

  /** `byLink`: the open connections, as they are at any time. */
  constructor(swarm: Swarm, clock: Clock, limits: Timing, byLink: ReadonlyMap<number, Connection>) {
    this.#swarm = swarm;
    this.#clock = clock;
    this.#limits = limits;
    this.#byLink = byLink;
  }

  /** The connection that takes streams to `id` now. */
  find(id: string): Connection | undefined {
    const link = this.#swarm.route(id, ({ id: linkId }) => {
      const session = this.#byLink.get(linkId)?.driver.session;
      return session?.open === true && !session.leaving;
    });
    return link && this.#byLink.get(link.id);
  }

  /** The same. Throws ASOC_CLOSED, ASOC_UNKNOWN_PEER. */
  take(id: string): Connection {
    if (this.#closed) throw closed(id);
    const connection = this.find(id);
    if (!connection?.link) throw unknownPeer(id, this.#swarm.peers());
    return connection;
  }

  /** Throws ASOC_UNKNOWN_PEER. */
  peer(id: string): Peer {
    const link = this.find(id)?.link;
    if (!link) throw unknownPeer(id, this.#swarm.peers());
    return peerOf(link);
  }

  /** See `Roads.road`. */
  wait(id: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (run: () => void) => {
        this.#watchers.delete(look);
        timer.cancel();
        signal?.removeEventListener("abort", abort);
        run();
      };
      const abort = () => settle(() => reject(signal?.reason));
      const look = () => {
        if (this.#closed) settle(() => reject(closed(id)));
        else if (this.find(id)) settle(resolve);
      };
      const timer = this.#clock.after(Math.max(0, timeoutMs), () => {
        const why = `The transfer to ${id} could not go on: no connection within ${this.#limits.resumeMs} ms (resumeMs)`;
        settle(() => reject(new ConnectionError("ASOC_CONNECTION_LOST", why, { details: { id } })));
      });
      this.#watchers.add(look);
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) abort();
      else look();
    });
  }

  /** See `Roads.askResume`. */
  askResume(id: string, transferId: Uint8Array): Promise<ResumeAnswer> | undefined {
    const connection = this.find(id);
    if (!connection) throw unknownPeer(id, this.#swarm.peers());
    const { driver, asked } = connection;
    if (!driver.session.tensors) return undefined;
    return new Promise((resolve, reject) => {
      asked.set(toHex(transferId), { resolve, reject });
      driver.session.askResume(transferId);
      driver.pump();
    });
  }

  /** A connection has opened, ended, or takes no more streams. */
  changed(): void {
    for (const look of [...this.#watchers]) look();
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#closed = true;
    this.changed();
  }
}

function closed(id: string): ClosedError {
  return new ClosedError("ASOC_CLOSED", `Cannot send to ${id}: the node is closed`);
}
