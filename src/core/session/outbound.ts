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
import {
  CHUNK_BYTES,
  HELD_CHUNK_BYTES,
  KiB,
  MAX_DIGEST_BYTES,
  MAX_WRITE_BYTES,
  MIN_WRITE_BYTES,
  SMALL_PAYLOAD_BYTES,
} from "../limits.ts";
import { encodeHeader, FrameType, HEADER_BYTES } from "../wire/header.ts";
import { OutboundCredit } from "./outbound_credit.ts";
import { closePayload, OutboundStream, resetPayload, type TensorSending } from "./outbound_stream.ts";
import { Turns } from "./turns.ts";

export { OutboundStream, type TensorSending } from "./outbound_stream.ts";

const SLAB_BYTES = 128 * KiB;
const MAX_PARTS = 128;
/** A write faster than this lets the next one be larger, one slower than the other smaller. */
const FAST_WRITE_MS = 100;
const SLOW_WRITE_MS = 1000;
/** OPEN up to this length lies beside the headers. */
const SMALL_OPEN_BYTES = KiB;
/** What one turn may put into the slab: OPEN, a chunk's header and a small payload, CLOSE or RESET, END. */
const TURN_BYTES = 4 * HEADER_BYTES + SMALL_OPEN_BYTES + SMALL_PAYLOAD_BYTES + MAX_DIGEST_BYTES + 512;
/** The seq of the two frames that give up a stream: never in order, so every receiver fails it. */
export const ABANDON_SEQ = 0xffff_ffff;

interface ControlFrame {
  readonly type: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
  /** Its seq is the next one of x1's count; otherwise 0. */
  readonly counted: boolean;
}

export class Outbound {
  /** Made with the first stream: a stranger who only knocks costs no memory. */
  #slab: Uint8Array = new Uint8Array(0);
  readonly #streams = new Set<OutboundStream>();
  /** Of v1 streams that are open. */
  readonly #ids = new Set<number>();
  /** Tensor streams that are not settled: END may be out, and the receiver's word is awaited. */
  readonly #tensors = new Map<number, OutboundStream>();
  readonly #turns = new Turns();
  #credit = new OutboundCredit(0);
  readonly #awaitCredit = new Set<OutboundStream>();
  readonly #held = new Set<OutboundStream>();
  /** Streams with a deadline, and the earliest of them. */
  readonly #timed = new Set<OutboundStream>();
  #earliestMs = Number.POSITIVE_INFINITY;
  /** The stream whose chunk is cut by the end of a batch: it goes on first. */
  #partial: OutboundStream | undefined;
  #control: ControlFrame[] = [];
  readonly #numberControl: () => number;
  readonly #firstId: number;
  #nextId: number;
  #inFlight = false;
  #batchStreams: OutboundStream[] = [];
  #writeBytes = 4 * MIN_WRITE_BYTES;
  #slabAt = 0;
  /** Where in the slab the next part begins. */
  #slabFrom = 0;
  #batchBytes = 0;
  #batchAtMs = 0;
  #frames = 0;
  #bytes = 0;
  #coalesced = 0;

  /** `firstId`: 1 for a dialler, 2 for an acceptor. `numberControl` counts the CONTROL frames of x1 as they go out. */
  constructor(firstId: number, numberControl: () => number = () => 0) {
    this.#numberControl = numberControl;
    this.#firstId = firstId;
    this.#nextId = firstId;
  }

