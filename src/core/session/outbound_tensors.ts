/**
 * Tensor streams on their way out, as far as their receiver has a say in them (RFC-0006): those whose fate is not known
 * yet, what they may send, what they wait for, and until when they are of use. In what order they go out is `Outbound`'s
 * affair.
 */
import { OutboundCredit } from "./outbound_credit.ts";
import type { OutboundStream, TensorSending } from "./outbound_stream.ts";
import { StreamDeadlines } from "./stream_deadlines.ts";

export class OutboundTensors {
  readonly #enqueue: (stream: OutboundStream) => void;
  /** Those that are not settled: END may be out, and the receiver's word is awaited. */
  readonly #unsettled = new Map<number, OutboundStream>();
  #credit = new OutboundCredit(0);
  readonly #awaitCredit = new Set<OutboundStream>();
  readonly #held = new Set<OutboundStream>();
  readonly #deadlines = new StreamDeadlines<OutboundStream>();

  /** `enqueue`: a stream that has waited may go on. */
  constructor(enqueue: (stream: OutboundStream) => void) {
    this.#enqueue = enqueue;
  }

  /** How many are not settled. */
  get size(): number {
    return this.#unsettled.size;
  }
  /** The one with that id that is not settled. */
  get(id: number): OutboundStream | undefined {
    return this.#unsettled.get(id);
  }
  values(): IterableIterator<OutboundStream> {
    return this.#unsettled.values();
  }
  /** When a stream's deadline passes, or held ones may go on; Infinity: never. */
  get deadlineMs(): number {
    const { earliestMs } = this.#deadlines;
    return this.#held.size > 0 ? Math.min(earliestMs, this.#credit.leadUntilMs) : earliestMs;
  }

  /** The other side's initial credit, in bytes, for the streams to come. */
  useCredit(initialBytes: number): void {
    this.#credit = new OutboundCredit(initialBytes);
  }

  /** A new one, whose OPEN is not out. */
  add(stream: OutboundStream, { deadlineAtMs }: TensorSending): void {
    stream.limitBytes = this.#credit.initialBytes;
    this.#deadlines.add(stream, deadlineAtMs);
  }

  /** How often a stream had bytes to send and no credit for them. */
  creditStalls = 0;

  /** It has its id, and OPEN goes out. */
  handleOpened(stream: OutboundStream, nowMs: number): void {
    this.#unsettled.set(stream.id, stream);
    this.#credit.lead(stream.priority, nowMs);
  }

  /** The length of its next chunk, at most `wantedBytes`; 0: it waits, and is enqueued when it may go on. */
  spend(stream: OutboundStream, wantedBytes: number, nowMs: number): number {
    const allowed = this.#credit.allow(stream, wantedBytes, nowMs);
    if (typeof allowed === "string") {
      if (allowed !== "hold") this.creditStalls++;
      if (allowed === "connection") this.#awaitCredit.add(stream);
      else if (allowed === "hold") this.#held.add(stream);
      return 0;
    }
    this.#credit.lead(stream.priority, nowMs);
    this.#credit.spend(stream, allowed);
    return allowed;
  }

  /** Something more urgent is under way. */
  holds(priority: number, nowMs: number): boolean {
    return this.#credit.holds(priority, nowMs);
  }

  /** It waits for its turn, not for its receiver. */
  stopWaiting(stream: OutboundStream): void {
    this.#awaitCredit.delete(stream);
    this.#held.delete(stream);
  }

  /** CREDIT: the stream may go so far, or the connection for id 0. What is not known any more is passed over. */
  handleCredit(id: number, limitBytes: number): void {
    if (id === 0) {
      if (this.#credit.raise(limitBytes)) for (const stream of this.#awaitCredit) this.#enqueue(stream);
      return;
    }
    const stream = this.#unsettled.get(id);
    if (!stream || limitBytes <= stream.limitBytes) return;
    stream.limitBytes = limitBytes;
    if (!stream.done && stream.pending && !this.#awaitCredit.has(stream)) this.#enqueue(stream);
  }

  /** The receiver has so many bytes of this connection: held streams may go on. */
  confirm(stream: OutboundStream, ackedBytes: number): void {
    this.#credit.confirm(stream, ackedBytes);
    this.#goOn();
  }

  /** Streams whose deadline has passed, and those that were held for long enough. */
  handleTimeout(nowMs: number, late: (stream: OutboundStream) => void): void {
    if (nowMs >= this.#credit.leadUntilMs) this.#goOn();
    for (const stream of this.#deadlines.passed(nowMs)) {
      this.#deadlines.delete(stream);
      if (!stream.done && !stream.endInBatch) late(stream);
    }
  }

  /** All of it is sent: it cannot be too late any more. */
  handleEndSent(stream: OutboundStream): void {
    this.#deadlines.delete(stream);
  }

  /** Nothing more is expected of it. */
  settle(stream: OutboundStream): void {
    this.#unsettled.delete(stream.id);
    this.stopWaiting(stream);
    this.#credit.confirm(stream, stream.promisedBytes);
    this.#deadlines.delete(stream);
  }

  clear(): void {
    this.#unsettled.clear();
    this.#awaitCredit.clear();
    this.#held.clear();
    this.#deadlines.clear();
  }

  #goOn(): void {
    for (const stream of this.#held) this.#enqueue(stream);
  }
}
