/**
 * The live connections of a node: takes and dials them, lets their handshakes through or not, and passes on what
 * their sessions say. Whom to dial, and what the connections mean, is the swarm's business.
 */
import { formatAddress } from "./address.ts";
import { Admission, type RefusalReason } from "./auth/admission.ts";
import { KnownPeers } from "./auth/known_peers.ts";
import { ReplayWindow } from "./auth/replay_window.ts";
import type { ResumeAnswer } from "./delivery.ts";
import { Driver } from "./driver.ts";
import { AsocError, AuthError, ClosedError, ConnectionError, describe, LimitError } from "./errors.ts";
import { IncomingStream, type Tensor } from "./incoming.ts";
import type { NodeConfig, NodeEvent } from "./node_events.ts";
import { Outgoing, unknownPeer } from "./outgoing.ts";
import type { Address, Conn, Runtime } from "./runtime.ts";
import type { SendOptions, SendPlan } from "./send_plan.ts";
import type { TensorDescription } from "./session/description.ts";
import { incomplete } from "./session/faults.ts";
import { InboundTensor } from "./session/inbound_tensor.ts";
import type { X1Config } from "./session/negotiation.ts";
import type { OutboundStream } from "./session/outbound.ts";
import { Session } from "./session/session.ts";
import type { ArrivingStream, Opened, SessionCounters, SessionEvent } from "./session/session_types.ts";
import { type Link, type Peer, peerOf, type Swarm, type Target } from "./swarm/swarm.ts";
import { BufferPool } from "./tensor/buffer_pool.ts";
import { MemoryAccounts } from "./tensor/memory_account.ts";
import type { Traffic } from "./traffic.ts";
import { keyOf, Transfers } from "./transfers.ts";
import { communityHash } from "./wire/beacon.ts";
import { fromHex, toHex } from "./wire/bytes.ts";
import { readU32 } from "./wire/header.ts";
import { formatNodeId, isVersion8, parseNodeId } from "./wire/node_id.ts";
import { GoawayCode } from "./wire/records/goaway.ts";
import type { TapRecord, UntapRecord } from "./wire/records/tap.ts";

interface Connection {
  readonly driver: Driver;
  readonly direction: "outbound" | "inbound";
  readonly remote: Address;
  readonly target: Target | undefined;
  /** What we dialled, as we dialled it. */
  readonly dialled: Address | undefined;
  /** Of our HELLO, for outbound ones. */
  readonly challenge: number | undefined;
  link: Link | undefined;
  /** Whose memory its tensors use; known once it is open. */
  account: string | undefined;
  readonly outgoing: Map<OutboundStream, Outgoing>;
  readonly incoming: Map<ArrivingStream, IncomingStream>;
  /** Transfers that we have asked about, and who waits for the answer. */
  readonly asked: Map<string, { resolve(answer: ResumeAnswer): void; reject(error: AsocError): void }>;
}

/** What goes with a transfer whose connection broke. */
interface Suspended {
  readonly incoming: IncomingStream;
  readonly peer: Peer;
  readonly error: AsocError;
}

type CounterName = keyof SessionCounters;
const COUNTERS: readonly CounterName[] = [
  "framesIn",
  "framesOut",
  "payloadBytesIn",
  "payloadBytesOut",
  "unknownFrames",
  "controlFrames",
  "copiedBytes",
  "grownBytes",
  "coalescedBytes",
];

/** Faults that count against an address. A connection that said nothing may be a health check. */
const BLAMED = new Set([
  "ASOC_WRONG_KEY",
  "ASOC_BAD_HANDSHAKE",
  "ASOC_BAD_VERSION",
  "ASOC_REPLAYED_HELLO",
  "ASOC_HANDSHAKE_TIMEOUT",
  "ASOC_TRUNCATED_FRAME",
  "ASOC_WRONG_COMMUNITY",
  "ASOC_BAD_PROOF",
  "ASOC_DOWNGRADE",
  "ASOC_BAD_PUBLIC_KEY",
  "ASOC_BAD_RECORD",
  "ASOC_UNEXPECTED_RECORD",
  "ASOC_UNKNOWN_CRITICAL_RECORD",
  "ASOC_RECORD_LIMIT",
  "ASOC_FRAME_TOO_LARGE",
]);

