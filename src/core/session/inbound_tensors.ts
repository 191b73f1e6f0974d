/**
 * The receiving half of a session whose streams are those of x1 (RFC-0005, RFC-0006).
 *
 *   OPEN ──▶ open ── DATA n (in order, within credit) ──▶ open ── CLOSE, END n: digest holds ──▶ delivered, ACK
 *              └── anything else, or nobody wants it ──▶ failed, STOP ── RESET or END ──▶ gone
 *
 * A failed stream's frames are skipped; the connection lives. It ends for what an honest sender cannot do: DATA without
 * OPEN, an id again, more than there was credit for.
 */
import { AsocError, ClosedError, ConnectionError, LimitError, ProtocolError } from "../errors.ts";
import { LEAD_MS, type Limits, MIXED_ACK_BYTES, MiB } from "../limits.ts";
import type { Crypto } from "../runtime.ts";
import { FrameType, type Header } from "../wire/header.ts";
import type { CloseRecord } from "../wire/records/close.ts";
import type { OpenRecord } from "../wire/records/open.ts";
import type { X1Record } from "../wire/records/records.ts";
import { type ResetRecord, StreamCode } from "../wire/records/reset.ts";
import { CreditWindow } from "./credit_window.ts";
import { describeOpen, type TensorDescription } from "./description.ts";
import type { InboundContext } from "./inbound_stream.ts";
import { InboundTensor, type TensorContext } from "./inbound_tensor.ts";
import { clippedReason } from "./reasons.ts";

/** What the node knows of transfers from the peer of one session, over all its connections. */
export interface TransferBook {
  /** OPEN has come: the broken transfer that goes on with it, "new", or why not. */
  begin(transferId: string): InboundTensor | "new" | "delivered" | "busy";
  /** It is whole and its digest holds. */
  delivered(transferId: string): void;
  /** It will not be whole. */
  gaveUp(transferId: string): void;
}

export interface InboundTensorEvents {
  started(stream: InboundTensor): void;
  /** A broken transfer goes on here. */
  resumed(stream: InboundTensor): void;
  changed(stream: InboundTensor): void;
  failed(streamId: number, error: AsocError): void;
  /** A record for the other side about its stream `streamId`; 0: the connection. */
  say(streamId: number, record: X1Record): void;
}

/** What is left of a stream that failed here and whose sender may not know yet. */
interface Skipped {
  announcedBytes: number;
  readonly limitBytes: number;
}

const SCRATCH = new Uint8Array(256 * 1024);
const scratch = (byteCount: number) =>
  byteCount < SCRATCH.length ? SCRATCH.subarray(0, byteCount) : SCRATCH;

/** Bytes in which a stream's grant is worth a frame, unless it is its last. */
const GRANT_BYTES = MiB;

export class InboundTensors {
  readonly #limits: Limits;
  readonly #crypto: Pick<Crypto, "crc32" | "sha256Stream">;
  readonly #events: InboundTensorEvents;
  readonly #book: TransferBook;
  readonly #window: CreditWindow;
  readonly #context: TensorContext;
  readonly #open = new Map<number, InboundTensor>();
  readonly #skipped = new Map<number, Skipped>();
  /** Streams whose grant or confirmation may be due. */
  readonly #dirty = new Set<InboundTensor>();
  readonly #timed = new Set<InboundTensor>();
  #earliestMs = Number.POSITIVE_INFINITY;
  /** Streams of the other side with lower or equal ids have begun. */
  #lastId = 0;
  readonly #parity: 0 | 1;
  /** Streams of which something has come since they were last confirmed, and how much of all. */
  readonly #unconfirmed = new Set<InboundTensor>();
  #unconfirmedBytes = 0;
  /** The one of them that came last. */
  #lastFilled: InboundTensor | undefined;
  /** Until when streams of several priorities are under way. */
  #mixedUntilMs = Number.NEGATIVE_INFINITY;
  #current: InboundTensor | undefined;
  /** Given up while the socket may hold memory of it. */
  #stale: InboundTensor | undefined;
  #bytes = 0;