  /** A batch is with the socket. */
  get inFlight(): boolean {
    return this.#inFlight;
  }
  /** A frame may be written behind the batch under way without cutting another in two. */
  get atBoundary(): boolean {
    return this.#partial === undefined;
  }
  /** Frames of stream 0 that wait to be written. */
  get waitingControl(): number {
    return this.#control.length;
  }
  /** There is something to write, and no batch under way. */
  get waiting(): boolean {
    if (this.#inFlight) return false;
    return this.#partial !== undefined || this.#turns.size + this.#control.length > 0;
  }
  /** When the batch under way was given out. */
  get inFlightSinceMs(): number {
    return this.#batchAtMs;
  }
  /** Nothing is open and nothing is under way. */
  get idle(): boolean {
    return this.#streams.size + this.#tensors.size + this.#control.length === 0 && !this.#inFlight;
  }
  /** Tensor streams whose fate is not known yet. */
  get unsettled(): number {
    return this.#tensors.size;
  }
  /** Ids that were never given out, for tensor streams. */
  get idsLeft(): number {
    return (0xffff_ffff - this.#nextId) / 2;
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

  /** When a stream's deadline passes, or held ones may go on; Infinity: never. */
  get deadlineMs(): number {
    return this.#held.size > 0 ? Math.min(this.#earliestMs, this.#credit.leadUntilMs) : this.#earliestMs;
  }

  /** The other side's initial credit, in bytes, for the tensor streams to come. */
  useCredit(initialBytes: number): void {
    this.#credit = new OutboundCredit(initialBytes);
  }

  /** A frame between chunks, before any stream's. `payload` belongs to it until it is written. */
  sendControl(type: number, payload: Uint8Array, counted = false, streamId = 0): void {
    this.#control.push({ type, streamId, payload, counted });
  }

  /** `tensor`: what x1 says of the stream; undefined for one of v1. */
  open(chunkBytes: number = CHUNK_BYTES, tensor?: TensorSending): OutboundStream {
    if (this.#slab.length === 0) this.#slab = new Uint8Array(SLAB_BYTES);
    const stream = new OutboundStream(tensor ? 0 : this.#takeId(), chunkBytes, tensor);
    this.#streams.add(stream);
    if (!tensor) this.#ids.add(stream.id);
    else {
      stream.limitBytes = this.#credit.initialBytes;
      if (tensor.deadlineAtMs < Number.POSITIVE_INFINITY) {
        this.#timed.add(stream);
        this.#earliestMs = Math.min(this.#earliestMs, tensor.deadlineAtMs);
      }
    }
    return stream;
  }

  /** Ids go up by two and begin again after 2^32; one that is open is passed over. */
  #takeId(): number {
    let id: number;
    do {
      id = this.#nextId;
      this.#nextId = id + 2 > 0xffff_ffff ? this.#firstId : id + 2;
    } while (this.#ids.has(id));
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
   * Gives a stream up: the receiver must fail it. x1 has RESET for that; v1 has no frame, so one out of
   * order does it (RFC-0001, Streams). A chunk whose header is out has to be completed first.
   */
  abandon(stream: OutboundStream, gone: (stream: OutboundStream) => void): void {
    if (stream.done || stream.abandoned || stream.endInBatch) return; // too late: END is out
    stream.abandoned = true;
    stream.ending = true;
    if (!stream.started) {
      // Nothing of it has gone out: it never was.
      stream.pending = undefined;
      stream.done = true;
      stream.error = stream.reset?.error;
      this.#close(stream);
      this.#settle(stream);
      gone(stream);
      return;
    }
    if (stream.pending && stream.chunkLeft === 0) stream.pending = undefined;
    this.#enqueue(stream);
  }

  #enqueue(stream: OutboundStream): void {
    if (stream.queued || stream === this.#partial) return;
    stream.queued = true;
    this.#awaitCredit.delete(stream);
    this.#held.delete(stream);
    this.#turns.add(stream);
  }

  /** Nothing more of it is sent. */
  #close(stream: OutboundStream): void {
    this.#streams.delete(stream);
    if (!stream.tensor) this.#ids.delete(stream.id);
  }

  /** Nothing more is expected of it. */
  #settle(stream: OutboundStream): void {
    this.#tensors.delete(stream.id);
    this.#awaitCredit.delete(stream);
    this.#held.delete(stream);
    this.#credit.confirm(stream, stream.promisedBytes);
    this.#untime(stream);
  }

  #untime(stream: OutboundStream): void {
    if (!this.#timed.delete(stream)) return;
    this.#earliestMs = Number.POSITIVE_INFINITY;
    for (const { tensor } of this.#timed)
      if (tensor) this.#earliestMs = Math.min(this.#earliestMs, tensor.deadlineAtMs);
  }

  // --- what the receiver of tensor streams says

  /** The tensor stream with that id that is not settled. */
  tensorStream(id: number): OutboundStream | undefined {
    return this.#tensors.get(id);
  }

  /** CREDIT: the stream may go so far, or the connection for id 0. What is not known any more is passed over. */
  handleCredit(id: number, limitBytes: number): void {
    if (id === 0) {
      if (this.#credit.raise(limitBytes)) for (const stream of this.#awaitCredit) this.#enqueue(stream);
      return;
    }
    const stream = this.#tensors.get(id);
    if (!stream || limitBytes <= stream.limitBytes) return;
    stream.limitBytes = limitBytes;
    if (!stream.done && stream.pending && !this.#awaitCredit.has(stream)) this.#enqueue(stream);
  }

  /** ACK: so many bytes of this connection have come; `verified`: and the tensor is whole. */
  handleAck(
    stream: OutboundStream,
    ackedBytes: number,
    verified: boolean,
    moved: (stream: OutboundStream) => void,
  ): void {
    this.#credit.confirm(stream, ackedBytes);
    if (this.#held.size > 0) for (const held of this.#held) this.#enqueue(held);
    if (!verified || !(stream.done || stream.endInBatch)) return; // before CLOSE is out it cannot be true
    stream.verified = true;
    this.#settle(stream);
    if (stream.done) moved(stream);
  }

  /** STOP, a deadline, or the user: the stream ends with `error`, and RESET tells the receiver unless END is out. */
  refuse(
    stream: OutboundStream,
    reset: { readonly code: number; readonly reason: string; readonly error: AsocError },
    moved: (stream: OutboundStream) => void,
  ): void {
    if (stream.settled || stream.reset) return;
    stream.reset = reset;
    if (!stream.done && !stream.endInBatch) {
      this.abandon(stream, moved);
      return;
    }
    stream.error = reset.error;
    this.#settle(stream);
    if (stream.done) moved(stream);
  }

  /** The other side takes no new streams: those whose OPEN is not out end with `error`, and can go elsewhere. */
  failUnopened(error: AsocError, failed: (stream: OutboundStream) => void): void {
    for (const stream of [...this.#streams]) {
      if (!stream.tensor || stream.opened) continue;
      stream.error = error;
      stream.done = true;
      stream.pending = undefined;
      this.#close(stream);
      this.#settle(stream);
      failed(stream);
    }
  }

  /** Streams whose deadline has passed, and those that were held for long enough. */
  handleTimeout(nowMs: number, late: (stream: OutboundStream) => void): void {
    if (nowMs >= this.#credit.leadUntilMs) for (const stream of this.#held) this.#enqueue(stream);
    if (nowMs < this.#earliestMs) return;
    for (const stream of [...this.#timed]) {
      if (!stream.tensor || stream.tensor.deadlineAtMs > nowMs) continue;
      this.#untime(stream);
      if (!stream.done && !stream.endInBatch) late(stream);
    }
  }

  /** The next batch into `parts` (emptied first). False when there is nothing to write or one is under way. */
  pollTransmit(parts: Uint8Array[], nowMs: number): boolean {
    if (!this.waiting) return false;
    parts.length = 0;
    this.#batchBytes = 0;
    this.#turns.beginBatch();
    this.#slabAt = 0;
    this.#slabFrom = 0;
    while (this.#batchBytes < this.#writeBytes && parts.length < MAX_PARTS) {
      // Before everything but the rest of a chunk, whose header is out.
      if (this.#control.length > 0 && !this.#partial) this.#takeControl(parts);
      if (this.#slabAt + TURN_BYTES > SLAB_BYTES) break;
      const stream = this.#takeTurn();
      if (!stream) break;
      if (stream.done) continue;
      const before = this.#slabAt;
      if (stream.tensor && !stream.opened) this.#encodeOpen(stream, stream.tensor, parts, nowMs);
      if (stream.chunkLeft === 0 && stream.pending) this.#beginChunk(stream, stream.pending, nowMs);
      const pending = stream.pending;
      if (stream.chunkLeft > 0 && pending) {
        const room = Math.max(1, this.#writeBytes - this.#batchBytes);
        const length = stream.chunkLeft <= room + MIN_WRITE_BYTES ? stream.chunkLeft : room;
        this.#takeBytes(stream, pending, length, parts);
      }
      if (stream.ending && !stream.pending && stream.chunkLeft === 0) this.#encodeEnd(stream);
      this.#batchBytes += this.#slabAt - before;
      if (stream.inBatch > 0 || stream.endInBatch) this.#batchStreams.push(stream);
      if (stream.chunkLeft > 0) this.#partial = stream;
      else if (stream.pending && !stream.waits) this.#enqueue(stream);
      // What is urgent may come any moment, and waits for this batch.
      if (this.#batchBytes >= HELD_CHUNK_BYTES && this.#credit.holds(stream.priority, nowMs)) break;
    }
    this.#cutSlab(parts);
    if (parts.length === 0) return false;
    this.#inFlight = true;
    this.#batchAtMs = nowMs;
    return true;
  }

  /** The header of the next chunk, as long as credit allows; without any the stream waits. */
  #beginChunk(stream: OutboundStream, pending: Uint8Array, nowMs: number): void {
    let length = Math.min(stream.chunkBytes, pending.length - stream.pendingAt);
    stream.waits = false;
    if (stream.tensor) {
      const allowed = this.#credit.allow(stream, length, nowMs);
      if (typeof allowed === "string") {
        stream.waits = true;
        if (allowed === "connection") this.#awaitCredit.add(stream);
        else if (allowed === "hold") this.#held.add(stream);
        return;
      }
      length = allowed;
      this.#credit.lead(stream.priority, nowMs);
      this.#credit.spend(stream, length);
    }
    encodeHeader(this.#slab, this.#slabAt, FrameType.DATA, stream.id, stream.seq++, length);
    this.#slabAt += HEADER_BYTES;
    stream.chunkLeft = length;
    this.#frames++;
  }

  /** `length` bytes of the chunk under way: beside the headers when they are few, or from where they lie. */
  #takeBytes(stream: OutboundStream, pending: Uint8Array, length: number, parts: Uint8Array[]): void {
    const bytes = pending.subarray(stream.pendingAt, stream.pendingAt + length);
    if (length <= SMALL_PAYLOAD_BYTES && this.#slabAt + length <= SLAB_BYTES) {
      this.#slab.set(bytes, this.#slabAt);
      this.#slabAt += length;
      this.#coalesced += length;
      this.#batchBytes -= length; // counted with the slab
    } else {
      this.#cutSlab(parts);
      parts.push(bytes);
    }
    const { tensor } = stream;
    if (tensor) tensor.digest.update(bytes, tensor.baseOffset + stream.promisedBytes - stream.chunkLeft);
    stream.chunkLeft -= length;
    stream.pendingAt += length;
    stream.inBatch += length;
    this.#batchBytes += length;
    this.#bytes += length;
    if (stream.pendingAt === pending.length) stream.pending = undefined;
    else if (stream.abandoned && stream.chunkLeft === 0) stream.pending = undefined;
  }

  /** What lies in the slab since the last part becomes one. */
  #cutSlab(parts: Uint8Array[]): void {
    if (this.#slabAt > this.#slabFrom) parts.push(this.#slab.subarray(this.#slabFrom, this.#slabAt));
    this.#slabFrom = this.#slabAt;
  }

  #takeControl(parts: Uint8Array[]): void {
    this.#cutSlab(parts);
    for (const { type, streamId, payload, counted } of this.#control) {
      const frame = new Uint8Array(HEADER_BYTES + payload.length);
      encodeHeader(frame, 0, type, streamId, counted ? this.#numberControl() : 0, payload.length);
      frame.set(payload, HEADER_BYTES);
      parts.push(frame);
      this.#batchBytes += frame.length;
      this.#frames++;
    }
    this.#control = [];
  }

  /** A CONTROL frame of a stream, in its place between the stream's other frames. */
  #encodeControl(streamId: number, payload: Uint8Array): void {
    encodeHeader(
      this.#slab,
      this.#slabAt,
      FrameType.CONTROL,
      streamId,
      this.#numberControl(),
      payload.length,
    );
    this.#slab.set(payload, this.#slabAt + HEADER_BYTES);
    this.#slabAt += HEADER_BYTES + payload.length;
    this.#frames++;
  }

  #encodeOpen(
    stream: OutboundStream,
    { open, priority }: TensorSending,
    parts: Uint8Array[],
    nowMs: number,
  ): void {
    stream.opened = true;
    stream.id = this.#takeId();
    this.#tensors.set(stream.id, stream);
    this.#credit.lead(priority, nowMs);
    if (open.length <= SMALL_OPEN_BYTES) {
      this.#encodeControl(stream.id, open);
      return;
    }
    encodeHeader(this.#slab, this.#slabAt, FrameType.CONTROL, stream.id, this.#numberControl(), open.length);
    this.#slabAt += HEADER_BYTES;
    this.#frames++;
    this.#cutSlab(parts);
    parts.push(open);
    this.#batchBytes += open.length;
  }

  #takeTurn(): OutboundStream | undefined {
    if (this.#partial) {
      const stream = this.#partial;
      this.#partial = undefined;
      return stream;
    }
    const stream = this.#turns.take();
    if (stream) stream.queued = false;
    return stream;
  }

  #encodeEnd(stream: OutboundStream): void {
    const { tensor, abandoned } = stream;
    stream.endInBatch = true;
    if (tensor) {
      this.#encodeControl(stream.id, abandoned ? resetPayload(stream) : closePayload(stream, tensor));
      if (abandoned) return;
    }
    stream.endSent = !abandoned;
    const seq = abandoned ? ABANDON_SEQ : stream.seq;
    if (abandoned) {
      encodeHeader(this.#slab, this.#slabAt, FrameType.DATA, stream.id, seq, 0);
      this.#slabAt += HEADER_BYTES;
      this.#frames++;
    }
    encodeHeader(this.#slab, this.#slabAt, FrameType.END, stream.id, seq, 0);
    this.#slabAt += HEADER_BYTES;
    this.#frames++;
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
        this.#close(stream);
        if (stream.abandoned) {
          stream.error ??= stream.reset?.error;
          this.#settle(stream);
        } else this.#untime(stream);
      }
      moved(stream);
    }
  }

  /** The connection is gone: every stream that is not done fails with what `errorFor` says. */
  fail(errorFor: (stream: OutboundStream) => AsocError, failed: (stream: OutboundStream) => void): void {
    for (const stream of new Set([...this.#streams, ...this.#tensors.values()])) {
      stream.error ??= errorFor(stream);
      stream.done = true;
      stream.pending = undefined;
      failed(stream);
    }
    this.#streams.clear();
    this.#ids.clear();
    this.#tensors.clear();
    this.#awaitCredit.clear();
    this.#held.clear();
    this.#timed.clear();
    this.#earliestMs = Number.POSITIVE_INFINITY;
    this.#partial = undefined;
    this.#control = [];
  }
}