/** What a node wants to hear of its connections. */
export interface ConnectionsListener {
  /** The swarm has news: a connection opened, ended, or could not be made. */
  changed(): void;
  emit(event: NodeEvent): void;
  /** A tensor begins to arrive; false: nobody has room for it. */
  arrived(stream: IncomingStream): boolean;
  /** A tensor of x1 was assembled; its bytes are valid during the call. */
  whole(peer: Peer, description: TensorDescription, bytes: Uint8Array): void;
  /** A peer wants copies of tensors, or no more of them. */
  tapAsked(peer: Peer, record: TapRecord | UntapRecord): void;
}

export class Connections {
  readonly #runtime: Runtime;
  readonly #config: NodeConfig;
  readonly #swarm: Swarm;
  readonly #traffic: Traffic;
  readonly #listener: ConnectionsListener;
  readonly #admission: Admission;
  readonly #hellos: ReplayWindow;
  readonly #pool: BufferPool;
  readonly #accounts: MemoryAccounts;
  /** Who may not come without proof any more. */
  readonly #proven: KnownPeers;
  /** Uuids that came without CAPS: the next time nobody waits for it. */
  readonly #legacy: KnownPeers;
  readonly #x1: X1Config | undefined;
  readonly #ownId: string;
  readonly #connections = new Set<Connection>();
  readonly #transfers: Transfers<Connection, Suspended>;
  /** Who has asked about a transfer that is still on an older connection. */
  readonly #questions = new Map<string, { readonly connection: Connection; readonly transferId: string }>();
  /** Called whenever a connection opens or ends. */
  readonly #watchers = new Set<() => void>();
  readonly #byLink = new Map<number, Connection>();
  /** Challenges of our HELLOs that are not answered yet: they show a connection to ourselves. */
  readonly #challenges = new Map<number, Target>();
  readonly #retired: Record<CounterName, number> = {
    framesIn: 0,
    framesOut: 0,
    payloadBytesIn: 0,
    payloadBytesOut: 0,
    unknownFrames: 0,
    controlFrames: 0,
    copiedBytes: 0,
    grownBytes: 0,
    coalescedBytes: 0,
  };
  readonly #refused: Record<string, number> = {};
  readonly #dials = new AbortController();
  #closing = false;
  #idle: (() => void) | undefined;
  /** Why a peer may not have read all that was sent to it before the close. */
  #unread: AsocError | undefined;

  constructor(
    runtime: Runtime,
    config: NodeConfig,
    swarm: Swarm,
    traffic: Traffic,
    listener: ConnectionsListener,
  ) {
    this.#traffic = traffic;
    this.#runtime = runtime;
    this.#config = config;
    this.#swarm = swarm;
    this.#listener = listener;
    this.#ownId = formatNodeId(config.nodeId);
    this.#admission = new Admission(config.limits);
    this.#hellos = new ReplayWindow(config.limits.helloReplayWindowMs, config.limits.maxReplayEntries);
    this.#pool = new BufferPool({ ...config.limits, detachReleased: config.detachReleased });
    this.#accounts = new MemoryAccounts(this.#pool);
    this.#proven = new KnownPeers(config.limits.maxReplayEntries);
    this.#legacy = new KnownPeers(config.limits.maxReplayEntries);
    this.#transfers = new Transfers(config.limits, runtime.clock, (stream, held) =>
      this.#expired(stream, held),
    );
    this.#transfers.onSettled = (key) => this.#answerLate(key);
    const { crypto } = runtime;
    if (config.extension) {
      this.#x1 = {
        communityHash: communityHash(config.community, crypto),
        bootEpoch: readU32(crypto.randomBytes(4), 0),
        tensors: true,
      };
    }
  }

  get stats() {
    const totals = { ...this.#retired };
    for (const { driver } of this.#connections) {
      const { counters } = driver.session;
      for (const name of COUNTERS) totals[name] += counters[name];
    }
    return {
      ...totals,
      connections: this.#connections.size,
      memoryUsedBytes: this.#pool.usedBytes,
      memoryIdleBytes: this.#pool.idleBytes,
      buffersReused: this.#pool.counters.reused,
      buffersAllocated: this.#pool.counters.allocated,
      refusedConnections: { ...this.#refused },
    };
  }

  /** Keepalives go out on these links and no others. */
  keepAlive(links: ReadonlySet<number>): void {
    for (const [id, { driver }] of this.#byLink) {
      driver.session.setKeepalive(links.has(id));
      driver.pump();
    }
  }

  /** A new stream to the peer `id` that carries `plan` from `baseOffset` on. Throws ASOC_CLOSED, ASOC_UNKNOWN_PEER, RangeError. */
  open(id: string, options: SendOptions, plan: SendPlan, baseOffset = 0): Outgoing {
    if (this.#closing) throw new ClosedError("ASOC_CLOSED", `Cannot send to ${id}: the node is closed`);
    const { chunkBytes } = options;
    if (
      chunkBytes !== undefined &&
      !(Number.isInteger(chunkBytes) && chunkBytes >= 1 && chunkBytes <= 0xffff_ffff)
    ) {
      throw new RangeError(`chunkBytes: expected a whole number from 1, got ${chunkBytes}`);
    }
    const connection = this.#roadTo(id);
    const link = connection?.link;
    if (!link || !connection) throw unknownPeer(id, this.#swarm.peers());
    const { session } = connection.driver;
    const tensor = session.tensors ? plan.at(baseOffset, this.#runtime.clock.nowMs()) : undefined;
    const outgoing = new Outgoing(connection.driver, peerOf(link), options, tensor, {
      checksOrder: () => link.proven,
      release: (stream) => connection.outgoing.delete(stream),
    });
    connection.outgoing.set(outgoing.stream, outgoing);
    this.#retireWornOut(connection);
    return outgoing;
  }

  /** The connection that takes streams to `id` now. */
  #roadTo(id: string): Connection | undefined {
    const link = this.#swarm.route(id, ({ id: linkId }) => {
      const session = this.#byLink.get(linkId)?.driver.session;
      return session?.open === true && !session.leaving;
    });
    return link && this.#byLink.get(link.id);
  }

  // --- Roads: see `delivery.ts`

  peer(id: string): Peer {
    const link = this.#roadTo(id)?.link;
    if (!link) throw unknownPeer(id, this.#swarm.peers());
    return peerOf(link);
  }

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
        if (this.#closing)
          settle(() => reject(new ClosedError("ASOC_CLOSED", `Cannot send to ${id}: the node is closed`)));
        else if (this.#roadTo(id)) settle(resolve);
      };
      const timer = this.#runtime.clock.after(Math.max(0, timeoutMs), () => {
        const why = `The transfer to ${id} could not go on: no connection within ${this.#config.limits.resumeMs} ms (resumeMs)`;
        settle(() => reject(new ConnectionError("ASOC_CONNECTION_LOST", why, { details: { id } })));
      });
      this.#watchers.add(look);
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) abort();
      else look();
    });
  }

  askResume(id: string, transferId: Uint8Array): Promise<ResumeAnswer> | undefined {
    const connection = this.#roadTo(id);
    if (!connection) throw unknownPeer(id, this.#swarm.peers());
    if (!connection.driver.session.tensors) return undefined;
    return new Promise((resolve, reject) => {
      connection.asked.set(toHex(transferId), { resolve, reject });
      connection.driver.session.askResume(transferId);
      connection.driver.pump();
    });
  }

  /** Asks the peer `id` for copies of tensors, or for no more of them. Throws ASOC_UNKNOWN_PEER. */
  askTap(id: string, record: TapRecord | UntapRecord): void {
    const connection = this.#roadTo(id);
    if (!connection?.driver.session.tensors) throw unknownPeer(id, this.#swarm.peers());
    connection.driver.session.ask(record);
    connection.driver.pump();
  }

  /** Carries out what the swarm wants of connections that there are. */
  tend(): void {
    const nowMs = this.#runtime.clock.nowMs();
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

  #heard({ link, driver }: Connection): void {
    if (!link) return;
    link.roundTripMs = driver.session.roundTripMs;
    link.clockSkewMs = driver.session.clockSkewMs;
    this.#swarm.handleConfirmed(link);
    this.#listener.changed();
  }

  #goaway({ link }: Connection, code: number): void {
    if (!link) return;
    const why =
      code === GoawayCode.DUPLICATE ? "duplicate" : code === GoawayCode.STREAM_IDS ? "streamIds" : "shutdown";
    this.#swarm.handleGoaway(link, why, this.#runtime.clock.nowMs());
    this.#listener.changed();
    this.#look();
  }

  /** Ids of a connection run out after some 2^31 tensors: it is given up while there are some left. */
  #retireWornOut({ link, driver }: Connection): void {
    if (!link || !driver.session.wornOut) return;
    const nowMs = this.#runtime.clock.nowMs();
    driver.session.close(nowMs, GoawayCode.STREAM_IDS);
    driver.pump();
    this.#swarm.handleGoaway(link, "streamIds", nowMs);
    this.#listener.changed();
  }

  /** RESUME?: how much of a transfer is here? One that an older connection still holds has to be let go by that first. */
  #resumeAsked(connection: Connection, transferId: string): void {
    const { link, driver } = connection;
    if (!link?.nodeId) return; // whoever speaks x1 has an id
    const state = this.#transfers.stateOf(link.nodeId, transferId);
    if (state.kind === "arriving") {
      this.#questions.set(keyOf(link.nodeId, transferId), { connection, transferId });
      if (state.owner === connection) return; // it will be answered when that has ended
      const why = "Another connection of the same peer goes on in place of this one";
      state.owner.driver.session.abort(
        new ConnectionError("ASOC_CONNECTION_LOST", why),
        this.#runtime.clock.nowMs(),
      );
      state.owner.driver.pump();
      return;
    }
    const offset = state.kind === "delivered" ? undefined : state.kind === "suspended" ? state.offset : 0;
    driver.session.answerResume(fromHex(transferId), offset);
    driver.pump();
  }

  #answerLate(key: string): void {
    const question = this.#questions.get(key);
    if (!question) return;
    this.#questions.delete(key);
    if (this.#connections.has(question.connection))
      this.#resumeAsked(question.connection, question.transferId);
  }

  /** The rest of a tensor may come on another connection. */
  #cut(connection: Connection, stream: InboundTensor, error: AsocError): void {
    const incoming = connection.incoming.get(stream);
    const { link } = connection;
    connection.incoming.delete(stream);
    if (link?.nodeId) this.#transfers.forget(link.nodeId, stream.description.transferId);
    if (incoming?.watched) incoming.watched.cuts++;
    if (!incoming || !link?.nodeId || this.#closing) {
      this.#giveUpOn(stream, incoming, link && peerOf(link), error);
      return;
    }
    const { nodeId } = link;
    const { transferId } = stream.description;
    incoming.moveTo({
      room: () => {},
      giveUp: () => this.#transfers.giveUp(keyOf(nodeId, transferId)),
      refuse: () => this.#transfers.giveUp(keyOf(nodeId, transferId)),
    });
    this.#transfers.suspend(nodeId, stream, { incoming, peer: peerOf(link), error });
  }

  #expired(stream: InboundTensor, { incoming, peer, error }: Suspended): void {
    this.#giveUpOn(stream, incoming, peer, error);
  }

  #giveUpOn(
    stream: InboundTensor,
    incoming: IncomingStream | undefined,
    peer: Peer | undefined,
    error: AsocError,
  ): void {
    const failure = incomplete(stream, error);
    stream.fail(failure);
    stream.dropMemory();
    if (peer) this.#listener.emit({ kind: "streamFailed", peer, streamId: stream.id, error: failure });
    incoming?.watched?.received();
    incoming?.notify();
  }

  /**
   * Ends the connections of a discovered peer whose beacons have ceased and of which nothing else comes: its machine has
   * vanished, for all we know. Returns when to look again at those that are not silent for long enough.
   */
  endSilent(nodeId: string): number | undefined {
    const nowMs = this.#runtime.clock.nowMs();
    const { peerStaleMs } = this.#config.limits;
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

  /** No more dials and connections; what is open finishes. */
  beginClose(): void {
    this.#closing = true;
    this.#dials.abort(new ClosedError("ASOC_CLOSED", "The node is closing"));
    this.#transfers.close();
    this.#look();
  }

  /** Resolves when all connections have ended, by themselves or after `timeoutMs`; rejects when a peer may not have read all. */
  async drain(timeoutMs: number): Promise<void> {
    const { clock } = this.#runtime;
    const idle = new Promise<void>((resolve) => {
      this.#idle = resolve;
      if (this.#connections.size === 0) resolve();
    });
    for (const connection of [...this.#connections]) {
      connection.driver.session.close(clock.nowMs());
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

  /** A connection has come in. */
  accept(conn: Conn): void {
    const nowMs = this.#runtime.clock.nowMs();
    // Idle sockets must not keep real peers out: the oldest handshake makes way for a new one.
    if (this.#admission.crowded) this.#abortOldestHandshake();
    const refused = this.#closing ? "closing" : this.#admission.arrive(conn.remote.host, nowMs);
    if (refused) {
      this.#refuse(conn.remote, refused, undefined, undefined);
      conn.abort();
      return;
    }
    this.#connect(conn, undefined, undefined, undefined);
  }

  #abortOldestHandshake(): void {
    for (const connection of this.#connections) {
      if (connection.link || connection.target) continue;
      const error = new LimitError(
        "ASOC_ADMISSION",
        "Handshake given up to make room for a newer one (maxPendingHandshakes, maxConnections)",
        {
          details: { limit: "maxPendingHandshakes" },
        },
      );
      connection.driver.session.abort(error, this.#runtime.clock.nowMs());
      connection.driver.pump();
      return;
    }
  }

  #connect(
    conn: Conn,
    target: Target | undefined,
    dialled: Address | undefined,
    challenge: number | undefined,
  ): void {
    const { nodeId, key, limits } = this.#config;
    const { crypto, clock } = this.#runtime;
    const session: Session = new Session(
      {
        role: target ? "dialler" : "acceptor",
        nodeId,
        key,
        limits,
        crypto,
        pool: this.#pool,
        ...(challenge === undefined ? {} : { challenge }),
        unixMs: () => clock.unixMs(),
        ...(this.#x1 ? { x1: this.#x1 } : {}),
        isLegacy: (peerId) => this.#legacy.has(formatNodeId(peerId)),
        mustProve: (peerId) => this.#mustProve(peerId, target, dialled),
        bookOf: (peerId) =>
          this.#transfers.bookOf(formatNodeId(peerId), connection, (held) => this.#resumed(connection, held)),
        admit: (peerNodeId, peerChallenge) => this.#admit(peerNodeId, peerChallenge),
      },
      clock.nowMs(),
    );
    const connection: Connection = {
      driver: new Driver(session, conn, clock, this.#pool, (event) => this.#onSession(connection, event)),
      direction: target ? "outbound" : "inbound",
      remote: conn.remote,
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
    connection.driver.start();
  }

  #admit(nodeId: Uint8Array, challenge: number): AsocError | undefined {
    const id = formatNodeId(nodeId);
    if (id === this.#ownId) {
      const target = this.#challenges.get(challenge);
      if (!target) {
        return new AuthError(
          "ASOC_DUPLICATE_NODE_ID",
          `HELLO refused: another node has this node's id ${id}`,
        );
      }
      this.#swarm.handleSelf(target);
      return new AuthError("ASOC_SELF_CONNECTION", `HELLO refused: ${target.key} is this node itself`);
    }
    if (this.#hellos.enter(id, challenge, this.#runtime.clock.nowMs()) !== undefined) {
      return new AuthError("ASOC_REPLAYED_HELLO", `HELLO refused: ${id} has used this challenge before`);
    }
    return undefined;
  }

  /** Dials `target`; the swarm hears how it went. */
  async dial(target: Target, address: Address): Promise<void> {
    const { transport, crypto, clock } = this.#runtime;
    const { limits } = this.#config;
    let challenge = readU32(crypto.randomBytes(4), 0);
    while (this.#challenges.has(challenge)) challenge = readU32(crypto.randomBytes(4), 0);
    try {
      const conn = await transport.dial(address, {
        timeoutMs: limits.dialTimeoutMs,
        signal: this.#dials.signal,
      });
      if (this.#closing) return conn.abort();
      this.#challenges.set(challenge, target);
      this.#connect(conn, target, address, challenge);
    } catch (error) {
      if (this.#closing) return;
      const cause =
        error instanceof AsocError
          ? error
          : new ConnectionError("ASOC_UNREACHABLE", describe(error), { cause: error });
      this.#swarm.handleDialFailed(target, cause, clock.nowMs());
      this.#listener.changed();
    }
  }

  #onSession(connection: Connection, event: SessionEvent): void {
    switch (event.kind) {
      case "open":
        this.#opened(connection, event);
        break;
      case "stream":
        this.#started(connection, event.stream);
        break;
      case "readable":
        this.#readable(connection, event.stream);
        break;
      case "sent":
        connection.outgoing.get(event.stream)?.notify();
        break;
      case "streamFailed":
        if (connection.link) {
          this.#listener.emit({
            kind: "streamFailed",
            peer: peerOf(connection.link),
            streamId: event.streamId,
            error: event.error,
          });
        }
        break;
      case "resumed":
        break; // `#resumed` has heard of it from the book
      case "cut":
        this.#cut(connection, event.stream, event.error);
        break;
      case "resumeAsked":
        this.#resumeAsked(connection, event.transferId);
        break;
      case "resumeAnswered": {
        const caps = connection.driver.session.peer;
        connection.asked
          .get(event.transferId)
          ?.resolve({ offset: event.offset, bootEpoch: caps?.bootEpoch ?? 0 });
        connection.asked.delete(event.transferId);
        break;
      }
      case "tapAsked":
        if (connection.link) this.#listener.tapAsked(peerOf(connection.link), event.record);
        break;
      case "heard":
        this.#heard(connection);
        break;
      case "goaway":
        this.#goaway(connection, event.code);
        break;
      case "finish":
        break;
      case "closed":
        this.#ended(connection, event.error);
        break;
    }
  }

  /** The uuid has proven itself before, or says that it can; or so has whoever answered where we dial; or nobody may be without. */
  #mustProve(
    peerId: Uint8Array | undefined,
    target: Target | undefined,
    dialled: Address | undefined,
  ): boolean {
    if (this.#config.legacy === "deny") return true;
    if (peerId) return this.#proven.has(formatNodeId(peerId));
    if (target?.nodeId && isVersion8(parseNodeId(target.nodeId))) return true;
    return dialled !== undefined && this.#proven.has(formatAddress(dialled));
  }

  #opened(connection: Connection, { nodeId, caps }: Opened): void {
    const { target, remote, dialled } = connection;
    if (connection.challenge !== undefined) this.#challenges.delete(connection.challenge);
    const id = nodeId && formatNodeId(nodeId);
    if (caps && id) this.#proven.add(id, ...(dialled ? [formatAddress(dialled)] : []));
    if (target) {
      connection.link = this.#swarm.handleDialled(target, remote, caps && id);
    } else if (id) {
      this.#admission.authenticated(remote.host);
      if (!caps && this.#x1) this.#legacy.add(id);
      connection.link = this.#swarm.handleAccepted(id, remote, caps !== undefined);
    }
    const { link } = connection;
    if (link) {
      this.#byLink.set(link.id, connection);
      connection.account = link.nodeId ?? link.target?.key ?? formatAddress(link.remote);
      connection.driver.session.useMemory(this.#accounts.join(connection.account));
      // Its answer says how far away the peer is, before anybody wants to know.
      if (caps) connection.driver.session.probe(this.#runtime.clock.nowMs());
    }
    this.#listener.changed();
    this.#look();
  }

  #readable({ incoming }: Connection, stream: ArrivingStream): void {
    const read = incoming.get(stream);
    if (!read) return;
    if (stream.ended) {
      incoming.delete(stream);
      read.watched?.received();
    }
    read.notify();
  }

  #look(): void {
    for (const look of [...this.#watchers]) look();
  }

  #resumed(connection: Connection, { incoming }: Suspended): void {
    incoming.moveTo(connection.driver);
    connection.incoming.set(incoming.arriving, incoming);
  }

  #started(connection: Connection, stream: ArrivingStream): void {
    const { link } = connection;
    if (!link) return; // streams exist on open sessions only
    const peer = peerOf(link);
    const description = stream instanceof InboundTensor ? stream.description : undefined;
    const memory = this.#config.memoryFor?.({ peer, streamId: stream.id, description });
    if (memory) {
      try {
        stream.prepareInto(memory);
      } catch (error) {
        if (!(error instanceof AsocError && stream instanceof InboundTensor)) throw error;
        connection.driver.refuse(stream, error);
        return;
      }
    }
    const assembled = (tensor: Tensor) => {
      if (tensor.description) this.#listener.whole(peer, tensor.description, tensor.bytes);
    };
    const watched = this.#traffic.arriving(peer, stream);
    const incoming = new IncomingStream(connection.driver, stream, peer, assembled, watched);
    connection.incoming.set(stream, incoming);
    this.#listener.emit({ kind: "streamStarted", peer, streamId: stream.id });
    if (this.#listener.arrived(incoming)) return;
    // Nobody reads `incoming`: the newest is refused, so that what waits stays whole.
    connection.driver.giveUp(stream, "nobody reads what arrives here");
    this.#refuse(connection.remote, "maxQueuedStreams", undefined, link.nodeId);
  }

  #ended(connection: Connection, error: AsocError | undefined): void {
    const { clock } = this.#runtime;
    const nowMs = clock.nowMs();
    if (!this.#connections.delete(connection)) return;
    const { counters } = connection.driver.session;
    for (const name of COUNTERS) this.#retired[name] += counters[name];
    const { link, target, challenge } = connection;
    if (challenge !== undefined) this.#challenges.delete(challenge);
    if (connection.account !== undefined) this.#accounts.leave(connection.account);
    const lost = new ConnectionError(
      "ASOC_CONNECTION_LOST",
      "The connection was lost before the answer to RESUME? came",
    );
    for (const { reject } of connection.asked.values()) reject(lost);
    connection.asked.clear();
    if (link) {
      // It may have said CAPS too late, or been updated: the next time it is waited for.
      if (error?.code === "ASOC_UNEXPECTED_RECORD" && link.nodeId) this.#legacy.delete(link.nodeId);
      this.#byLink.delete(link.id);
      if (connection.direction === "inbound") this.#admission.left(connection.remote.host);
      this.#swarm.handleClosed(link, error, nowMs);
    } else if (target) {
      const cause = error ?? new ConnectionError("ASOC_HANDSHAKE_REFUSED", "Handshake refused");
      const named = new ConnectionError(
        "ASOC_HANDSHAKE_REFUSED",
        `${formatAddress(connection.remote)}: ${cause.message}`,
        { cause },
      );
      this.#swarm.handleDialFailed(target, named, nowMs);
    } else {
      const blame = error !== undefined && BLAMED.has(error.code);
      const blocked = this.#admission.failed(connection.remote.host, blame, nowMs);
      this.#refuse(
        connection.remote,
        blocked ? "failed handshake, address blocked" : "failed handshake",
        error,
        undefined,
      );
    }
    if (this.#closing && error && link && counters.payloadBytesOut > 0) this.#unread ??= error;
    this.#listener.changed();
    this.#look();
    if (this.#connections.size === 0) this.#idle?.();
  }

  #refuse(
    address: Address,
    reason: RefusalReason | string,
    error: AsocError | undefined,
    nodeId: string | undefined,
  ): void {
    const name = error?.code ?? reason;
    this.#refused[name] = (this.#refused[name] ?? 0) + 1;
    this.#listener.emit({ kind: "refused", address, reason, error, nodeId });
  }
}
