/**
 * When what has come of tensor streams is confirmed (RFC-0006, ACK): each `ackBytes`, and sooner while streams of several
 * priorities are under way, because their sender holds the less urgent ones back until it knows.
 */
import { LEAD_MS, MIXED_ACK_BYTES } from "../limits.ts";
import type { X1Record } from "../wire/records/records.ts";
import type { InboundTensor } from "./inbound_tensor.ts";

export class Acknowledgements {
  readonly #ackBytes: number;
  readonly #open: ReadonlyMap<number, InboundTensor>;
  readonly #say: (streamId: number, record: X1Record) => void;
  /** Streams of which something has come since they were last confirmed, and how much of all. */
  readonly #unconfirmed = new Set<InboundTensor>();
  #unconfirmedBytes = 0;
  /** How many open streams there are of each priority. */
  readonly #priorities = new Map<number, number>();
  /** The one of them that came last. */
  #lastFilled: InboundTensor | undefined;
  /** Until when streams of several priorities are under way. */
  #mixedUntilMs = Number.NEGATIVE_INFINITY;

  /** `open`: all streams that are open now, by id. */
  constructor(
    ackBytes: number,
    open: ReadonlyMap<number, InboundTensor>,
    say: (streamId: number, record: X1Record) => void,
  ) {
    this.#ackBytes = ackBytes;
    this.#open = open;
    this.#say = say;
  }

  /** `byteCount` bytes of `stream` have come. */
  count(stream: InboundTensor, byteCount: number): void {
    this.#unconfirmedBytes += byteCount;
    if (stream === this.#lastFilled) return;
    this.#lastFilled = stream;
    this.#unconfirmed.add(stream);
  }

  /** `stream` has been opened: beside others of another priority, it is time to say what has come of them. */
  handleOpened({ description }: InboundTensor, nowMs: number): void {
    const { priority } = description;
    this.#priorities.set(priority, (this.#priorities.get(priority) ?? 0) + 1);
    if (this.#priorities.size < 2) return;
    this.#mixedUntilMs = nowMs + LEAD_MS;
    this.#confirm();
  }

  /** Says what has come, when it is enough. */
  flush(nowMs: number): void {
    if (this.#unconfirmedBytes >= this.#dueBytes(nowMs)) this.#confirm();
  }

  /** The stream is over. */
  delete(stream: InboundTensor): void {
    const { priority } = stream.description;
    const left = (this.#priorities.get(priority) ?? 1) - 1;
    if (left > 0) this.#priorities.set(priority, left);
    else this.#priorities.delete(priority);
    this.#unconfirmed.delete(stream);
    if (this.#lastFilled === stream) this.#lastFilled = undefined;
  }

  clear(): void {
    this.#priorities.clear();
    this.#unconfirmed.clear();
    this.#lastFilled = undefined;
  }

  /** While something more urgent is under way, its sender wants to know soon how much of the rest has come. */
  #dueBytes(nowMs: number): number {
    if (nowMs < this.#mixedUntilMs && this.#unconfirmedBytes >= MIXED_ACK_BYTES) {
      // One that trickles stays urgent for its sender as long as it is open.
      if (this.#priorities.size > 1) this.#mixedUntilMs = nowMs + LEAD_MS;
    }
    return nowMs < this.#mixedUntilMs ? MIXED_ACK_BYTES : this.#ackBytes;
  }

  /** All streams of which something has come, so that no small rests of many of them add up at the sender. */
  #confirm(): void {
    for (const stream of this.#unconfirmed) {
      const { id, receivedBytes, transferId } = stream;
      if (this.#open.get(id) !== stream || receivedBytes <= stream.ackedBytes) continue;
      // All of it is here: CLOSE, END and "verified" follow at once.
      if (receivedBytes === stream.description.totalBytes) continue;
      stream.ackedBytes = receivedBytes;
      this.#say(id, { kind: "ack", transferId, contiguousBytes: receivedBytes, level: "received" });
    }
    this.#unconfirmed.clear();
    this.#lastFilled = undefined;
    this.#unconfirmedBytes = 0;
  }
}
