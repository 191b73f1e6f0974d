import { formatAddress } from "./address.ts";
import { Admission } from "./auth/admission.ts";
import { isAccident, isBlamed } from "./auth/blame.ts";
import type { KeyRing, RingKey } from "./auth/key_ring.ts";
import { Callers } from "./callers.ts";
import type { Connection } from "./connection.ts";
import { ConnectionKeys } from "./connection_keys.ts";
import { ConnectionStreams, type StreamsListener } from "./connection_streams.ts";
import type { Doorkeeper, DoorReason } from "./doorkeeper.ts";
import { Driver } from "./driver.ts";
import { AsocError, ClosedError, ConnectionError, describe, LimitError } from "./errors.ts";
import { Farewells } from "./farewells.ts";
import { type KeyNews, type KeyPeer, keyPeerOf, keyPeersOf } from "./key_peer.ts";
import { whoMakesRoom } from "./make_room.ts";
import type { NodeConfig } from "./node_events.ts";
import { ReadShares } from "./read_shares.ts";
import { Resuming } from "./resuming.ts";
import { ConnectionRoads } from "./roads.ts";
import type { Address, Conn, Runtime, TlsListen } from "./runtime.ts";
import { initialCreditFor } from "./session/credit_window.ts";
import { starved } from "./session/inbound_faults.ts";
import type { X1Config } from "./session/negotiation.ts";
import { Session } from "./session/session.ts";
import type { Opened, SessionConfig, SessionEvent } from "./session/session_types.ts";
import { SessionTotals } from "./session_totals.ts";
import { type Peer, peerOf, type Swarm, type Target } from "./swarm/swarm.ts";
import { BufferPool } from "./tensor/buffer_pool.ts";
import { MemoryAccounts } from "./tensor/memory_account.ts";
import { checkDialled, insecureError, listenWith, peerTls } from "./tls.ts";
import type { Traffic } from "./traffic.ts";
import { communityHash } from "./wire/beacon.ts";
import { readU32 } from "./wire/header.ts";
import { formatNodeId } from "./wire/node_id.ts";
import { GoawayCode } from "./wire/records/goaway.ts";

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
}

export class Connections {
  readonly #runtime: Runtime;
  readonly #config: NodeConfig;
  readonly #swarm: Swarm;
  readonly #listener: ConnectionsListener;
  readonly #door: Doorkeeper;
  readonly #admission: Admission;
  readonly #pool: BufferPool;
  readonly #accounts: MemoryAccounts;
  readonly #readShares: ReadShares;
  readonly #callers: Callers;
  readonly #resuming: Resuming;
  readonly #keys: ConnectionKeys;
  readonly #streams: ConnectionStreams;
  readonly #farewells: Farewells;
  /** Ways to the peers, for what is sent or asked. */
  readonly roads: ConnectionRoads;
  readonly #x1: X1Config | undefined;
  readonly #connections = new Set<Connection>();
  readonly #byLink = new Map<number, Connection>();
  readonly #totals = new SessionTotals();
  readonly #dials = new AbortController();
  #closing = false;
  #idle: (() => void) | undefined;
  /** Why a peer may not have read all that was sent to it before the close. */
  #unread: AsocError | undefined;

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
    this.#admission = new Admission(config.limits);
    this.#pool = new BufferPool({ ...config.limits, detachReleased: config.detachReleased });
    this.#accounts = new MemoryAccounts(this.#pool);
    this.#readShares = new ReadShares(config.limits.sharedFramesPerSecond);
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
    if (config.extension) {
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
    this.#closing = true;
    this.#dials.abort(new ClosedError("ASOC_CLOSED", "The node is closing"));
    this.#resuming.close();
    this.roads.close();
  }

