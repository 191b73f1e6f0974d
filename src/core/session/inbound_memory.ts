/**
 * The memory of one tensor of x1 on its way in: a list of segments (`tensor_segments.ts`), and what may be reserved for
 * what has not come.
 *
 * That is its initial credit, in the connection's window; then the whole tensor at once, as soon as the pool has room, or
 * the caller's own memory; or, read chunk by chunk, some segments ahead of the reader.
 *
 * Memory that a read was given belongs to the socket, so what has come moves only in `target()` and after the end.
 */
import type { LimitError } from "../errors.ts";
import { CHUNK_BYTES, EAGER_TENSOR_BYTES, MIN_BUFFER_BYTES, UNKNOWN_LENGTH_BYTES } from "../limits.ts";
import { sizeClass } from "../tensor/buffer_pool.ts";
import type { MemoryContext } from "./inbound_context.ts";
import { outgrown, overBudget } from "./inbound_faults.ts";
import type { Piece, Whole } from "./inbound_stream.ts";
import { joinInto, retire, type Segment, segmentOf } from "./tensor_segments.ts";

type Way = "assemble" | "chunks" | "discard";

export class InboundMemory {
  readonly #totalBytes: number | undefined;
  #streamId: number;
  #context: MemoryContext;
  #way: Way = "assemble";
  #segments: Segment[] = [];
  /** Tensor offset of the first segment. */
  #firstOffset = 0;
  /** Memory that takes the place of all segments when nothing is with the socket. */
  #next: Segment | undefined;
  #complete = false;
  /** Capacity of segments that left the list and of which a reader still holds a piece. */
  #heldPieceBytes = 0;
  #received = 0;
  #wanted = false;
  /** It does not say its length, has filled what it has, and nobody may be waited for: one byte more is too many. */
  #full = false;

  /** `totalBytes`: undefined when nobody knows how much will come. */
  constructor(streamId: number, totalBytes: number | undefined, context: MemoryContext) {
    this.#streamId = streamId;
    this.#totalBytes = totalBytes;
    this.#context = context;
  }

  /** It goes on as stream `streamId` of another connection. */
  resume(streamId: number, context: MemoryContext): void {
    this.#streamId = streamId;
    this.#context = context;
  }

