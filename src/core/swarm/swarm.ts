/**
 * All connections of a node, sans-IO: whom to dial and when, which connections make up
 * a peer, and which of them carries what we send (RFC-0001, Peers and Reconnection).
 *
 *   target:  WAITING ── due ──▶ DIALLING ── open ──▶ CONNECTED ── lost ──▶ WAITING (back-off)
 *               ▲──── failed ──────┘   └── our own HELLO came back ──▶ SELF (never again)
 *
 * A peer is whoever answers to one node id. One that we dialled and whose id nobody told us yet is called
 * HOST:PORT. v1 needs a connection in each direction, so a peer that dialled us is dialled too.
 */
import { formatAddress } from "../address.ts";
import type { AsocError } from "../errors.ts";
import type { Limits, Timing } from "../limits.ts";
import type { Address } from "../runtime.ts";
import { redialDelayMs } from "./backoff.ts";

/** One open connection, as the swarm sees it. */
export interface Link {
  readonly id: number;
  readonly direction: "outbound" | "inbound";
  /** Text form of the peer's id; undefined while nobody has told. */
  nodeId: string | undefined;
  readonly remote: Address;
  /** What we dialled, for outbound links. */
  readonly target: Target | undefined;
  /** Whether both sides have proven themselves: the id is certain then, as far as a holder of the key is to be believed. */
  readonly proven: boolean;
}

export interface Target {
  /** HOST:PORT for a static peer, the node id for a discovered one. */
  readonly key: string;
  readonly isStatic: boolean;
  nodeId: string | undefined;
  addresses: Address[];
  /** Which address is tried, or was the first that worked. */
  at: number;
  state: "waiting" | "dialling" | "connected" | "self";
  /** Addresses that failed since the last success or failure. */
  tried: number;
  failures: number;
  dueMs: number;
  lastError: AsocError | undefined;
}

/** A peer as users see it. */
export interface Peer {
  /** The node id, or HOST:PORT while it is unknown. */
  readonly id: string;
  readonly nodeId: string | undefined;
  /** Where it was dialled, or where it came from. */
  readonly address: Address;
  /** What it was dialled as: HOST:PORT of `peers`. */
  readonly dialledAs: string | undefined;
  /** "x1": it has proven itself (RFC-0100). "v1": a v0.1 peer. */
  readonly protocol: "x1" | "v1";
}

export type SwarmEvent =
  | { readonly kind: "joined"; readonly peer: Peer }
  | {
      readonly kind: "left";
      readonly peer: Peer;
      readonly reason: string;
      readonly error: AsocError | undefined;
    }
  /** A peer that was called HOST:PORT has told its id. */
  | { readonly kind: "named"; readonly peer: Peer; readonly was: string }
  | {
      readonly kind: "dialFailed";
      readonly address: Address;
      readonly error: AsocError;
      readonly failures: number;
      readonly retryMs: number | undefined;
    };