  /** `role` is ours. */
  constructor(
    role: "dialler" | "acceptor",
    shared: InboundContext,
    limits: Limits,
    crypto: Pick<Crypto, "crc32" | "sha256Stream">,
    book: TransferBook,
    events: InboundTensorEvents,
  ) {
    this.#parity = role === "dialler" ? 0 : 1;
    this.#limits = limits;
    this.#crypto = crypto;
    this.#book = book;
    this.#events = events;
    this.#window = new CreditWindow(limits.initialCreditBytes);
    const window = this.#window;
    const changed = (stream: InboundTensor) => {
      if (!stream.ended) this.#dirty.add(stream);
    };
    this.#context = {
      window,
      changed,
      limits,
      get pool() {
        return shared.pool;
      },
      set pool(pool) {
        shared.pool = pool;
      },
      get copiedBytes() {
        return shared.copiedBytes;
      },
      set copiedBytes(byteCount) {
        shared.copiedBytes = byteCount;
      },
    };
  }

  get openStreams(): number {
    return this.#open.size;
  }
  /** Streams that failed here and whose sender may not know yet. */
  get skippedStreams(): number {
    return this.#skipped.size;
  }
  get payloadBytes(): number {
    return this.#bytes;
  }
  /** The highest stream of the other side that has begun. */
  get lastId(): number {
    return this.#lastId;
  }
  /** Readers have made room, or memory that a stream waits for may be there. */
  get dirty(): boolean {
    return this.#dirty.size > 0 || this.#window.due;
  }
  /** Some stream waits for memory. */
  get wantsMemory(): boolean {
    for (const stream of this.#open.values()) if (stream.wantsMemory) return true;
    return false;
  }
  /** When a stream's deadline passes; Infinity: never. */
  get deadlineMs(): number {
    return this.#earliestMs;
  }

  skip(): void {
    this.#current = undefined;
    this.#dropStale();
  }

  /** A DATA or END header. Throws what ends the connection. */
  onHeader(header: Header): void {
    this.skip();
    const { streamId: id, seq, payloadBytes } = header;
    const isEnd = header.type === FrameType.END;
    if (isEnd && payloadBytes > 0) throw unexpected(header, "END without payload");
    const skipped = this.#skipped.get(id);
    if (skipped) {
      if (isEnd) this.#skipped.delete(id);
      else this.#spend(id, skipped, payloadBytes);
      return;
    }
    const stream = this.#open.get(id);
    if (!stream) throw unexpected(header, "a stream that OPEN has begun");
    if (!isEnd) this.#spend(id, stream, payloadBytes);
    if (seq !== stream.expectedSeq) {
      const details = { streamId: id, expected: stream.expectedSeq, got: seq };
      const message = `Stream ${id} failed: expected seq ${stream.expectedSeq}, got ${seq}`;
      this.#fail(stream, new ProtocolError("ASOC_SEQUENCE_GAP", message, { details }), isEnd);
      return;
    }
    if (isEnd) {
      this.#finish(stream);
      return;
    }
    const { totalBytes } = stream.description;
    const endBytes = stream.baseOffset + stream.announcedBytes;
    if (totalBytes !== undefined && endBytes > totalBytes) {
      const details = { streamId: id, expected: totalBytes, got: endBytes };
      const message = `Stream ${id} failed: OPEN said ${totalBytes} bytes, ${endBytes} came`;
      this.#fail(stream, new ProtocolError("ASOC_BAD_STREAM", message, { details }));
      return;
    }
    stream.expectedSeq++;
    this.#current = stream;
  }

  /** One whose length, type or digest is another is not the same. */
  #sameTensor(one: TensorDescription, other: TensorDescription): boolean {
    return (
      one.totalBytes === other.totalBytes &&
      one.dtype === other.dtype &&
      one.digest === other.digest &&
      one.shape.join() === other.shape.join()
    );
  }

  /** The payload counts against the credit of its stream and of the connection. Throws ASOC_CREDIT_EXCEEDED. */
  #spend(
    streamId: number,
    of: { announcedBytes: number; readonly limitBytes: number },
    payloadBytes: number,
  ): void {
    const within = this.#window.count(of.announcedBytes, payloadBytes);
    of.announcedBytes += payloadBytes;
    if (within && of.announcedBytes <= of.limitBytes) return;
    const details = { streamId, expected: of.limitBytes, got: of.announcedBytes };
    const message = `Cannot go on: stream ${streamId} has sent ${of.announcedBytes} bytes, more than its credit or the connection's allowed`;
    throw new ProtocolError("ASOC_CREDIT_EXCEEDED", message, { details });
  }

  /** See `FrameConsumer.payloadTarget`; there is always room. */
  payloadTarget(remainingBytes: number): Uint8Array {
    this.#dropStale();
    const stream = this.#current;
    if (!stream) return scratch(remainingBytes);
    try {
      return stream.target(remainingBytes);
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      this.#current = undefined;
      this.#fail(stream, error);
      return scratch(remainingBytes);
    }
  }

  /** See `FrameConsumer.targetMoved`. */
  get targetMoved(): boolean {
    return this.#stale !== undefined || this.#current?.moved === true;
  }

  onPayload(byteCount: number): void {
    this.#bytes += byteCount;
    const stream = this.#current;
    if (!stream) return;
    this.#unconfirmedBytes += byteCount;
    stream.filled(byteCount);
    if (stream !== this.#lastFilled) {
      this.#lastFilled = stream;
      this.#unconfirmed.add(stream);
    }
    if (stream.mayGrant) this.#dirty.add(stream);
    if (stream.wantsBytes) this.#events.changed(stream);
  }

  // --- records about the other side's streams

  /** Throws what ends the connection. */
  handleOpen(id: number, record: OpenRecord, nowMs: number): void {
    // The dialler's ids are odd, the acceptor's even: so a record about a stream is about one side's only.
    if (id === 0 || id <= this.#lastId || id % 2 !== this.#parity) {
      const details = { streamId: id, expected: this.#lastId + 1, got: id };
      const message = `Cannot read OPEN: expected a stream above ${this.#lastId}, got ${id}`;
      throw new ProtocolError("ASOC_UNEXPECTED_RECORD", message, { details });
    }
    this.#lastId = id;
    try {
      this.#begin(id, record, nowMs);
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      this.#stop(id, { announcedBytes: 0, limitBytes: this.#window.initialBytes }, error);
      this.#events.failed(id, error);
    }
  }

  #begin(id: number, record: OpenRecord, nowMs: number): void {
    const limit = this.#limits.maxInboundStreams;
    if (this.#open.size + this.#skipped.size >= limit) {
      throw new LimitError(
        "ASOC_TOO_MANY_STREAMS",
        `Cannot open stream ${id}: the peer has ${limit} open (maxInboundStreams)`,
        {
          details: { streamId: id, limit: "maxInboundStreams", expected: limit, got: limit + 1 },
        },
      );
    }
    const description = describeOpen(record);
    const found = this.#book.begin(description.transferId);
    const known = found instanceof InboundTensor ? found : undefined;
    const expected = known?.receivedBytes ?? 0;
    if (found === "delivered" || found === "busy" || record.baseOffset !== expected) {
      if (known) this.#giveUp(known);
      else if (found === "new") this.#book.gaveUp(description.transferId);
      const why =
        found === "delivered"
          ? "was delivered already"
          : found === "busy"
            ? "is arriving on another connection"
            : `has ${expected} bytes here, OPEN begins at ${record.baseOffset}`;
      throw new ProtocolError("ASOC_BAD_STREAM", `Cannot open stream ${id}: its transfer ${why}`, {
        details: { streamId: id, transferId: description.transferId, expected, got: record.baseOffset },
      });
    }
    if (known && !this.#sameTensor(known.description, description)) {
      this.#giveUp(known);
      throw new ProtocolError(
        "ASOC_BAD_STREAM",
        `Cannot open stream ${id}: its transfer was described otherwise before`,
      );
    }
    const stream =
      known ?? new InboundTensor(id, description, record.transferId, this.#context, this.#crypto);
    if (known) known.resume(id, this.#context);
    else if (description.deadlineMs > 0) stream.deadlineAtMs = nowMs + description.deadlineMs;
    this.#open.set(id, stream);
    if (this.#open.size > 1 && this.#isMixed(description.priority)) this.#mixPriorities(nowMs);
    this.#dirty.add(stream);
    if (stream.deadlineAtMs < Number.POSITIVE_INFINITY) {
      this.#timed.add(stream);
      this.#earliestMs = Math.min(this.#earliestMs, stream.deadlineAtMs);
    }
    if (known) this.#events.resumed(stream);
    else this.#events.started(stream);
    // Now, so that what comes in the same read lies in place.
    this.#dirty.delete(stream);
    this.#flushOne(stream);
  }

  /** Whether some open stream has another priority. Stops at the first; while none has, a connection's streams are few. */
  #isMixed(priority: number): boolean {
    for (const { description } of this.#open.values()) if (description.priority !== priority) return true;
    return false;
  }

  #mixPriorities(nowMs: number): void {
    this.#mixedUntilMs = nowMs + LEAD_MS;
    this.#confirm();
  }

  handleClose(id: number, record: CloseRecord): void {
    const stream = this.#expectOpen(id, "CLOSE");
    if (!stream) return;
    try {
      stream.close(record);
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      this.#fail(stream, error);
    }
  }

  /** The sender has given the stream up: nothing of it follows. */
  handleReset(id: number, { code, reason }: ResetRecord): void {
    if (this.#skipped.delete(id)) return;
    const stream = this.#expectOpen(id, "RESET");
    if (!stream) return;
    const why = reason === "" ? "" : `: ${reason}`;
    const error =
      code === StreamCode.DEADLINE
        ? new ConnectionError("ASOC_DEADLINE", `Stream ${id} came too late${why}`, {
            details: { streamId: id },
          })
        : new ConnectionError("ASOC_RESET", `Stream ${id} was given up by its sender${why}`, {
            details: { streamId: id, code },
          });
    this.#forget(stream);
    this.#settleFailed(stream, error);
  }

  /** Undefined for a stream that is skipped. Throws for one that never began or is over. */
  #expectOpen(id: number, what: string): InboundTensor | undefined {
    const stream = this.#open.get(id);
    if (stream || this.#skipped.has(id)) return stream;
    throw new ProtocolError("ASOC_UNEXPECTED_RECORD", `Cannot read ${what}: stream ${id} is not open`, {
      details: { streamId: id },
    });
  }

  // --- what the session asks for

  /** Its reader gives it up. */
  cancel(stream: InboundTensor, reason: string): void {
    if (this.#open.get(stream.id) !== stream) return;
    this.#stop(stream.id, stream, new ClosedError("ASOC_CANCELLED", reason), StreamCode.CANCELLED);
    this.#forget(stream);
    stream.fail(new ClosedError("ASOC_CANCELLED", `Stream ${stream.id} was given up here: ${reason}`));
    this.#drop(stream, true);
    this.#book.gaveUp(stream.description.transferId);
    this.#events.changed(stream); // whoever keeps it need not any more
  }

  /** A reader, or the node, refuses it with an error that the sender may read. */
  refuse(stream: InboundTensor, error: AsocError): void {
    if (this.#open.get(stream.id) === stream) this.#fail(stream, error);
  }

  /** While something more urgent is under way, its sender wants to know soon how much of the rest has come. */
  #ackBytes(nowMs: number): number {
    if (nowMs < this.#mixedUntilMs && this.#unconfirmedBytes >= MIXED_ACK_BYTES) {
      // One that trickles stays urgent for its sender as long as it is open.
      const [first] = this.#open.values();
      if (first && this.#isMixed(first.description.priority)) this.#mixedUntilMs = nowMs + LEAD_MS;
    }
    return nowMs < this.#mixedUntilMs ? MIXED_ACK_BYTES : this.#limits.ackBytes;
  }

  /** Says what may be said now: credit where there is memory, and what has come. */
  flush(nowMs: number): void {
    if (this.#dirty.size > 0) {
      for (const stream of this.#dirty) if (this.#open.get(stream.id) === stream) this.#flushOne(stream);
      this.#dirty.clear();
    }
    if (this.#unconfirmedBytes >= this.#ackBytes(nowMs)) this.#confirm();
    const limitBytes = this.#window.pollLimit();
    if (limitBytes !== undefined) this.#events.say(0, { kind: "credit", limitBytes });
  }

  /** All streams of which something has come, so that no small rests of many of them add up at the sender. */
  #confirm(): void {
    for (const stream of this.#unconfirmed) {
      const { id, receivedBytes, transferId } = stream;
      if (this.#open.get(id) !== stream || receivedBytes <= stream.ackedBytes) continue;
      stream.ackedBytes = receivedBytes;
      this.#events.say(id, { kind: "ack", transferId, contiguousBytes: receivedBytes, level: "received" });
    }
    this.#unconfirmed.clear();
    this.#lastFilled = undefined;
    this.#unconfirmedBytes = 0;
  }

  #flushOne(stream: InboundTensor): void {
    let limitBytes: number;
    try {
      limitBytes = stream.grant();
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      this.#fail(stream, error);
      return;
    }
    const { id, description, baseOffset } = stream;
    const isLast = limitBytes + baseOffset >= (description.totalBytes ?? Number.POSITIVE_INFINITY);
    if (
      limitBytes > stream.limitBytes &&
      (isLast ||
        limitBytes - stream.limitBytes >= GRANT_BYTES ||
        stream.limitBytes - stream.announcedBytes < GRANT_BYTES)
    ) {
      stream.limitBytes = limitBytes;
      this.#events.say(id, { kind: "credit", limitBytes });
    }
  }

  /** Memory has come back: those that wait for it try again. */
  wake(): void {
    for (const stream of this.#open.values()) if (stream.wantsMemory) this.#dirty.add(stream);
  }

  handleTimeout(nowMs: number): void {
    if (nowMs < this.#earliestMs) return;
    for (const stream of [...this.#timed]) {
      if (stream.deadlineAtMs > nowMs) continue;
      const { deadlineMs } = stream.description;
      const message = `Stream ${stream.id} came too late: it was of use for ${deadlineMs} ms`;
      this.#fail(
        stream,
        new ConnectionError("ASOC_DEADLINE", message, { details: { streamId: stream.id, deadlineMs } }),
      );
    }
  }

  /** The connection is gone and the socket holds no memory: hands out what is open, to go on elsewhere or to fail. */
  takeOpen(): InboundTensor[] {
    this.#dropStale();
    const open = [...this.#open.values()];
    this.#open.clear();
    this.#skipped.clear();
    this.#dirty.clear();
    this.#unconfirmed.clear();
    this.#lastFilled = undefined;
    this.#timed.clear();
    this.#earliestMs = Number.POSITIVE_INFINITY;
    this.#current = undefined;
    return open;
  }

  /** A stream of `takeOpen` ends here with `error`. */
  settleFailed(stream: InboundTensor, error: AsocError): void {
    this.#settleFailed(stream, error);
  }

  // --- inside

  #finish(stream: InboundTensor): void {
    const { id, transferId, description } = stream;
    try {
      stream.finish();
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      this.#fail(stream, error, true);
      return;
    }
    this.#forget(stream);
    this.#book.delivered(description.transferId);
    this.#events.say(id, {
      kind: "ack",
      transferId,
      contiguousBytes: stream.receivedBytes,
      level: "verified",
    });
    this.#events.changed(stream);
  }

  /** It fails here; `over`: its END has come, so nothing of it follows. */
  #fail(stream: InboundTensor, error: AsocError, over = false): void {
    this.#stop(stream.id, stream, error);
    if (over) this.#skipped.delete(stream.id);
    this.#forget(stream);
    this.#settleFailed(stream, error);
  }

  #settleFailed(stream: InboundTensor, error: AsocError): void {
    stream.fail(error);
    this.#drop(stream);
    this.#book.gaveUp(stream.description.transferId);
    this.#events.failed(stream.id, error);
    this.#events.changed(stream);
  }

  #forget(stream: InboundTensor): void {
    this.#open.delete(stream.id);
    this.#dirty.delete(stream);
    this.#unconfirmed.delete(stream);
    if (this.#lastFilled === stream) this.#lastFilled = undefined;
    if (!this.#timed.delete(stream)) return;
    this.#earliestMs = Number.POSITIVE_INFINITY;
    for (const { deadlineAtMs } of this.#timed) this.#earliestMs = Math.min(this.#earliestMs, deadlineAtMs);
  }

  /** A broken transfer does not go on. */
  #giveUp(known: InboundTensor): void {
    this.#settleFailed(
      known,
      new ConnectionError("ASOC_INCOMPLETE_STREAM", "Its sender did not go on where it broke"),
    );
  }

  /** Tells the sender, and skips what it sends until it knows. */
  #stop(id: number, ledger: Skipped, error: AsocError, code = stopCode(error)): void {
    const limit = this.#limits.maxInboundStreams;
    if (this.#skipped.size >= limit) {
      throw new LimitError(
        "ASOC_TOO_MANY_STREAMS",
        `Cannot go on: the peer left ${limit} refused streams open (maxInboundStreams)`,
        {
          details: { limit: "maxInboundStreams", expected: limit, got: limit + 1 },
        },
      );
    }
    this.#skipped.set(id, { announcedBytes: ledger.announcedBytes, limitBytes: ledger.limitBytes });
    this.#events.say(id, { kind: "stop", code, reason: clippedReason(error.message) });
  }

  /** Its memory goes back as soon as the socket cannot hold any of it. */
  #drop(stream: InboundTensor, byReader = false): void {
    stream.discard(byReader);
    if (this.#current === stream) {
      this.#current = undefined;
      this.#stale = stream;
    } else stream.dropMemory();
  }

  #dropStale(): void {
    this.#stale?.dropMemory();
    this.#stale = undefined;
  }
}

function stopCode(error: AsocError): number {
  switch (error.code) {
    case "ASOC_DIGEST_MISMATCH":
      return StreamCode.DIGEST_MISMATCH;
    case "ASOC_DEADLINE":
      return StreamCode.DEADLINE;
    case "ASOC_UNSUPPORTED_TENSOR":
      return StreamCode.UNSUPPORTED;
    case "ASOC_CANCELLED":
      return StreamCode.CANCELLED;
    case "ASOC_BAD_STREAM":
    case "ASOC_SEQUENCE_GAP":
      return StreamCode.BAD_STREAM;
    default:
      return error instanceof LimitError ? StreamCode.TOO_LARGE : StreamCode.UNSPECIFIED;
  }
}

function unexpected(header: Header, expected: string): ProtocolError {
  const got = `${header.type === FrameType.END ? "END" : "DATA"} of stream ${header.streamId} (seq ${header.seq}, ${header.payloadBytes} bytes)`;
  return new ProtocolError("ASOC_UNEXPECTED_FRAME", `Cannot read frame: expected ${expected}, got ${got}`, {
    details: { streamId: header.streamId, expected, got },
  });
}
