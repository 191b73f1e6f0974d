/**
 * The live connections of a node, and what their sessions say: it goes to the part whose business it is. Those that come in
 * are let in by `accepting.ts`, others are made by `dialling.ts`; whom to dial, and what the connections mean, the swarm knows.
 */
import { Accepting } from "./accepting.ts";
import { Allowances } from "./allowances.ts";
import type { KeyRing, RingKey } from "./auth/key_ring.ts";
import { Callers } from "./callers.ts";
import type { Connection } from "./connection.ts";
import { ConnectionKeys } from "./connection_keys.ts";
import { ConnectionMaker, type Dialled, type SessionKeys } from "./connection_maker.ts";
import { ConnectionStreams, type StreamsListener } from "./connection_streams.ts";
import { Dialling } from "./dialling.ts";
import type { Doorkeeper } from "./doorkeeper.ts";
import { Draining } from "./draining.ts";
import type { AsocError } from "./errors.ts";
import { Farewells } from "./farewells.ts";
import { IdleMemory } from "./idle_memory.ts";
import { type KeyNews, type KeyPeer, keyPeerOf, keyPeersOf } from "./key_peer.ts";
import type { NodeConfig } from "./node_events.ts";
import { Resuming } from "./resuming.ts";
import { ConnectionRoads } from "./roads.ts";
import type { Conn, Runtime } from "./runtime.ts";
import { starved } from "./session/inbound_faults.ts";
import type { Opened, SessionEvent } from "./session/session_types.ts";
import { SessionTotals } from "./session_totals.ts";
import { type Peer, peerOf, type Swarm } from "./swarm/swarm.ts";
import { BufferPool } from "./tensor/buffer_pool.ts";
import { peerTls } from "./tls.ts";
import type { Traffic } from "./traffic.ts";
import { formatNodeId } from "./wire/node_id.ts";

/** What a node wants to hear of its connections. */
export interface ConnectionsListener extends StreamsListener {
  /** The swarm has news: a connection opened, ended, or could not be made. */
  changed(): void;
  /** A rotation of keys has something to say (RFC-0102). */
  keyNews(from: KeyPeer, event: KeyNews): void;
  /** A peer has proven a key that was only on offer. */
  keySeen(key: RingKey, peer: Peer): void;
  /** A connection rests on a key that holds no more. */
  keysChanged(): void;
  /** A connection has ended that may have been the last one to need a key. */
  keysUnused(): void;
}

export class Connections {
  readonly #runtime: Runtime;
  readonly #config: NodeConfig;
  readonly #swarm: Swarm;
  readonly #listener: ConnectionsListener;
  readonly #door: Doorkeeper;
  readonly #pool: BufferPool;
  readonly #allowances: Allowances;
  readonly #idleMemory: IdleMemory;
  readonly #callers: Callers;
  readonly #resuming: Resuming;
  readonly #keys: ConnectionKeys;
  readonly #streams: ConnectionStreams;
  readonly #farewells: Farewells;
  readonly #maker: ConnectionMaker;
  readonly #draining: Draining;
  readonly #connections = new Set<Connection>();
  readonly #byLink = new Map<number, Connection>();
  readonly #totals = new SessionTotals();
  readonly accepting: Accepting;
  readonly dialling: Dialling;
  /** Ways to the peers, for what is sent or asked. */
  readonly roads: ConnectionRoads;

