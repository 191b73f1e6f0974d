/**
 * AsocNode: the local participant. Listens, discovers, dials, and carries tensors.
 *
 * The public face of a node: makes its parts, tells each what the others need to hear, and ends them. `Connections` holds the
 * sockets, `SwarmLoop` and `NodeDiscovery` carry out what `Swarm` and `Discovery` want.
 */
import { Access } from "./access/access.ts";
import type { AccessOptions, Permissions } from "./access/rules.ts";
import { formatAddress } from "./address.ts";
import type { AuditEntry, AuditEvent } from "./audit/audit_event.ts";
import { AuditTrail } from "./audit/audit_trail.ts";
import { Connections } from "./connections.ts";
import { Doorkeeper } from "./doorkeeper.ts";
import { auditEntryOf } from "./event_audit.ts";
import { explainNobody } from "./explain_nobody.ts";
import { findPeer } from "./find_peer.ts";
import type { IncomingStream } from "./incoming.ts";
import { NodeDiscovery } from "./node_discovery.ts";
import {
  EventHub,
  type NodeConfig,
  type NodeEvent,
  type NodeStats,
  type SendOutcome,
} from "./node_events.ts";
import { NodeKeys } from "./node_keys.ts";
import { NodeTopics } from "./node_topics.ts";
import { Peers } from "./peers.ts";
import type { Address, Listener, Runtime, TlsVerify } from "./runtime.ts";
import type { SendOptions, SendReport } from "./send_plan.ts";
import { Sending } from "./sending.ts";
import { type Peer, Swarm, type SwarmEvent } from "./swarm/swarm.ts";
import { SwarmLoop } from "./swarm_loop.ts";
import type { TensorSource } from "./tensor/source.ts";
import type { Subscription } from "./topics/subscriptions.ts";
import { Traffic, type TrafficObserver, type TrafficStream } from "./traffic.ts";
import { toHex } from "./wire/bytes.ts";
import { compileGlob } from "./wire/glob.ts";
import { readU32 } from "./wire/header.ts";
import { formatNodeId } from "./wire/node_id.ts";

export class AsocNode {
  readonly #runtime: Runtime;
  readonly #config: NodeConfig;
  readonly #swarm: Swarm;
  readonly #connections: Connections;
  readonly #hub: EventHub;
  readonly #trail: AuditTrail;
  readonly #door: Doorkeeper;
  readonly #topics: NodeTopics;
  readonly #sending: Sending;
  readonly #traffic: Traffic;
  readonly #swarmLoop: SwarmLoop;
  #listener: Listener | undefined;
  #discovery: NodeDiscovery | undefined;
  #closing: Promise<void> | undefined;

  /** This node's id, as text. */
  readonly id: string;
  /** Peers with an open connection. */
  readonly peers: Peers;
  /** What proves that this node belongs to its community. */
  readonly keys: NodeKeys;
  /** Tensors that arrive, as they start. Whoever iterates should read each, or cancel it. */
  readonly incoming: AsyncIterable<IncomingStream>;