  /** Resolves when all connections have ended, by themselves or after `timeoutMs`; rejects when a peer may not have read all. */
  async drain(timeoutMs: number): Promise<void> {
    const { clock } = this.#runtime;
    const idle = new Promise<void>((resolve) => {
      this.#idle = resolve;
      if (this.#connections.size === 0) resolve();
    });
    for (const connection of [...this.#connections]) {
      // 0 would say that there is no limit.
      connection.driver.session.close(clock.nowMs(), GoawayCode.SHUTDOWN, Math.max(1, Math.ceil(timeoutMs)));
      connection.driver.pump();
    }
    const deadline = clock.after(timeoutMs, () => this.abortAll());
    await idle;
    deadline.cancel();
    if (this.#unread) throw this.#unread;
  }

  abortAll(): void {
    const nowMs = this.#runtime.clock.nowMs();
    for (const connection of [...this.#connections]) {
      const error = new ClosedError("ASOC_CLOSED", "The node was closed before this was finished");
      connection.driver.session.abort(error, nowMs);
      connection.driver.pump();
    }
  }

  /** How connections come in where they must speak TLS. */
  get tlsListen(): TlsListen | undefined {
    const { tls, limits } = this.#config;
    if (!tls) return undefined;
    return listenWith(tls, limits, this.#admission, this.#runtime.clock, this.#door);
  }

  /** Whether connections from there are refused now, whatever they say: asked before anything is made for one. */
  isShut(remote: Address): boolean {
    const nowMs = this.#runtime.clock.nowMs();
    return this.#turnsAway(remote, () => {
      const refused = this.#admission.shut(remote.host, nowMs);
      if (refused || !this.#admission.crowded) return refused;
      return whoMakesRoom(this.#connections, nowMs) ? undefined : "too many handshakes";
    });
  }

  /** Whether somebody from there is refused, by `judge` or before it is asked; that is told then. */
  #turnsAway(remote: Address, judge: () => DoorReason | undefined): boolean {
    const forbidden = this.#door.hostRefusal(remote.host);
    const refused = this.#closing ? "closing" : forbidden ? "forbidden" : judge();
    if (refused) this.#door.turnedAway(remote, refused, forbidden);
    return refused !== undefined;
  }

  /** A connection has come in. */
  accept(conn: Conn): void {
    const insecure = insecureError(conn, this.#config.tls);
    if (insecure) {
      this.#door.turnedAway(conn.remote, "failed handshake", insecure);
      conn.abort(insecure);
      return;
    }
    const nowMs = this.#runtime.clock.nowMs();
    // Idle sockets must not keep real peers out.
    if (this.#admission.crowded) this.#makeRoom(nowMs);
    const { host } = conn.remote;
    if (this.#turnsAway(conn.remote, () => this.#admission.arrive(host, nowMs, conn.tls !== undefined))) {
      conn.abort();
      return;
    }
    const keys = this.#keys.accepting(conn.remote.host);
    if (keys) {
      this.#connect(conn, keys, undefined, undefined, undefined);
      return;
    }
    this.#admission.failed(conn.remote.host, false, nowMs);
    this.#door.turnedAway(conn.remote, "no key of this node holds now");
    conn.abort();
  }

  #makeRoom(nowMs: number): void {
    const { driver } = whoMakesRoom(this.#connections, nowMs) ?? {};
    if (!driver) return;
    const message = "Handshake given up to make room for a newer one (maxPendingHandshakes, maxConnections)";
    const details = { limit: "maxPendingHandshakes" };
    driver.session.abort(new LimitError("ASOC_ADMISSION", message, { details }), nowMs);
    driver.pump();
  }

  #connect(
    conn: Conn,
    keys: Pick<SessionConfig, "key" | "otherKeys" | "mayExchange">,
    target: Target | undefined,
    dialled: Address | undefined,
    challenge: number | undefined,
  ): void {
    const { nodeId, limits } = this.#config;
    const { crypto, clock } = this.#runtime;
    let helloId: string | undefined;
    const session: Session = new Session(
      {
        role: target ? "dialler" : "acceptor",
        nodeId,
        ...keys,
        limits: { ...limits, initialCreditBytes: initialCreditFor(limits, this.#connections.size + 1) },
        crypto,
        tls: conn.tls,
        pool: this.#pool,
        ...(challenge === undefined ? {} : { challenge }),
        unixMs: () => clock.unixMs(),
        ...(this.#x1 ? { x1: this.#x1 } : {}),
        isLegacy: (peerId) => this.#callers.isLegacy(peerId),
        mustProve: (peerId) => this.#callers.mustProve(peerId, target, dialled),
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
      driver: new Driver(session, conn, clock, surroundings, (event) => this.#onSession(connection, event)),
      direction: target ? "outbound" : "inbound",
      sinceMs: clock.nowMs(),
      remote: conn.remote,
      access: this.#door.peer(
        conn,
        target !== undefined,
        () => connection.link?.nodeId ?? helloId ?? (session.peer && formatNodeId(session.peer.uuid)),
      ),
      target,
      dialled,
      challenge,
      link: undefined,
      account: undefined,
      outgoing: new Map(),
      incoming: new Map(),
      asked: new Map(),
    };
    this.#connections.add(connection);
    this.#useQuotas(connection);
    connection.driver.start();
  }

  /** Dials `target`; the swarm hears how it went. */
  async dial(target: Target, address: Address): Promise<void> {
    const { transport, clock } = this.#runtime;
    const { limits } = this.#config;
    const challenge = this.#callers.challengeFor(target);
    try {
      const forbidden = this.#door.hostRefusal(address.host);
      if (forbidden) throw forbidden;
      const { key } = this.#keys.dialling(target);
      const conn = await transport.dial(address, {
        timeoutMs: limits.dialTimeoutMs,
        signal: this.#dials.signal,
        tls: this.#config.tls,
      });
      if (this.#closing) return conn.abort();
      try {
        checkDialled(conn, this.#config.tls, target.nodeId);
      } catch (error) {
        conn.abort();
        throw error;
      }
      this.#connect(conn, { key }, target, address, challenge);
    } catch (error) {
      this.#callers.forgetChallenge(challenge);
      if (this.#closing) return;
      const cause =
        error instanceof AsocError
          ? error
          : new ConnectionError("ASOC_UNREACHABLE", describe(error), { cause: error });
      this.#door.dialRefused(address, cause);
      this.#swarm.handleDialFailed(target, cause, clock.nowMs());
      this.#listener.changed();
    }
  }

  /** Access rules have changed, or somebody's uuid has become known: who may not stay goes. */
  reviewAccess(): void {
    for (const connection of [...this.#byLink.values()]) {
      const refusal = this.#door.refusal(connection);
      if (refusal) {
        this.#door.denied(connection, "connect");
        connection.driver.session.abort(refusal, this.#runtime.clock.nowMs());
        connection.driver.pump();
      } else this.#useQuotas(connection);
    }
  }

  #useQuotas({ access, account, driver }: Connection): void {
    driver.session.useQuota(this.#door.access.rules.hasQuotas ? access : undefined);
    if (account !== undefined) this.#accounts.cap(account, access.permissions.quota.memoryBytes);
  }

  #onSession(connection: Connection, event: SessionEvent): void {
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
  }

  #opened(connection: Connection, { nodeId, caps }: Opened): void {
    const { target, remote, dialled } = connection;
    const tls = peerTls(connection.driver.conn.tls, caps !== undefined);
    this.#callers.forgetChallenge(connection.challenge);
    const id = nodeId && formatNodeId(nodeId);
    if (caps && id) this.#callers.handleProven(id, dialled);
    const traits = { tls, takesTensors: caps?.maxStreams !== 0, bootEpoch: caps?.bootEpoch };
    const refusal = this.#outboundRefusal(connection, caps && id);
    if (refusal) {
      connection.driver.session.abort(refusal, this.#runtime.clock.nowMs());
      return;
    }
    if (target) {
      connection.link = this.#swarm.handleDialled(target, remote, caps && id, traits);
    } else if (id) {
      this.#admission.authenticated(remote.host);
      if (!caps && this.#x1) this.#callers.handleWithoutCaps(id);
      connection.link = this.#swarm.handleAccepted(id, remote, caps !== undefined, traits);
    }
    const { link } = connection;
    if (link) {
      this.#byLink.set(link.id, connection);
      connection.account = link.nodeId ?? link.target?.key ?? formatAddress(link.remote);
      connection.driver.session.useMemory(this.#accounts.join(connection.account));
      if (tls?.verified === "nothing") this.#listener.emit({ kind: "unverified", peer: peerOf(link) });
      this.#useQuotas(connection);
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

  /** Whom we dialled says only now who it is; whoever dialled us was asked before. */
  #outboundRefusal({ target, driver, remote }: Connection, id: string | undefined): AsocError | undefined {
    if (!target) return undefined;
    const access = this.#door.peer(driver.conn, true, () => id ?? target.nodeId);
    const refusal = this.#door.refusal({ access });
    if (refusal) this.#door.denied({ access, remote, direction: "outbound" }, "connect");
    return refusal;
  }

  #ended(connection: Connection, error: AsocError | undefined): void {
    const { clock } = this.#runtime;
    const nowMs = clock.nowMs();
    if (!this.#connections.delete(connection)) return;
    const { counters } = connection.driver.session;
    this.#totals.retire(counters);
    const { link, target, challenge } = connection;
    this.#callers.forgetChallenge(challenge);
    if (connection.account !== undefined) this.#accounts.leave(connection.account);
    this.#streams.ended(connection);
    if (link) {
      if (error?.code === "ASOC_UNEXPECTED_RECORD" && link.nodeId) this.#callers.handleLateCaps(link.nodeId);
      this.#byLink.delete(link.id);
      if (connection.direction === "inbound") this.#admission.left(connection.remote.host, nowMs);
      this.#door.ended(connection, error);
      this.#swarm.handleClosed(link, error, nowMs);
    } else if (target) {
      this.#keys.refused(connection, isAnswered(error));
      const cause = error ?? new ConnectionError("ASOC_HANDSHAKE_REFUSED", "Handshake refused");
      const named = new ConnectionError(
        "ASOC_HANDSHAKE_REFUSED",
        `${formatAddress(connection.remote)}: ${cause.message}`,
        { cause },
      );
      this.#door.dialRefused(connection.remote, cause, connection);
      this.#swarm.handleDialFailed(target, named, nowMs);
    } else {
      const { host } = connection.remote;
      const blame = isBlamed(error) && !(isAccident(error) && this.#admission.isFamiliar(host, nowMs));
      const blocked = this.#admission.failed(host, blame, nowMs);
      const reason = blocked ? "failed handshake, address blocked" : "failed handshake";
      this.#door.turnedAway(connection.remote, reason, error, undefined, connection);
    }
    if (this.#closing && error && link && counters.payloadBytesOut > 0) this.#unread ??= error;
    this.#listener.changed();
    this.roads.changed();
    if (this.#connections.size === 0) this.#idle?.();
  }
}

/** Whoever has answered a HELLO knows its key. */
function isAnswered(error: AsocError | undefined): boolean {
  return error !== undefined && error.code !== "ASOC_HANDSHAKE_REFUSED" && error.code !== "ASOC_WRONG_KEY";
}
