/**
 * The sending half of a session: streams, their order, and what of them goes into the next batch for the socket.
 *
 * Streams take turns chunk by chunk (`turns.ts`). How much a tensor stream may send is its receiver's word
 * (`outbound_tensors.ts`), and how frames lie in memory the batch's affair (`batch.ts`).
 */
import type { AsocError } from "../errors.ts";
import { CHUNK_BYTES, HELD_CHUNK_BYTES, LEAD_MS, MIXED_CHUNK_BYTES } from "../limits.ts";
import { FrameType } from "../wire/header.ts";
import { Batch } from "./batch.ts";
import { closePayload, OutboundStream, resetPayload, type TensorSending } from "./outbound_stream.ts";
import { OutboundTensors } from "./outbound_tensors.ts";
import { clippedReason } from "./reasons.ts";
import { StreamIds } from "./stream_ids.ts";
import { Turns } from "./turns.ts";

export { OutboundStream, type TensorSending } from "./outbound_stream.ts";

/** The seq of the two frames that give up a stream: never in order, so every receiver fails it. */
export const ABANDON_SEQ = 0xffff_ffff;

/** Called with a stream whose bytes, or end, have got further. */
type Moved = (stream: OutboundStream) => void;

interface ControlFrame {
  readonly type: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
  /** Its seq is the next one of x1's count; otherwise 0. */
  readonly counted: boolean;
}

export class Outbound {
  readonly #batch = new Batch();
  readonly #streams = new Set<OutboundStream>();
  readonly #tensors = new OutboundTensors((stream) => this.#enqueue(stream));
  readonly #turns = new Turns();
  readonly #ids: StreamIds;
  /** The stream whose chunk is cut by the end of a batch: it goes on first. */
  #partial: OutboundStream | undefined;
  #control: ControlFrame[] = [];
  readonly #numberControl: () => number;
  #batchStreams: OutboundStream[] = [];
  /** Until then bulk goes out in short writes, since small tensors come in between. */
  #mixedUntilMs = Number.NEGATIVE_INFINITY;

  /** `firstId`: 1 for a dialler, 2 for an acceptor. `numberControl` counts the CONTROL frames of x1 as they go out. */
  constructor(firstId: number, numberControl: () => number = () => 0) {
    this.#numberControl = numberControl;
    this.#ids = new StreamIds(firstId);
  }

