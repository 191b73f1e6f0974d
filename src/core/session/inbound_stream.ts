/**
 * One tensor on its way in: its memory, and the three ways to read it.
 *
 * Assembled (the default): one contiguous buffer that grows by size classes,
 * since a v1 stream does not say its length. Into the caller's memory: the same
 * without growth. Chunk by chunk: buffers are handed on as they fill; nothing is copied.
 * A change of way takes effect at the next read, because the memory that a read
 * was given belongs to the socket until it is committed.
 */
import type { AsocError, LimitError } from "../errors.ts";
import { CHUNK_BYTES, MIN_WRITE_BYTES } from "../limits.ts";
import type { PooledBuffer } from "../tensor/buffer_pool.ts";
import type { InboundContext } from "./inbound_context.ts";
import { budgetUsedUp, cannotAssemble, intoTooSmall } from "./inbound_faults.ts";
import type { Segment } from "./tensor_segments.ts";

/** Some bytes of a tensor; the taker gives them to `releasePiece`. `buffer` is undefined when they lie in the caller's own memory. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly buffer: PooledBuffer | undefined;
  /** Where they lie, for tensors of x1; `buffer` is undefined then. */
  readonly segment?: Segment;
}

/** A whole tensor: `buffer` is undefined when the bytes are the caller's own memory. */
export interface Whole {
  readonly bytes: Uint8Array;
  readonly buffer: PooledBuffer | undefined;
}

type Way = "assemble" | "into" | "chunks" | "discard";

export class InboundStream {
  readonly id: number;
  readonly #context: InboundContext;
  #way: Way = "assemble";
  #asked: { way: Way; memory?: Uint8Array } | undefined;
  #buffer: PooledBuffer | undefined;
  #memory: Uint8Array | undefined;
  #filled = 0;
  /** Length of its first frame, as far as it is read at once. */
  #firstBytes = 0;
  /** Where the unread bytes of the current buffer begin (chunks). */
  #readFrom = 0;
  #full: Piece[] = [];
  /** Capacity that a chunk reader has been given or could take (chunks). */
  #aheadBytes = 0;
  #taken = false;
  receivedBytes = 0;
  /** END has come: nothing follows. */
  ended = false;
  error: AsocError | undefined;
  /** @internal The next seq that is in order. */
  expectedSeq = 0;
  /** @internal The reader wants a `readable` event for bytes, not only for the end. */
  wantsBytes = false;
  /** @internal A `readable` event is queued. */
  signalled = false;

  constructor(id: number, context: InboundContext) {
    this.id = id;
    this.#context = context;
  }

  /** Whether a reader has come. */
  get claimed(): boolean {
    return this.#taken;
  }

  /** True when a reader of chunks could take something now. */
  get hasPieces(): boolean {
    return this.#full.length > 0 || (this.#way === "chunks" && this.#filled > this.#readFrom);
  }