export interface SwarmConfig {
  readonly limits: Limits & Timing;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class Swarm {
  readonly #config: SwarmConfig;
  readonly #targets = new Map<string, Target>();
  readonly #links = new Map<number, Link>();
  readonly #dropped = new Map<string, number>();
  /** Nodes that have proven themselves: who answers at their address without proof is another. */
  readonly #proven = new Set<string>();
  #events: SwarmEvent[] = [];
  #nextLinkId = 1;
  #closed = false;

  constructor(config: SwarmConfig) {
    this.#config = config;
  }

  // --- what it is now

  get links(): ReadonlyMap<number, Link> {
    return this.#links;
  }
  get targets(): ReadonlyMap<string, Target> {
    return this.#targets;
  }

  peers(): Peer[] {
    const byId = new Map<string, Peer>();
    for (const link of this.#links.values()) {
      const id = peerId(link);
      if (!byId.has(id) || link.direction === "outbound") byId.set(id, peerOf(link));
    }
    return [...byId.values()];
  }

  /** The connection that carries what we send to `id`: the one we dialled, else the newest inbound one. */
  route(id: string, usable: (link: Link) => boolean = () => true): Link | undefined {
    let best: Link | undefined;
    for (const link of this.#links.values()) {
      if (peerId(link) !== id && dialledAs(link) !== id) continue;
      if (!usable(link)) continue;
      if (link.direction === "outbound") return link;
      best = link; // in order of opening: the last is the newest
    }
    return best;
  }

  /** Connections that keepalives hold: of each peer the one we dialled and the newest inbound one. */
  keepaliveLinks(): Set<number> {
    const newest = new Map<string, number>();
    for (const link of this.#links.values()) newest.set(`${link.direction}/${peerId(link)}`, link.id);
    return new Set(newest.values());
  }

  /**
   * The peers that "all" means. A dialled v0.1 peer whose id is unknown is passed over when a named one has
   * dialled us from the same host: most likely they are the same (RFC-0001, Peers: a limit of v1).
   */
  everyone(): Peer[] {
    const inboundOnly = new Set<string>();
    for (const link of this.#links.values()) {
      if (link.nodeId && this.route(link.nodeId)?.direction === "inbound") inboundOnly.add(link.remote.host);
    }
    return this.peers().filter((peer) => peer.nodeId || !inboundOnly.has(peer.address.host));
  }

  // --- inputs

  /** A peer to hold for ever. */
  addStatic(address: Address, nowMs: number): void {
    const key = formatAddress(address);
    if (this.#targets.has(key)) return;
    this.#targets.set(key, newTarget(key, true, undefined, address, nowMs));
  }

  /** Discovery has seen `nodeId` at `address`. */
  handleFound(nodeId: string, address: Address, nowMs: number): void {
    for (const link of this.#links.values()) {
      if (link.direction !== "outbound" || link.nodeId || !sameAddress(link, address)) continue;
      if (!this.#proven.has(nodeId)) this.#name(link, nodeId);
    }
    const droppedMs = this.#dropped.get(nodeId);
    if (droppedMs !== undefined) {
      if (nowMs - droppedMs < this.#config.limits.droppedPeerMs) return;
      this.#dropped.delete(nodeId);
    }
    const text = formatAddress(address);
    const known = this.#targets.get(nodeId);
    if (known) {
      if (
        known.addresses.length < this.#config.limits.maxAddressesPerPeer &&
        !known.addresses.some((a) => formatAddress(a) === text)
      ) {
        known.addresses.push(address);
      }
      return;
    }
    const fixed = this.#targets.get(text);
    if (fixed) {
      fixed.nodeId = nodeId;
      return;
    }
    this.#targets.set(nodeId, newTarget(nodeId, false, nodeId, address, nowMs));
  }

  /** Its beacons have ceased. */
  handleStale(nodeId: string): void {
    const target = this.#targets.get(nodeId);
    if (target?.state === "waiting") this.#targets.delete(nodeId);
  }

  /** A dial of `target` failed, or its handshake did. */
  handleDialFailed(target: Target, error: AsocError, nowMs: number): void {
    if (target.state !== "dialling") return;
    const { limits, random } = this.#config;
    target.lastError = error;
    const address = currentAddress(target);
    target.at = (target.at + 1) % target.addresses.length;
    target.tried++;
    if (target.tried < target.addresses.length) {
      // A failure is one of all its addresses: the next one is tried at once.
      target.state = "waiting";
      target.dueMs = nowMs;
      return;
    }
    target.tried = 0;
    target.failures++;
    let retryMs: number | undefined = redialDelayMs(target.failures - 1, limits, random());
    if (!target.isStatic && target.failures >= limits.discoveredDialAttempts) {
      retryMs = undefined;
      this.#targets.delete(target.key);
      this.#dropped.set(target.key, nowMs);
      if (this.#dropped.size > limits.maxDiscoveredPeers)
        this.#dropped.delete(this.#dropped.keys().next().value ?? "");
    } else {
      target.state = "waiting";
      target.dueMs = nowMs + retryMs;
    }
    this.#events.push({ kind: "dialFailed", address, error, failures: target.failures, retryMs });
  }

  /** The handshake of a dial is done; `provenId` is who has proven itself there. */
  handleDialled(target: Target, remote: Address, provenId: string | undefined): Link {
    target.state = "connected";
    target.failures = 0;
    target.tried = 0;
    target.lastError = undefined;
    let nodeId = provenId;
    if (nodeId) this.#prove(nodeId);
    // A beacon's word is enough for a node that cannot prove itself, not for one that has.
    else if (target.nodeId && !this.#proven.has(target.nodeId)) nodeId = target.nodeId;
    this.#answeredBy(target, nodeId);
    return this.#join({ direction: "outbound", nodeId, remote, target, proven: provenId !== undefined });
  }

  /** A connection from `nodeId` is open. */
  handleAccepted(nodeId: string, remote: Address, proven: boolean): Link {
    if (proven) this.#prove(nodeId);
    return this.#join({ direction: "inbound", nodeId, remote, target: undefined, proven });
  }

  handleClosed(link: Link, error: AsocError | undefined, nowMs: number): void {
    if (!this.#links.delete(link.id)) return;
    const { target } = link;
    if (target?.state === "connected") {
      target.state = "waiting";
      if (target.isStatic) target.nodeId = undefined; // another node may answer there next time
      target.dueMs = nowMs + redialDelayMs(0, this.#config.limits, this.#config.random());
    }
    const id = peerId(link);
    for (const other of this.#links.values()) if (peerId(other) === id) return;
    const reason = error?.message ?? "it closed the connection";
    this.#events.push({ kind: "left", peer: peerOf(link), reason, error });
  }

  /** We answered there ourselves: that address is never dialled again. */
  handleSelf(target: Target): void {
    target.state = "self";
  }

  /** No more dials. */
  close(): void {
    this.#closed = true;
  }

  // --- outputs

  /** The next target to dial now, marked as dialling. */
  pollDial(nowMs: number): { target: Target; address: Address } | undefined {
    if (this.#closed) return undefined;
    for (const target of this.#targets.values()) {
      if (target.state !== "waiting" || target.dueMs > nowMs) continue;
      if (target.nodeId && this.#dialledAlready(target)) continue;
      target.state = "dialling";
      return { target, address: currentAddress(target) };
    }
    return undefined;
  }

  pollEvent(): SwarmEvent | undefined {
    return this.#events.shift();
  }

  pollDeadline(): number | undefined {
    if (this.#closed) return undefined;
    let earliest: number | undefined;
    for (const target of this.#targets.values()) {
      if (target.state !== "waiting" || (target.nodeId && this.#dialledAlready(target))) continue;
      earliest = Math.min(earliest ?? target.dueMs, target.dueMs);
    }
    return earliest;
  }

  // --- inside

  /** Another target of the same peer has its connection, or is getting it. */
  #dialledAlready(target: Target): boolean {
    for (const link of this.#links.values()) {
      if (link.direction === "outbound" && link.nodeId === target.nodeId) return true;
    }
    for (const other of this.#targets.values()) {
      if (other !== target && other.nodeId === target.nodeId && other.state === "dialling") return true;
    }
    return false;
  }

  #prove(nodeId: string): void {
    this.#proven.delete(nodeId);
    this.#proven.add(nodeId);
    if (this.#proven.size > this.#config.limits.maxDiscoveredPeers)
      this.#proven.delete(this.#proven.values().next().value ?? "");
  }

  /** A discovered peer at whose address another node answers is gone; its beacons bring it back. */
  #answeredBy(target: Target, nodeId: string | undefined): void {
    if (target.isStatic) target.nodeId = nodeId;
    else if (nodeId !== target.nodeId) this.#targets.delete(target.key);
  }

  #join(fields: Omit<Link, "id">): Link {
    const link: Link = { id: this.#nextLinkId++, ...fields };
    const id = peerId(link);
    const known = [...this.#links.values()].some((other) => peerId(other) === id);
    this.#links.set(link.id, link);
    if (!known) this.#events.push({ kind: "joined", peer: peerOf(link) });
    return link;
  }

  #name(link: Link, nodeId: string): void {
    const was = peerId(link);
    link.nodeId = nodeId;
    if (link.target) this.#answeredBy(link.target, nodeId);
    this.#events.push({ kind: "named", peer: peerOf(link), was });
  }
}

function newTarget(
  key: string,
  isStatic: boolean,
  nodeId: string | undefined,
  address: Address,
  dueMs: number,
): Target {
  return {
    key,
    isStatic,
    nodeId,
    addresses: [address],
    at: 0,
    state: "waiting",
    tried: 0,
    failures: 0,
    dueMs,
    lastError: undefined,
  };
}

function currentAddress(target: Target): Address {
  return target.addresses[target.at % target.addresses.length] as Address; // never empty: made with one address
}

function dialledAs(link: Link): string | undefined {
  return link.target?.isStatic ? link.target.key : undefined;
}

export function peerId(link: Link): string {
  return link.nodeId ?? dialledAs(link) ?? formatAddress(link.remote);
}

/** The peer that `link` belongs to, as users see it. */
export function peerOf(link: Link): Peer {
  return {
    id: peerId(link),
    nodeId: link.nodeId,
    address: link.remote,
    dialledAs: dialledAs(link),
    protocol: link.proven ? "x1" : "v1",
  };
}

function sameAddress(link: Link, address: Address): boolean {
  return (
    (link.remote.host === address.host && link.remote.port === address.port) ||
    (link.target?.addresses.some((a) => a.host === address.host && a.port === address.port) ?? false)
  );
}
