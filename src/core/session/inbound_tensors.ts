/**
 * The receiving half of a session whose streams are those of x1 (RFC-0005, RFC-0006).
 *
 *   OPEN ──▶ open ── DATA n (in order, within credit) ──▶ open ── CLOSE, END n: digest holds ──▶ delivered, ACK
 *              └── anything else, or nobody wants it ──▶ failed, STOP ── RESET or END ──▶ gone
 *
 * A failed stream's frames are skipped; the connection lives. It ends for what an honest sender cannot do: DATA without
 * OPEN, an id again, more than there was credit for.
 */
import { AsocError, ClosedError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { Crypto } from "../runtime.ts";
import { FrameType, type Header } from "../wire/header.ts";
import type { CloseRecord } from "../wire/records/close.ts";
import type { OpenRecord } from "../wire/records/open.ts";
import type { X1Record } from "../wire/records/records.ts";
import { type ResetRecord, StreamCode } from "../wire/records/reset.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import { CreditWindow } from "./credit_window.ts";
import { describeOpen } from "./description.ts";
import { Grants } from "./grants.ts";
import type { InboundContext } from "./inbound_context.ts";
import {
  beyondQuota,
  cameTooLate,
  longerThanOpened,
  notOpen,
  notResumed,
  openOutOfOrder,
  resetBySender,
  sequenceGap,
  tooManyStreams,
  unexpectedStreamFrame,
} from "./inbound_faults.ts";
import { InboundTensor, type TensorContext } from "./inbound_tensor.ts";
import type { InboundTensorEvents } from "./inbound_tensor_events.ts";
import { scratch } from "./scratch.ts";
import { SkippedStreams } from "./skipped_streams.ts";
import { StreamDeadlines } from "./stream_deadlines.ts";
import { beginTransfer, type TransferBook } from "./transfer_book.ts";

export class InboundTensors {
  readonly #maxStreams: number;
  readonly #crypto: Pick<Crypto, "crc32" | "sha256Stream">;
  readonly #events: InboundTensorEvents;
  readonly #book: TransferBook;
  readonly #window: CreditWindow;
  readonly #context: TensorContext;
  readonly #open = new Map<number, InboundTensor>();
  readonly #skipped: SkippedStreams;
  readonly #acks: Acknowledgements;
  readonly #grants: Grants;
  readonly #deadlines = new StreamDeadlines<InboundTensor>();
  /** Streams of the other side with lower or equal ids have begun. */
  #lastId = 0;
  readonly #parity: 0 | 1;
  #current: InboundTensor | undefined;
  /** Given up while the socket may hold memory of it. */
  #stale: InboundTensor | undefined;
  #bytes = 0;

  /** `role` is ours; `maxStreams` is what CAPS has said. */
  constructor(
    role: "dialler" | "acceptor",
    session: InboundContext,
    limits: Limits,
    maxStreams: number,
    crypto: Pick<Crypto, "crc32" | "sha256Stream">,
    book: TransferBook,
    events: InboundTensorEvents,
  ) {
    this.#parity = role === "dialler" ? 0 : 1;
    this.#maxStreams = maxStreams;
    this.#crypto = crypto;
    this.#book = book;
    this.#events = events;
    this.#window = new CreditWindow(limits.initialCreditBytes);
    const say = (id: number, record: X1Record) => events.say(id, record);
    this.#skipped = new SkippedStreams(limits.maxInboundStreams, say);
    this.#acks = new Acknowledgements(limits.ackBytes, this.#open, say);
    this.#grants = new Grants(this.#window, this.#open, {
      say,
      failed: (stream, error) => this.#fail(stream, error),
    });
    this.#context = {
      session,
      window: this.#window,
      changed: (stream) => {
        if (!stream.ended) this.#grants.add(stream);
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
  /** The highest id that the other side has begun; 0: none. */
  get lastId(): number {
    return this.#lastId;
  }
  /** Readers have made room, or memory that a stream waits for may be there. */
  get dirty(): boolean {
    return this.#grants.due;
  }
  /** Some stream waits for memory. */
  get wantsMemory(): boolean {
    return this.#grants.wantsMemory;
  }
  /** When a stream's deadline passes; Infinity: never. */
  get deadlineMs(): number {
    return this.#deadlines.earliestMs;
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
    if (isEnd && payloadBytes > 0) throw unexpectedStreamFrame(header, "END without payload");
    const skipped = this.#skipped.get(id);
    if (skipped) {
      if (isEnd) this.#skipped.delete(id);
      else this.#window.spend(id, skipped, payloadBytes);
      return;
    }
    const stream = this.#open.get(id);
    if (!stream) throw unexpectedStreamFrame(header, "a stream that OPEN has begun");
    if (!isEnd) this.#window.spend(id, stream, payloadBytes);
    if (seq !== stream.expectedSeq) {
      this.#fail(stream, sequenceGap(id, stream.expectedSeq, seq), isEnd);
      return;
    }
    if (isEnd) {
      this.#finish(stream);
      return;
    }
    const { totalBytes } = stream.description;
    const endBytes = stream.baseOffset + stream.announcedBytes;
    if (totalBytes !== undefined && endBytes > totalBytes) {
      this.#fail(stream, longerThanOpened(id, totalBytes, endBytes));
      return;
    }
    const { quota } = this.#context.session;
    if (quota && !quota.take(payloadBytes)) {
      this.#fail(stream, beyondQuota(id));
      return;
    }
    stream.expectedSeq++;
    this.#current = stream;
  }

  /** See `FrameConsumer.payloadTarget`; there is always room. */
  payloadTarget(remainingBytes: number, spareBytes: number): Uint8Array {
    this.#dropStale();
    const stream = this.#current;
    if (!stream) return scratch(remainingBytes);
    try {
      return stream.target(remainingBytes, spareBytes);
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
    stream.filled(byteCount);
    this.#acks.count(stream, byteCount);
    if (stream.mayGrant) this.#grants.add(stream);
    if (stream.wantsBytes) this.#events.changed(stream);
  }

  // --- records about the other side's streams

  /** Throws what ends the connection. */
  handleOpen(id: number, record: OpenRecord, nowMs: number): void {
    // The dialler's ids are odd, the acceptor's even: so a record about a stream is about one side's only.
    if (id === 0 || id <= this.#lastId || id % 2 !== this.#parity) throw openOutOfOrder(this.#lastId, id);
    this.#lastId = id;
    try {
      this.#begin(id, record, nowMs);
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      this.#skipped.stop(id, { announcedBytes: 0, limitBytes: this.#window.initialBytes }, error);
      this.#events.failed(id, error);
    }
  }

  #begin(id: number, record: OpenRecord, nowMs: number): void {
    const limit = this.#maxStreams;
    if (this.#open.size + this.#skipped.size >= limit) throw tooManyStreams(id, limit);
    const description = describeOpen(record);
    // Now, and not when its reader hears of it: a small tensor is whole, and confirmed, by then.
    const refused = this.#context.session.refusal?.(description, record.baseOffset);
    if (refused && record.baseOffset === 0) throw refused;
    const known = beginTransfer(this.#book, id, description, record.baseOffset, (broken) =>
      this.settleFailed(broken, notResumed()),
    );
    if (refused) {
      if (known) this.settleFailed(known, refused);
      throw refused;
    }
    const stream =
      known ?? new InboundTensor(id, description, record.transferId, this.#context, this.#crypto);
    if (known) known.resume(id, this.#context);
    else if (description.deadlineMs > 0) stream.deadlineAtMs = nowMs + description.deadlineMs;
    this.#open.set(id, stream);
    this.#acks.handleOpened(stream, nowMs);
    this.#grants.add(stream);
    this.#deadlines.add(stream, stream.deadlineAtMs);
    if (known) this.#events.resumed(stream);
    else this.#events.started(stream);
    this.#grants.flushOne(stream);
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
  handleReset(id: number, record: ResetRecord): void {
    if (this.#skipped.delete(id)) return;
    const stream = this.#expectOpen(id, "RESET");
    if (!stream) return;
    this.#forget(stream);
    this.settleFailed(stream, resetBySender(id, record));
  }

  /** Undefined for a stream that is skipped. Throws for one that never began or is over. */
  #expectOpen(id: number, what: string): InboundTensor | undefined {
    const stream = this.#open.get(id);
    if (stream || this.#skipped.has(id)) return stream;
    throw notOpen(id, what);
  }

  // --- what the session asks for

  /** Its reader gives it up. */
  cancel(stream: InboundTensor, reason: string): void {
    if (this.#open.get(stream.id) !== stream) return;
    this.#skipped.stop(stream.id, stream, new ClosedError("ASOC_CANCELLED", reason), StreamCode.CANCELLED);
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

  /** Says what may be said now: credit where there is memory, and what has come. */
  flush(nowMs: number): void {
    this.#grants.flushStreams();
    this.#acks.flush(nowMs);
    this.#grants.flushWindow();
  }

  /** Memory has come back: those that wait for it try again. */
  wake(): void {
    this.#grants.wake();
  }

  handleTimeout(nowMs: number): void {
    for (const stream of this.#deadlines.passed(nowMs))
      this.#fail(stream, cameTooLate(stream.id, stream.description.deadlineMs));
  }

  /** The connection is gone and the socket holds no memory: hands out what is open, to go on elsewhere or to fail. */
  takeOpen(): InboundTensor[] {
    this.#dropStale();
    const open = [...this.#open.values()];
    this.#open.clear();
    this.#skipped.clear();
    this.#grants.clear();
    this.#acks.clear();
    this.#deadlines.clear();
    this.#current = undefined;
    return open;
  }

  /** A stream that is not open any more, such as one of `takeOpen`, ends here with `error`. */
  settleFailed(stream: InboundTensor, error: AsocError): void {
    stream.fail(error);
    this.#drop(stream);
    this.#book.gaveUp(stream.description.transferId);
    this.#events.failed(stream.id, error);
    this.#events.changed(stream);
  }

  // --- inside

  #finish(stream: InboundTensor): void {
    const { id, transferId, description, receivedBytes } = stream;
    try {
      stream.finish();
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      this.#fail(stream, error, true);
      return;
    }
    this.#forget(stream);
    this.#book.delivered(description.transferId);
    this.#events.say(id, { kind: "ack", transferId, contiguousBytes: receivedBytes, level: "verified" });
    this.#events.changed(stream);
  }

  /** It fails here; `over`: its END has come, so nothing of it follows. */
  #fail(stream: InboundTensor, error: AsocError, over = false): void {
    this.#skipped.stop(stream.id, stream, error);
    if (over) this.#skipped.delete(stream.id);
    this.#forget(stream);
    this.settleFailed(stream, error);
  }

  #forget(stream: InboundTensor): void {
    this.#open.delete(stream.id);
    this.#grants.delete(stream);
    this.#acks.delete(stream);
    this.#deadlines.delete(stream);
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
