/**
 * The open connections of a node, as the swarm sees them: which of them make up a peer, and which carries what we
 * send. In order of opening; knows nothing of dialling.
 *
 * A peer is whoever answers to one node id. One that we dialled and whose id nobody told us yet is called HOST:PORT.
 */
import { formatAddress } from "../address.ts";
import type { Address } from "../runtime.ts";
import type { Target } from "./targets.ts";

/** Why no new streams begin on a link; "shutdown" stands for every reason that this version does not know, too. */
export type Goaway = "duplicate" | "shutdown" | "streamIds";

/** What is known of a connection when it opens. */
export interface LinkTraits {
  /** Of a connection that speaks TLS. */
  readonly tls?: PeerTls | undefined;
  /** False: the other side has asked for none. Default true. */
  readonly takesTensors?: boolean;
  /** As in its CAPS; undefined for a v0.1 peer. */
  readonly bootEpoch?: number | undefined;
}

/** One open connection. */
export interface Link extends LinkTraits {
  readonly id: number;
  readonly direction: "outbound" | "inbound";
  /** Text form of the peer's id; undefined while nobody has told. */
  nodeId: string | undefined;
  readonly remote: Address;
  /** What we dialled, for outbound links. */
  readonly target: Target | undefined;
  /** Whether both sides have proven themselves: the id is certain then, as far as a holder of the key is to be believed. */
  readonly proven: boolean;
  /** HOST:PORT of a static peer that this is: dialled so, or the same node has proven itself there. */
  dialledAs: string | undefined;
  /** Another proven link to the same node stays in place of this one. */
  duplicate: boolean;
  /** A newer one is being dialled to take its place; it carries what there is until then. */
  renewing?: boolean;
  /** One of the two sides has said GOAWAY: no new streams. */
  leaving: Goaway | undefined;
  /** Whether the other side is known to have it open still, since the newest twin has come (see `twins.ts`). */
  confirmed: "no" | "asked" | "yes";
  /** Undefined before AGENT has come, and for a v0.1 peer. */
  agent?: string | undefined;
  /** As of the last PING; undefined before, and for a v0.1 peer. */
  roundTripMs?: number | undefined;
  clockSkewMs?: number | undefined;
}

/** TLS with a peer, as users see it. */
export interface PeerTls {
  /** Such as "TLSv1.3". */
  readonly protocol: string;
  /** SHA-256 of the certificate that the peer showed, as 64 hexadecimal digits; undefined: it showed none. */
  readonly certificateSha256: string | undefined;
  /**
   * What shows that nobody in the middle ends TLS: the peer's "certificate", which is pinned or leads to an authority,
   * its "proof", which is bound to the connection, or "nothing".
   */
  readonly verified: "certificate" | "proof" | "nothing";
}

/** A peer as users see it. */
export interface Peer {
  /** The node id, or HOST:PORT while it is unknown. */
  readonly id: string;
  readonly nodeId: string | undefined;
  /** Where it was dialled, or where it came from. */
  readonly address: Address;
  /** HOST:PORT of `peers` that it has answered at, also if another connection to it has stayed. */
  readonly dialledAs: string | undefined;
  /** "x1": it has proven itself (RFC-0100). "v1": a v0.1 peer. */
  readonly protocol: "x1" | "v1";
  /** Undefined where the connection is not encrypted. */
  readonly tls?: PeerTls | undefined;
  /** False: a node that only sends or looks, such as `asoc send`; a tensor sent to it fails with ASOC_STOPPED. */
  readonly takesTensors: boolean;
  /** A random number, another one after it was started again (see `SendOptions.endedEpoch`); undefined for a v0.1 peer. */
  readonly bootEpoch?: number | undefined;
  /** The runtime that it says it runs on, such as "node 26.10.0"; undefined where it says none. Its own word. */
  readonly runtime?: string | undefined;
  /** Round trip of the last PING, in ms; undefined before the first, and for a v0.1 peer. */
  readonly roundTripMs: number | undefined;
  /** How far its wall clock is ahead of ours, in ms, as of then. */
  readonly clockSkewMs: number | undefined;
}

export class Links implements Iterable<Link> {
  readonly #byId = new Map<number, Link>();
  #nextId = 1;

  get byId(): ReadonlyMap<number, Link> {
    return this.#byId;
  }
  [Symbol.iterator](): Iterator<Link> {
    return this.#byId.values();
  }
  has(link: Link): boolean {
    return this.#byId.has(link.id);
  }

