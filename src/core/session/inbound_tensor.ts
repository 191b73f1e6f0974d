/**
 * One tensor of x1 on its way in: its memory, its digest, and the three ways to read it (RFC-0005).
 *
 * It never makes its connection wait. What it may bring is what there is memory for: its initial credit, in the
 * connection's window; then the whole tensor at once, as soon as the pool has room, or the caller's own memory; or, read
 * chunk by chunk, some segments ahead of the reader. It outlives its connection: a resumed transfer goes on where it was.
 *
 * Memory that a read was given belongs to the socket, so what has come moves only in `target()` and after the end.
 */
import { type AsocError, LimitError, ProtocolError } from "../errors.ts";
import { CHUNK_BYTES, EAGER_TENSOR_BYTES, MIN_BUFFER_BYTES } from "../limits.ts";
import { sizeClass } from "../tensor/buffer_pool.ts";
import { equalBytes } from "../wire/bytes.ts";
import type { CloseRecord } from "../wire/records/close.ts";
import type { CreditWindow } from "./credit_window.ts";
import type { TensorDescription } from "./description.ts";
import { digestText, TensorDigest } from "./digest.ts";
import type { InboundContext, Piece, Whole } from "./inbound_stream.ts";
import { joinInto, retire, type Segment, segmentOf } from "./tensor_segments.ts";

type Way = "assemble" | "chunks" | "discard";

/** What a tensor needs to know of its connection; another one after a resume. */
export interface TensorContext extends InboundContext {
  readonly window: CreditWindow;
  /** A reader has done something: there may be more to grant. */
  readonly changed: (stream: InboundTensor) => void;
}

export class InboundTensor {
  readonly description: TensorDescription;
  readonly transferId: Uint8Array;
  readonly #digest: TensorDigest;
  #id: number;
  #context: TensorContext;
  #way: Way = "assemble";
  #taken = false;
  #segments: Segment[] = [];
  /** Tensor offset of the first segment. */
  #firstOffset = 0;
  /** Memory that takes the place of all segments when nothing is with the socket. */
  #next: Segment | undefined;
  /** The memory for all of it is there. */
  #complete = false;
  /** Capacity of segments that left the list and of which a reader still holds a piece. */
  #heldPieceBytes = 0;
  #received: number;
  #close: CloseRecord | undefined;
  /** Where in the tensor this connection's first byte lies. */
  baseOffset: number;
  /** Payload bytes that headers of this connection have announced, and how far they may go. */
  announcedBytes = 0;
  limitBytes: number;
  /** As of the last ACK. */
  ackedBytes: number;
  /** When it is of no use any more; Infinity: never. */
  deadlineAtMs = Number.POSITIVE_INFINITY;
  ended = false;
  error: AsocError | undefined;
  /** @internal The next seq that is in order. */
  expectedSeq = 0;
  /** @internal The reader wants a `readable` event for bytes, not only for the end. */
  wantsBytes = false;
  /** @internal A `readable` event is queued. */
  signalled = false;
  /** It waits for memory that somebody may release. */
  wantsMemory = false;

  constructor(
    id: number,
    description: TensorDescription,
    transferId: Uint8Array,
    context: TensorContext,
    crypto: ConstructorParameters<typeof TensorDigest>[1],
  ) {
    this.#id = id;
    this.description = description;
    this.transferId = transferId;
    this.#digest = new TensorDigest(description.digest, crypto);
    this.#context = context;
    this.baseOffset = this.#received = this.ackedBytes = 0;
    this.limitBytes = context.window.initialBytes;
  }

