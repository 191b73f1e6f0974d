/** What users hold of a tensor that arrives: `IncomingStream`, `Tensor`. */
import { AsocError, ClosedError } from "./errors.ts";
import type { TensorDescription } from "./session/description.ts";
import type { Piece, Whole } from "./session/inbound_stream.ts";
import { InboundTensor } from "./session/inbound_tensor.ts";
import type { ArrivingStream } from "./session/session_types.ts";
import type { Peer } from "./swarm/swarm.ts";
import { parseDType } from "./tensor/dtype.ts";
import { type TensorArray, typedView } from "./tensor/typed_view.ts";
import type { WatchedStream } from "./traffic.ts";

/** Who carries a stream: its connection, or the node while it has none. */
export interface StreamCarrier {
  /** A reader has made room. */
  room(): void;
  /** Nobody wants it; its sender reads `reason`, where the wire can say so. */
  giveUp(stream: ArrivingStream, reason: string): void;
  /** It cannot be taken. */
  refuse(stream: InboundTensor, error: AsocError): void;
}

/**
 * The bytes of one whole tensor. They lie in pooled memory, or in the caller's own.
 *
 * Release it when done (`using`, or `release()`): the memory serves the next tensor then.
 * `bytes` may not be touched afterwards.
 */
export class Tensor {
  readonly #whole: Whole;
  readonly #released: () => void;
  #done = false;
  /** Who sent it. */
  readonly peer: Peer;
  readonly streamId: number;
  /** What its sender said of it; undefined where the peer speaks only v1. */
  readonly description: TensorDescription | undefined;

  /** @internal */
  constructor(
    peer: Peer,
    streamId: number,
    whole: Whole,
    released: () => void,
    description?: TensorDescription,
  ) {
    this.description = description;
    this.peer = peer;
    this.streamId = streamId;
    this.#whole = whole;
    this.#released = released;
  }