  private constructor(runtime: Runtime, config: NodeConfig) {
    this.#runtime = runtime;
    this.#config = config;
    this.id = formatNodeId(config.nodeId);
    const { limits } = config;
    this.#swarm = new Swarm({
      nodeId: this.id,
      limits,
      random: () => readU32(runtime.crypto.randomBytes(4), 0) / 2 ** 32,
    });
    this.#hub = new EventHub(limits.maxQueuedEvents);
    this.#traffic = new Traffic(() => runtime.clock.unixMs());
    const { clock } = runtime;
    this.#trail = new AuditTrail(clock, limits, config.audit);
    this.keys = new NodeKeys(runtime, config, {
      peers: () => this.#connections.keyPeers(),
      end: () => this.#connections?.endKeys(), // none yet while this is made
      inUse: () => this.#connections?.keysInUse() ?? [],
      emit: (event) => this.#emit(event),
    });
    const access = new Access(config.access, limits.maxQuotaPeers, () => clock.nowMs());
    this.#door = new Doorkeeper(access, this.#trail, (event) => this.#hub.emit(event));
    const { ring } = this.keys;
    this.#connections = new Connections(runtime, config, ring, this.#swarm, this.#traffic, this.#door, {
      changed: () => this.#swarmLoop.pump(),
      emit: (event) => this.#emit(event),
      arrived: (stream) => this.#topics.handleArrived(stream),
      whole: (peer, description, bytes) => this.#sending.passed(peer, description, bytes),
      keyNews: (from, event) => this.keys.handleNews(from, event),
      keySeen: (key, peer) => this.keys.handleSeen(key, peer),
      keysChanged: () => this.keys.look(),
      keysUnused: () => this.keys.wipeUnused(),
      tapAsked: (peer, record) => this.#topics.handleTapAsked(peer, record),
    });
    this.#swarmLoop = new SwarmLoop(this.#swarm, clock, {
      dial: (target, address) => void this.#connections.dialling.dial(target, address),
      tend: () => this.#connections.tend(),
      tell: (event) => this.#tell(event),
      keepAlive: (links) => this.#connections.keepAlive(links),
    });
    this.#topics = new NodeTopics(config, clock, this.#trail, {
      send: (id, source, options) => this.send(id, source, options),
      ask: (id, record) => this.#connections.roads.askTap(id, record),
    });
    this.incoming = this.#topics.incoming;
    this.#sending = new Sending(
      runtime,
      limits,
      this.#swarm,
      this.#connections.roads,
      this.#topics.tapping,
      this.#traffic,
    );
    this.peers = new Peers(
      () => this.#swarm.peers(),
      runtime.clock,
      limits.maxQueuedEvents,
      () => this.explainNobody(),
    );
  }

  /** @internal Opens its ports; `join` is the public way. Rejects with ASOC_PORT_IN_USE and leaves nothing open. */
  static async start(runtime: Runtime, config: NodeConfig): Promise<AsocNode> {
    const node = new AsocNode(runtime, config);
    const at = { host: config.host, port: config.port };
    const { accepting } = node.#connections;
    node.#listener = await runtime.transport.listen(
      at,
      (conn) => accepting.accept(conn),
      accepting.tlsListen,
      (remote) => accepting.isShut(remote),
    );
    if (config.discovery) {
      try {
        node.#discovery = await NodeDiscovery.start(runtime, config, node.address.port, {
          ring: node.keys.ring,
          door: node.#door,
          swarm: node.#swarm,
          connections: node.#connections,
          changed: () => node.#swarmLoop.pump(),
        });
      } catch (error) {
        await node.#listener.close();
        throw error;
      }
    }
    const where = formatAddress(node.address);
    const facts = { community: config.community, runtime: node.runtime, legacy: config.legacy };
    node.#trail.note({ what: "node.started", outcome: "noted", who: { nodeId: node.id }, where, facts });
    if (config.access) node.#noteAccess();
    for (const address of config.peers) node.#swarm.addStatic(address, runtime.clock.nowMs());
    node.#swarmLoop.pump();
    return node;
  }

  /** Where it listens. */
  get address(): Address {
    return this.#listener?.address ?? { host: this.#config.host, port: this.#config.port };
  }
  get port(): number {
    return this.address.port;
  }
  /** How it speaks TLS, and the SHA-256 of the certificate that it shows now, in hexadecimal digits; undefined: not at all. */
  get tls(): { readonly verify: TlsVerify; readonly certificateSha256: string } | undefined {
    const { tls } = this.#config;
    return tls && { verify: tls.verify, certificateSha256: toHex(tls.identity().certificateSha256) };
  }
  get community(): string {
    return this.#config.community;
  }
  /** What runs it, such as "node 26.10.0". */
  get runtime(): string {
    return `${this.#runtime.name} ${this.#runtime.version}`;
  }
  /** Whether what arrives without TLS lands in its own memory; else it is copied once (`asoc doctor` says what to do). */
  get directRead(): boolean {
    return this.#runtime.transport.capabilities.directRead;
  }

  /** All that happens from now on; a reader that is too slow loses the oldest. Ends when the node closes. */
  events(): AsyncIterable<NodeEvent> {
    return this.#hub.subscribe();
  }

  /**
   * Tells `observer` of every tensor that begins to pass from now on, in either direction, and shows it their bytes where it
   * asks for them; see `TrafficObserver`. The function that is returned ends it.
   */
  observe(observer: TrafficObserver): () => void {
    return this.#traffic.observe(observer);
  }

  /** Tensors on their way that began while somebody observed. */
  traffic(): readonly TrafficStream[] {
    return this.#traffic.live;
  }

  /**
   * Security events from now on (RFC-0103): who was let in or refused, and what was not allowed. A flood of one kind comes
   * as a few of them and a count. A reader that is too slow loses the oldest (`stats.auditDropped`). Ends with the node.
   */
  audit(): AsyncIterable<AuditEvent> {
    return this.#trail.subscribe();
  }

  /** Adds an event of a program that belongs to this node, such as its gateway. Texts are clipped. */
  noteAudit(entry: AuditEntry): void {
    this.#trail.note(entry);
  }

  /**
   * Other access rules from now on (RFC-0103): sessions that they do not allow end, and tensors that begin are held against
   * them. Throws RangeError and TypeError for rules that cannot be, and the old ones stay.
   */
  setAccess(options: AccessOptions): void {
    this.#door.access.replace(options);
    this.#noteAccess();
    this.#connections.reviewAccess();
  }

  /** What a peer may do here as things are, and by which rule. Throws ASOC_UNKNOWN_PEER. */
  permissionsOf(peer: string | Peer): Permissions {
    return this.#connections.roads.accessOf(typeof peer === "string" ? peer : peer.id).permissions;
  }

  #emit(event: NodeEvent): void {
    this.#hub.emit(event);
    const entry = auditEntryOf(event);
    if (entry) this.#trail.note(entry);
  }

  #noteAccess(): void {
    const { listing } = this.#door.access.rules;
    const advisory = listing.filter(({ binding }) => binding === "advisory").length;
    this.#trail.note({ what: "access.loaded", outcome: "noted", facts: { rules: listing.length, advisory } });
  }

  get stats(): NodeStats {
    return {
      ...this.#connections.stats,
      taps: this.#topics.tapping.counters,
      subscriptionsDropped: this.#topics.dropped,
      audited: this.#trail.counts,
      auditDropped: this.#trail.dropped,
      ownBeacons: this.#discovery?.ownBeaconsSeen ?? 0,
      refusedBeacons: this.#discovery?.refused ?? new Map(),
    };
  }

  /** Adds a static peer: dialled now, and again for ever when it is lost. */
  addPeer(address: Address): void {
    this.#swarm.addStatic(address, this.#runtime.clock.nowMs());
    this.#swarmLoop.pump();
  }

  /**
   * Finds a connected peer by node id, the beginning of one, a node's name, or HOST:PORT as it was dialled.
   * Throws RangeError when a beginning or a name fits several.
   */
  findPeer(text: string): Peer | undefined {
    return findPeer(text, this.#swarm, this.#config.community, this.#runtime.crypto);
  }

  /**
   * Sends one tensor to one peer: its node id, or HOST:PORT as it was dialled.
   *
   * What it promises: when it resolves with delivery "verified", the peer has the tensor whole, once, and its digest
   * holds. Connections that break on the way are made again for up to `limits.resumeMs`, and the rest is sent, unless
   * `source` is an iterable, which cannot be read again. To a peer that speaks only v1 it resolves with "kernel": every
   * byte is in this machine's kernel, and a peer that dies right after may not have read it all.
   *
   * Memory of `source` may not change until it settles. Rejects with ASOC_UNKNOWN_PEER, ASOC_STOPPED (the receiver does
   * not want it), ASOC_DIGEST_MISMATCH, ASOC_DEADLINE, ASOC_CONNECTION_LOST, ASOC_OUTCOME_UNKNOWN (all was sent, and
   * nobody is left who knows whether it came), ASOC_CLOSED, or the signal's reason.
   */
  async send(peer: string | Peer, source: TensorSource, options: SendOptions = {}): Promise<SendReport> {
    return this.#sending.send(peer, source, options);
  }

  /**
   * Sends one tensor to every peer that is connected now (or to `options.to`). An iterable is read once; the slowest
   * peer sets its pace. Resolves with one outcome for each peer and does not reject for a peer's failure.
   */
  async sendAll(
    source: TensorSource,
    options: SendOptions & { readonly to?: readonly (string | Peer)[] } = {},
  ): Promise<SendOutcome[]> {
    return this.#sending.sendAll(source, options);
  }

  /**
   * Tensors that arrive from now on with a topic that fits `glob`: `*` stands for any characters of one segment, `**` for
   * any segments. What nobody takes in time is not queued, and counted. A stream has one reader: where `incoming` is read as
   * well, both see it, and `claimed` says that the other one was first. Throws RangeError on a glob that is none.
   */
  subscribe(glob: string): Subscription<IncomingStream> {
    return this.#topics.subscribe(glob);
  }

  /**
   * Asks a peer for copies of the tensors with such topics that it sends, or receives whole: of those that fit every
   * `oneIn`-th, at most `bytesPerSecond` (0: no bound). They come like any other tensor, with priority 0. The peer's
   * configuration decides whether it does (`JoinOptions.tap`); a refusal is silent. Asked again when the peer comes back.
   * Throws ASOC_UNKNOWN_PEER, RangeError on a glob that is none.
   */
  tap(
    peer: string | Peer,
    glob: string,
    options: { readonly oneIn?: number; readonly bytesPerSecond?: number } = {},
  ): void {
    const { oneIn = 1, bytesPerSecond = 0 } = options;
    compileGlob(glob);
    this.#topics.tapping.ask(this.#idOf(peer), { kind: "tap", glob, oneIn, bytesPerSecond });
  }

  /** No more of them. Throws ASOC_UNKNOWN_PEER. */
  untap(peer: string | Peer, glob: string): void {
    this.#topics.tapping.ask(this.#idOf(peer), { kind: "untap", glob });
  }

  #idOf(peer: string | Peer): string {
    return typeof peer === "string" ? this.#connections.roads.peer(peer).id : peer.id;
  }

  /**
   * Leaves: takes no more connections, lets sends and arriving tensors finish for up to `timeoutMs` (default 30 s), then
   * ends what is left. Resolves when every socket is closed. Rejects when a peer may not have read all that was sent to
   * it: with ASOC_CONNECTION_LOST, or ASOC_CLOSED after `timeoutMs`. Calling it again returns the same promise.
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
    this.#connections.abortAll();
    await closing;
  }

  /** What is known about why no peer was found, as half a sentence. */
  explainNobody(): string {
    const { discoveryPort } = this.#config;
    return explainNobody(this.#swarm.targets.values(), this.address, this.#discovery, discoveryPort);
  }

  // --- inside

  #tell(event: SwarmEvent): void {
    this.#hub.emit(event);
    if (event.kind !== "dialFailed") this.peers.announce(event);
    if (event.kind === "named") this.#connections.reviewAccess();
    if (event.kind === "joined") this.#topics.tapping.handleJoined(event.peer.id);
    if (event.kind === "left") this.#topics.tapping.handleLeft(event.peer.id);
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#swarm.close();
    this.#topics.beginClose();
    this.#connections.beginClose();
    this.#swarmLoop.rest();
    this.keys.close();
    try {
      await Promise.all([this.#listener?.close(), this.#discovery?.close()]);
      await this.#connections.drain(timeoutMs);
    } finally {
      this.#swarmLoop.rest();
      this.#topics.close();
      this.peers.close();
      this.#hub.close();
      this.#trail.note({ what: "node.stopped", outcome: "noted", who: { nodeId: this.id } });
      this.#trail.close();
      this.keys.wipe();
    }
  }
}
