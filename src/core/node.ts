/**
 * AsocNode: the local participant. Listens, discovers, dials, and carries tensors.
 *
 * The public face of a node and the shell around `Swarm` and `Discovery`; `Connections` holds the sockets.
 */
import { Access } from "./access/access.ts";
import type { AccessOptions, Permissions } from "./access/rules.ts";
import { formatAddress } from "./address.ts";
import type { AuditEntry, AuditEvent } from "./audit/audit_event.ts";
import { AuditTrail } from "./audit/audit_trail.ts";

import { Channel } from "./channel.ts";
import { Connections } from "./connections.ts";
import { Discovery, type DiscoveryEvent, describeRefused } from "./discovery/discovery.ts";
import { DiscoveryLoop } from "./discovery_loop.ts";
import { Doorkeeper } from "./doorkeeper.ts";
import { ClosedError } from "./errors.ts";
import { auditEntryOf } from "./event_audit.ts";
import type { IncomingStream } from "./incoming.ts";
import {
  EventHub,
  type NodeConfig,
  type NodeEvent,
  type NodeStats,
  type SendOutcome,
} from "./node_events.ts";
import { NodeKeys } from "./node_keys.ts";
import { Peers } from "./peers.ts";
import type { Address, Listener, Runtime, Timer, TlsVerify } from "./runtime.ts";
import type { SendOptions, SendReport } from "./send_plan.ts";
import { type Carried, Sending } from "./sending.ts";
import { type Peer, Swarm } from "./swarm/swarm.ts";
import type { TensorSource } from "./tensor/source.ts";
import { type Subscription, Subscriptions } from "./topics/subscriptions.ts";
import { Tapping } from "./topics/tapping.ts";
import { Traffic, type TrafficObserver, type TrafficStream } from "./traffic.ts";
import { toHex } from "./wire/bytes.ts";
import { compileGlob } from "./wire/glob.ts";
import { readU32 } from "./wire/header.ts";
import { formatNodeId, nameTag } from "./wire/node_id.ts";

