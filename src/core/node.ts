/**
 * AsocNode: the local participant. Listens, discovers, dials, and carries tensors.
 *
 * The async shell around `Swarm` and one `Driver` for each connection. Rules live in those; here
 * sockets are opened, timers set, and events handed to users.
 */
import { formatAddress } from "./address.ts";
import { Admission, type RefusalReason } from "./auth/admission.ts";
import { ReplayWindow } from "./auth/replay_window.ts";
import { Channel } from "./channel.ts";
import { type BeaconRefusal, Discovery, describeRefused, type RefusedBeacons } from "./discovery/discovery.ts";
import { DiscoveryLoop } from "./discovery_loop.ts";
import { Driver } from "./driver.ts";
import { AsocError, AuthError, ClosedError, ConnectionError, describe, LimitError } from "./errors.ts";
import { IncomingStream } from "./incoming.ts";
import type { Limits, Timing } from "./limits.ts";
import { Outgoing, type SendOptions, type SendReport, sendTo, type TensorSource, unknownPeer } from "./outgoing.ts";
import { type PeerEvent, Peers } from "./peers.ts";
import type { Address, Conn, Listener, Runtime, Timer } from "./runtime.ts";
import type { InboundStream } from "./session/inbound_stream.ts";
import type { OutboundStream } from "./session/outbound.ts";
import { Session, type SessionEvent } from "./session/session.ts";
import { type Link, type Peer, peerId, Swarm, type SwarmEvent, type Target } from "./swarm/swarm.ts";
import { BufferPool } from "./tensor/buffer_pool.ts";
import { isTokenOf } from "./wire/accept.ts";
import { readU32 } from "./wire/header.ts";
import { formatNodeId, nameTag, parseNodeId } from "./wire/node_id.ts";
import { toHex } from "./wire/bytes.ts";

/** A node's configuration, complete and checked. `join` makes it. */
export interface NodeConfig {
  readonly nodeId: Uint8Array;
  readonly community: string;
  readonly key: Uint8Array;
  readonly host: string;
  readonly port: number;
  readonly peers: readonly Address[];
  readonly discovery: boolean;
  readonly discoveryPort: number;
  readonly limits: Limits & Timing;
  /** Memory for a tensor that begins to arrive, so that not even its first chunk is copied; undefined: pooled. */
  readonly memoryFor?: ((start: { readonly peer: Peer; readonly streamId: number }) => Uint8Array | undefined) | undefined;
}

/** What happens at a node, for logs and programs. */
export type NodeEvent =
  | SwarmEvent
  /** An inbound connection that was not let in, or failed its handshake: for an audit log. */
  | {
      readonly kind: "refused";
      readonly address: Address;
      readonly reason: string;
      readonly error: AsocError | undefined;
      readonly nodeId: string | undefined;
    }
  | { readonly kind: "streamStarted"; readonly peer: Peer; readonly streamId: number }
  | { readonly kind: "streamFailed"; readonly peer: Peer; readonly streamId: number; readonly error: AsocError };

/** Counters since the start. */
export interface NodeStats {
  readonly framesIn: number;
  readonly framesOut: number;
  readonly payloadBytesIn: number;
  readonly payloadBytesOut: number;
  readonly unknownFrames: number;
  readonly controlFrames: number;
  readonly copiedBytes: number;
  readonly grownBytes: number;
  readonly connections: number;
  readonly memoryUsedBytes: number;
  readonly memoryIdleBytes: number;
  readonly refusedConnections: Readonly<Record<string, number>>;
  readonly refusedBeacons: ReadonlyMap<BeaconRefusal, RefusedBeacons>;
}

/** The settled outcome of `sendAll` for one peer. */
export interface SendOutcome {
  readonly peer: Peer;
  readonly report: SendReport | undefined;
  readonly error: unknown;
}

interface Connection {
  readonly driver: Driver;
  readonly direction: "outbound" | "inbound";
  readonly remote: Address;
  readonly target: Target | undefined;
  link: Link | undefined;
  readonly outgoing: Map<OutboundStream, Outgoing>;
  readonly incoming: Map<InboundStream, IncomingStream>;
}

type CounterName = "framesIn" | "framesOut" | "payloadBytesIn" | "payloadBytesOut" | "unknownFrames" | "controlFrames" | "copiedBytes" | "grownBytes";
const COUNTERS: readonly CounterName[] = ["framesIn", "framesOut", "payloadBytesIn", "payloadBytesOut", "unknownFrames", "controlFrames", "copiedBytes", "grownBytes"];

