/**
 * The sending half of a session: streams, their order, and batches for the socket.
 *
 * Streams take turns chunk by chunk; one that has not sent yet comes before
 * those that have, every second time, so that a small tensor does not wait for
 * bulk and bulk does not starve. A batch is a list of parts: headers and small
 * payloads lie side by side in one slab, large payloads are the caller's own memory.
 *
 * One batch is under way at a time; its parts stay untouched until `handleWritten`.
 */
import type { AsocError } from "../errors.ts";
import { CHUNK_BYTES, KiB, MAX_WRITE_BYTES, MIN_WRITE_BYTES, SMALL_PAYLOAD_BYTES } from "../limits.ts";
import { encodeHeader, FrameType, HEADER_BYTES } from "../wire/header.ts";

const SLAB_BYTES = 128 * KiB;
const MAX_PARTS = 128;
/** A write faster than this lets the next one be larger, one slower than the other smaller. */
const FAST_WRITE_MS = 100;
const SLOW_WRITE_MS = 1000;
/** The seq of the two frames that give up a stream: never in order, so every receiver fails it. */
export const ABANDON_SEQ = 0xffff_ffff;

/** One tensor on its way out. Made by `Outbound.open`. */
export class OutboundStream {
  readonly id: number;
  readonly chunkBytes: number;
  /** @internal */ pending: Uint8Array | undefined;
  /** @internal */ pendingAt = 0;
  /** @internal */ seq = 0;
  /** @internal */ ending = false;
  /** @internal */ abandoned = false;
  /** @internal */ queued = false;
  /** @internal The rest of the chunk whose header is out. */
  chunkLeft = 0;
  /** @internal Bytes and end that the batch under way carries. */
  inBatch = 0;
  /** @internal */ endInBatch = false;
  /** Payload bytes that are in the kernel. */
  sentBytes = 0;
  /** True once END (or the abandonment) is in the kernel. */
  done = false;
  error: AsocError | undefined;

  /** Only `Outbound.open` makes these. */
  constructor(id: number, chunkBytes: number) {
    this.id = id;
    this.chunkBytes = chunkBytes;
  }
  /** True when a frame of it has gone out, or is about to. */
  get started(): boolean {
    return this.seq > 0;
  }
  /** True when `write` may be called: no bytes of the last one are left. */
  get writable(): boolean {
    return !this.pending && this.inBatch === 0 && !this.ending && !this.done;
  }
}

/** First in, first out, without moving elements at each turn. */
class Turns {
  #items: OutboundStream[] = [];
  #head = 0;
  get size(): number {
    return this.#items.length - this.#head;
  }
  add(stream: OutboundStream): void {
    this.#items.push(stream);
  }
  take(): OutboundStream | undefined {
    const stream = this.#items[this.#head++];
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    } else if (this.#head >= this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    }
    return stream;
  }
}

export class Outbound {
  /** Made with the first stream: a stranger who only knocks costs no memory. */
  #slab: Uint8Array = new Uint8Array(0);
  readonly #streams = new Map<number, OutboundStream>();
  readonly #fresh = new Turns();
  readonly #bulk = new Turns();
  /** The stream whose chunk is cut by the end of a batch: it goes on first. */
  #partial: OutboundStream | undefined;
  #control: Uint8Array[] = [];
  #freshTurn = false;
  readonly #firstId: number;
  #nextId: number;
  #inFlight = false;
  #batchStreams: OutboundStream[] = [];
  #writeBytes = 4 * MIN_WRITE_BYTES;
  #batchBytes = 0;
  #batchAtMs = 0;
  #frames = 0;
  #bytes = 0;
  #coalesced = 0;

  /** `firstId`: 1 for a dialler, 2 for an acceptor. */
  constructor(firstId: number) {
    this.#firstId = firstId;
    this.#nextId = firstId;
  }

