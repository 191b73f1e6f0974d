/** What users configure a node with, hear of it, and can count: types, and the hub that hands events out. */

import type { AccessOptions } from "./access/rules.ts";
import type { AuditCount } from "./audit/audit_event.ts";
import type { AuditListener } from "./audit/audit_trail.ts";
import type { KeyEntry } from "./auth/key_ring.ts";
import { Channel } from "./channel.ts";
import type { BeaconRefusal, RefusedBeacons } from "./discovery/discovery.ts";
import type { AsocError } from "./errors.ts";
import type { KeyChange, KeyStore } from "./key_options.ts";
import type { Limits, Timing } from "./limits.ts";
import type { Address, TlsConfig } from "./runtime.ts";
import type { SendReport } from "./send_plan.ts";
import type { TensorDescription } from "./session/description.ts";
import type { SessionCounters } from "./session/session_types.ts";
import type { Peer, SwarmEvent } from "./swarm/swarm.ts";
import type { TapCounters } from "./topics/taps.ts";

/** A node's configuration, complete and checked. `join` makes it. */
export interface NodeConfig {
  readonly nodeId: Uint8Array;
  readonly community: string;
  readonly keys: readonly KeyEntry[];
  /** See `JoinOptions.rotation`. */
  readonly rotation: "accept" | "refuse";
  /** See `JoinOptions.keyStore`. */
  readonly keyStore?: KeyStore | undefined;
  readonly host: string;
  readonly port: number;
  readonly peers: readonly Address[];
  readonly discovery: boolean;
  readonly discoveryPort: number;
  readonly limits: Limits & Timing;
  /** See `JoinOptions.legacy`. */
  readonly legacy: "allow" | "deny";
  /** See `JoinOptions.extension`. */
  readonly extension: boolean;
  /** See `JoinOptions.takesTensors`. */
  readonly takesTensors: boolean;
  /** TLS for all connections of the node, and then none without; undefined: none. */
  readonly tls?: TlsConfig | undefined;
  /** See `JoinOptions.tap`. */
  readonly tap: readonly string[];
  /** See `JoinOptions.access`. */
  readonly access?: AccessOptions | undefined;
  /** See `JoinOptions.audit`. */
  readonly audit?: AuditListener | undefined;
  /** See `JoinOptions.detachReleased`. */
  readonly detachReleased: boolean;
  /** Memory for a tensor that begins to arrive, so that not even its first chunk is copied; undefined: pooled. */
  readonly memoryFor?:
    | ((start: {
        readonly peer: Peer;
        readonly streamId: number;
        /** Undefined where the peer speaks only v1. */
        readonly description: TensorDescription | undefined;
      }) => Uint8Array | undefined)
    | undefined;
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
  /** A session over TLS with a peer that neither a certificate nor a proof vouches for: whoever is on the path may read it. */
  | { readonly kind: "unverified"; readonly peer: Peer }
  /** The keys of this node have changed: by its user, by a rotation, or because one's time was over (RFC-0102). */
  | {
      readonly kind: "key";
      readonly change: KeyChange;
      readonly keyId: string;
      readonly epoch: number;
      /** Whose rotation it was. */
      readonly peer: Peer | undefined;
      /** Whether a store has it; else it is forgotten with this process. */
      readonly kept: boolean;
      /** Why it was refused, or not kept. */
      readonly error: unknown;
    }
  /**
   * Tensors of the peer have waited for memory for `memoryWaitMs`, because readers here hold what there is. They go on waiting;
   * `error` is ASOC_MEMORY_BUDGET and names the limit. Told once, until something of the peer's comes again.
   */
  | { readonly kind: "starved"; readonly peer: Peer; readonly error: AsocError }
  | { readonly kind: "streamStarted"; readonly peer: Peer; readonly streamId: number }
  | {
      readonly kind: "streamFailed";
      readonly peer: Peer;
      readonly streamId: number;
      readonly error: AsocError;
    };

/** Counters since the start. */
export interface NodeStats extends SessionCounters {
  readonly connections: number;
  readonly memoryUsedBytes: number;
  readonly memoryIdleBytes: number;
  /** Tensor buffers that were used again, and those that were fresh. */
  readonly buffersReused: number;
  readonly buffersAllocated: number;
  /** Copies for peers that tap (x1). */
  readonly taps: TapCounters;
  /** Tensors that a subscription had no room for. */
  readonly subscriptionsDropped: number;
  readonly refusedConnections: Readonly<Record<string, number>>;
  /** Security events by name, outcome and reason, whether they were told or not (RFC-0103). */
  readonly audited: readonly AuditCount[];
  /** Those that readers of `audit()` were too slow for. */
  readonly auditDropped: number;
  /** Our own beacons that came back: broadcast works here. */
  readonly ownBeacons: number;
  readonly refusedBeacons: ReadonlyMap<BeaconRefusal, RefusedBeacons>;
}

/** The settled outcome of `sendAll` for one peer. */
export interface SendOutcome {
  readonly peer: Peer;
  readonly report: SendReport | undefined;
  readonly error: unknown;
}

/** Hands events to every reader that has subscribed. */
export class EventHub {
  readonly #maxQueued: number;
  readonly #channels = new Set<Channel<NodeEvent>>();
  #closed = false;

  constructor(maxQueued: number) {
    this.#maxQueued = maxQueued;
  }

  /** All events from now on; a reader that is too slow loses the oldest. */
  subscribe(): AsyncIterable<NodeEvent> {
    const channel = new Channel<NodeEvent>(this.#maxQueued);
    if (this.#closed) channel.close();
    else this.#channels.add(channel);
    return channel;
  }

  emit(event: NodeEvent): void {
    for (const channel of this.#channels) channel.push(event);
  }

  close(): void {
    this.#closed = true;
    for (const channel of this.#channels) channel.close();
    this.#channels.clear();
  }
}
