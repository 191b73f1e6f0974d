/**
 * What arrives in one session: streams of v1, or those of x1 once both sides have shown that they have them; and what
 * becomes of them when the connection ends.
 */
import { type AsocError, ConnectionError, type LimitError } from "../errors.ts";
import type { TensorMemory } from "../tensor/memory_account.ts";
import type { CapsRecord } from "../wire/records/caps.ts";
import { connectionLost, incomplete, tooSlow } from "./faults.ts";
import { Inbound } from "./inbound.ts";
import type { ByteQuota, InboundContext } from "./inbound_context.ts";
import { InboundTensors } from "./inbound_tensors.ts";
import { maxStreamsOf } from "./negotiation.ts";
import { ReaderPause } from "./reader_pause.ts";
import type { RecordSender } from "./record_sender.ts";
import type { SessionEvents } from "./session_events.ts";
import type { SessionConfig } from "./session_types.ts";
import { NO_BOOK } from "./transfer_book.ts";

export class Arrivals {
  readonly #config: SessionConfig;
  readonly #context: InboundContext;
  readonly #sender: RecordSender;
  readonly #events: SessionEvents;
  readonly #v1: Inbound;
  #tensors: InboundTensors | undefined;
  #streams: Inbound | InboundTensors;
  readonly pause = new ReaderPause();

  constructor(config: SessionConfig, sender: RecordSender, events: SessionEvents) {
    this.#config = config;
    this.#context = { pool: config.pool, limits: config.limits, copiedBytes: 0, refusal: config.refusal };
    this.#sender = sender;
    this.#events = events;
    this.#v1 = new Inbound(this.#context, config.limits, {
      started: (stream) => events.emit({ kind: "stream", stream }),
      changed: (stream) => events.signal(stream),
      failed: (streamId, error) => events.emit({ kind: "streamFailed", streamId, error }),
    });
    this.#streams = this.#v1;
  }

  /** Streams that arrive now, of whichever kind. */
  get streams(): Inbound | InboundTensors {
    return this.#streams;
  }
  /** The same where both sides have tensor streams. */
  get tensors(): InboundTensors | undefined {
    return this.#tensors;
  }
  get openStreams(): number {
    return this.#streams.openStreams;
  }
  /** Bytes that moved because a buffer grew or the way of reading changed. */
  get grownBytes(): number {
    return this.#context.copiedBytes;
  }

  /** Where tensors lie from now on. */
  useMemory(memory: TensorMemory): void {
    this.#context.pool = memory;
  }

  /** What the other side may send in all. */
  useQuota(quota: ByteQuota | undefined): void {
    this.#context.quota = quota;
  }

  /** Tensor streams take the place of those of v1. */
  useTensors(peer: CapsRecord): void {
    const { role, limits, crypto, bookOf, x1 } = this.#config;
    const maxStreams = x1 ? maxStreamsOf(x1, limits) : limits.maxInboundStreams;
    const events = this.#events;
    this.#tensors = new InboundTensors(
      role,
      this.#context,
      limits,
      maxStreams,
      crypto,
      bookOf?.(peer.uuid) ?? NO_BOOK,
      {
        started: (stream) => events.emit({ kind: "stream", stream }),
        resumed: (stream) => events.emit({ kind: "resumed", stream }),
        changed: (stream) => events.signal(stream),
        failed: (streamId, error) => events.emit({ kind: "streamFailed", streamId, error }),
        say: (streamId, record) => this.#sender.say(streamId, record),
      },
    );
    this.#streams = this.#tensors;
  }

  /** After the end of reading, with `error` or in order: memory goes back, open streams fail. */
  letGo(error: AsocError | undefined, nowMs: number): void {
    this.#streams.skip(); // a stream that was given up in the middle of a payload still has its memory
    if (this.#streams.openStreams > 0) this.fail(error, nowMs);
  }

  /** The connection has ended, with `error` or in order: open streams fail, or can go on elsewhere. */
  fail(error: AsocError | undefined, nowMs: number): void {
    if (this.#tensors) this.#cutTensors(this.#tensors, error ?? connectionLost(undefined));
    else this.#failV1(error, nowMs);
  }

  /** Tensors may come whole on another connection, unless it is this side that does not go on. */
  #cutTensors(tensors: InboundTensors, error: AsocError): void {
    // A FIN in mid-frame is what the kernel, or a relay, makes of a sender that died.
    const broken = error instanceof ConnectionError || error.code === "ASOC_TRUNCATED_FRAME";
    for (const stream of tensors.takeOpen()) {
      if (broken) this.#events.emit({ kind: "cut", stream, error });
      else tensors.settleFailed(stream, incomplete(stream, error));
    }
  }

  #failV1(error: AsocError | undefined, nowMs: number): void {
    const slow = this.pause.mayHaveStalled(this.#config.limits.sendStallMs, nowMs);
    this.#v1.failAll((stream) =>
      slow && error?.code !== "ASOC_CONSUMER_TOO_SLOW" ? this.tooSlow(stream.id) : incomplete(stream, error),
    );
  }

  /** Why a pause of our own readers ends a stream, or the connection. */
  tooSlow(streamId?: number): LimitError {
    const { pool, readerBehind } = this.#context;
    return tooSlow(readerBehind === true, this.#config.limits, pool, streamId);
  }
}