  /** A batch is with the socket. */
  get inFlight(): boolean {
    return this.#inFlight;
  }
  /** A frame may be written now without cutting another in two. */
  get atBoundary(): boolean {
    return !this.#inFlight && this.#partial === undefined;
  }
  /** Frames of stream 0 that wait to be written. */
  get waitingControl(): number {
    return this.#control.length;
  }
  /** There is something to write, and no batch under way. */
  get waiting(): boolean {
    if (this.#inFlight) return false;
    return this.#partial !== undefined || this.#fresh.size + this.#bulk.size + this.#control.length > 0;
  }
  /** When the batch under way was given out. */
  get inFlightSinceMs(): number {
    return this.#batchAtMs;
  }
  /** Nothing is open and nothing is under way. */
  get idle(): boolean {
    return this.#streams.size === 0 && !this.#inFlight && this.#control.length === 0;
  }
  get openStreams(): number {
    return this.#streams.size;
  }
  get counters(): {
    readonly frames: number;
    readonly payloadBytes: number;
    readonly coalescedBytes: number;
  } {
    return { frames: this.#frames, payloadBytes: this.#bytes, coalescedBytes: this.#coalesced };
  }

  /** A frame of stream 0: header and payload together, sent before any stream. */
  sendControl(type: number, seq: number, payload: Uint8Array): void {
    const frame = new Uint8Array(HEADER_BYTES + payload.length);
    encodeHeader(frame, 0, type, 0, seq, payload.length);
    frame.set(payload, HEADER_BYTES);
    this.#control.push(frame);
  }

  open(chunkBytes: number = CHUNK_BYTES): OutboundStream {
    const id = this.#takeId();
    if (this.#slab.length === 0) this.#slab = new Uint8Array(SLAB_BYTES);
    const stream = new OutboundStream(id, chunkBytes);
    this.#streams.set(id, stream);
    return stream;
  }

  /** Ids go up by two and begin again after 2^32; one that is open is passed over. */
  #takeId(): number {
    let id: number;
    do {
      id = this.#nextId;
      this.#nextId = id + 2 > 0xffff_ffff ? this.#firstId : id + 2;
    } while (this.#streams.has(id));
    return id;
  }

  /** Gives a stream its next bytes; they belong to it until it is writable again. */
  write(stream: OutboundStream, bytes: Uint8Array): void {
    if (!stream.writable) throw new Error(`Cannot write stream ${stream.id}: not writable`);
    if (bytes.length === 0) return;
    stream.pending = bytes;
    stream.pendingAt = 0;
    this.#enqueue(stream);
  }

  /** No more bytes come: END goes out behind those that are pending. */
  end(stream: OutboundStream): void {
    if (stream.ending || stream.done) return;
    stream.ending = true;
    this.#enqueue(stream);
  }

  /**
   * Gives a stream up: the receiver must fail it. v1 has no frame for that, so a frame out of
   * order does it (RFC-0001, Streams). A chunk whose header is out has to be completed first.
   */
  abandon(stream: OutboundStream, gone: (stream: OutboundStream) => void): void {
    if (stream.done || stream.abandoned || stream.endInBatch) return; // too late: END is out
    stream.abandoned = true;
    stream.ending = true;
    if (stream.seq === 0) {
      // Nothing of it has gone out: it never was.
      stream.pending = undefined;
      stream.done = true;
      this.#streams.delete(stream.id);
      gone(stream);
      return;
    }
    if (stream.pending && stream.chunkLeft === 0) stream.pending = undefined;
    this.#enqueue(stream);
  }

  #enqueue(stream: OutboundStream): void {
    if (stream.queued || stream === this.#partial) return;
    stream.queued = true;
    (stream.seq === 0 ? this.#fresh : this.#bulk).add(stream);
  }

  /** The next batch into `parts` (emptied first). False when there is nothing to write or one is under way. */
  pollTransmit(parts: Uint8Array[], nowMs: number): boolean {
    if (!this.waiting) return false;
    parts.length = 0;
    this.#batchBytes = 0;
    this.#freshTurn = false; // a fresh stream leads every batch
    let slabAt = 0;
    let slabFrom = 0;
    while (this.#batchBytes < this.#writeBytes && parts.length < MAX_PARTS) {
      // Before everything but the rest of a chunk, whose header is out.
      if (this.#control.length > 0 && !this.#partial) {
        if (slabAt > slabFrom) parts.push(this.#slab.subarray(slabFrom, slabAt));
        slabFrom = slabAt;
        this.#takeControl(parts);
      }
      if (slabAt + 2 * HEADER_BYTES + SMALL_PAYLOAD_BYTES > SLAB_BYTES) break;
      const stream = this.#takeTurn();
      if (!stream) break;
      if (stream.done) continue;
      const before = slabAt;
      if (stream.chunkLeft === 0) {
        const length = stream.pending
          ? Math.min(stream.chunkBytes, stream.pending.length - stream.pendingAt)
          : 0;
        if (length > 0) {
          encodeHeader(this.#slab, slabAt, FrameType.DATA, stream.id, stream.seq++, length);
          slabAt += HEADER_BYTES;
          stream.chunkLeft = length;
          this.#frames++;
        }
      }
      const pending = stream.pending;
      if (stream.chunkLeft > 0 && pending) {
        const room = Math.max(1, this.#writeBytes - this.#batchBytes);
        const length = stream.chunkLeft <= room + MIN_WRITE_BYTES ? stream.chunkLeft : room;
        const from = stream.pendingAt;
        if (length <= SMALL_PAYLOAD_BYTES && slabAt + length <= SLAB_BYTES) {
          this.#slab.set(pending.subarray(from, from + length), slabAt);
          slabAt += length;
          this.#coalesced += length;
        } else {
          if (slabAt > slabFrom) parts.push(this.#slab.subarray(slabFrom, slabAt));
          slabFrom = slabAt;
          parts.push(pending.subarray(from, from + length));
        }
        stream.chunkLeft -= length;
        stream.pendingAt += length;
        stream.inBatch += length;
        this.#batchBytes += length;
        this.#bytes += length;
        if (stream.pendingAt === pending.length) stream.pending = undefined;
        else if (stream.abandoned && stream.chunkLeft === 0) stream.pending = undefined;
      }
      if (stream.ending && !stream.pending && stream.chunkLeft === 0) {
        slabAt = this.#encodeEnd(stream, slabAt);
      }
      this.#batchBytes += slabAt - before;
      this.#batchStreams.push(stream);
      if (stream.chunkLeft > 0) this.#partial = stream;
      else if (stream.pending) this.#enqueue(stream);
    }
    if (slabAt > slabFrom) parts.push(this.#slab.subarray(slabFrom, slabAt));
    if (parts.length === 0) return false;
    this.#inFlight = true;
    this.#batchAtMs = nowMs;
    return true;
  }

  #takeControl(parts: Uint8Array[]): void {
    for (const frame of this.#control) {
      parts.push(frame);
      this.#batchBytes += frame.length;
      this.#frames++;
    }
    this.#control = [];
  }

  #takeTurn(): OutboundStream | undefined {
    if (this.#partial) {
      const stream = this.#partial;
      this.#partial = undefined;
      return stream;
    }
    let queue = this.#fresh.size > 0 ? this.#fresh : this.#bulk;
    if (this.#fresh.size > 0 && this.#bulk.size > 0) {
      this.#freshTurn = !this.#freshTurn;
      queue = this.#freshTurn ? this.#fresh : this.#bulk;
    }
    const stream = queue.take();
    if (stream) stream.queued = false;
    return stream;
  }

  #encodeEnd(stream: OutboundStream, slabAt: number): number {
    let at = slabAt;
    if (stream.abandoned) {
      encodeHeader(this.#slab, at, FrameType.DATA, stream.id, ABANDON_SEQ, 0);
      encodeHeader(this.#slab, at + HEADER_BYTES, FrameType.END, stream.id, ABANDON_SEQ, 0);
      at += 2 * HEADER_BYTES;
      this.#frames += 2;
    } else {
      encodeHeader(this.#slab, at, FrameType.END, stream.id, stream.seq, 0);
      at += HEADER_BYTES;
      this.#frames++;
    }
    stream.endInBatch = true;
    return at;
  }

  /** The batch under way is in the kernel. Calls `moved` once for each stream that it carried. */
  handleWritten(nowMs: number, moved: (stream: OutboundStream) => void): void {
    const tookMs = nowMs - this.#batchAtMs;
    if (tookMs > SLOW_WRITE_MS) this.#writeBytes = Math.max(MIN_WRITE_BYTES, this.#writeBytes / 2);
    else if (tookMs < FAST_WRITE_MS && this.#batchBytes >= this.#writeBytes) {
      this.#writeBytes = Math.min(MAX_WRITE_BYTES, this.#writeBytes * 2);
    }
    this.#inFlight = false;
    const streams = this.#batchStreams;
    this.#batchStreams = [];
    for (const stream of streams) {
      if (stream.inBatch === 0 && !stream.endInBatch) continue; // a second turn in the same batch
      stream.sentBytes += stream.inBatch;
      stream.inBatch = 0;
      if (stream.endInBatch) {
        stream.endInBatch = false;
        stream.done = true;
        this.#streams.delete(stream.id);
      }
      moved(stream);
    }
  }

  /** The connection is gone: every stream that is not done fails with what `errorFor` says. */
  fail(errorFor: (stream: OutboundStream) => AsocError, failed: (stream: OutboundStream) => void): void {
    for (const stream of this.#streams.values()) {
      stream.error = errorFor(stream);
      stream.done = true;
      stream.pending = undefined;
      failed(stream);
    }
    this.#streams.clear();
    this.#partial = undefined;
    this.#control = [];
  }
}