/** Faults that count against an address. A connection that said nothing may be a health check. */
const BLAMED = new Set(["ASOC_WRONG_KEY", "ASOC_BAD_HANDSHAKE", "ASOC_BAD_VERSION", "ASOC_REPLAYED_HELLO", "ASOC_HANDSHAKE_TIMEOUT", "ASOC_TRUNCATED_FRAME"]);

export class AsocNode {
  readonly #runtime: Runtime;
  readonly #config: NodeConfig;
  readonly #swarm: Swarm;
  readonly #admission: Admission;
  readonly #hellos: ReplayWindow;
  readonly #pool: BufferPool;
  readonly #connections = new Set<Connection>();
  readonly #byLink = new Map<number, Connection>();
  /** Challenges of our HELLOs that are not answered yet: they show a connection to ourselves. */
  readonly #challenges = new Map<number, Target>();
  readonly #eventChannels = new Set<Channel<NodeEvent>>();
  readonly #retired: Record<CounterName, number> = { framesIn: 0, framesOut: 0, payloadBytesIn: 0, payloadBytesOut: 0, unknownFrames: 0, controlFrames: 0, copiedBytes: 0, grownBytes: 0 };
  readonly #refusedConnections: Record<string, number> = {};
  #listener: Listener | undefined;
  #discovery: Discovery | undefined;
  #loop: DiscoveryLoop | undefined;
  #timer: Timer | undefined;
  #closing: Promise<void> | undefined;
  #idle: (() => void) | undefined;
  readonly #dials = new AbortController();

  /** This node's id, as text. */
  readonly id: string;
  /** Peers with an open connection. */
  readonly peers: Peers;
  /** Tensors that arrive, as they start. Whoever iterates should read each, or cancel it. */
  readonly incoming: AsyncIterable<IncomingStream>;
  readonly #incoming: Channel<IncomingStream>;

