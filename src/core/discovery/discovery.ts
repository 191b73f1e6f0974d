/**
 * Beacons in, peers out, sans-IO (RFC-0001, Discovery).
 *
 * Every refused beacon is silent on the wire and counted by reason, so that
 * "nobody found" can say why. Only authentic beacons of our community enter a table.
 */
import { addressKey } from "../auth/admission.ts";
import { RateLimit } from "../auth/rate_limit.ts";
import { ReplayWindow } from "../auth/replay_window.ts";
import type { Limits, Timing } from "../limits.ts";
import type { Address, Crypto } from "../runtime.ts";
import { communityHash, decodeBeacon, encodeBeacon, isAuthenticBeacon } from "../wire/beacon.ts";
import { equalBytes } from "../wire/bytes.ts";
import { readU32 } from "../wire/header.ts";
import { formatNodeId } from "../wire/node_id.ts";

/** Why a beacon was refused. */
export type BeaconRefusal =
  | "length"
  | "community"
  | "signature"
  | "clock"
  | "replay"
  | "nodeRate"
  | "addressRate"
  | "port"
  /** There are as many peers, or addresses of one, as are remembered. */
  | "table"
  /** More datagrams in a second than are read: the rest of the second is passed over. */
  | "overload";

/** The keys of a node whose ring changes with time. */
export interface DiscoveryKeys {
  /** Those that beacons are signed with, in turn. */
  signers(): readonly Uint8Array[];
  /** Those that beacons of others may be signed with. */
  verifying(): readonly Uint8Array[];
  /** A beacon of `nodeId` was signed with this one. */
  heard(nodeId: string, key: Uint8Array): void;
}

/** Two beacons of one node are at least so far apart, whatever the number of its keys: others take one a second. */
const MIN_BEACON_GAP_MS = 1100;

export interface DiscoveryConfig {
  readonly nodeId: Uint8Array;
  readonly community: string;
  readonly key: Uint8Array | DiscoveryKeys;
  readonly tcpPort: number;
  readonly limits: Limits & Timing;
  readonly crypto: Crypto;
  /** Hears of each refused beacon; `nodeId` is known where its signature holds. */
  readonly refused?: (reason: BeaconRefusal, from: Address, nodeId: string | undefined) => void;
}

export type DiscoveryEvent =
  | { readonly kind: "found"; readonly nodeId: string; readonly address: Address }
  | { readonly kind: "stale"; readonly nodeId: string };

/** How many beacons were refused, and the last facts about it. */
export interface RefusedBeacons {
  readonly count: number;
  readonly lastAddress: string;
  /** Signed clock difference of the last one in seconds, for "clock". */
  readonly skewS?: number;
}

interface Refusal {
  readonly reason: BeaconRefusal;
  readonly skewS?: number;
  readonly nodeId?: string;
}

interface Known {
  lastSeenMs: number;
  readonly addresses: Set<string>;
}

export class Discovery {
  readonly #config: DiscoveryConfig;
  readonly #ownId: string;
  readonly #community: Uint8Array;
  readonly #known = new Map<string, Known>();
  readonly #refused = new Map<BeaconRefusal, RefusedBeacons>();
  readonly #replays: ReplayWindow;
  readonly #nodeRate: RateLimit;
  readonly #addressRate: RateLimit;
  #events: DiscoveryEvent[] = [];
  #nextBeaconMs: number;
  #ownBeacons = 0;
  #turn = 0;

  constructor(config: DiscoveryConfig, nowMs: number) {
    const { limits } = config;
    this.#config = config;
    this.#ownId = formatNodeId(config.nodeId);
    this.#community = communityHash(config.community, config.crypto);
    this.#replays = new ReplayWindow(limits.beaconReplayWindowMs, limits.maxReplayEntries);
    this.#nodeRate = new RateLimit(limits.maxBeaconsPerSecondPerNode, 1000, limits.maxDiscoveredPeers);
    this.#addressRate = new RateLimit(limits.maxBeaconsPerSecondPerAddress, 1000, limits.maxTrackedAddresses);
    this.#nextBeaconMs = nowMs;
  }

  /** Refused beacons by reason. */
  get refused(): ReadonlyMap<BeaconRefusal, RefusedBeacons> {
    return this.#refused;
  }
  /** Our own beacons that came back: proof that broadcast works here. */
  get ownBeaconsSeen(): number {
    return this.#ownBeacons;
  }

  /** A datagram from `from`; `unixS` is our clock. */
  handleDatagram(packet: Uint8Array, from: Address, nowMs: number, unixS: number): void {
    const refusal = this.#judge(packet, from, nowMs, unixS);
    if (!refusal) return;
    this.#refuse(refusal.reason, from, refusal.skewS);
    this.#config.refused?.(refusal.reason, from, refusal.nodeId);
  }

  /** More came than is read, the last from `from`; what is not read is not counted. */
  handleOverload(from: Address): void {
    this.#refuse("overload", from, undefined);
    this.#config.refused?.("overload", from, undefined);
  }

