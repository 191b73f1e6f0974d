/** Makes a `Connection` of a conn: its session, which asks the node about the other side, and the driver that pumps it. */
import type { Callers } from "./callers.ts";
import type { Connection } from "./connection.ts";
import type { Doorkeeper } from "./doorkeeper.ts";
import { Driver } from "./driver.ts";
import type { NodeConfig } from "./node_events.ts";
import { ReadShares } from "./read_shares.ts";
import type { Resuming } from "./resuming.ts";
import type { Address, Conn, Runtime } from "./runtime.ts";
import { initialCreditFor } from "./session/credit_window.ts";
import type { X1Config } from "./session/negotiation.ts";
import { Session } from "./session/session.ts";
import type { SessionConfig, SessionEvent } from "./session/session_types.ts";
import type { Target } from "./swarm/swarm.ts";
import type { BufferPool } from "./tensor/buffer_pool.ts";
import { communityHash } from "./wire/beacon.ts";
import { readU32 } from "./wire/header.ts";
import { formatNodeId } from "./wire/node_id.ts";

/** What a session begins with. */
export type SessionKeys = Pick<SessionConfig, "key" | "otherKeys" | "mayExchange">;

/** Of a connection that we have dialled. */
export interface Dialled {
  readonly target: Target;
  /** As we dialled it. */
  readonly address: Address;
  /** Of our HELLO. */
  readonly challenge: number;
}

export class ConnectionMaker {
  readonly #runtime: Runtime;
  readonly #config: NodeConfig;
  readonly #pool: BufferPool;
  readonly #door: Doorkeeper;
  readonly #callers: Callers;
  readonly #resuming: Resuming;
  readonly #onSession: (connection: Connection, event: SessionEvent) => void;
  readonly #readShares: ReadShares;
  readonly #x1: X1Config | undefined;

  /** `onSession` hears what the sessions say. */
  constructor(
    runtime: Runtime,
    config: NodeConfig,
    pool: BufferPool,
    door: Doorkeeper,
    callers: Callers,
    resuming: Resuming,
    onSession: (connection: Connection, event: SessionEvent) => void,
  ) {
    this.#runtime = runtime;
    this.#config = config;
    this.#pool = pool;
    this.#door = door;
    this.#callers = callers;
    this.#resuming = resuming;
    this.#onSession = onSession;
    this.#readShares = new ReadShares(config.limits.sharedFramesPerSecond);
    if (config.extension) {
      const { crypto } = runtime;
      this.#x1 = {
        communityHash: communityHash(config.community, crypto),
        bootEpoch: readU32(crypto.randomBytes(4), 0),
        tensors: true,
        takesTensors: config.takesTensors,
        keyExchange: true,
        rotation: config.rotation === "accept",
      };
    }
  }

  /** `dialled`: undefined for one that has come in; `connections`: how many there are with this one. Its driver is not started. */
  make(conn: Conn, keys: SessionKeys, dialled: Dialled | undefined, connections: number): Connection {
    const { nodeId, limits } = this.#config;
    const { crypto, clock } = this.#runtime;
    const { target, address, challenge } = dialled ?? {};
    const onSession = this.#onSession;
    let helloId: string | undefined;
    const session: Session = new Session(
      {
        role: target ? "dialler" : "acceptor",
        nodeId,
        ...keys,
        limits: { ...limits, initialCreditBytes: initialCreditFor(limits, connections) },
        crypto,
        tls: conn.tls,
        pool: this.#pool,
        ...(challenge === undefined ? {} : { challenge }),
        unixMs: () => clock.unixMs(),
        ...(this.#x1 ? { x1: this.#x1 } : {}),
        isLegacy: (peerId) => this.#callers.isLegacy(peerId),
        mustProve: (peerId) => this.#callers.mustProve(peerId, target, address),
        bookOf: (peerId) => this.#resuming.bookOf(formatNodeId(peerId), connection),
        refusal: (said, baseOffset) => this.#door.arrivalRefusal(connection, said, baseOffset),
        admit: (peerNodeId, peerChallenge) => {
          helloId = formatNodeId(peerNodeId);
          return (
            this.#callers.judge(peerNodeId, peerChallenge, clock.nowMs()) ?? this.#door.refusal(connection)
          );
        },
      },
      clock.nowMs(),
    );
    const surroundings = {
      pool: this.#pool,
      memoryWaitMs: limits.memoryWaitMs,
      share: this.#readShares.open(),
    };
    const connection: Connection = {
      driver: new Driver(session, conn, clock, surroundings, (event) => onSession(connection, event)),
      direction: target ? "outbound" : "inbound",
      sinceMs: clock.nowMs(),
      remote: conn.remote,
      access: this.#door.peer(
        conn,
        target !== undefined,
        () => connection.link?.nodeId ?? helloId ?? (session.peer && formatNodeId(session.peer.uuid)),
      ),
      target,
      dialled: address,
      challenge,
      link: undefined,
      account: undefined,
      outgoing: new Map(),
      incoming: new Map(),
      asked: new Map(),
    };
    return connection;
  }
}
