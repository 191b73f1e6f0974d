/**
 * The receiving half of a session: which stream a frame belongs to, and whether it is in order.
 *
 *   idle ── DATA 0 ──▶ open ── DATA n (in order) ──▶ open ── END n ──▶ idle
 *     │                  └── any other seq, or no room ──▶ failed ── END ──▶ idle
 *     └── any other seq ──▶ failed
 *
 * A failed stream's frames are skipped until its END; the connection lives (RFC-0001, Streams).
 */
import { AsocError, ProtocolError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { FrameType, type Header } from "../wire/header.ts";
import type { InboundContext } from "./inbound_context.ts";
import { beyondQuota, sequenceGap, tooManyLeftOpen, tooManyStreams } from "./inbound_faults.ts";
import { InboundStream } from "./inbound_stream.ts";
import { ABANDON_SEQ } from "./outbound.ts";
import { scratch } from "./scratch.ts";

/** What the session hears of its streams. */
export interface InboundEvents {
  started(stream: InboundStream): void;
  /** Bytes came that a reader waits for, or it ended. */
  changed(stream: InboundStream): void;
  failed(streamId: number, error: AsocError): void;
}

export class Inbound {
  readonly #context: InboundContext;
  readonly #limits: Limits;
  readonly #events: InboundEvents;
  readonly #open = new Map<number, InboundStream>();
  readonly #failed = new Set<number>();
  /** The stream whose payload is being read; undefined: it is skipped. */
  #current: InboundStream | undefined;
  #bytes = 0;

  constructor(context: InboundContext, limits: Limits, events: InboundEvents) {
    this.#context = context;
    this.#limits = limits;
    this.#events = events;
  }

  get openStreams(): number {
    return this.#open.size;
  }
  get payloadBytes(): number {
    return this.#bytes;
  }

  /** The following payload belongs to no stream. */
  skip(): void {
    this.#current = undefined;
  }

  /** A DATA or END header. Throws what ends the connection. */
  onHeader(header: Header): void {
    const { streamId: id, seq } = header;
    this.#current = undefined;
    if (id === 0) {
      throw new ProtocolError("ASOC_STREAM_ZERO", "Cannot read frame: DATA or END on stream 0", {
        details: { expected: "stream 1 or higher", got: 0 },
      });
    }
    const isEnd = header.type === FrameType.END;
    if (isEnd && header.payloadBytes > 0) {
      throw new ProtocolError(
        "ASOC_UNEXPECTED_FRAME",
        `Cannot read END of stream ${id}: ${header.payloadBytes} bytes of payload, expected 0`,
        { details: { streamId: id, expected: 0, got: header.payloadBytes } },
      );
    }
    if (this.#failed.has(id)) {
      if (isEnd) this.#failed.delete(id);
      return;
    }
    let stream = this.#open.get(id);
    const expected = stream?.expectedSeq ?? 0;
    // The last seq holds no chunk: END could not count it.
    if (seq !== expected || (seq === ABANDON_SEQ && !isEnd)) {
      this.#fail(id, stream, sequenceError(id, expected, seq), isEnd);
      return;
    }
    if (!stream) {
      if (this.#open.size >= this.#limits.maxInboundStreams) {
        this.#fail(id, undefined, tooManyStreams(id, this.#limits.maxInboundStreams), isEnd);
        return;
      }
      const refused = this.#context.refusal?.(undefined, 0);
      if (refused) {
        this.#fail(id, undefined, refused, isEnd);
        return;
      }
      stream = new InboundStream(id, this.#context);
      this.#open.set(id, stream);
      this.#events.started(stream);
    }
    const { quota } = this.#context;
    if (isEnd) this.#finish(stream);
    else if (quota && !quota.take(header.payloadBytes)) this.#fail(id, stream, beyondQuota(id), false);
    else {
      stream.expectedSeq++;
      this.#current = stream;
    }
  }

  /** See `FrameConsumer.payloadTarget`. */
  payloadTarget(remainingBytes: number): Uint8Array | undefined {
    const stream = this.#current;
    if (!stream) return scratch(remainingBytes);
    if (stream.discarded) {
      stream.dropMemory();
      return scratch(remainingBytes);
    }
    try {
      return stream.target(remainingBytes);
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      this.#fail(stream.id, stream, error, false);
      this.#current = undefined;
      return scratch(remainingBytes);
    }
  }

  /** See `FrameConsumer.targetMoved`. */
  get targetMoved(): boolean {
    return this.#current?.moved === true;
  }

  onPayload(byteCount: number): void {
    this.#bytes += byteCount;
    const stream = this.#current;
    if (!stream) return;
    if (stream.discarded) {
      stream.receivedBytes += byteCount;
      return;
    }
    stream.filled(byteCount);
    if (stream.wantsBytes) this.#events.changed(stream);
  }

  /** The connection is gone and the socket holds no memory: what is open fails as incomplete. */
  failAll(errorFor: (stream: InboundStream) => AsocError): void {
    for (const stream of this.#open.values()) {
      const error = errorFor(stream);
      stream.fail(error);
      stream.dropMemory();
      this.#events.failed(stream.id, error);
      this.#events.changed(stream);
    }
    this.#open.clear();
    this.#failed.clear();
    this.#current = undefined;
  }

  #finish(stream: InboundStream): void {
    this.#open.delete(stream.id);
    try {
      stream.finish();
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      stream.fail(error);
      stream.dropMemory();
      this.#events.failed(stream.id, error);
    }
    this.#events.changed(stream);
  }

  #fail(id: number, stream: InboundStream | undefined, error: AsocError, isEnd: boolean): void {
    this.#open.delete(id);
    if (!isEnd) {
      if (this.#failed.size >= this.#limits.maxInboundStreams) {
        throw tooManyLeftOpen(this.#limits.maxInboundStreams, "failed streams without END");
      }
      this.#failed.add(id);
    }
    this.#events.failed(id, error);
    if (stream) {
      stream.fail(error);
      stream.dropMemory();
      this.#events.changed(stream);
    }
  }
}

function sequenceError(streamId: number, expected: number, got: number): ProtocolError {
  if (got !== ABANDON_SEQ || expected === ABANDON_SEQ) return sequenceGap(streamId, expected, got);
  return new ProtocolError("ASOC_STREAM_ABANDONED", `Stream ${streamId} failed: the sender gave it up`, {
    details: { streamId, expected, got },
  });
}
