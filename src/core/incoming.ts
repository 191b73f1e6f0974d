/** What users hold of a tensor that arrives: `IncomingStream`, `Tensor`. */
import type { Driver } from "./driver.ts";
import { type AsocError, ClosedError } from "./errors.ts";
import type { InboundStream, Piece, Whole } from "./session/inbound_stream.ts";
import type { Peer } from "./swarm/swarm.ts";

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

  /** @internal */
  constructor(peer: Peer, streamId: number, whole: Whole, released: () => void) {
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
  readonly #driver: Driver;
  readonly #stream: InboundStream;
  #wake: (() => void) | undefined;
  /** Who sends it, as known when it started. */
  readonly peer: Peer;

  /** @internal */
  constructor(driver: Driver, stream: InboundStream, peer: Peer) {
    this.#driver = driver;
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
  /** True when all of it has come, or it failed. */
  get ended(): boolean {
    return this.#stream.ended;
  }
  /** Why it failed, if it did. */
  get error(): AsocError | undefined {
    return this.#stream.error;
  }

  /** @internal The driver has news of it. */
  notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /**
   * The whole tensor, once its END has come. Release it when done.
   *
   * Rejects with ASOC_INCOMPLETE_STREAM when the connection ends first, ASOC_SEQUENCE_GAP or ASOC_STREAM_ABANDONED
   * by the sender's fault, ASOC_TENSOR_TOO_LARGE or ASOC_MEMORY_BUDGET at a limit, ASOC_CONSUMER_TOO_SLOW,
   * and with the signal's reason.
   */
  async tensor(options: TensorOptions = {}): Promise<Tensor> {
    const { into, signal, onProgress } = options;
    signal?.throwIfAborted();
    if (into) this.#stream.readInto(into);
    else this.#stream.readWhole();
    this.#stream.wantsBytes = onProgress !== undefined;
    this.#driver.room(); // the caller's memory may be what the connection waits for
    while (!this.#stream.ended) {
      await this.#news(signal);
      onProgress?.(this.#stream.receivedBytes);
    }
    if (this.#stream.error) throw this.#stream.error;
    const whole = this.#stream.takeWhole();
    return new Tensor(this.peer, this.streamId, whole, () => this.#driver.room());
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
    this.#driver.room(); // read so, it may have room at once
    let held: Piece | undefined;
    try {
      for (;;) {
        const piece = this.#stream.error ? undefined : this.#stream.takePiece();
        if (piece) {
          held = piece;
          yield piece.bytes;
          this.#stream.releasePiece(piece);
          held = undefined;
          this.#driver.room();
        } else if (this.#stream.error) throw this.#stream.error;
        else if (this.#stream.ended) return;
        else await this.#news(signal);
      }
    } finally {
      if (held) this.#stream.releasePiece(held);
      if (!this.#stream.ended || this.#stream.hasPieces) this.#give();
    }
  }

  /** Gives it up: what still comes is thrown away, its memory is free. The sender does not learn of it (v1). */
  cancel(): void {
    if (this.#stream.discarded) return;
    this.#give();
    const wake = this.#wake;
    this.#wake = undefined;
    if (wake) {
      this.#stream.fail(new ClosedError("ASOC_CANCELLED", `Stream ${this.streamId} was given up here`));
      wake();
    }
  }

  #give(): void {
    const ended = this.#stream.ended;
    this.#stream.discard();
    if (ended) this.#stream.dropMemory(); // no read of the socket can be under way any more
    this.#driver.room();
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