  /** The rules in RFC-0001's order: the first one broken refuses. */
  #judge(packet: Uint8Array, from: Address, nowMs: number, unixS: number): Refusal | undefined {
    const { limits } = this.#config;
    const beacon = decodeBeacon(packet);
    if (!beacon) return { reason: "length" };
    if (!equalBytes(beacon.communityHash, this.#community)) return { reason: "community" };
    const key = this.#signedWith(packet);
    if (!key) return { reason: "signature" };
    const nodeId = formatNodeId(beacon.nodeId);
    if (nodeId === this.#ownId) {
      this.#ownBeacons++;
      return undefined;
    }
    const skewS = beacon.unixS - unixS;
    if (Math.abs(skewS) > limits.maxClockSkewS) return { reason: "clock", skewS, nodeId };
    const agoMs = this.#replays.enter(nodeId, beacon.challenge, nowMs);
    if (agoMs !== undefined && agoMs >= limits.beaconDuplicateMs) return { reason: "replay", nodeId };
    if (agoMs === undefined) {
      if (!this.#nodeRate.take(nodeId, nowMs)) return { reason: "nodeRate", nodeId };
      if (!this.#addressRate.take(addressKey(from.host), nowMs)) return { reason: "addressRate", nodeId };
    }
    if (beacon.tcpPort === 0) return { reason: "port", nodeId };
    if (!(this.#config.key instanceof Uint8Array)) this.#config.key.heard(nodeId, key);
    const isSeen = this.#see(nodeId, { host: from.host, port: beacon.tcpPort }, nowMs);
    return isSeen ? undefined : { reason: "table", nodeId };
  }

  /** The key of a beacon. All are tried, whichever it is: time tells nothing about the ring. */
  #signedWith(packet: Uint8Array): Uint8Array | undefined {
    const { key, crypto } = this.#config;
    let found: Uint8Array | undefined;
    for (const one of key instanceof Uint8Array ? [key] : key.verifying()) {
      if (isAuthenticBeacon(packet, one, crypto)) found ??= one;
    }
    return found;
  }

  /** Time has come to `pollDeadline`. */
  handleTimeout(nowMs: number): void {
    for (const [nodeId, known] of this.#known) {
      if (nowMs - known.lastSeenMs < this.#config.limits.peerStaleMs) continue;
      this.#known.delete(nodeId);
      this.#events.push({ kind: "stale", nodeId });
    }
  }

  /** The beacon that is due, or undefined. Each key that may sign has its turn: whoever knows only one of them hears us too. */
  pollBeacon(nowMs: number, unixS: number): Uint8Array | undefined {
    if (nowMs < this.#nextBeaconMs) return undefined;
    const { nodeId, tcpPort, key, crypto, limits } = this.#config;
    const signers = key instanceof Uint8Array ? [key] : key.signers();
    const gapMs = limits.beaconIntervalMs / Math.max(1, signers.length);
    this.#nextBeaconMs = nowMs + Math.max(gapMs, Math.min(MIN_BEACON_GAP_MS, limits.beaconIntervalMs));
    const signer = signers[this.#turn++ % signers.length];
    if (!signer) return undefined;
    const challenge = readU32(crypto.randomBytes(4), 0);
    return encodeBeacon(
      { communityHash: this.#community, nodeId, tcpPort, unixS, challenge },
      signer,
      crypto,
    );
  }

  pollEvent(): DiscoveryEvent | undefined {
    return this.#events.shift();
  }

  pollDeadline(): number {
    let earliest = this.#nextBeaconMs;
    for (const known of this.#known.values()) {
      earliest = Math.min(earliest, known.lastSeenMs + this.#config.limits.peerStaleMs);
    }
    return earliest;
  }

  /** False: there is no room for it. */
  #see(nodeId: string, address: Address, nowMs: number): boolean {
    const { limits } = this.#config;
    let known = this.#known.get(nodeId);
    if (!known) {
      if (this.#known.size >= limits.maxDiscoveredPeers) return false;
      known = { lastSeenMs: nowMs, addresses: new Set() };
      this.#known.set(nodeId, known);
    }
    known.lastSeenMs = nowMs;
    const text = `${address.host}:${address.port}`;
    if (!known.addresses.has(text)) {
      if (known.addresses.size >= limits.maxAddressesPerPeer) return false;
      known.addresses.add(text);
    }
    this.#events.push({ kind: "found", nodeId, address });
    return true;
  }

  #refuse(reason: BeaconRefusal, from: Address, skewS: number | undefined): void {
    const count = (this.#refused.get(reason)?.count ?? 0) + 1;
    const record = { count, lastAddress: from.host };
    this.#refused.set(reason, skewS === undefined ? record : { ...record, skewS });
  }
}

/** "3 signed with another key, 1 with a clock 94 s off", or undefined when none was refused. */
export function describeRefused(refused: ReadonlyMap<BeaconRefusal, RefusedBeacons>): string | undefined {
  const phrases: Record<BeaconRefusal, (record: RefusedBeacons) => string> = {
    length: () => "of another length",
    community: () => "of another community",
    signature: () => "with another key",
    clock: (record) => `with a clock ${Math.abs(record.skewS ?? 0)} s off`,
    replay: () => "repeated",
    nodeRate: () => "too often from one node",
    addressRate: () => "too often from one address",
    port: () => "with port 0",
    table: () => "for which there was no room",
    overload: () => "s in which more came than are read",
  };
  const parts = [...refused].map(([reason, record]) => `${record.count} ${phrases[reason](record)}`);
  return parts.length === 0 ? undefined : parts.join(", ");
}