  constructor(
    runtime: Runtime,
    config: NodeConfig,
    ring: KeyRing,
    swarm: Swarm,
    traffic: Traffic,
    door: Doorkeeper,
    listener: ConnectionsListener,
  ) {
    this.#door = door;
    this.#runtime = runtime;
    this.#config = config;
    this.#swarm = swarm;
    this.#listener = listener;
    this.#pool = new BufferPool({ ...config.limits, detachReleased: config.detachReleased });
    this.#allowances = new Allowances(this.#pool, door);
    this.#idleMemory = new IdleMemory(this.#pool, runtime.clock, config.limits.idleMemoryMs);
    const { crypto, clock } = runtime;
    const { nodeId, legacy, limits } = config;
    this.#keys = new ConnectionKeys(ring, clock, limits);
    this.#callers = new Callers(formatNodeId(nodeId), legacy, limits, crypto, (target) =>
      swarm.handleSelf(target),
    );
    this.#resuming = new Resuming(limits, clock, (peer, streamId, error) =>
      listener.emit({ kind: "streamFailed", peer, streamId, error }),
    );
    this.#streams = new ConnectionStreams(config, door, traffic, this.#resuming, listener);
    this.#farewells = new Farewells(swarm, clock, this.#byLink, () => {
      listener.changed();
      this.roads.changed();
    });
    this.roads = new ConnectionRoads(swarm, clock, limits, this.#byLink, this.#streams, this.#farewells);
    this.#draining = new Draining(clock, this.#connections);
    this.#maker = new ConnectionMaker(
      runtime,
      config,
      this.#pool,
      door,
      this.#callers,
      this.#resuming,
      this.#onSession,
    );
    this.accepting = new Accepting(config, clock, door, this.#keys, this.#connections, (conn, keys) =>
      this.#connect(conn, keys, undefined),
    );
    this.dialling = new Dialling(runtime, config, swarm, door, this.#callers, this.#keys, {
      connect: (conn, keys, dialled) => this.#connect(conn, keys, dialled),
      failed: () => listener.changed(),
    });
  }

  get stats() {
    return {
      ...this.#totals.with([...this.#connections].map(({ driver }) => driver.session.counters)),
      connections: this.#connections.size,
      memoryUsedBytes: this.#pool.usedBytes,
      memoryIdleBytes: this.#pool.idleBytes,
      buffersReused: this.#pool.counters.reused,
      buffersAllocated: this.#pool.counters.allocated,
      refusedConnections: this.#door.refused,
    };
  }

  /** Keepalives go out on these links and no others. */
  keepAlive(links: ReadonlySet<number>): void {
    for (const [id, { driver }] of this.#byLink) {
      driver.session.setKeepalive(links.has(id));
      driver.pump();
    }
  }

  /** Carries out what the swarm wants of connections that there are. */
  tend(): void {
    this.#farewells.tend();
  }

  /** Renews and ends what rests on keys with an end. Returns in how many milliseconds to look again; undefined: never. */
  endKeys(): number | undefined {
    let renewed = false;
    const againMs = this.#keys.end(this.#connections, {
      leave: (connection, code) => this.#farewells.leave(connection, code),
      renew: ({ link }) => {
        if (link) this.#swarm.handleRenew(link, this.#runtime.clock.nowMs());
        renewed = true;
      },
    });
    if (renewed) this.#listener.changed();
    return againMs;
  }

  /** The keys that connections have begun with, and may need yet. */
  keysInUse(): Uint8Array[] {
    return [...this.#connections].flatMap(({ driver }) => driver.session.keys);
  }

  /** A beacon of `nodeId` was signed with `key`. */
  heardKey(nodeId: string, key: Uint8Array): void {
    this.#keys.heard(nodeId, key);
  }

  /** Every peer as a rotation of keys needs it, once. */
  keyPeers(): KeyPeer[] {
    return keyPeersOf(this.#byLink.values());
  }

  /** See `Farewells.endSilent`. */
  endSilent(nodeId: string): number | undefined {
    return this.#farewells.endSilent(nodeId, this.#config.limits.peerStaleMs);
  }

  /** No more dials and connections; what is open finishes. */
  beginClose(): void {
    this.accepting.close();
    this.#draining.begin();
    this.dialling.close();
    this.#resuming.close();
    this.roads.close();
  }

  /** See `Draining.drain`. */
  drain(timeoutMs: number): Promise<void> {
    return this.#draining.drain(timeoutMs).finally(() => this.#idleMemory.close());
  }

  abortAll(): void {
    this.#draining.abortAll();
  }

  #connect(conn: Conn, keys: SessionKeys, dialled: Dialled | undefined): void {
    const connection = this.#maker.make(conn, keys, dialled, this.#connections.size + 1);
    this.#connections.add(connection);
    this.#allowances.useQuotas(connection);
    connection.driver.start();
  }

  /** Access rules have changed, or somebody's uuid has become known: who may not stay goes. */
  reviewAccess(): void {
    for (const connection of [...this.#byLink.values()]) {
      const refusal = this.#door.refusal(connection);
      if (refusal) {
        this.#door.denied(connection, "connect");
        connection.driver.session.abort(refusal, this.#runtime.clock.nowMs());
        connection.driver.pump();
      } else this.#allowances.useQuotas(connection);
    }
  }

  readonly #onSession = (connection: Connection, event: SessionEvent): void => {
    switch (event.kind) {
      case "open":
        this.#opened(connection, event);
        break;
      case "keyOffered":
      case "keyAnswered": {
        const from = keyPeerOf(connection);
        if (from) this.#listener.keyNews(from, event);
        break;
      }
      case "heard":
        this.#farewells.heard(connection);
        break;
      case "introduced":
        if (connection.link) connection.link.agent = event.runtime;
        break;
      case "goaway":
        this.#farewells.left(connection, event.code);
        break;
      case "starved": {
        const error = starved(this.#config.limits, this.#pool.usedBytes);
        if (connection.link) this.#listener.emit({ kind: "starved", peer: peerOf(connection.link), error });
        break;
      }
      case "finish":
        break;
      case "closed":
        this.#ended(connection, event.error);
        break;
      default:
        this.#streams.handle(connection, event);
    }
  };

  #opened(connection: Connection, { nodeId, caps }: Opened): void {
    const { target, remote, dialled } = connection;
    const tls = peerTls(connection.driver.conn.tls, caps !== undefined);
    this.#callers.forgetChallenge(connection.challenge);
    const id = nodeId && formatNodeId(nodeId);
    if (caps && id) this.#callers.handleProven(id, dialled);
    const traits = { tls, takesTensors: caps?.maxStreams !== 0, bootEpoch: caps?.bootEpoch };
    const refusal = this.dialling.refusal(connection, caps && id);
    if (refusal) {
      connection.driver.session.abort(refusal, this.#runtime.clock.nowMs());
      return;
    }
    if (target) {
      connection.link = this.#swarm.handleDialled(target, remote, caps && id, traits);
    } else if (id) {
      this.accepting.authenticated(remote);
      if (!caps && this.#config.extension) this.#callers.handleWithoutCaps(id);
      connection.link = this.#swarm.handleAccepted(id, remote, caps !== undefined, traits);
    }
    const { link } = connection;
    if (link) {
      this.#byLink.set(link.id, connection);
      this.#allowances.join(connection, link);
      if (tls?.verified === "nothing") this.#listener.emit({ kind: "unverified", peer: peerOf(link) });
      this.#allowances.useQuotas(connection);
      this.#door.opened(connection, caps !== undefined, tls);
      // Its answer says how far away the peer is, before anybody wants to know.
      if (caps) {
        const { name, version } = this.#runtime;
        connection.driver.session.introduce(`${name} ${version}`);
        connection.driver.session.probe(this.#runtime.clock.nowMs());
      }
    }
    const key = this.#keys.opened(connection);
    if (!key) this.#listener.keysChanged();
    else if (key.state === "offered" && caps && link) this.#listener.keySeen(key, peerOf(link));
    this.#listener.changed();
    this.roads.changed();
  }

  #ended(connection: Connection, error: AsocError | undefined): void {
    const { clock } = this.#runtime;
    const nowMs = clock.nowMs();
    if (!this.#connections.delete(connection)) return;
    const { counters } = connection.driver.session;
    this.#totals.retire(counters);
    const { link, target, challenge } = connection;
    this.#callers.forgetChallenge(challenge);
    this.#allowances.leave(connection);
    this.#streams.ended(connection);
    if (link) {
      if (error?.code === "ASOC_UNEXPECTED_RECORD" && link.nodeId) this.#callers.handleLateCaps(link.nodeId);
      this.#byLink.delete(link.id);
      if (connection.direction === "inbound") this.accepting.left(connection.remote, nowMs);
      this.#door.ended(connection, error);
      this.#swarm.handleClosed(link, error, nowMs);
    } else if (target) this.dialling.failed(connection, target, error, nowMs);
    else this.accepting.failed(connection, error, nowMs);
    this.#draining.ended(connection, error, counters.payloadBytesOut);
    this.#listener.keysUnused();
    this.#listener.changed();
    this.roads.changed();
  }
}
