/**
 * What all streams of one connection may bring before anybody has granted them more (RFC-0006, Credit).
 *
 * Only the first `initialBytes` of each stream count, because everything beyond them was granted against memory that is
 * there. So `usedBytes`, the memory outside the pool, never exceeds the window.
 */
import { CONNECTION_CREDIT_FACTOR, type Limits, MIN_BUFFER_BYTES, WINDOW_BUDGET_DIVISOR } from "../limits.ts";
import { creditExceeded } from "./inbound_faults.ts";

/**
 * The initial credit of a stream on a new connection, which is the `connections`th of its node, in bytes. Windows are
 * memory beyond `memoryBudgetBytes`: the n-th gets at most 1/n of a 32nd of the budget, so that those of 164 connections,
 * which is all that a node lets in, come to an eighth of it.
 */
export function initialCreditFor(limits: Limits, connections: number): number {
  const windowBytes = limits.memoryBudgetBytes / WINDOW_BUDGET_DIVISOR / connections;
  const shareBytes = Math.floor(windowBytes / CONNECTION_CREDIT_FACTOR);
  return Math.min(limits.initialCreditBytes, Math.max(MIN_BUFFER_BYTES, shareBytes));
}

/** What a stream has brought on this connection, and may bring. */
export interface StreamLedger {
  /** Payload bytes that headers have announced. */
  announcedBytes: number;
  readonly limitBytes: number;
}

export class CreditWindow {
  /** Credit of a stream before its first CREDIT. */
  readonly initialBytes: number;
  readonly #windowBytes: number;
  /** Bytes that were announced against it, since the connection began. */
  #countedBytes = 0;
  #usedBytes = 0;
  /** The limit that the other side has been told. */
  #limitBytes: number;

  constructor(initialBytes: number) {
    this.initialBytes = initialBytes;
    this.#windowBytes = CONNECTION_CREDIT_FACTOR * initialBytes;
    this.#limitBytes = this.#windowBytes;
  }

  /** Memory that is held for streams that have none of their own. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** A payload counts against the credit of its stream and of the connection. Throws ASOC_CREDIT_EXCEEDED. */
  spend(streamId: number, of: StreamLedger, payloadBytes: number): void {
    const initialLeft = this.initialBytes - of.announcedBytes;
    if (initialLeft > 0) this.#countedBytes += Math.min(initialLeft, payloadBytes);
    of.announcedBytes += payloadBytes;
    if (this.#countedBytes > this.#limitBytes || of.announcedBytes > of.limitBytes) {
      throw creditExceeded(streamId, of);
    }
  }

  take(byteCount: number): void {
    this.#usedBytes += byteCount;
  }
  giveBack(byteCount: number): void {
    this.#usedBytes -= byteCount;
  }

  /** A new limit is worth a frame. */
  get due(): boolean {
    const left = this.#limitBytes - this.#countedBytes;
    const step = left === 0 ? 1 : Math.min(left, this.#windowBytes) / 4;
    return this.#nextLimit - this.#limitBytes >= step;
  }

  /** A new limit to announce on stream 0, when it is due. */
  pollLimit(): number | undefined {
    if (!this.due) return undefined;
    this.#limitBytes = this.#nextLimit;
    return this.#limitBytes;
  }

  get #nextLimit(): number {
    return this.#countedBytes + this.#windowBytes - this.#usedBytes;
  }
}
