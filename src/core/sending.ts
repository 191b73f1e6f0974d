/** Sending from a node: one tensor to one peer or to several, with copies for those who tap its topic. */
import { deliver, isBreak, unknownOutcome } from "./delivery.ts";
import { AsocError } from "./errors.ts";
import type { Limits, Timing } from "./limits.ts";
import type { SendOutcome } from "./node_events.ts";
import { type Outgoing, sendTo } from "./outgoing.ts";
import type { ConnectionRoads } from "./roads.ts";
import type { Runtime } from "./runtime.ts";
import { type SendOptions, SendPlan, type SendReport, TransferIds } from "./send_plan.ts";
import type { TensorDescription } from "./session/description.ts";
import type { Peer, Swarm } from "./swarm/swarm.ts";
import { dtypeName } from "./tensor/dtype.ts";
import { describeSource, type Rereadable, type TensorData, type TensorSource } from "./tensor/source.ts";
import type { Tapping } from "./topics/tapping.ts";
import { seenByAll, type Traffic, watchedDelivery } from "./traffic.ts";

/** What a copy for a tap says of the tensor that it is a copy of. */
export type Carried = SendOptions & Pick<TensorData, "dtype" | "shape">;

export class Sending {
  readonly #runtime: Runtime;
  readonly #limits: Limits & Timing;
  readonly #swarm: Swarm;
  readonly #roads: ConnectionRoads;
  readonly #tapping: Tapping<Carried>;
  readonly #traffic: Traffic;
  readonly #transferIds: TransferIds;

  constructor(
    runtime: Runtime,
    limits: Limits & Timing,
    swarm: Swarm,
    roads: ConnectionRoads,
    tapping: Tapping<Carried>,
    traffic: Traffic,
  ) {
    this.#runtime = runtime;
    this.#limits = limits;
    this.#swarm = swarm;
    this.#roads = roads;
    this.#tapping = tapping;
    this.#traffic = traffic;
    this.#transferIds = new TransferIds(runtime.crypto);
  }

  /** See `AsocNode.send`. */
  async send(peer: string | Peer, source: TensorSource, options: SendOptions): Promise<SendReport> {
    const { signal } = options;
    signal?.throwIfAborted();
    const id = typeof peer === "string" ? peer : peer.id;
    const plan = this.#plan(source, options, [id]);
    const { memory, reader, parts } = plan.described;
    if (!parts) return this.#deliver(id, (memory ?? reader) as Rereadable, plan, options); // one of the three is there
    const [outcome] = await this.#sendParts([id], parts, plan, options);
    if (!outcome?.report) throw outcome?.error;
    return outcome.report;
  }

  /** See `AsocNode.sendAll`. */
  async sendAll(
    source: TensorSource,
    options: SendOptions & { readonly to?: readonly (string | Peer)[] },
  ): Promise<SendOutcome[]> {
    options.signal?.throwIfAborted();
    const targets = options.to ?? this.#swarm.everyone();
    const plan = this.#plan(source, options, targets);
    const { memory, reader, parts } = plan.described;
    if (!parts) {
      const one = (memory ?? reader) as Rereadable; // one of the three is there
      return Promise.all(targets.map((to) => this.#outcome(to, one, plan, options)));
    }
    return this.#sendParts(targets, parts, plan, options);
  }

  /** A tensor was received whole: peers may have asked for copies. */
  passed(peer: Peer, description: TensorDescription, bytes: Uint8Array): void {
    if (!this.#tapping.any) return;
    const { topic, priority } = description;
    const carry = carried(description, description.dtype, description.shape);
    this.#tapping.pass({ topic, priority, parties: [peer.id], bytes, carry }, this.#runtime.clock.nowMs());
  }

  #plan(source: TensorSource, options: SendOptions, targets: readonly (string | Peer)[]): SendPlan {
    const { crypto, clock } = this.#runtime;
    const plan = new SendPlan(describeSource(source), options, crypto, clock.nowMs(), this.#transferIds);
    const { memory, dtype, shape } = plan.described;
    const { topic = "" } = options;
    const { priority } = plan;
    if (this.#tapping.any && memory && topic !== "" && priority > 0) {
      const parties = targets.map((to) =>
        typeof to === "string" ? (this.#swarm.findPeer(to)?.id ?? to) : to.id,
      );
      const carry = carried({ ...options, topic }, dtype && dtypeName(dtype), shape);
      this.#tapping.pass({ topic, priority, parties, bytes: memory, carry }, clock.nowMs());
    }
    return plan;
  }

  #deliver(id: string, source: Rereadable, plan: SendPlan, options: SendOptions): Promise<SendReport> {
    const watched = this.#traffic.leaving(this.#swarm.findPeer(id), plan, options);
    const { clock } = this.#runtime;
    if (!watched) return deliver(this.#roads, clock, this.#limits, id, source, plan, options);
    return watchedDelivery(watched, source, options, (seen, moved) =>
      deliver(this.#roads, clock, this.#limits, id, seen, plan, moved),
    );
  }

  /** An iterable is read once, for all of them. Throws what opening a stream to one who is named by a string throws. */
  async #sendParts(
    targets: readonly (string | Peer)[],
    parts: NonNullable<SendPlan["described"]["parts"]>,
    plan: SendPlan,
    options: SendOptions,
  ): Promise<SendOutcome[]> {
    const outcomes: SendOutcome[] = [];
    const outgoing: Outgoing[] = [];
    for (const to of targets) {
      try {
        outgoing.push(this.#roads.open(typeof to === "string" ? to : to.id, options, plan));
      } catch (error) {
        if (error instanceof AsocError && typeof to !== "string") {
          outcomes.push({ peer: to, report: undefined, error });
          continue;
        }
        for (const one of outgoing) one.abandon();
        throw error;
      }
    }
    for (const one of outgoing) one.watched = this.#traffic.leaving(one.peer, plan, options);
    const errors = await sendTo(outgoing, seenByAll(outgoing, parts), options.signal);
    for (const [index, one] of outgoing.entries()) {
      one.release();
      const { tensor, endSent } = one.stream;
      const broke = tensor && endSent && isBreak(errors[index]);
      const error = broke ? unknownOutcome(one.peer.id, errors[index]) : errors[index];
      const report = error === undefined ? one.report(plan) : undefined;
      if (report) one.watched?.sent(report);
      else one.watched?.failed(error);
      outcomes.push({ peer: one.peer, report, error });
    }
    return outcomes;
  }

  async #outcome(
    to: string | Peer,
    source: Rereadable,
    plan: SendPlan,
    options: SendOptions,
  ): Promise<SendOutcome> {
    const peer = typeof to === "string" ? this.#roads.peer(to) : to;
    try {
      const report = await this.#deliver(peer.id, source, plan, options);
      return { peer: report.peer, report, error: undefined };
    } catch (error) {
      return { peer, report: undefined, error };
    }
  }
}

/** What a copy says of the tensor that it is a copy of. */
function carried(
  said: Pick<TensorDescription, "topic"> & {
    readonly [Said in "metadata" | "step" | "shard" | "traceparent"]?: TensorDescription[Said];
  },
  dtype: string | undefined,
  shape: readonly number[],
): Carried {
  const { topic, metadata, step, shard, traceparent } = said;
  return {
    topic,
    dtype,
    shape,
    ...(metadata === undefined ? {} : { metadata }),
    ...(step === undefined ? {} : { step }),
    ...(shard === undefined ? {} : { shard }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