  private constructor(runtime: Runtime, config: NodeConfig) {
    this.#runtime = runtime;
    this.#config = config;
    this.id = formatNodeId(config.nodeId);
    const { limits, key } = config;
    this.#swarm = new Swarm({
      limits,
      random: () => readU32(runtime.crypto.randomBytes(4), 0) / 2 ** 32,
      isTokenOf: (token, nodeId) => isTokenOf(token, parseNodeId(nodeId), key, runtime.crypto),
    });
    this.#admission = new Admission(limits);
    this.#hellos = new ReplayWindow(limits.helloReplayWindowMs, limits.maxReplayEntries);
    this.#pool = new BufferPool(limits);
    this.#incoming = new Channel(limits.maxQueuedStreams);
    this.incoming = this.#incoming;
    this.peers = new Peers(() => this.#swarm.peers(), runtime.clock, limits.maxQueuedEvents, () => this.explainNobody());
  }

  /** @internal Opens its ports; `join` is the public way. Rejects with ASOC_PORT_IN_USE and leaves nothing open. */
  static async start(runtime: Runtime, config: NodeConfig): Promise<AsocNode> {
    const node = new AsocNode(runtime, config);
    const at = { host: config.host, port: config.port };
    node.#listener = await runtime.transport.listen(at, (conn) => node.#accept(conn));
    if (config.discovery) {
      const { nodeId, community, key, limits } = config;
      const { crypto, clock } = runtime;
      const tcpPort = node.address.port;
      node.#discovery = new Discovery({ nodeId, community, key, tcpPort, limits, crypto }, clock.nowMs());
      try {
        node.#loop = await DiscoveryLoop.start(node.#discovery, runtime, config.host, config.discoveryPort, (event) => {
          if (event.kind === "found") node.#swarm.handleFound(event.nodeId, event.address, clock.nowMs());
          else node.#stale(event.nodeId);
          node.#pump();
        });
      } catch (error) {
        await node.#listener.close();
        throw error;
      }
    }
    for (const address of config.peers) node.#swarm.addStatic(address, runtime.clock.nowMs());
    node.#pump();
    return node;
  }

  /** Where it listens. */
  get address(): Address {
    return this.#listener?.address ?? { host: this.#config.host, port: this.#config.port };
  }
  get port(): number {
    return this.address.port;
  }
  get community(): string {
    return this.#config.community;
  }
  /** What runs it, such as "node 26.10.0". */
  get runtime(): string {
    return `${this.#runtime.name} ${this.#runtime.version}`;
  }

  /** All that happens from now on; a reader that is too slow loses the oldest. Ends when the node closes. */
  events(): AsyncIterable<NodeEvent> {
    const channel = new Channel<NodeEvent>(this.#config.limits.maxQueuedEvents);
    if (this.#closing) channel.close();
    else this.#eventChannels.add(channel);
    return channel;
  }

  get stats(): NodeStats {
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
      refusedConnections: { ...this.#refusedConnections },
      refusedBeacons: this.#discovery?.refused ?? new Map(),
    };
  }

  /** Adds a static peer: dialled now, and again for ever when it is lost. */
  addPeer(address: Address): void {
    this.#swarm.addStatic(address, this.#runtime.clock.nowMs());
    this.#pump();
  }

  /**
   * Finds a connected peer by node id, the beginning of one, a node's name, or HOST:PORT as it was dialled.
   * Throws RangeError when a beginning or a name fits several.
   */
  findPeer(text: string): Peer | undefined {
    const peers = this.#swarm.peers();
    const exact = peers.find((peer) => peer.id === text || peer.dialledAs === text);
    if (exact) return exact;
    const prefix = text.toLowerCase().replaceAll("-", "");
    const tag = toHex(nameTag(this.#config.community, text, this.#runtime.crypto));
    const isPrefix = /^[0-9a-f]+$/.test(prefix);
    const matches = peers.filter((peer) => {
      const hex = peer.nodeId?.replaceAll("-", "");
      return hex !== undefined && (hex.startsWith(tag) || (isPrefix && hex.startsWith(prefix)));
    });
    if (matches.length > 1) {
      throw new RangeError(`peer: ${JSON.stringify(text)} fits ${matches.map((peer) => peer.id).join(" and ")}; give more of the id`);
    }
    return matches[0];
  }

  /**
   * Sends one tensor to one peer: its node id, or HOST:PORT as it was dialled.
   *
   * What it promises: when it resolves with delivery "kernel", every byte is in this machine's kernel, in order, on a
   * connection whose peer has proven the key. v1 has no acknowledgement: a peer that dies right after may not
   * have read it all. It never sends a tensor twice: when the connection breaks it rejects and the
   * receiver's stream fails; what to do then is the caller's decision.
   *
   * Memory of `source` may not change until it settles. Rejects with ASOC_UNKNOWN_PEER, ASOC_CONNECTION_LOST
   * (naming the stream and the bytes that were sent), ASOC_CLOSED, or the signal's reason.
   */
  async send(peer: string | Peer, source: TensorSource, options: SendOptions = {}): Promise<SendReport> {
    options.signal?.throwIfAborted();
    const outgoing = this.#open(typeof peer === "string" ? peer : peer.id, options);
    const [error] = await sendTo([outgoing], source, options.signal);
    this.#release(outgoing);
    if (error !== undefined) throw error;
    return outgoing.report();
  }

  /**
   * Sends one tensor to every peer that is connected now (or to `options.to`). An iterable is read once; the slowest
   * peer sets its pace. Resolves with one outcome for each peer and does not reject for a peer's failure.
   */
  async sendAll(source: TensorSource, options: SendOptions & { readonly to?: readonly (string | Peer)[] } = {}): Promise<SendOutcome[]> {
    options.signal?.throwIfAborted();
    const outcomes: SendOutcome[] = [];
    const outgoing: Outgoing[] = [];
    for (const to of options.to ?? this.#swarm.everyone()) {
      try {
        outgoing.push(this.#open(typeof to === "string" ? to : to.id, options));
      } catch (error) {
        if (!(error instanceof AsocError) || typeof to === "string") throw error;
        outcomes.push({ peer: to, report: undefined, error });
      }
    }
    const errors = await sendTo(outgoing, source, options.signal);
    for (const [index, one] of outgoing.entries()) {
      this.#release(one);
      const error = errors[index];
      outcomes.push({ peer: one.peer, report: error === undefined ? one.report() : undefined, error });
    }
    return outcomes;
  }

  /**
   * Leaves: takes no more connections, lets sends and arriving tensors finish for up to `timeoutMs` (default 30 s), then
   * ends what is left. Resolves when every socket is closed. Rejects with ASOC_CONNECTION_LOST when a peer may not have read
   * all that was sent to it. Calling it again returns the same promise.
   */
  close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.timeoutMs ?? 30_000);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Ends everything at once: streams under way fail. */
  async abort(): Promise<void> {
    const closing = this.close({ timeoutMs: 0 }).catch(() => {});
    this.#abortAll();
    await closing;
  }

  /** What is known about why no peer was found, as half a sentence. */
  explainNobody(): string {
    const parts: string[] = [];
    for (const target of this.#swarm.targets.values()) {
      if (target.state === "self") parts.push(`${target.key} is this node itself`);
      else if (target.lastError) parts.push(target.lastError.message);
      else if (target.state === "dialling") parts.push(`${formatAddress(target.addresses[0] ?? this.address)} has not answered yet`);
    }
    if (this.#discovery) {
      const refused = describeRefused(this.#discovery.refused);
      if (refused) parts.push(`beacons refused: ${refused}`);
      else if (parts.length === 0) {
        parts.push(
          `no beacon of another node was heard on UDP port ${this.#config.discoveryPort}` +
            (this.#discovery.ownBeaconsSeen === 0 ? " (nor our own: is broadcast blocked here?)" : ""),
        );
      }
    } else if (parts.length === 0) parts.push("discovery is off and no peer was given");
    return parts.join("; ");
  }

  // --- connections

  #accept(conn: Conn): void {
    const nowMs = this.#runtime.clock.nowMs();
    // Idle sockets must not keep real peers out: the oldest handshake makes way for a new one.
    if (this.#admission.crowded) this.#abortOldestHandshake();
    const refused = this.#closing ? "closing" : this.#admission.arrive(conn.remote.host, nowMs);
    if (refused) {
      this.#refuse(conn.remote, refused, undefined, undefined);
      conn.abort();
      return;
    }
    this.#connect(conn, undefined, undefined);
  }

  #abortOldestHandshake(): void {
    for (const connection of this.#connections) {
      if (connection.link || connection.target) continue;
      const error = new LimitError("ASOC_ADMISSION", "Handshake given up to make room for a newer one (maxPendingHandshakes, maxConnections)", {
        details: { limit: "maxPendingHandshakes" },
      });
      connection.driver.session.abort(error, this.#runtime.clock.nowMs());
      connection.driver.pump();
      return;
    }
  }

  #connect(conn: Conn, target: Target | undefined, challenge: number | undefined): void {
    const { nodeId, key, limits } = this.#config;
    const { crypto, clock } = this.#runtime;
    const session = new Session(
      {
        role: target ? "dialler" : "acceptor",
        nodeId,
        key,
        limits,
        crypto,
        pool: this.#pool,
        ...(challenge === undefined ? {} : { challenge }),
        admit: (peerNodeId, peerChallenge) => this.#admit(peerNodeId, peerChallenge),
      },
      clock.nowMs(),
    );
    const connection: Connection = {
      driver: new Driver(session, conn, clock, this.#pool, (event) => this.#onSession(connection, event)),
      direction: target ? "outbound" : "inbound",
      remote: conn.remote,
      target,
      link: undefined,
      outgoing: new Map(),
      incoming: new Map(),
    };
    this.#connections.add(connection);
    connection.driver.start();
  }

  #admit(nodeId: Uint8Array, challenge: number): AsocError | undefined {
    const id = formatNodeId(nodeId);
    if (id === this.id) {
      const target = this.#challenges.get(challenge);
      if (!target) {
        return new AuthError("ASOC_DUPLICATE_NODE_ID", `HELLO refused: another node has this node's id ${id}`);
      }
      this.#swarm.handleSelf(target);
      return new AuthError("ASOC_SELF_CONNECTION", `HELLO refused: ${target.key} is this node itself`);
    }
    if (this.#hellos.enter(id, challenge, this.#runtime.clock.nowMs()) !== undefined) {
      return new AuthError("ASOC_REPLAYED_HELLO", `HELLO refused: ${id} has used this challenge before`);
    }
    return undefined;
  }

  async #dial(target: Target, address: Address): Promise<void> {
    const { transport, crypto, clock } = this.#runtime;
    const { limits } = this.#config;
    let challenge = readU32(crypto.randomBytes(4), 0);
    while (this.#challenges.has(challenge)) challenge = readU32(crypto.randomBytes(4), 0);
    try {
      const conn = await transport.dial(address, { timeoutMs: limits.dialTimeoutMs, signal: this.#dials.signal });
      if (this.#closing) return conn.abort();
      this.#challenges.set(challenge, target);
      this.#connect(conn, target, challenge);
      clock.after(limits.handshakeTimeoutMs, () => this.#challenges.delete(challenge));
    } catch (error) {
      if (this.#closing) return;
      const cause = error instanceof AsocError ? error : new ConnectionError("ASOC_UNREACHABLE", describe(error), { cause: error });
      this.#swarm.handleDialFailed(target, cause, clock.nowMs());
      this.#pump();
    }
  }

  #onSession(connection: Connection, event: SessionEvent): void {
    switch (event.kind) {
      case "open":
        this.#opened(connection, event.nodeId, event.token);
        break;
      case "stream":
        this.#started(connection, event.stream);
        break;
      case "readable":
        connection.incoming.get(event.stream)?.notify();
        if (event.stream.ended) connection.incoming.delete(event.stream);
        break;
      case "sent":
        connection.outgoing.get(event.stream)?.notify();
        break;
      case "streamFailed":
        if (connection.link) {
          this.#emit({ kind: "streamFailed", peer: this.#peerOf(connection.link), streamId: event.streamId, error: event.error });
        }
        break;
      case "finish":
        break;
      case "closed":
        this.#ended(connection, event.error);
        break;
    }
  }

  #opened(connection: Connection, nodeId: Uint8Array | undefined, token: Uint8Array): void {
    if (connection.target) {
      connection.link = this.#swarm.handleDialled(connection.target, connection.remote, token);
    } else if (nodeId) {
      this.#admission.authenticated(connection.remote.host);
      connection.link = this.#swarm.handleAccepted(formatNodeId(nodeId), connection.remote, token);
    }
    if (connection.link) this.#byLink.set(connection.link.id, connection);
    this.#pump();
  }

  #started(connection: Connection, stream: InboundStream): void {
    const { link } = connection;
    if (!link) return; // streams exist on open sessions only
    const peer = this.#peerOf(link);
    const memory = this.#config.memoryFor?.({ peer, streamId: stream.id });
    if (memory) stream.prepareInto(memory);
    const incoming = new IncomingStream(connection.driver, stream, peer);
    connection.incoming.set(stream, incoming);
    this.#emit({ kind: "streamStarted", peer, streamId: stream.id });
    if (this.#incoming.full) {
      // Nobody reads `incoming`: the newest is refused, so that what waits stays whole.
      stream.discard();
      this.#refuse(connection.remote, "maxQueuedStreams", undefined, link.nodeId);
      return;
    }
    this.#incoming.push(incoming);
  }

  #ended(connection: Connection, error: AsocError | undefined): void {
    const { clock } = this.#runtime;
    const nowMs = clock.nowMs();
    if (!this.#connections.delete(connection)) return;
    const { counters } = connection.driver.session;
    for (const name of COUNTERS) this.#retired[name] += counters[name];
    const { link, target } = connection;
    if (link) {
      this.#byLink.delete(link.id);
      if (connection.direction === "inbound") this.#admission.left(connection.remote.host);
      this.#swarm.handleClosed(link, error, nowMs);
    } else if (target) {
      const cause = error ?? new ConnectionError("ASOC_HANDSHAKE_REFUSED", "Handshake refused");
      const named = new ConnectionError("ASOC_HANDSHAKE_REFUSED", `${formatAddress(connection.remote)}: ${cause.message}`, { cause });
      this.#swarm.handleDialFailed(target, named, nowMs);
    } else {
      const blame = error !== undefined && BLAMED.has(error.code);
      const blocked = this.#admission.failed(connection.remote.host, blame, nowMs);
      this.#refuse(connection.remote, blocked ? "failed handshake, address blocked" : "failed handshake", error, undefined);
    }
    if (this.#closing && error && link && connection.driver.session.counters.payloadBytesOut > 0) this.#unread ??= error;
    this.#pump();
    if (this.#connections.size === 0) this.#idle?.();
  }
  #unread: AsocError | undefined;

  /** A discovered peer whose beacons have ceased: silent connections of it are dead, for all we know. */
  #stale(nodeId: string): void {
    const nowMs = this.#runtime.clock.nowMs();
    const { peerStaleMs } = this.#config.limits;
    this.#swarm.handleStale(nodeId);
    for (const [id, link] of this.#swarm.links) {
      const connection = this.#byLink.get(id);
      if (link.nodeId !== nodeId || link.target?.isStatic || !connection) continue;
      const { session } = connection.driver;
      if (session.outboundStreams > 0 || nowMs - session.lastReadMs < peerStaleMs) continue;
      const error = new ConnectionError("ASOC_PEER_SILENT", `stale: no beacon and nothing else came for ${peerStaleMs / 1000} s`);
      session.abort(error, nowMs);
      connection.driver.pump();
    }
  }

  /** Carries out what the swarm wants now. */
  #pump(): void {
    const { clock } = this.#runtime;
    const nowMs = clock.nowMs();
    for (let dial = this.#swarm.pollDial(nowMs); dial; dial = this.#swarm.pollDial(nowMs)) {
      void this.#dial(dial.target, dial.address);
    }
    let changed = false;
    for (let event = this.#swarm.pollEvent(); event; event = this.#swarm.pollEvent()) {
      this.#emit(event);
      if (event.kind !== "dialFailed") this.peers.announce(event as PeerEvent);
      changed = true;
    }
    if (changed) {
      const keep = this.#swarm.keepaliveLinks();
      for (const [id, connection] of this.#byLink) {
        connection.driver.session.setKeepalive(keep.has(id));
        connection.driver.pump();
      }
    }
    this.#timer?.cancel();
    this.#timer = undefined;
    const at = this.#swarm.pollDeadline();
    if (at !== undefined) this.#timer = clock.after(Math.max(1, at - nowMs), () => this.#pump());
  }

  #open(id: string, options: SendOptions): Outgoing {
    if (this.#closing) throw new ClosedError("ASOC_CLOSED", `Cannot send to ${id}: the node is closed`);
    const { chunkBytes } = options;
    if (chunkBytes !== undefined && !(Number.isInteger(chunkBytes) && chunkBytes >= 1 && chunkBytes <= 0xffff_ffff)) {
      throw new RangeError(`chunkBytes: expected a whole number from 1, got ${chunkBytes}`);
    }
    const link = this.#swarm.route(id);
    const connection = link && this.#byLink.get(link.id);
    if (!link || !connection) throw unknownPeer(id, this.#swarm.peers());
    const outgoing = new Outgoing(connection.driver, this.#peerOf(link), options, () => this.#swarm.checksOrder(link));
    connection.outgoing.set(outgoing.stream, outgoing);
    return outgoing;
  }

  #release(outgoing: Outgoing): void {
    for (const connection of this.#connections) connection.outgoing.delete(outgoing.stream);
  }

  #peerOf(link: Link): Peer {
    return {
      id: peerId(link),
      nodeId: link.nodeId,
      address: link.remote,
      dialledAs: link.target?.isStatic ? link.target.key : undefined,
    };
  }

  #refuse(address: Address, reason: RefusalReason | string, error: AsocError | undefined, nodeId: string | undefined): void {
    const name = error?.code ?? reason;
    this.#refusedConnections[name] = (this.#refusedConnections[name] ?? 0) + 1;
    this.#emit({ kind: "refused", address, reason, error, nodeId });
  }

  #emit(event: NodeEvent): void {
    for (const channel of this.#eventChannels) channel.push(event);
  }

  async #close(timeoutMs: number): Promise<void> {
    const { clock } = this.#runtime;
    this.#swarm.close();
    this.#dials.abort(new ClosedError("ASOC_CLOSED", "The node is closing"));
    this.#timer?.cancel();
    await Promise.all([this.#listener?.close(), this.#loop?.close()]);
    const idle = new Promise<void>((resolve) => {
      this.#idle = resolve;
      if (this.#connections.size === 0) resolve();
    });
    for (const connection of [...this.#connections]) {
      connection.driver.session.close(clock.nowMs());
      connection.driver.pump();
    }
    const deadline = clock.after(timeoutMs, () => this.#abortAll());
    await idle;
    deadline.cancel();
    this.#timer?.cancel();
    this.#incoming.close();
    this.peers.close();
    for (const channel of this.#eventChannels) channel.close();
    if (this.#unread) throw this.#unread;
  }

  #abortAll(): void {
    const nowMs = this.#runtime.clock.nowMs();
    for (const connection of [...this.#connections]) {
      connection.driver.session.abort(new ClosedError("ASOC_CLOSED", "The node was closed before this was finished"), nowMs);
      connection.driver.pump();
    }
  }
}
