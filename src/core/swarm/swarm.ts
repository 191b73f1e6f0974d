/**
 * All connections of a node, sans-IO: whom to dial and when, which connections make up
 * a peer, and which of them carries what we send (RFC-0001, Peers and Reconnection).
 *
 * Puts together who is dialled (`targets.ts`), what is open (`links.ts`) and which of several proven connections to one
 * node stays (`twins.ts`). v1 needs a connection in each direction, so a v0.1 peer that dialled us is dialled too. One
 * that has proven itself is not dialled while a connection of either direction lives.
 */
import type { AsocError } from "../errors.ts";
import type { Limits, Timing } from "../limits.ts";
import type { Address } from "../runtime.ts";
import { isFree, isHeld } from "./due.ts";
import {
  type Goaway,
  holds,
  isAt,
  type Link,
  Links,
  type LinkTraits,
  type Peer,
  peerId,
  peerOf,
} from "./links.ts";
import { currentAddress, type DialFailed, type Target, Targets } from "./targets.ts";
import { Twins } from "./twins.ts";

export type { Goaway, Link, Peer, PeerTls } from "./links.ts";
export { peerOf } from "./links.ts";
export type { Target } from "./targets.ts";

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
  | DialFailed;

export interface SwarmConfig {
  /** Our own id, as text. */
  readonly nodeId: string;
  readonly limits: Limits & Timing;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class Swarm {
  readonly #config: SwarmConfig;
  readonly #targets: Targets;
  readonly #links = new Links();
  readonly #twins: Twins;
  /** Nodes that have proven themselves: who answers at their address without proof is another. */
  readonly #proven = new Set<string>();
  #events: SwarmEvent[] = [];
  #closed = false;

  constructor(config: SwarmConfig) {
    this.#config = config;
    this.#targets = new Targets(config);
    this.#twins = new Twins(config.nodeId, this.#links);
  }

  // --- what it is now

  get links(): ReadonlyMap<number, Link> {
    return this.#links.byId;
  }
  get targets(): ReadonlyMap<string, Target> {
    return this.#targets.byKey;
  }

  peers(): Peer[] {
    return [...this.#links.byPeer().values()].map(peerOf);
  }

  /** A connected peer by its id, or by any HOST:PORT of `peers` at which it has answered. */
  findPeer(id: string): Peer | undefined {
    const known = this.#idOf(id);
    for (const [peer, link] of this.#links.byPeer()) {
      if (peer === known || link.dialledAs === id) return peerOf(link);
    }
    return undefined;
  }

  /**
   * The connection on which new streams to `id` begin, a peer's id or HOST:PORT as dialled: the proven one that stays,
   * else the one we dialled, else the newest inbound one. Undefined when there is none, or all leave.
   */
  route(id: string, usable: (link: Link) => boolean = () => true): Link | undefined {
    return this.#links.route(this.#idOf(id), usable);
  }

  /** Connections that keepalives hold: all proven ones; of each other peer the one we dialled and the newest inbound one. */
  keepaliveLinks(): Set<number> {
    return this.#links.keptAlive();
  }

  /**
   * The peers that "all" means: not those that leave. A dialled v0.1 peer whose id is unknown is passed over when a named
   * v0.1 peer has dialled us from the same host: most likely they are the same (RFC-0001, Peers: a limit of v1).
   */
  everyone(): Peer[] {
    return this.#links.everyone().map(peerOf);
  }

  // --- inputs

  /** A peer to hold for ever. */
  addStatic(address: Address, nowMs: number): void {
    this.#targets.addStatic(address, nowMs);
  }

  /** Discovery has seen `nodeId` at `address`. */
  handleFound(nodeId: string, address: Address, nowMs: number): void {
    for (const link of this.#links) {
      if (link.direction !== "outbound" || link.nodeId || !isAt(link, address)) continue;
      if (!this.#proven.has(nodeId)) this.#name(link, nodeId);
    }
    this.#targets.addFound(nodeId, address, nowMs);
  }

  /** Its beacons have ceased. */
  handleStale(nodeId: string): void {
    const target = this.#targets.byKey.get(nodeId);
    if (target?.state === "waiting" && !isHeld(target, this.#targets, this.#links))
      this.#targets.delete(target);
  }

  /** A dial of `target` failed, or its handshake did. */
  handleDialFailed(target: Target, error: AsocError, nowMs: number): void {
    if (target.state !== "dialling") return;
    const failed = this.#targets.failed(target, error, nowMs);
    if (failed) this.#events.push(failed);
  }

  /** The handshake of a dial is done; `provenId` is who has proven itself there. */
  handleDialled(
    target: Target,
    remote: Address,
    provenId: string | undefined,
    traits: LinkTraits = {},
  ): Link {
    const before = target.provenId;
    const proven = provenId !== undefined;
    let nodeId = provenId;
    if (nodeId) this.#prove(nodeId);
    // A beacon's word is enough for a node that cannot prove itself, not for one that has.
    else if (target.nodeId && !this.#proven.has(target.nodeId)) nodeId = target.nodeId;
    this.#targets.opened(target, nodeId, proven);
    const link = this.#join({ direction: "outbound", nodeId, remote, target, proven, ...traits });
    target.linkId = link.id;
    for (const id of new Set([before, provenId])) if (id) this.#nameTwins(id);
    return link;
  }

  /** A connection from `nodeId` is open. */
  handleAccepted(nodeId: string, remote: Address, proven: boolean, traits: LinkTraits = {}): Link {
    if (proven) this.#prove(nodeId);
    return this.#join({ direction: "inbound", nodeId, remote, target: undefined, proven, ...traits });
  }

  /** The other side has answered on `link` to what was sent after `pollProbe` named it. */
  handleConfirmed(link: Link): void {
    if (!link.proven || !link.nodeId || !this.#links.has(link)) return;
    link.confirmed = "yes";
    this.#settle(link.nodeId);
  }

  /** One of the two sides has said GOAWAY on `link`: no new streams begin on it. For proven links only. */
  handleGoaway(link: Link, why: Goaway, nowMs: number): void {
    const { nodeId } = link;
    if (!link.proven || !nodeId || !this.#links.has(link) || link.leaving === "duplicate") return;
    const held = holds(link);
    link.leaving = why;
    if (why === "duplicate") link.duplicate = true;
    if (!holds(link)) release(link);
    this.#settle(nodeId);
    if (held && !this.#links.proven(nodeId).some(holds)) this.#targets.lostProven(nodeId, true, nowMs);
  }

  /** A newer connection has to take the place of this one, which goes on until then. For proven links that we dialled. */
  handleRenew(link: Link, nowMs: number): void {
    const { nodeId } = link;
    if (!link.proven || !nodeId || !link.target || link.renewing || link.leaving || !this.#links.has(link))
      return;
    link.renewing = true;
    release(link);
    this.#targets.lostProven(nodeId, true, nowMs);
  }

  handleClosed(link: Link, error: AsocError | undefined, nowMs: number): void {
    if (!this.#links.delete(link)) return;
    const { target, nodeId } = link;
    const released = release(link);
    if (link.proven && nodeId) this.#provenEnded(link, nodeId, nowMs);
    else if (target && released) {
      if (target.isStatic) target.nodeId = undefined; // another node may answer there next time
      this.#targets.lost(target, nowMs);
    }
    if (this.#links.any(peerId(link))) return;
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
    for (const target of this.#targets) {
      if (target.dueMs > nowMs || !isFree(target, this.#targets, this.#links)) continue;
      target.state = "dialling";
      return { target, address: currentAddress(target) };
    }
    return undefined;
  }

  /** A link on which to send PING now; its PONG, or whatever shows as much, is `handleConfirmed`. */
  pollProbe(): Link | undefined {
    return this.#closed ? undefined : this.#twins.pollProbe();
  }

  /** A link on which to say GOAWAY duplicate now, and to be closed when its streams are done. */
  pollRetire(): Link | undefined {
    return this.#closed ? undefined : this.#twins.pollRetire();
  }

  pollEvent(): SwarmEvent | undefined {
    return this.#events.shift();
  }

  pollDeadline(): number | undefined {
    if (this.#closed) return undefined;
    let earliest: number | undefined;
    for (const target of this.#targets) {
      if (isFree(target, this.#targets, this.#links))
        earliest = Math.min(earliest ?? target.dueMs, target.dueMs);
    }
    return earliest;
  }

  // --- inside

  /** The id of the peer that `id` means: a static peer's, if it has proven itself. */
  #idOf(id: string): string {
    return this.#targets.byKey.get(id)?.provenId ?? id;
  }

  #prove(nodeId: string): void {
    this.#proven.delete(nodeId);
    this.#proven.add(nodeId);
    if (this.#proven.size > this.#config.limits.maxDiscoveredPeers)
      this.#proven.delete(this.#proven.values().next().value ?? "");
  }

  #join(fields: Pick<Link, "direction" | "nodeId" | "remote" | "target" | "proven"> & LinkTraits): Link {
    const { nodeId, proven } = fields;
    const target = fields.target?.isStatic
      ? fields.target
      : nodeId && proven && this.#targets.staticOf(nodeId);
    const joining = { ...fields, dialledAs: target ? target.key : undefined };
    const known = this.#links.any(peerId(joining));
    const link = this.#links.add(joining);
    if (proven && nodeId) {
      this.#twins.handleOpened(link);
      this.#settle(nodeId);
    }
    if (!known) this.#events.push({ kind: "joined", peer: peerOf(link) });
    return link;
  }

  #settle(nodeId: string): void {
    for (const link of this.#twins.settle(nodeId)) release(link);
  }

  #provenEnded(link: Link, nodeId: string, nowMs: number): void {
    this.#settle(nodeId);
    const others = this.#links.proven(nodeId);
    if (holds(link) && !others.some(holds)) {
      // Whoever has said that it ends is not back in an instant.
      this.#targets.lostProven(nodeId, link.leaving !== "shutdown", nowMs);
    }
    if (others.length === 0) this.#targets.forgetProven(nodeId);
  }

  /** What its links are dialled as, after a static peer has answered. */
  #nameTwins(nodeId: string): void {
    const alias = this.#targets.staticOf(nodeId)?.key;
    for (const link of this.#links.proven(nodeId)) {
      if (!link.target?.isStatic) link.dialledAs = alias;
    }
  }

  #name(link: Link, nodeId: string): void {
    const was = peerId(link);
    link.nodeId = nodeId;
    if (link.target) this.#targets.answeredBy(link.target, nodeId, false);
    this.#events.push({ kind: "named", peer: peerOf(link), was });
  }
}

/** Its target waits to be dialled again; false when that has another link, or none. */
function release({ id, target }: Link): boolean {
  if (target?.state !== "connected" || target.linkId !== id) return false;
  target.state = "waiting";
  target.linkId = undefined;
  return true;
}