  /**
   * Memory for up to `remainingBytes` of a payload. Undefined when there is no room now.
   * Throws LimitError when there never will be: the stream has failed then.
   */
  target(remainingBytes: number): Uint8Array | undefined {
    if (this.#asked) this.#applyAsked();
    if (this.#way === "into") return this.#intoTarget(remainingBytes);
    if (this.#way === "chunks") return this.#chunkTarget(remainingBytes);
    const total = this.receivedBytes + remainingBytes;
    const cap = this.#context.limits.maxTensorBytes;
    if (total > cap) throw cannotAssemble(this.id, `over ${cap} bytes`, cap, total);
    if (!this.#buffer || this.#filled === this.#buffer.size) {
      if (!this.#grow(remainingBytes)) return undefined;
    }
    return this.#buffer?.bytes.subarray(this.#filled, this.#filled + remainingBytes);
  }

  /** True when the next target will be elsewhere than the last one said. */
  get moved(): boolean {
    return this.#asked !== undefined;
  }

  /** `byteCount` bytes lie at the start of the last target. */
  filled(byteCount: number): void {
    this.#filled += byteCount;
    this.receivedBytes += byteCount;
  }

  /** The bytes go to `memory` from now on; those that came before are copied there. */
  readInto(memory: Uint8Array): void {
    this.#claim();
    this.#asked = { way: "into", memory };
  }

  /** @internal Memory chosen before the first byte; a reader may still claim the whole. */
  prepareInto(memory: Uint8Array): void {
    this.#asked = { way: "into", memory };
  }

  /** The bytes are handed on as they come. */
  readChunks(): void {
    this.#claim();
    this.#asked = { way: "chunks" };
    // The buffer stays the same, so what has come need not wait for the next read.
    if (this.#way === "assemble") this.#applyAsked();
  }

  /** The bytes are assembled; says only that a reader has come. */
  readWhole(): void {
    this.#claim();
  }

  #claim(): void {
    if (this.#taken) throw new TypeError(`Cannot read stream ${this.id}: it has a reader already`);
    this.#taken = true;
  }

  /** Nobody wants it: memory is given back as soon as the socket does not hold it. */
  discard(): void {
    this.#asked = { way: "discard" };
    this.#taken = true;
  }

  get discarded(): boolean {
    return this.#asked?.way === "discard" || this.#way === "discard";
  }

  /** @internal END has come, or the socket has let go of its buffer. Throws when `into` is too small. */
  finish(): void {
    this.ended = true;
    if (this.#asked) this.#applyAsked();
    if (this.#way === "chunks" && this.#buffer) this.#handOn();
    this.#buffer?.delivered();
    if (this.#way === "assemble" && this.#firstBytes > 0) {
      this.#context.pool.sizeHints.set(Math.clz32(this.#firstBytes), this.receivedBytes);
    }
  }

  /** @internal It ends here with `error`. Memory goes back unless pieces of it can still be taken. */
  fail(error: AsocError): void {
    this.error ??= error;
    this.ended = true;
  }

  /** @internal The socket holds none of its memory any more. */
  dropMemory(): void {
    for (const piece of this.#full) piece.buffer?.release();
    this.#full = [];
    this.#buffer?.release();
    this.#buffer = undefined;
    this.#memory = undefined;
    this.#filled = 0;
    this.#readFrom = 0;
    this.#asked = undefined;
    this.#way = "discard";
  }

  /** The whole tensor, once `ended` without `error`; the taker releases the buffer. Throws when `into` is too small. */
  takeWhole(): Whole {
    try {
      if (this.#asked) this.#applyAsked();
    } catch (error) {
      this.dropMemory();
      throw error;
    }
    const buffer = this.#buffer;
    const source = this.#memory ?? buffer?.bytes;
    const bytes = source ? source.subarray(0, this.#filled) : new Uint8Array(0);
    this.#buffer = undefined;
    this.#memory = undefined;
    if (buffer) this.#context.pool.watch(buffer);
    return { bytes, buffer };
  }

  /** The next bytes in order for a reader of chunks, or undefined when none are here. */
  takePiece(): Piece | undefined {
    if (this.#asked && this.ended) this.#applyAsked();
    const full = this.#full.shift();
    if (full) return full;
    if (this.#way !== "chunks" || !this.#buffer || this.#filled === this.#readFrom) return undefined;
    const bytes = this.#buffer.bytes.subarray(this.#readFrom, this.#filled);
    this.#buffer.retain();
    this.#readFrom = this.#filled;
    this.#aheadBytes += bytes.byteLength;
    return { bytes, buffer: this.#buffer };
  }

  /** The taker of a piece is done with it. */
  releasePiece(piece: Piece): void {
    this.#aheadBytes -= piece.bytes.byteLength;
    piece.buffer?.release();
  }

  #intoTarget(remainingBytes: number): Uint8Array {
    const memory = this.#memory as Uint8Array; // set together with the way
    if (this.#filled + remainingBytes > memory.byteLength) throw this.#intoTooSmall(remainingBytes);
    return memory.subarray(this.#filled, this.#filled + remainingBytes);
  }

  #intoTooSmall(moreBytes: number): LimitError {
    const got = this.#filled + moreBytes;
    return intoTooSmall(this.id, this.#memory?.byteLength ?? 0, got, `at least ${got}`);
  }

  #chunkTarget(remainingBytes: number): Uint8Array | undefined {
    if (this.#buffer && this.#filled === this.#buffer.size) this.#handOn();
    if (!this.#buffer) {
      if (this.#aheadBytes >= this.#context.limits.maxChunkAheadBytes) {
        this.#context.readerBehind = true;
        return undefined;
      }
      this.#buffer = this.#context.pool.acquire(
        Math.min(CHUNK_BYTES, Math.max(remainingBytes, MIN_WRITE_BYTES)),
      );
      if (!this.#buffer) return this.#wait();
      this.#filled = 0;
      this.#readFrom = 0;
    }
    return this.#buffer.bytes.subarray(this.#filled, this.#filled + remainingBytes);
  }

  /** The current buffer is full: what is unread of it waits for the reader. */
  #handOn(): void {
    const buffer = this.#buffer as PooledBuffer; // callers have checked
    this.#buffer = undefined;
    buffer.delivered();
    if (this.#filled > this.#readFrom) this.#queue(buffer.bytes, buffer);
    else buffer.release();
    this.#filled = 0;
    this.#readFrom = 0;
  }

  #queue(memory: Uint8Array, buffer: PooledBuffer | undefined): void {
    const bytes = memory.subarray(this.#readFrom, this.#filled);
    this.#full.push({ bytes, buffer });
    this.#aheadBytes += bytes.byteLength;
  }

  /** False when there is no room for a larger buffer now. */
  #grow(remainingBytes: number): boolean {
    const { pool } = this.#context;
    const old = this.#buffer;
    if (!old) this.#firstBytes = Math.min(remainingBytes, CHUNK_BYTES);
    // The header's word is trusted for one chunk, the peer's last size for a share of what is free.
    const word = Math.min(remainingBytes, CHUNK_BYTES);
    const last = pool.sizeHints.get(Math.clz32(this.#firstBytes)) ?? 0;
    const hint = Math.min(last, Math.floor((pool.freeBytes * 3) / 4));
    let larger: PooledBuffer | undefined;
    if (!old) larger = pool.acquire(Math.max(word, hint)) ?? pool.acquire(word);
    else {
      // Always by a share of what is there, or a tight budget would make growth quadratic.
      for (const factor of [2, 1.5, 1.25]) {
        const wanted = Math.min(Math.ceil(old.size * factor), pool.budgetBytes);
        larger ??= pool.acquire(wanted);
      }
    }
    if (!larger) return this.#wait() ?? false;
    if (old) {
      larger.bytes.set(old.bytes.subarray(0, this.#filled));
      this.#context.copiedBytes += this.#filled;
      old.release(false); // the next tensor of this kind begins with the size that this one ends with
    }
    this.#buffer = larger;
    return true;
  }

  /** There is no room until somebody releases memory. Throws when nobody holds any that could be released. */
  #wait(): undefined {
    const { pool } = this.#context;
    this.#context.readerBehind = false;
    if (pool.releasePossible) return undefined;
    throw budgetUsedUp(this.id, pool.budgetBytes);
  }

  /** Changes the way of reading. No read is under way. */
  #applyAsked(): void {
    const asked = this.#asked as { way: Way; memory?: Uint8Array }; // callers have checked
    this.#asked = undefined;
    const before = this.#memory; // the caller's, given earlier
    if (asked.way === "into") {
      const memory = asked.memory as Uint8Array; // set by readInto
      this.#memory = memory;
      this.#way = "into";
      if (this.#filled > memory.byteLength) throw this.#intoTooSmall(0);
      const source = before ?? this.#buffer?.bytes;
      if (source && this.#filled > 0 && source !== memory) {
        memory.set(source.subarray(0, this.#filled));
        this.#context.copiedBytes += this.#filled;
      }
      this.#buffer?.release();
      this.#buffer = undefined;
    } else if (asked.way === "chunks") {
      this.#way = "chunks";
      if (before) {
        if (this.#filled > 0) this.#queue(before, undefined);
        this.#memory = undefined;
        this.#filled = 0;
      }
      if (this.#buffer && this.ended) this.#handOn();
    } else {
      this.dropMemory();
    }
  }
}
