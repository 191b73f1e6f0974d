/** Topics as a node uses them: who reads the tensors that arrive, and the copies that are asked for, of it and by it. */
import type { AuditTrail } from "./audit/audit_trail.ts";
import { Channel } from "./channel.ts";
import { ClosedError } from "./errors.ts";
import { tapEntryOf } from "./event_audit.ts";
import type { IncomingStream } from "./incoming.ts";
import type { NodeConfig } from "./node_events.ts";
import type { Clock } from "./runtime.ts";
import type { SendOptions } from "./send_plan.ts";
import type { Carried } from "./sending.ts";
import type { Peer } from "./swarm/swarm.ts";
import type { TensorSource } from "./tensor/source.ts";
import { type Subscription, Subscriptions } from "./topics/subscriptions.ts";
import { Tapping } from "./topics/tapping.ts";
import type { TapRecord, UntapRecord } from "./wire/records/tap.ts";

interface Tools {
  /** A copy for a peer. */
  send(peerId: string, source: TensorSource, options: SendOptions): Promise<unknown>;
  /** Asks a peer for copies, or for no more of them. */
  ask(peerId: string, record: TapRecord | UntapRecord): void;
}

export class NodeTopics {
  readonly #config: NodeConfig;
  readonly #clock: Clock;
  readonly #trail: AuditTrail;
  readonly #subscriptions = new Subscriptions<IncomingStream>();
  /** Ends copies for taps. */
  readonly #copying = new AbortController();
  readonly incoming: Channel<IncomingStream>;
  readonly tapping: Tapping<Carried>;

  constructor(config: NodeConfig, clock: Clock, trail: AuditTrail, tools: Tools) {
    const { limits } = config;
    this.#config = config;
    this.#clock = clock;
    this.#trail = trail;
    this.incoming = new Channel(limits.maxQueuedStreams);
    this.tapping = new Tapping(
      { allowed: config.tap, limits },
      (id, data, { dtype, shape, ...options }) =>
        tools.send(id, dtype === undefined ? data : { data, dtype, shape }, {
          ...options,
          priority: 0,
          signal: this.#copying.signal,
        }),
      (id, record) => tools.ask(id, record),
    );
  }

  /** Tensors that subscriptions had no room for. */
  get dropped(): number {
    return this.#subscriptions.dropped;
  }

  /** A tensor begins to arrive; false: nobody has room for it. */
  handleArrived(stream: IncomingStream): boolean {
    const taken = this.#subscriptions.offer(stream.topic, stream) > 0;
    if (taken && !this.incoming.hasReader) return true;
    if (this.incoming.full) return taken;
    this.incoming.push(stream);
    return true;
  }

  /** A peer wants copies of tensors, or no more of them. */
  handleTapAsked(peer: Peer, record: TapRecord | UntapRecord): void {
    const granted = this.tapping.handleAsked(peer.id, record, this.#clock.nowMs());
    if (record.kind === "tap") this.#trail.note(tapEntryOf(peer, record.glob, granted), peer.address.host);
  }

  /** See `AsocNode.subscribe`. */
  subscribe(glob: string): Subscription<IncomingStream> {
    return this.#subscriptions.subscribe(glob, this.#config.limits.maxQueuedStreams);
  }

  /** Copies for taps are given up. */
  beginClose(): void {
    this.#copying.abort(new ClosedError("ASOC_CLOSED", "The node is closing"));
  }

  /** Nothing arrives any more. */
  close(): void {
    this.incoming.close();
    this.#subscriptions.close();
  }
}