  /** The tensor's bytes, in order. Throws ASOC_RELEASED after release. */
  get bytes(): Uint8Array {
    if (this.#done)
      throw new ClosedError(
        "ASOC_RELEASED",
        `Cannot read tensor of stream ${this.streamId}: it was released`,
      );
    return this.#whole.bytes;
  }

  get topic(): string {
    return this.description?.topic ?? "";
  }
  /** A name such as "float32"; undefined: bytes without a type. */
  get dtype(): string | undefined {
    return this.description?.dtype;
  }
  /** Empty for a scalar and for bytes without a type. */
  get shape(): readonly number[] {
    return this.description?.shape ?? [];
  }
  /** What the sender said of it beside that. */
  get metadata(): unknown {
    return this.description?.metadata;
  }

  /**
   * Its elements as JavaScript has them: see `typedView`. Bytes without a type are a Uint8Array. It shares the tensor's
   * memory, so it may not be used after release.
   */
  get data(): TensorArray {
    const { dtype } = this;
    return dtype === undefined ? this.bytes : typedView(parseDType(dtype), this.bytes);
  }

  /** Gives the memory back. Again is harmless. */
  release(): void {
    if (this.#done) return;
    this.#done = true;
    this.#whole.buffer?.release();
    this.#released();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

export interface TensorOptions {
  /**
   * Memory that the tensor goes to instead of pooled memory. It belongs to the stream until the promise settles.
   * Bytes that came before this call are copied there; the rest lands there directly. Too small: ASOC_TENSOR_TOO_LARGE.
   */
  readonly into?: Uint8Array;
  readonly signal?: AbortSignal;
  /** Called with the bytes received so far, as they come. */
  readonly onProgress?: (receivedBytes: number) => void;
}

/** A tensor on its way in. Read it in one way: `tensor()` or `chunks()`; `cancel()` gives it up. */
export class IncomingStream {
  #carrier: StreamCarrier;
  readonly #stream: ArrivingStream;
  readonly #assembled: (tensor: Tensor) => void;
  readonly #watched: WatchedStream | undefined;
  #wake: (() => void) | undefined;
  /** Who sends it, as known when it started. */
  readonly peer: Peer;

  /** @internal */
  constructor(
    carrier: StreamCarrier,
    stream: ArrivingStream,
    peer: Peer,
    assembled: (tensor: Tensor) => void = () => {},
    watched?: WatchedStream,
  ) {
    this.#assembled = assembled;
    this.#watched = watched;
    this.#carrier = carrier;
    this.#stream = stream;
    this.peer = peer;
  }

  /** Its number on its connection. */
  get streamId(): number {
    return this.#stream.id;
  }
  get receivedBytes(): number {
    return this.#stream.receivedBytes;
  }
  /** What its sender said of it, before its first byte; undefined where the peer speaks only v1. */
  get description(): TensorDescription | undefined {
    return this.#stream instanceof InboundTensor ? this.#stream.description : undefined;
  }
  /** May be empty. */
  get topic(): string {
    return this.description?.topic ?? "";
  }
  /** A name such as "float32"; undefined: bytes without a type. */
  get dtype(): string | undefined {
    return this.description?.dtype;
  }
  /** Empty for a scalar and for bytes without a type. */
  get shape(): readonly number[] {
    return this.description?.shape ?? [];
  }
  /** Undefined: not known before the end. */
  get totalBytes(): number | undefined {
    return this.description?.totalBytes;
  }
  /** What the sender said of it beside that. */
  get metadata(): unknown {
    return this.description?.metadata;
  }
  /** True when all of it has come, or it failed. */
  get ended(): boolean {
    return this.#stream.ended;
  }
  /** It has a reader: nobody else can read it. */
  get claimed(): boolean {
    return this.#stream.claimed;
  }
  /** Why it failed, if it did. */
  get error(): AsocError | undefined {
    return this.#stream.error;
  }

  /** @internal The stream itself. */
  get arriving(): ArrivingStream {
    return this.#stream;
  }

  /** @internal What those see of it who watch the node. */
  get watched(): WatchedStream | undefined {
    return this.#watched;
  }

  /** @internal Its connection broke, or another one carries it now. */
  moveTo(carrier: StreamCarrier): void {
    this.#carrier = carrier;
  }

  /** @internal The carrier has news of it. */
  notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /**
   * The whole tensor, once its END has come. Release it when done.
   *
   * Rejects with ASOC_INCOMPLETE_STREAM when the connection ends first and the rest does not come, ASOC_RESET or
   * ASOC_STREAM_ABANDONED when the sender gives it up, ASOC_DEADLINE, ASOC_DIGEST_MISMATCH, ASOC_SEQUENCE_GAP, ASOC_TENSOR_TOO_LARGE or ASOC_MEMORY_BUDGET at a limit, ASOC_CONSUMER_TOO_SLOW,
   * and with the signal's reason.
   */
  async tensor(options: TensorOptions = {}): Promise<Tensor> {
    const { into, signal, onProgress } = options;
    signal?.throwIfAborted();
    try {
      if (into) this.#stream.readInto(into);
      else this.#stream.readWhole();
    } catch (error) {
      if (error instanceof AsocError && this.#stream instanceof InboundTensor) {
        if (this.#stream.ended) this.#stream.dropMemory();
        else this.#carrier.refuse(this.#stream, error);
      }
      throw error;
    }
    this.#stream.wantsBytes = onProgress !== undefined;
    this.#carrier.room(); // the caller's memory may be what the connection waits for
    while (!this.#stream.ended) {
      await this.#news(signal);
      onProgress?.(this.#stream.receivedBytes);
    }
    if (this.#stream.error) throw this.#stream.error;
    const whole = this.#stream.takeWhole();
    this.#carrier.room(); // memory of the connection's own window is back
    const { peer, streamId, description } = this;
    const tensor = new Tensor(peer, streamId, whole, () => this.#carrier.room(), description);
    this.#watched?.data(tensor.bytes);
    this.#assembled(tensor);
    return tensor;
  }

  /**
   * Its bytes in order as they come, never assembled and never copied. Each part is
   * valid until the next one is asked for. Rejects as `tensor()` does; what was
   * yielded before an error is not the whole tensor.
   */
  async *chunks(
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal } = options;
    signal?.throwIfAborted();
    this.#stream.readChunks();
    this.#stream.wantsBytes = true;
    this.#carrier.room(); // read so, it may have room at once
    let held: Piece | undefined;
    try {
      for (;;) {
        const piece = this.#stream.error ? undefined : this.#stream.takePiece();
        if (piece) {
          held = piece;
          this.#watched?.data(piece.bytes);
          yield piece.bytes;
          this.#stream.releasePiece(piece);
          held = undefined;
          this.#carrier.room();
        } else if (this.#stream.error) throw this.#stream.error;
        else if (this.#stream.ended) return;
        else await this.#news(signal);
      }
    } finally {
      if (held) this.#stream.releasePiece(held);
      if (!this.#stream.ended || this.#stream.hasPieces) this.#give();
    }
  }

  /**
   * Gives it up: what still comes is thrown away, its memory is free. The sender's `send` rejects with ASOC_STOPPED and
   * `reason`; with v1 it does not learn of it.
   */
  cancel(reason = "its receiver does not want it"): void {
    if (this.#stream.discarded) return;
    this.#give(reason);
    const wake = this.#wake;
    this.#wake = undefined;
    if (wake) {
      this.#stream.fail(new ClosedError("ASOC_CANCELLED", `Stream ${this.streamId} was given up here`));
      wake();
    }
  }

  #give(reason = "its receiver does not want the rest"): void {
    const { ended } = this.#stream;
    if (ended)
      this.#stream.dropMemory(); // no read of the socket can be under way any more
    else this.#carrier.giveUp(this.#stream, reason);
    this.#carrier.room();
  }

  #news(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#wake = undefined;
        this.#give();
        reject(signal?.reason);
      };
      this.#wake = () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) abort();
    });
  }
}
