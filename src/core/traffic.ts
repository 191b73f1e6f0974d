/**
 * What passes through a node, for whoever watches it: a gateway, a monitor.
 *
 * A node that nobody observes does nothing for it. Observers see bytes where a local reader takes them or a send hands
 * them over, so watching slows no connection by itself; what an observer does in a call, it does at the tensor's expense.
 */
import type { SendOptions, SendPlan, SendReport } from "./send_plan.ts";
import { InboundTensor } from "./session/inbound_tensor.ts";
import type { ArrivingStream } from "./session/session_types.ts";
import type { Peer } from "./swarm/swarm.ts";
import { dtypeName } from "./tensor/dtype.ts";
import type { Rereadable } from "./tensor/source.ts";
import { toHex } from "./wire/bytes.ts";

/** One tensor to or from one peer. A live object: its numbers move. */
export interface TrafficStream {
  /** Unique in this node since its start. */
  readonly id: number;
  readonly direction: "in" | "out";
  /** As known when it began. */
  readonly peer: Peer;
  /** Its number on its connection; 0 until that is known. */
  readonly streamId: number;
  /** 16 hex digits, the same for all targets of one `sendAll`; undefined where a v0.1 peer sends it. */
  readonly transferId: string | undefined;
  /** May be empty. */
  readonly topic: string;
  readonly dtype: string | undefined;
  readonly shape: readonly number[];
  /** Undefined: not known before the end. */
  readonly totalBytes: number | undefined;
  readonly metadata: unknown;
  readonly priority: number;
  /** Unix times in ms. */
  readonly startedAtMs: number;
  readonly endedAtMs: number | undefined;
  /** Received, or in the kernel. */
  readonly movedBytes: number;
  /** "done": received whole and checked, or as `send` promises. */
  readonly state: "live" | "done" | "failed";
  /** Why it failed. */
  readonly error: unknown;
  /** Such as "crc32:0a1b2c3d"; undefined before the end, or without one. */
  readonly digest: string | undefined;
  /** How often its connection broke. */
  readonly cuts: number;
}

/** Its calls must be quick and may not throw. */
export interface TrafficObserver {
  /** True: its bytes are wanted, through `data`. */
  started?(stream: TrafficStream): boolean | undefined;
  /**
   * Bytes from `offset` on, in order, without gaps, from 0; valid during the call only. Of a received tensor they come as its
   * reader takes them, which may be after `ended`; of one that is sent from memory all at once, when it has been sent. None
   * come of a transfer that was begun before this program was.
   */
  data?(stream: TrafficStream, bytes: Uint8Array, offset: number): void;
  /** It is done or has failed. */
  ended?(stream: TrafficStream): void;
}

type Facts = Pick<
  TrafficStream,
  | "direction"
  | "peer"
  | "transferId"
  | "topic"
  | "dtype"
  | "shape"
  | "totalBytes"
  | "metadata"
  | "priority"
  | "startedAtMs"
>;

/** A stream as those see it who move it. */
export class WatchedStream implements TrafficStream {
  readonly id: number;
  readonly direction: "in" | "out";
  readonly peer: Peer;
  readonly transferId: string | undefined;
  readonly topic: string;
  readonly dtype: string | undefined;
  readonly shape: readonly number[];
  readonly totalBytes: number | undefined;
  readonly metadata: unknown;
  readonly priority: number;
  readonly startedAtMs: number;
  streamId = 0;
  #movedBytes = 0;
  /** Whose bytes are counted, while it arrives. */
  #arriving: ArrivingStream | undefined;
  cuts = 0;
  endedAtMs: number | undefined;
  state: "live" | "done" | "failed" = "live";
  error: unknown;
  digest: string | undefined;
  readonly #traffic: Traffic;
  readonly #readers: TrafficObserver[] = [];
  #seenBytes = 0;

  /** Only `Traffic` makes these. */
  constructor(traffic: Traffic, id: number, facts: Facts, observers: Iterable<TrafficObserver>) {
    this.#traffic = traffic;
    this.id = id;
    this.direction = facts.direction;
    this.peer = facts.peer;
    this.transferId = facts.transferId;
    this.topic = facts.topic;
    this.dtype = facts.dtype;
    this.shape = facts.shape;
    this.totalBytes = facts.totalBytes;
    this.metadata = facts.metadata;
    this.priority = facts.priority;
    this.startedAtMs = facts.startedAtMs;
    for (const observer of observers) {
      if (observer.started?.(this) === true && observer.data) this.#readers.push(observer);
    }
  }

  get movedBytes(): number {
    return this.#arriving?.receivedBytes ?? this.#movedBytes;
  }
  set movedBytes(byteCount) {
    this.#movedBytes = byteCount;
  }

  /** Somebody wants its bytes. */
  get wantsData(): boolean {
    return this.#readers.length > 0;
  }