export class AsocNode {
  readonly #runtime: Runtime;
  readonly #config: NodeConfig;
  readonly #swarm: Swarm;
  readonly #connections: Connections;
  readonly #hub: EventHub;
  readonly #trail: AuditTrail;
  readonly #door: Doorkeeper;
  readonly #incoming: Channel<IncomingStream>;
  readonly #subscriptions = new Subscriptions<IncomingStream>();
  readonly #tapping: Tapping<Carried>;
  readonly #sending: Sending;
  readonly #traffic: Traffic;
  /** Ends copies for taps. */
  readonly #copying = new AbortController();
  /** Discovered peers without beacons whose connections were not silent for long enough when we looked. */
  readonly #staleChecks = new Map<string, Timer>();
  #listener: Listener | undefined;
  #discovery: Discovery | undefined;
  #loop: DiscoveryLoop | undefined;
  #timer: Timer | undefined;
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
    this.#incoming = new Channel(limits.maxQueuedStreams);
    this.incoming = this.#incoming;
    this.#traffic = new Traffic(() => runtime.clock.unixMs());
    const { clock } = runtime;
    this.#trail = new AuditTrail(clock, limits, config.audit);
    this.keys = new NodeKeys(runtime, config, {
      peers: () => this.#connections.keyPeers(),
      end: () => this.#connections?.endKeys(), // none yet while this is made
      emit: (event) => this.#emit(event),
    });
    const access = new Access(config.access, limits.maxQuotaPeers, () => clock.nowMs());
    this.#door = new Doorkeeper(access, this.#trail, (event) => this.#hub.emit(event));
    const { ring } = this.keys;
    this.#connections = new Connections(runtime, config, ring, this.#swarm, this.#traffic, this.#door, {
      changed: () => this.#pump(),
      emit: (event) => this.#emit(event),
      arrived: (stream) => {
        const taken = this.#subscriptions.offer(stream.topic, stream) > 0;
        if (taken && !this.#incoming.hasReader) return true;
        if (this.#incoming.full) return taken;
        this.#incoming.push(stream);
        return true;
      },
      whole: (peer, description, bytes) => this.#sending.passed(peer, description, bytes),
      keyNews: (from, event) => this.keys.handleNews(from, event),
      keySeen: (key, peer) => this.keys.handleSeen(key, peer),
      keysChanged: () => this.keys.look(),
      tapAsked: (peer, record) => {
        const granted = this.#tapping.handleAsked(peer.id, record, clock.nowMs());
        if (record.kind === "tap") this.#trail.note(tapEntry(peer, record.glob, granted), peer.address.host);
      },
    });
    this.#tapping = new Tapping(
      { allowed: config.tap, limits },
      (id, data, { dtype, shape, ...options }) =>
        this.send(id, dtype === undefined ? data : { data, dtype, shape }, {
          ...options,
          priority: 0,
          signal: this.#copying.signal,
        }),
      (id, record) => this.#connections.roads.askTap(id, record),
    );
    this.#sending = new Sending(
      runtime,
      limits,
      this.#swarm,
      this.#connections.roads,
      this.#tapping,
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
      const { nodeId, community, limits, host, discoveryPort } = config;
      const { crypto, clock } = runtime;
      const tcpPort = node.address.port;
      const { ring } = node.keys;
      const key = {
        signers: () => ring.signers(clock.unixMs()).map((one) => one.key),
        verifying: () => ring.verifying(clock.unixMs()).map((one) => one.key),
        heard: (id: string, one: Uint8Array) => node.#connections.heardKey(id, one),
      };
      const refused = node.#door.beaconRefused;
      const discovery = new Discovery(
        { nodeId, community, key, tcpPort, limits, crypto, refused },
        clock.nowMs(),
      );
      node.#discovery = discovery;
      try {
        const listener = (event: DiscoveryEvent) => node.#onDiscovery(event);
        node.#loop = await DiscoveryLoop.start(
          discovery,
          runtime,
          host,
          discoveryPort,
          config.limits.maxDatagramsPerSecond,
          listener,
        );
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
      taps: this.#tapping.counters,
      subscriptionsDropped: this.#subscriptions.dropped,
      audited: this.#trail.counts,
      auditDropped: this.#trail.dropped,
      ownBeacons: this.#discovery?.ownBeaconsSeen ?? 0,
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
    const exact = this.#swarm.findPeer(text);
    if (exact) return exact;
    const prefix = text.toLowerCase().replaceAll("-", "");
    const tag = toHex(nameTag(this.#config.community, text, this.#runtime.crypto));
    const isPrefix = /^[0-9a-f]+$/.test(prefix);
    const matches = peers.filter((peer) => {
      const hex = peer.nodeId?.replaceAll("-", "");
      return hex !== undefined && (hex.startsWith(tag) || (isPrefix && hex.startsWith(prefix)));
    });
    if (matches.length > 1) {
      throw new RangeError(
        `peer: ${JSON.stringify(text)} fits ${matches.map((peer) => peer.id).join(" and ")}; give more of the id`,
      );
    }
    return matches[0];
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
    return this.#subscriptions.subscribe(glob, this.#config.limits.maxQueuedStreams);
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
    this.#tapping.ask(this.#idOf(peer), { kind: "tap", glob, oneIn, bytesPerSecond });
  }

  /** No more of them. Throws ASOC_UNKNOWN_PEER. */
  untap(peer: string | Peer, glob: string): void {
    this.#tapping.ask(this.#idOf(peer), { kind: "untap", glob });
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
    const parts: string[] = [];
    for (const target of this.#swarm.targets.values()) {
      if (target.state === "self") parts.push(`${target.key} is this node itself`);
      else if (target.lastError) parts.push(target.lastError.message);
      else if (target.state === "dialling")
        parts.push(`${formatAddress(target.addresses[0] ?? this.address)} has not answered yet`);
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

  // --- inside

  #onDiscovery(event: DiscoveryEvent): void {
    this.#staleChecks.get(event.nodeId)?.cancel();
    this.#staleChecks.delete(event.nodeId);
    if (event.kind === "found") {
      this.#swarm.handleFound(event.nodeId, event.address, this.#runtime.clock.nowMs());
    } else {
      this.#swarm.handleStale(event.nodeId);
      this.#endSilent(event.nodeId);
    }
    this.#pump();
  }

  #endSilent(nodeId: string): void {
    this.#staleChecks.delete(nodeId);
    const againMs = this.#connections.endSilent(nodeId);
    if (againMs === undefined || this.#closing) return;
    const check = this.#runtime.clock.after(againMs, () => this.#endSilent(nodeId));
    this.#staleChecks.set(nodeId, check);
  }

  /** Carries out what the swarm wants now. */
  #pump(): void {
    const { clock } = this.#runtime;
    const nowMs = clock.nowMs();
    for (let dial = this.#swarm.pollDial(nowMs); dial; dial = this.#swarm.pollDial(nowMs)) {
      void this.#connections.dialling.dial(dial.target, dial.address);
    }
    this.#connections.tend();
    let changed = false;
    for (let event = this.#swarm.pollEvent(); event; event = this.#swarm.pollEvent()) {
      this.#hub.emit(event);
      if (event.kind !== "dialFailed") this.peers.announce(event);
      if (event.kind === "named") this.#connections.reviewAccess();
      if (event.kind === "joined") this.#tapping.handleJoined(event.peer.id);
      if (event.kind === "left") this.#tapping.handleLeft(event.peer.id);
      changed = true;
    }
    if (changed) this.#connections.keepAlive(this.#swarm.keepaliveLinks());
    this.#timer?.cancel();
    this.#timer = undefined;
    const at = this.#swarm.pollDeadline();
    if (at !== undefined) this.#timer = clock.after(Math.max(1, at - nowMs), () => this.#pump());
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#swarm.close();
    this.#copying.abort(new ClosedError("ASOC_CLOSED", "The node is closing"));
    this.#connections.beginClose();
    this.#timer?.cancel();
    this.keys.close();
    for (const check of this.#staleChecks.values()) check.cancel();
    try {
      await Promise.all([this.#listener?.close(), this.#loop?.close()]);
      await this.#connections.drain(timeoutMs);
    } finally {
      this.#timer?.cancel();
      this.#incoming.close();
      this.#subscriptions.close();
      this.peers.close();
      this.#hub.close();
      this.#trail.note({ what: "node.stopped", outcome: "noted", who: { nodeId: this.id } });
      this.#trail.close();
      this.keys.wipe();
    }
  }
}

function tapEntry({ nodeId, address }: Peer, topic: string, granted: boolean): AuditEntry {
  const fate = granted
    ? ({ what: "tap.granted", outcome: "accepted" } as const)
    : ({ what: "tap.refused", outcome: "refused", reason: "not granted" } as const);
  return { ...fate, who: { nodeId }, where: formatAddress(address), facts: { topic } };
}
