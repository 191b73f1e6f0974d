/** Ways to a peer, for what is sent or asked: the connection that takes streams now, or the next one. See `delivery.ts`. */
import type { PeerAccess } from "./access/access.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionStreams } from "./connection_streams.ts";
import type { ResumeAnswer, Roads } from "./delivery.ts";
import { ClosedError, ConnectionError } from "./errors.ts";
import type { Farewells } from "./farewells.ts";
import type { Timing } from "./limits.ts";
import { type Outgoing, unknownPeer } from "./outgoing.ts";
import type { Clock } from "./runtime.ts";
import type { SendOptions, SendPlan } from "./send_plan.ts";
import { type Peer, peerOf, type Swarm } from "./swarm/swarm.ts";
import { toHex } from "./wire/bytes.ts";
import type { TapRecord, UntapRecord } from "./wire/records/tap.ts";

export class ConnectionRoads implements Roads {
  readonly #swarm: Swarm;
  readonly #clock: Clock;
  readonly #limits: Timing;
  readonly #byLink: ReadonlyMap<number, Connection>;
  readonly #streams: ConnectionStreams;
  readonly #farewells: Farewells;
  readonly #watchers = new Set<() => void>();
  #closed = false;

  /** `byLink`: the open connections, as they are at any time. */
  constructor(
    swarm: Swarm,
    clock: Clock,
    limits: Timing,
    byLink: ReadonlyMap<number, Connection>,
    streams: ConnectionStreams,
    farewells: Farewells,
  ) {
    this.#swarm = swarm;
    this.#clock = clock;
    this.#limits = limits;
    this.#byLink = byLink;
    this.#streams = streams;
    this.#farewells = farewells;
  }

  /** A new stream to the peer `id` that carries `plan` from `baseOffset` on. Throws ASOC_CLOSED, ASOC_UNKNOWN_PEER, RangeError. */
  open(id: string, options: SendOptions, plan: SendPlan, baseOffset = 0): Outgoing {
    const { chunkBytes } = options;
    if (
      chunkBytes !== undefined &&
      !(Number.isInteger(chunkBytes) && chunkBytes >= 1 && chunkBytes <= 0xffff_ffff)
    ) {
      throw new RangeError(`chunkBytes: expected a whole number from 1, got ${chunkBytes}`);
    }
    if (this.#closed) throw closed(id);
    const connection = this.#find(id);
    if (!connection?.link) throw unknownPeer(id, this.#swarm.peers());
    const outgoing = this.#streams.open(connection, options, plan, baseOffset, this.#clock.nowMs());
    this.#farewells.retireWornOut(connection);
    return outgoing;
  }

  /** Throws ASOC_UNKNOWN_PEER. */
  peer(id: string): Peer {
    const link = this.#find(id)?.link;
    if (!link) throw unknownPeer(id, this.#swarm.peers());
    return peerOf(link);
  }

  /** See `Roads.road`. */
  road(id: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
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
        else if (this.#find(id)) settle(resolve);
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
    const connection = this.#find(id);
    if (!connection) throw unknownPeer(id, this.#swarm.peers());
    const { driver, asked } = connection;
    if (!driver.session.tensors) return undefined;
    return new Promise((resolve, reject) => {
      asked.set(toHex(transferId), { resolve, reject });
      driver.session.askResume(transferId);
      driver.pump();
    });
  }

  /** Asks the peer `id` for copies of tensors, or for no more of them. Throws ASOC_UNKNOWN_PEER. */
  askTap(id: string, record: TapRecord | UntapRecord): void {
    const connection = this.#find(id);
    if (!connection?.driver.session.tensors) throw unknownPeer(id, this.#swarm.peers());
    connection.driver.session.ask(record);
    connection.driver.pump();
  }

  /** What the peer `id` may do. Throws ASOC_UNKNOWN_PEER. */
  accessOf(id: string): PeerAccess {
    const connection = this.#find(id);
    if (!connection) throw unknownPeer(id, this.#swarm.peers());
    return connection.access;
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

  /** The connection that takes streams to `id` now. */
  #find(id: string): Connection | undefined {
    const link = this.#swarm.route(id, ({ id: linkId }) => {
      const session = this.#byLink.get(linkId)?.driver.session;
      return session?.open === true && !session.leaving;
    });
    return link && this.#byLink.get(link.id);
  }
}

function closed(id: string): ClosedError {
  return new ClosedError("ASOC_CLOSED", `Cannot send to ${id}: the node is closed`);
}