  /** Its number on its connection. */
  get id(): number {
    return this.#id;
  }
  /** Bytes of the tensor that have come, from byte 0 without a gap. */
  get receivedBytes(): number {
    return this.#received;
  }
  get hasPieces(): boolean {
    const first = this.#segments[0];
    return this.#way === "chunks" && first !== undefined && first.filled > first.read;
  }
  /** Its digest as people read it, once it has come whole. */
  get digestText(): string | undefined {
    if (!this.ended || this.error) return undefined;
    return digestText(this.description.digest, this.#digest.finish());
  }
  get discarded(): boolean {
    return this.#way === "discard";
  }
  /** Whether a reader has come. */
  get claimed(): boolean {
    return this.#taken;
  }
  /** Tensor memory that it holds. */
  get heldBytes(): number {
    let held = this.#next?.memory.length ?? 0;
    for (const { memory } of this.#segments) held += memory.length;
    return held;
  }

  // --- its connection

  /** It goes on as stream `id` of another connection, from where it is. */
  resume(id: number, context: TensorContext): void {
    this.#id = id;
    this.#context = context;
    this.baseOffset = this.ackedBytes = this.#received;
    this.announcedBytes = 0;
    this.expectedSeq = 0;
    this.limitBytes = context.window.initialBytes;
    this.#close = undefined;
  }

  /** What comes may be a reason to grant more: not all of it has been granted yet. */
  get mayGrant(): boolean {
    const { totalBytes } = this.description;
    return totalBytes === undefined || this.baseOffset + this.limitBytes < totalBytes;
  }

  /** How far this connection may go with what there is memory for now. */
  grant(): number {
    this.#reserve();
    // One byte more than can be stored shows that a tensor that does not say its length is too long.
    const end = this.#storableEnd + (this.#bounded ? 1 : 0);
    return Math.max(this.#context.window.initialBytes, end - this.baseOffset, this.limitBytes);
  }

  /** Memory for up to `remainingBytes` of a payload. Throws ASOC_TENSOR_TOO_LARGE when that is more than there may be. */
  target(remainingBytes: number): Uint8Array {
    this.#move();
    let segment = this.#filling;
    if (!segment) {
      if (this.#bounded) throw this.#tooLarge();
      segment = this.#plainSegment(remainingBytes);
    }
    return segment.memory.subarray(segment.filled, segment.filled + remainingBytes);
  }

  /** Plain memory for `byteCount` more bytes. It takes in shorter segments before it, so that tiny frames do not make a list of them. */
  #plainSegment(byteCount: number): Segment {
    const joined: Segment[] = [];
    let length = byteCount;
    for (let last = this.#segments.at(-1); last; last = this.#segments.at(-1)) {
      if (!last.window || last.read > 0 || last.memory.length > length) break;
      length += last.memory.length;
      joined.unshift(last);
      this.#segments.pop();
    }
    const segment = segmentOf(new Uint8Array(length), undefined, this.#context.window);
    segment.filled = joinInto(segment.memory, joined);
    if (joined.length > 0) this.#context.copiedBytes += segment.filled;
    for (const one of joined) retire(one);
    this.#segments.push(segment);
    return segment;
  }

  /** True when the next target will be elsewhere than the last one said. */
  get moved(): boolean {
    return this.#next !== undefined;
  }

  /** `byteCount` bytes lie at the start of the last target. */
  filled(byteCount: number): void {
    const segment = this.#filling;
    if (!segment) throw new RangeError(`filled: ${byteCount} bytes without a target`);
    if (this.#digest.wanted)
      this.#digest.update(
        segment.memory.subarray(segment.filled, segment.filled + byteCount),
        this.#received,
      );
    segment.filled += byteCount;
    this.#received += byteCount;
  }

  /** CLOSE has come. Throws ProtocolError ASOC_BAD_STREAM where it does not fit what came. */
  close(record: CloseRecord): void {
    const { totalBytes } = this.description;
    const { rawBytes, status, algorithm, transferId } = record;
    const received = this.baseOffset + this.announcedBytes;
    if (this.#close) throw this.#bad("a second CLOSE");
    if (!equalBytes(transferId, this.transferId)) throw this.#bad("CLOSE of another transfer");
    if (status !== 0) throw this.#bad(`CLOSE with status ${status}`);
    if (algorithm !== this.#digest.algorithm) throw this.#bad(`CLOSE with digest algorithm ${algorithm}`);
    if (rawBytes !== received || rawBytes !== (totalBytes ?? rawBytes))
      throw this.#bad(`CLOSE says ${rawBytes} bytes, ${received} of ${totalBytes ?? "any number"} came`);
    this.#close = record;
  }

  /** END has come. Throws ASOC_BAD_STREAM without CLOSE, ASOC_DIGEST_MISMATCH, ASOC_TENSOR_TOO_LARGE for too small an `into`. */
  finish(): void {
    if (this.#close?.rawBytes !== this.#received) throw this.#bad("END is not right behind CLOSE");
    if (!equalBytes(this.#digest.finish(), this.#close.digest)) {
      throw new ProtocolError(
        "ASOC_DIGEST_MISMATCH",
        `Stream ${this.#id} failed: its ${this.description.digest} is not the one that its sender took`,
        { details: { streamId: this.#id, transferId: this.description.transferId } },
      );
    }
    this.#move();
    this.ended = true;
    if (this.#way === "assemble" && this.#segments.length > 1) {
      // Never more than the initial credit: all else was granted against memory in one piece.
      const whole = segmentOf(new Uint8Array(this.#received), undefined, this.#context.window);
      this.#next = whole;
      this.#move();
    }
    if (this.#way === "chunks") this.#dropRead();
    for (const { buffer } of this.#segments) buffer?.delivered();
  }

  /** Segments that hold nothing that a reader has not had. */
  #dropRead(): void {
    const unread = this.#segments.filter(({ filled, read }) => filled > read);
    for (const segment of this.#segments) {
      if (unread.includes(segment)) continue;
      if (segment.pieces > 0) this.#heldPieceBytes += segment.memory.length;
      retire(segment);
    }
    this.#segments = unread;
  }

  /** It ends here with `error`. */
  fail(error: AsocError): void {
    this.error ??= error;
    this.ended = true;
  }

  /** The socket holds none of its memory any more. */
  dropMemory(): void {
    for (const segment of this.#segments) retire(segment);
    if (this.#next) retire(this.#next);
    this.#segments = [];
    this.#next = undefined;
    this.#way = "discard";
    this.wantsMemory = false;
  }

  // --- its reader

  /** Memory chosen before the first byte; a reader may still claim the whole. Throws ASOC_TENSOR_TOO_LARGE. */
  prepareInto(memory: Uint8Array): void {
    const totalBytes = Math.max(this.description.totalBytes ?? 0, this.#received);
    if (memory.length < totalBytes) {
      throw new LimitError(
        "ASOC_TENSOR_TOO_LARGE",
        `Cannot receive stream ${this.#id}: the memory given has ${memory.length} bytes, the tensor ${totalBytes}`,
        { details: { streamId: this.#id, limit: "into", expected: memory.length, got: totalBytes } },
      );
    }
    this.#adopt(segmentOf(memory), true);
    if (this.ended) this.#move();
    this.#context.changed(this);
  }

  /** The bytes go to `memory` from now on; those that came before are copied there. Throws ASOC_TENSOR_TOO_LARGE. */
  readInto(memory: Uint8Array): void {
    this.#claim();
    this.prepareInto(memory);
  }

  /** The bytes are assembled. Throws ASOC_TENSOR_TOO_LARGE where they may not be. */
  readWhole(): void {
    this.#claim();
    const { totalBytes = 0 } = this.description;
    const cap = this.#context.limits.maxTensorBytes;
    if (totalBytes > cap && !this.#complete) {
      throw new LimitError(
        "ASOC_TENSOR_TOO_LARGE",
        `Cannot assemble stream ${this.#id}: ${totalBytes} bytes, at most ${cap} (maxTensorBytes); read it chunk by chunk`,
        { details: { streamId: this.#id, limit: "maxTensorBytes", expected: cap, got: totalBytes } },
      );
    }
    this.#context.changed(this);
  }

  /** The bytes are handed on as they come. */
  readChunks(): void {
    this.#claim();
    this.#way = "chunks";
    const next = this.#next;
    if (next) {
      // What has come stays where it is; the rest of the new memory follows behind it.
      this.#next = undefined;
      const from = this.#segments.reduce((sum, { memory }) => sum + memory.length, 0);
      this.#segments.push({ ...next, memory: next.memory.subarray(from) });
    }
    if (this.ended) this.#dropRead();
    this.#context.changed(this);
  }

  #claim(): void {
    if (this.#taken) throw new TypeError(`Cannot read stream ${this.#id}: it has a reader already`);
    this.#taken = true;
  }

  /** Nobody wants it; the session drops its memory. `byReader`: nor may anybody ask for it again. */
  discard(byReader = false): void {
    this.#way = "discard";
    this.#taken ||= byReader;
  }

  /** The whole tensor, once `ended` without `error`; the taker releases the buffer. */
  takeWhole(): Whole {
    const [segment] = this.#segments; // finish() has joined them
    this.#segments = [];
    if (!segment) return { bytes: new Uint8Array(0), buffer: undefined };
    const { memory, buffer, window, filled } = segment;
    window?.giveBack(memory.length);
    if (buffer) this.#context.pool.watch(buffer);
    return { bytes: memory.subarray(0, filled), buffer };
  }

  /** The next bytes in order for a reader of chunks, or undefined when none are here. */
  takePiece(): Piece | undefined {
    const segment = this.#segments[0];
    if (this.#way !== "chunks" || !segment || segment.filled === segment.read) return undefined;
    const bytes = segment.memory.subarray(segment.read, segment.filled);
    segment.read = segment.filled;
    segment.pieces++;
    const full = segment.filled === segment.memory.length;
    if (full || this.ended) {
      this.#segments.shift();
      this.#firstOffset += segment.filled;
      this.#heldPieceBytes += segment.memory.length;
      segment.gone = true;
    }
    return { bytes, buffer: undefined, segment };
  }

  /** The taker of a piece is done with it. */
  releasePiece({ segment }: Piece): void {
    if (!segment) return;
    segment.pieces--;
    if (!segment.gone || segment.pieces > 0) return;
    retire(segment);
    this.#heldPieceBytes -= segment.memory.length;
    if (!this.ended) this.#context.changed(this);
  }

  // --- memory

  /** Tensor offset up to which there is memory. */
  get #storableEnd(): number {
    if (this.#next) return this.#next.memory.length;
    let end = this.#firstOffset;
    for (const { memory } of this.#segments) end += memory.length;
    return Math.min(end, this.description.totalBytes ?? end);
  }

  /** The segment that the next bytes go to. */
  get #filling(): Segment | undefined {
    const [first] = this.#segments;
    if (first && first.filled < first.memory.length) return first;
    return this.#segments.find(({ filled, memory }) => filled < memory.length);
  }

  /** It does not say its length, and there will be no more memory than there is. */
  get #bounded(): boolean {
    if (this.description.totalBytes !== undefined || this.#way !== "assemble") return false;
    return this.#complete || this.#storableEnd >= this.#context.limits.maxTensorBytes;
  }

  /** Gets what memory there is for what may come. */
  #reserve(): void {
    this.wantsMemory = false;
    if (this.ended || this.#way === "discard") return;
    if (this.#way === "chunks") this.#reserveAhead();
    else if (!this.#complete) this.#reserveWhole();
  }

  #reserveWhole(): void {
    const { totalBytes } = this.description;
    const { pool, limits } = this.#context;
    if (totalBytes !== undefined) {
      if (totalBytes === 0 || totalBytes > limits.maxTensorBytes) return;
      if (totalBytes > EAGER_TENSOR_BYTES && !this.#taken) {
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
      return;
    }
    // It does not say how long it is: twice the memory whenever half is used, so that its sender need not wait.
    const capacity = this.#storableEnd;
    if (this.#received * 2 < capacity) return;
    const wanted = Math.min(
      Math.max(2 * capacity, 2 * this.#context.window.initialBytes, MIN_BUFFER_BYTES),
      limits.maxTensorBytes,
    );
    if (wanted <= capacity) return;
    const buffer = pool.acquire(wanted);
    if (buffer) this.#adopt(segmentOf(buffer.bytes, buffer), false);
    else this.#await(wanted, capacity > 0 && !pool.releasePossible);
  }

  #reserveAhead(): void {
    const { totalBytes = Number.POSITIVE_INFINITY } = this.description;
    const { pool, limits } = this.#context;
    // Where nobody knows how much will come, as much again as has come.
    const unknown = totalBytes === Number.POSITIVE_INFINITY;
    const most = Math.min(limits.maxChunkAheadBytes, unknown ? CHUNK_BYTES + this.#received : totalBytes);
    let aheadBytes = this.#heldPieceBytes;
    for (const { memory } of this.#segments) aheadBytes += memory.length;
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
      aheadBytes += segment.memory.length;
    }
  }

  /**
   * There is no room until somebody releases memory. Throws when nobody holds any; `holdsOut`: nor when those who do may
   * all wait for each other, because none of it is complete.
   */
  #await(wantedBytes: number, holdsOut = false): void {
    const { pool } = this.#context;
    this.wantsMemory = true;
    if (!pool.unused && !holdsOut) return;
    throw new LimitError(
      "ASOC_MEMORY_BUDGET",
      `Cannot receive stream ${this.#id}: ${wantedBytes} bytes, memoryBudgetBytes is ${pool.budgetBytes}`,
      {
        details: {
          streamId: this.#id,
          limit: "memoryBudgetBytes",
          expected: pool.budgetBytes,
          got: wantedBytes,
        },
      },
    );
  }

  #adopt(segment: Segment, complete: boolean): void {
    if (this.#next) retire(this.#next);
    this.#next = undefined;
    // Without a segment no read has been given any memory.
    if (this.#segments.length === 0 && this.#received === 0) this.#segments.push(segment);
    else this.#next = segment;
    this.#complete = complete;
  }

  /** What has come moves to the memory that is to hold it. No read is under way. */
  #move(): void {
    const next = this.#next;
    if (!next) return;
    this.#next = undefined;
    next.filled = joinInto(next.memory, this.#segments);
    this.#context.copiedBytes += next.filled;
    for (const segment of this.#segments) retire(segment);
    this.#segments = [next];
  }

  #tooLarge(): LimitError {
    const expected = this.#storableEnd;
    return new LimitError(
      "ASOC_TENSOR_TOO_LARGE",
      `Cannot receive stream ${this.#id}: there is memory for ${expected} bytes, and more came; read it chunk by chunk`,
      { details: { streamId: this.#id, limit: "maxTensorBytes", expected, got: expected + 1 } },
    );
  }

  #bad(what: string): ProtocolError {
    return new ProtocolError("ASOC_BAD_STREAM", `Stream ${this.#id} failed: ${what}`, {
      details: { streamId: this.#id, transferId: this.description.transferId },
    });
  }
}