  /** `bytes` lie at `offset` of the tensor; what was seen before, after a cut, is left out. */
  data(bytes: Uint8Array, offset = this.#seenBytes): void {
    if (!this.wantsData) return;
    if (offset > this.#seenBytes) {
      this.#readers.length = 0; // its beginning went before
      return;
    }
    const fresh = bytes.subarray(this.#seenBytes - offset);
    if (fresh.byteLength === 0 && this.totalBytes !== 0) return;
    const at = this.#seenBytes;
    this.#seenBytes += fresh.byteLength;
    for (const reader of this.#readers) reader.data?.(this, fresh, at);
  }

  /** `parts` begin at `offset` of the tensor: those who want its bytes see them pass. */
  async *seen(parts: Parts, offset = 0): AsyncGenerator<Uint8Array, void, undefined> {
    let at = offset;
    for await (const part of parts) {
      if (part instanceof Uint8Array) {
        this.data(part, at);
        at += part.byteLength;
      }
      yield part;
    }
  }

  /** It is `stream` that arrives. */
  follow(stream: ArrivingStream): void {
    this.#arriving = stream;
    this.streamId = stream.id;
  }

  sent({ streamId, bytes, digest, cuts }: SendReport): void {
    this.streamId = streamId;
    this.movedBytes = bytes;
    this.digest = digest;
    this.cuts = cuts;
    this.#end("done");
  }

  /** It arrives no more; whole, unless its stream has an error. */
  received(): void {
    const stream = this.#arriving;
    if (stream instanceof InboundTensor) this.digest = stream.digestText;
    if (stream?.error) this.failed(stream.error);
    else this.#end("done");
  }

  failed(error: unknown): void {
    this.error = error;
    this.#end("failed");
  }

  #end(state: "done" | "failed"): void {
    if (this.state !== "live") return;
    this.state = state;
    this.movedBytes = this.#arriving?.receivedBytes ?? this.#movedBytes;
    this.#arriving = undefined;
    this.#traffic.ended(this);
  }
}

export class Traffic {
  readonly #unixMs: () => number;
  readonly #observers = new Set<TrafficObserver>();
  readonly #live = new Set<WatchedStream>();
  #lastId = 0;

  constructor(unixMs: () => number) {
    this.#unixMs = unixMs;
  }

  /** Streams that began while somebody observed, and have not ended. */
  get live(): readonly TrafficStream[] {
    return [...this.#live];
  }

  /** Streams that begin from now on; the function that is returned ends it. */
  observe(observer: TrafficObserver): () => void {
    this.#observers.add(observer);
    return () => {
      this.#observers.delete(observer);
    };
  }

  /** A tensor begins to arrive. Undefined: nobody observes. */
  arriving(peer: Peer, stream: ArrivingStream): WatchedStream | undefined {
    if (this.#observers.size === 0) return undefined;
    const said = stream instanceof InboundTensor ? stream.description : undefined;
    const watched = this.#begin({
      direction: "in",
      peer,
      transferId: said?.transferId,
      topic: said?.topic ?? "",
      dtype: said?.dtype,
      shape: said?.shape ?? [],
      totalBytes: said?.totalBytes,
      metadata: said?.metadata,
      priority: said?.priority ?? 0,
      startedAtMs: this.#unixMs(),
    });
    watched.follow(stream);
    this.#live.add(watched);
    return watched;
  }

  /** A tensor is sent to one peer. Undefined: nobody observes. */
  leaving(
    peer: Peer | undefined,
    plan: SendPlan,
    { topic = "", metadata }: SendOptions,
  ): WatchedStream | undefined {
    if (this.#observers.size === 0 || !peer) return undefined;
    const { dtype, shape, totalBytes } = plan.described;
    const watched = this.#begin({
      direction: "out",
      peer,
      transferId: toHex(plan.transferId),
      topic,
      dtype: dtype && dtypeName(dtype),
      shape,
      totalBytes,
      metadata,
      priority: plan.priority,
      startedAtMs: this.#unixMs(),
    });
    this.#live.add(watched);
    return watched;
  }

  #begin(facts: Facts): WatchedStream {
    return new WatchedStream(this, ++this.#lastId, facts, this.#observers);
  }

  /** @internal `watched` is done or has failed. */
  ended(watched: WatchedStream): void {
    watched.endedAtMs = this.#unixMs();
    if (!this.#live.delete(watched)) return;
    for (const observer of this.#observers) observer.ended?.(watched);
  }
}

/** One send from bytes that can be read again, for those who watch it. */
export async function watchedDelivery(
  watched: WatchedStream,
  source: Rereadable,
  options: SendOptions,
  deliver: (source: Rereadable, options: SendOptions) => Promise<SendReport>,
): Promise<SendReport> {
  const onProgress = (sentBytes: number, peer: Peer) => {
    watched.movedBytes = sentBytes;
    options.onProgress?.(sentBytes, peer);
  };
  const isMemory = source instanceof Uint8Array;
  const seen = isMemory || !watched.wantsData ? source : (from: number) => watched.seen(source(from), from);
  try {
    const report = await deliver(seen, { ...options, onProgress });
    if (isMemory) watched.data(source, 0);
    watched.sent(report);
    return report;
  } catch (error) {
    watched.failed(error);
    throw error;
  }
}

/** Parts on their way to several: each that is watched sees them. */
export function seenByAll(
  outgoing: readonly { readonly watched: WatchedStream | undefined }[],
  parts: Parts,
): Parts {
  return outgoing.reduce<Parts>(
    (seen, { watched }) => (watched?.wantsData ? watched.seen(seen) : seen),
    parts,
  );
}

type Parts = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