  /** Bytes of the tensor that have come, from byte 0 without a gap. */
  get receivedBytes(): number {
    return this.#received;
  }
  /** The memory for all of it is there. */
  get complete(): boolean {
    return this.#complete;
  }
  /** It waits for memory that somebody may release. */
  get wanted(): boolean {
    return this.#wanted;
  }
  get discarded(): boolean {
    return this.#way === "discard";
  }
  get hasPieces(): boolean {
    const first = this.#segments[0];
    return this.#way === "chunks" && first !== undefined && first.filled > first.read;
  }
  /** Tensor memory that it holds. */
  get heldBytes(): number {
    let held = this.#next?.size ?? 0;
    for (const { size } of this.#segments) held += size;
    return held;
  }
  /** True when the next target will be elsewhere than the last one said. */
  get moved(): boolean {
    return this.#next !== undefined;
  }
  /** Tensor offset up to which the other side may send. */
  get grantableEnd(): number {
    // One byte more than can be stored shows that a tensor that does not say its length is too long.
    return this.#storableEnd + (this.#bounded ? 1 : 0);
  }

  /** Tensor offset up to which there is memory. */
  get #storableEnd(): number {
    if (this.#next) return this.#next.size;
    let end = this.#firstOffset;
    for (const { size } of this.#segments) end += size;
    return Math.min(end, this.#totalBytes ?? end);
  }

  /** The segment that the next bytes go to. */
  get #filling(): Segment | undefined {
    const [first] = this.#segments;
    if (first && first.filled < first.size) return first;
    return this.#segments.find(({ filled, size }) => filled < size);
  }

  /** It does not say its length, and there will be no more memory than there is. */
  get #bounded(): boolean {
    if (this.#totalBytes !== undefined || this.#way !== "assemble") return false;
    return this.#complete || this.#full || this.#storableEnd >= this.#context.session.limits.maxTensorBytes;
  }

  // --- bytes that come

  /** See `FrameConsumer.payloadTarget`. Throws ASOC_TENSOR_TOO_LARGE when that is more than there may be. */
  target(remainingBytes: number, spareBytes: number): Uint8Array {
    this.move();
    let segment = this.#filling;
    if (!segment) {
      if (this.#full) throw this.#overBudget(remainingBytes);
      if (this.#bounded) throw outgrown(this.#streamId, this.#storableEnd);
      segment = this.#plainSegment(remainingBytes);
    }
    const end = segment.filled + remainingBytes;
    // Of a tensor whose length is known: what lies behind its end may be its reader's own.
    const lastEnd = Math.min(segment.size, segment.filled + (this.#totalBytes ?? 0) - this.#received);
    return segment.memory.subarray(segment.filled, end + spareBytes <= lastEnd ? end + spareBytes : end);
  }

  /** Plain memory for `byteCount` more bytes. It takes in shorter segments before it, so that tiny frames do not make a list of them. */
  #plainSegment(byteCount: number): Segment {
    const joined: Segment[] = [];
    let length = byteCount;
    for (let last = this.#segments.at(-1); last; last = this.#segments.at(-1)) {
      if (!last.window || last.read > 0 || last.size > length) break;
      length += last.size;
      joined.unshift(last);
      this.#segments.pop();
    }
    const segment = segmentOf(new Uint8Array(length), undefined, this.#context.window);
    segment.filled = joinInto(segment.memory, joined);
    if (joined.length > 0) this.#context.session.copiedBytes += segment.filled;
    for (const one of joined) retire(one);
    this.#segments.push(segment);
    return segment;
  }

  /** The first `byteCount` bytes of the last target, which `filled` has not heard of. */
  arrived(byteCount: number): Uint8Array {
    const { memory, filled } = this.#expectFilling(byteCount);
    return memory.subarray(filled, filled + byteCount);
  }

  /** `byteCount` bytes lie at the start of the last target. */
  filled(byteCount: number): void {
    this.#expectFilling(byteCount).filled += byteCount;
    this.#received += byteCount;
  }

  #expectFilling(byteCount: number): Segment {
    const segment = this.#filling;
    if (!segment) throw new RangeError(`filled: ${byteCount} bytes without a target`);
    return segment;
  }

  /** What has come moves to the memory that is to hold it. No read is under way. */
  move(): void {
    const next = this.#next;
    if (!next) return;
    this.#next = undefined;
    next.filled = joinInto(next.memory, this.#segments);
    this.#context.session.copiedBytes += next.filled;
    for (const segment of this.#segments) retire(segment);
    this.#segments = [next];
  }

  /** All of it has come. */
  finish(): void {
    if (this.#way === "assemble" && this.#segments.length > 1) {
      // Never more than the initial credit: all else was granted against memory in one piece.
      this.#next = segmentOf(new Uint8Array(this.#received), undefined, this.#context.window);
      this.move();
    }
    if (this.#way === "chunks") this.dropRead();
    for (const { buffer } of this.#segments) buffer?.delivered();
  }

  // --- its reader

  /** The caller's own memory takes the place of what there is. */
  use(memory: Uint8Array): void {
    this.#adopt(segmentOf(memory), true);
  }

  /** From now on it is read chunk by chunk. */
  readChunks(): void {
    this.#way = "chunks";
    const next = this.#next;
    if (!next) return;
    // What has come stays where it is; the rest of the new memory follows behind it.
    this.#next = undefined;
    const from = this.#segments.reduce((sum, { size }) => sum + size, 0);
    this.#segments.push({ ...next, memory: next.memory.subarray(from), size: next.size - from });
  }

  /** The whole tensor, once all of it has come; the taker releases the buffer. */
  takeWhole(): Whole {
    const [segment] = this.#segments; // finish() has joined them
    this.#segments = [];
    if (!segment) return { bytes: new Uint8Array(0), buffer: undefined };
    const { memory, size, buffer, window, filled } = segment;
    window?.giveBack(size);
    if (buffer) this.#context.session.pool.watch(buffer);
    return { bytes: memory.subarray(0, filled), buffer };
  }

  /** The next bytes in order, or undefined when none are here. `ended`: nothing follows. */
  takePiece(ended: boolean): Piece | undefined {
    const segment = this.#segments[0];
    if (this.#way !== "chunks" || !segment || segment.filled === segment.read) return undefined;
    const bytes = segment.memory.subarray(segment.read, segment.filled);
    segment.read = segment.filled;
    segment.pieces++;
    const full = segment.filled === segment.size;
    if (full || ended) {
      this.#segments.shift();
      this.#firstOffset += segment.filled;
      this.#heldPieceBytes += segment.size;
      segment.gone = true;
    }
    return { bytes, buffer: undefined, segment };
  }

  /** The taker of a piece is done with it. True when memory went back. */
  releasePiece({ segment }: Piece): boolean {
    if (!segment) return false;
    segment.pieces--;
    if (!segment.gone || segment.pieces > 0) return false;
    retire(segment);
    this.#heldPieceBytes -= segment.size;
    return true;
  }

  /** Segments go that hold nothing that a reader of chunks has not had. */
  dropRead(): void {
    const unread = this.#segments.filter(({ filled, read }) => filled > read);
    for (const segment of this.#segments) {
      if (unread.includes(segment)) continue;
      if (segment.pieces > 0) this.#heldPieceBytes += segment.size;
      retire(segment);
    }
    this.#segments = unread;
  }

  /** Nobody wants it; what there is stays until `drop`, because the socket may hold it. */
  discard(): void {
    this.#way = "discard";
  }

  /** All of it goes back. */
  drop(): void {
    for (const segment of this.#segments) retire(segment);
    if (this.#next) retire(this.#next);
    this.#segments = [];
    this.#next = undefined;
    this.#way = "discard";
    this.#wanted = false;
  }

  // --- memory for what has not come

  /** Gets what memory there is for it. `claimed`: a reader has come. Throws ASOC_MEMORY_BUDGET where there will be none. */
  reserve(claimed: boolean): void {
    this.#wanted = false;
    if (this.#way === "discard") return;
    if (this.#way === "chunks") this.#reserveAhead();
    else if (this.#complete) return;
    else if (this.#totalBytes === undefined) this.#reserveMore();
    else this.#reserveWhole(this.#totalBytes, claimed);
  }

  #reserveWhole(totalBytes: number, claimed: boolean): void {
    const { pool, limits } = this.#context.session;
    if (totalBytes === 0 || totalBytes > limits.maxTensorBytes) return;
    if (totalBytes > EAGER_TENSOR_BYTES && !claimed) {
      // Its reader may want chunks; until then it does not use up the connection's window.
      const { initialBytes } = this.#context.window;
      const wanted = Math.min(initialBytes, totalBytes);
      // Never what the rest of it would then lack: it would wait for itself.
      const spare = this.#segments.length === 0 && pool.freeBytes >= totalBytes + sizeClass(wanted);
      const first = spare ? pool.acquire(wanted) : undefined;
      if (first) this.#adopt(segmentOf(first.bytes, first), false);
      return;
    }
    const buffer = pool.acquire(totalBytes);
    if (buffer) this.#adopt(segmentOf(buffer.bytes, buffer), true);
    else this.#await(totalBytes);
  }

  /** It does not say how long it is: twice the memory whenever half is used, so that its sender need not wait. */
  #reserveMore(): void {
    const { pool, limits } = this.#context.session;
    const capacity = this.#storableEnd;
    if (this.#received * 2 < capacity) return;
    const wanted = Math.min(
      Math.max(
        2 * capacity,
        Math.min(2 * this.#context.window.initialBytes, UNKNOWN_LENGTH_BYTES),
        MIN_BUFFER_BYTES,
      ),
      limits.maxTensorBytes,
    );
    if (wanted <= capacity) return;
    const buffer = wanted <= pool.budgetBytes ? pool.acquire(wanted) : undefined;
    this.#wanted = buffer === undefined;
    this.#full = false;
    if (buffer) this.#adopt(segmentOf(buffer.bytes, buffer), false);
    else if (this.#received < capacity)
      return; // it may be enough
    else if (capacity > 0 && !pool.releasePossible) this.#full = true;
    else this.#await(wanted);
  }

  #reserveAhead(): void {
    const totalBytes = this.#totalBytes ?? Number.POSITIVE_INFINITY;
    const { pool, limits } = this.#context.session;
    // Where nobody knows how much will come, as much again as has come.
    const unknown = totalBytes === Number.POSITIVE_INFINITY;
    const most = Math.min(limits.maxChunkAheadBytes, unknown ? CHUNK_BYTES + this.#received : totalBytes);
    let aheadBytes = this.#heldPieceBytes;
    for (const { size } of this.#segments) aheadBytes += size;
    for (;;) {
      const left = totalBytes - this.#storableEnd;
      const wanted = Math.min(CHUNK_BYTES, left);
      if (left <= 0 || aheadBytes + wanted > Math.max(most, wanted)) return;
      const buffer = pool.acquire(wanted);
      if (!buffer) {
        this.#await(wanted);
        return;
      }
      // No longer than is left, so that the last segment is full at the end.
      const segment = segmentOf(buffer.bytes.subarray(0, Math.min(buffer.bytes.length, left)), buffer);
      this.#segments.push(segment);
      aheadBytes += segment.size;
    }
  }

  /** There is no room until somebody releases memory. Throws when nobody holds any. */
  #await(wantedBytes: number): void {
    this.#wanted = true;
    if (this.#context.session.pool.unused) throw this.#overBudget(wantedBytes);
  }

  #overBudget(wantedBytes: number): LimitError {
    return overBudget(this.#streamId, wantedBytes, this.#context.session.pool.budgetBytes);
  }

  #adopt(segment: Segment, complete: boolean): void {
    if (this.#next) retire(this.#next);
    this.#next = undefined;
    // Without a segment no read has been given any memory.
    if (this.#segments.length === 0 && this.#received === 0) this.#segments.push(segment);
    else this.#next = segment;
    this.#complete = complete;
  }
}