  add(
    fields: Pick<Link, "direction" | "nodeId" | "remote" | "target" | "proven" | "dialledAs"> & LinkTraits,
  ): Link {
    const { direction } = fields;
    // Whoever dialled had all of the handshake before the other side.
    const confirmed = direction === "inbound" ? "yes" : "no";
    const link: Link = { id: this.#nextId++, ...fields, duplicate: false, leaving: undefined, confirmed };
    this.#byId.set(link.id, link);
    return link;
  }

  /** False when it is gone already. */
  delete(link: Link): boolean {
    return this.#byId.delete(link.id);
  }

  /** The proven ones to `nodeId`, the oldest first. */
  proven(nodeId: string): Link[] {
    return [...this.#byId.values()].filter((link) => link.proven && link.nodeId === nodeId);
  }

  /** Whether the peer `id` has any. */
  any(id: string): boolean {
    for (const link of this.#byId.values()) if (peerId(link) === id) return true;
    return false;
  }

  /**
   * The one that carries what we send to `id`, a peer's id or HOST:PORT as dialled: the proven one that stays, else
   * the one that we dialled, else the newest inbound one. Never one that leaves or is a duplicate.
   */
  route(id: string, usable: (link: Link) => boolean): Link | undefined {
    let best: Link | undefined;
    for (const link of this.#byId.values()) {
      if (peerId(link) !== id && link.dialledAs !== id) continue;
      if (rank(link) > 0 && usable(link)) best = better(best, link);
    }
    return best;
  }

  /** Of each peer the link that stands for it. */
  byPeer(): Map<string, Link> {
    const best = new Map<string, Link>();
    for (const link of this.#byId.values()) {
      const id = peerId(link);
      best.set(id, better(best.get(id), link));
    }
    return best;
  }

  /** Those that stand for the peers to which "all" goes; see `Swarm.everyone`. */
  everyone(): Link[] {
    const best = this.byPeer();
    const inboundOnly = new Set<string>();
    for (const { nodeId, remote } of this.#byId.values()) {
      const standing = nodeId ? best.get(nodeId) : undefined;
      if (standing?.direction === "inbound" && !standing.proven) inboundOnly.add(remote.host);
    }
    return [...best.values()].filter(
      (link) =>
        !link.leaving && link.takesTensors !== false && (link.nodeId || !inboundOnly.has(link.remote.host)),
    );
  }

  /** Those that keepalives hold: all proven ones; of each other peer the newest of either direction. */
  keptAlive(): Set<number> {
    const kept = new Set<number>();
    const newest = new Map<string, number>();
    for (const link of this.#byId.values()) {
      if (link.proven) kept.add(link.id);
      else newest.set(`${link.direction}/${peerId(link)}`, link.id);
    }
    for (const id of newest.values()) kept.add(id);
    return kept;
  }
}

/** Nothing new may go out on a link of rank 0. */
function rank(link: Link): number {
  if (link.leaving || link.duplicate) return 0;
  if (link.proven) return 3;
  return link.direction === "outbound" ? 2 : 1;
}

/** `link` is the newer one. */
function better(best: Link | undefined, link: Link): Link {
  if (!best || rank(link) > rank(best)) return link;
  return rank(link) === rank(best) && link.direction === "inbound" ? link : best;
}

/** Whether a link keeps us from dialling its node: also one that ends with it. */
export function holds(link: Link): boolean {
  return link.renewing !== true && (link.leaving === undefined || link.leaving === "shutdown");
}

export function peerId(link: Pick<Link, "nodeId" | "dialledAs" | "remote">): string {
  return link.nodeId ?? link.dialledAs ?? formatAddress(link.remote);
}

/** The peer that `link` belongs to, as users see it. */
export function peerOf(link: Link): Peer {
  return {
    id: peerId(link),
    nodeId: link.nodeId,
    address: link.remote,
    dialledAs: link.dialledAs,
    protocol: link.proven ? "x1" : "v1",
    ...(link.tls ? { tls: link.tls } : {}),
    takesTensors: link.takesTensors !== false,
    ...(link.bootEpoch === undefined ? {} : { bootEpoch: link.bootEpoch }),
    runtime: link.agent,
    roundTripMs: link.roundTripMs,
    clockSkewMs: link.clockSkewMs,
  };
}

export function isAt(link: Link, address: Address): boolean {
  return (
    (link.remote.host === address.host && link.remote.port === address.port) ||
    (link.target?.addresses.some((a) => a.host === address.host && a.port === address.port) ?? false)
  );
}