  /** A batch is with the socket. */
  get inFlight(): boolean {
    return this.#batch.inFlight;
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
    if (this.#batch.inFlight) return false;
    return this.#partial !== undefined || this.#turns.size + this.#control.length > 0;
  }
  /** When the batch under way was given out. */
  get lastProgressMs(): number {
    return this.#batch.lastProgressMs;
  }
  /** Some of the batch under way has gone to the system. */
  handleProgress(nowMs: number): void {
    if (this.inFlight) this.#batch.handleProgress(nowMs);
  }
  /** Nothing is open and nothing is under way. */
  get idle(): boolean {
    return this.#streams.size + this.#tensors.size + this.#control.length === 0 && !this.inFlight;
  }
  /** Tensor streams whose fate is not known yet. */
  get unsettled(): number {
    return this.#tensors.size;
  }
  /** Ids that were never given out, for tensor streams. */
  get idsLeft(): number {
    return this.#ids.left;
  }
  get openStreams(): number {
    return this.#streams.size;
  }
  get creditStalls(): number {
    return this.#tensors.creditStalls;
  }
  get counters(): Batch["counters"] {
    return this.#batch.counters;
  }
  /** When a stream's deadline passes, or held ones may go on; Infinity: never. */
  get deadlineMs(): number {
    return this.#tensors.deadlineMs;
  }

  /** The other side's initial credit, in bytes, for the tensor streams to come. */
  useCredit(initialBytes: number): void {
    this.#tensors.useCredit(initialBytes);
  }

  /** A frame between chunks, before any stream's. `payload` belongs to it until it is written. */
  sendControl(type: number, payload: Uint8Array, counted = false, streamId = 0): void {
    this.#control.push({ type, streamId, payload, counted });
  }

  /** `tensor`: what x1 says of the stream; undefined for one of v1. */
  open(chunkBytes: number = CHUNK_BYTES, tensor?: TensorSending): OutboundStream {
    this.#batch.prepare();
    const stream = new OutboundStream(tensor ? 0 : this.#ids.take(), chunkBytes, tensor);
    this.#streams.add(stream);
    if (tensor) this.#tensors.add(stream, tensor);
    else this.#ids.hold(stream.id);
    return stream;
  }

  /** Gives a stream its next bytes; they belong to it until it is writable again. */
  write(stream: OutboundStream, bytes: Uint8Array): void {
    if (!stream.writable) throw new Error(`Cannot write stream ${stream.id}: not writable`);
    if (bytes.byteLength === 0) return;
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
  abandon(stream: OutboundStream, gone: Moved): void {
    if (stream.done || stream.abandoned || stream.endInBatch) return; // too late: END is out
    stream.abandoned = true;
    stream.ending = true;
    if (!stream.started) {
      // Nothing of it has gone out: it never was.
      stream.pending = undefined;
      stream.done = true;
      stream.error = stream.reset?.error;
      this.#close(stream);
      this.#tensors.settle(stream);
      gone(stream);
      return;
    }
    if (stream.pending && stream.chunkLeft === 0) stream.pending = undefined;
    this.#enqueue(stream);
  }

  #enqueue(stream: OutboundStream): void {
    if (stream.queued || stream === this.#partial) return;
    stream.queued = true;
    this.#tensors.stopWaiting(stream);
    this.#turns.add(stream);
  }

  /** Nothing more of it is sent. */
  #close(stream: OutboundStream): void {
    this.#streams.delete(stream);
    if (!stream.tensor) this.#ids.release(stream.id);
  }

  // --- what the receiver of tensor streams says

  /** The tensor stream with that id that is not settled. */
  tensorStream(id: number): OutboundStream | undefined {
    return this.#tensors.get(id);
  }

  /** CREDIT: the stream may go so far, or the connection for id 0. What is not known any more is passed over. */
  handleCredit(id: number, limitBytes: number): void {
    this.#tensors.handleCredit(id, limitBytes);
  }

  /** ACK: so many bytes of this connection have come; `verified`: and the tensor is whole. */
  handleAck(stream: OutboundStream, ackedBytes: number, verified: boolean, moved: Moved): void {
    this.#tensors.confirm(stream, ackedBytes);
    if (!verified || !(stream.done || stream.endInBatch)) return; // before CLOSE is out it cannot be true
    stream.verified = true;
    this.#tensors.settle(stream);
    if (stream.done) moved(stream);
  }

  /** STOP, a deadline, or the user: the stream ends with `error`, and RESET tells the receiver unless END is out. */
  refuse(stream: OutboundStream, error: AsocError, code: number, moved: Moved): void {
    if (stream.settled || stream.reset) return;
    stream.reset = { code, reason: clippedReason(error.message), error };
    if (!stream.done && !stream.endInBatch) {
      this.abandon(stream, moved);
      return;
    }
    stream.error = error;
    this.#tensors.settle(stream);
    if (stream.done) moved(stream);
  }

  /** The other side takes no new streams: those whose OPEN is not out end with `error`, and can go elsewhere. */
  failUnopened(error: AsocError, failed: Moved): void {
    for (const stream of [...this.#streams]) {
      if (!stream.tensor || stream.opened) continue;
      stream.error = error;
      stream.done = true;
      stream.pending = undefined;
      this.#close(stream);
      this.#tensors.settle(stream);
      failed(stream);
    }
  }

  /** Streams whose deadline has passed, and those that were held for long enough. */
  handleTimeout(nowMs: number, late: (stream: OutboundStream) => void): void {
    this.#tensors.handleTimeout(nowMs, late);
  }

  /** The next batch into `parts` (emptied first). False when there is nothing to write or one is under way. */
  pollTransmit(parts: Uint8Array[], nowMs: number): boolean {
    if (!this.waiting) return false;
    const batch = this.#batch;
    batch.begin(parts);
    this.#turns.beginBatch();
    while (!batch.full) {
      // Before everything but the rest of a chunk, whose header is out.
      if (this.#control.length > 0 && !this.#partial) this.#takeControl();
      if (!batch.hasRoomForTurn) break;
      const stream = this.#takeTurn();
      if (!stream) break;
      if (stream.done) continue;
      if (stream.brief && this.#turns.size > 0) this.#mixedUntilMs = nowMs + LEAD_MS;
      if (stream.tensor && !stream.opened) this.#encodeOpen(stream, stream.tensor, nowMs);
      if (stream.chunkLeft === 0 && stream.pending) this.#beginChunk(stream, stream.pending, nowMs);
      if (stream.chunkLeft > 0 && stream.pending) this.#takeBytes(stream, stream.pending);
      if (stream.ending && !stream.pending && stream.chunkLeft === 0) this.#encodeEnd(stream);
      batch.endTurn();
      if (stream.inBatch > 0 || stream.endInBatch) this.#batchStreams.push(stream);
      if (stream.chunkLeft > 0) this.#partial = stream;
      else if (stream.pending && !stream.waits) this.#enqueue(stream);
      // What is urgent, or small, may come any moment and waits for this batch.
      if (batch.bytes >= HELD_CHUNK_BYTES && this.#tensors.holds(stream.priority, nowMs)) break;
      if (batch.bytes >= MIXED_CHUNK_BYTES && nowMs < this.#mixedUntilMs) break;
    }
    return batch.end(nowMs);
  }

  /** The header of the next chunk, as long as credit allows; without any the stream waits. */
  #beginChunk(stream: OutboundStream, pending: Uint8Array, nowMs: number): void {
    const most =
      nowMs < this.#mixedUntilMs ? Math.min(stream.chunkBytes, MIXED_CHUNK_BYTES) : stream.chunkBytes;
    let length = Math.min(most, pending.byteLength - stream.pendingAt);
    if (stream.tensor) {
      length = this.#tensors.spend(stream, length, nowMs);
      stream.waits = length === 0;
      if (stream.waits) return;
    }
    this.#batch.header(FrameType.DATA, stream.id, stream.seq++, length);
    stream.chunkLeft = length;
  }

  /** Of the chunk under way, what there is room for. */
  #takeBytes(stream: OutboundStream, pending: Uint8Array): void {
    const length = this.#batch.fitting(stream.chunkLeft);
    const bytes = pending.subarray(stream.pendingAt, stream.pendingAt + length);
    this.#batch.payload(bytes);
    const { tensor } = stream;
    if (tensor) tensor.digest.update(bytes, tensor.baseOffset + stream.promisedBytes - stream.chunkLeft);
    stream.chunkLeft -= length;
    stream.pendingAt += length;
    stream.inBatch += length;
    if (stream.pendingAt === pending.byteLength) stream.pending = undefined;
    else if (stream.abandoned && stream.chunkLeft === 0) stream.pending = undefined;
  }

  #takeControl(): void {
    for (const { type, streamId, payload, counted } of this.#control)
      this.#batch.frame(type, streamId, counted ? this.#numberControl() : 0, payload);
    this.#control = [];
  }

  #encodeOpen(stream: OutboundStream, { open }: TensorSending, nowMs: number): void {
    stream.opened = true;
    stream.id = this.#ids.take();
    this.#tensors.handleOpened(stream, nowMs);
    this.#batch.control(stream.id, this.#numberControl(), open);
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
    const { id, tensor, abandoned } = stream;
    const batch = this.#batch;
    stream.endInBatch = true;
    stream.endSent = !abandoned;
    if (tensor) {
      const payload = abandoned ? resetPayload(stream) : closePayload(stream, tensor);
      batch.control(id, this.#numberControl(), payload);
      if (abandoned) return;
    }
    if (abandoned) batch.header(FrameType.DATA, id, ABANDON_SEQ, 0);
    batch.header(FrameType.END, id, abandoned ? ABANDON_SEQ : stream.seq, 0);
  }

  /** The batch under way is in the kernel. Calls `moved` once for each stream that it carried. */
  handleWritten(nowMs: number, moved: Moved): void {
    this.#batch.handleWritten(nowMs);
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
          this.#tensors.settle(stream);
        } else this.#tensors.handleEndSent(stream);
      }
      moved(stream);
    }
  }

  /** The connection is gone: every stream that is not done fails with why it was given up already, or with what `errorFor` says. */
  fail(errorFor: (stream: OutboundStream) => AsocError, failed: Moved): void {
    for (const stream of new Set([...this.#streams, ...this.#tensors.values()])) {
      stream.error ??= stream.reset?.error ?? errorFor(stream);
      stream.done = true;
      stream.pending = undefined;
      failed(stream);
    }
    this.#streams.clear();
    this.#ids.releaseAll();
    this.#tensors.clear();
    this.#partial = undefined;
    this.#control = [];
  }
}
