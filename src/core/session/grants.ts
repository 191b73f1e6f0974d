/**
 * Credit for tensor streams on their way in (RFC-0006, Credit): each is granted what there is memory for, as soon as a
 * grant is worth a frame; the connection, what its window has free again.
 */
import { AsocError } from "../errors.ts";
import { MiB } from "../limits.ts";
import type { X1Record } from "../wire/records/records.ts";
import type { CreditWindow } from "./credit_window.ts";
import type { InboundTensor } from "./inbound_tensor.ts";

/** Bytes in which a stream's grant is worth a frame, unless it is its last. */
const GRANT_BYTES = MiB;

export interface GrantEvents {
  say(streamId: number, record: X1Record): void;
  /** There will be no memory for the stream. */
  failed(stream: InboundTensor, error: AsocError): void;
}

export class Grants {
  readonly #window: CreditWindow;
  readonly #open: ReadonlyMap<number, InboundTensor>;
  readonly #events: GrantEvents;
  /** Streams that may be granted more. */
  readonly #dirty = new Set<InboundTensor>();
  /** Streams that waited for memory when they were last looked at. */
  readonly #waiting = new Set<InboundTensor>();

  /** `open`: all streams that are open now, by id. */
  constructor(window: CreditWindow, open: ReadonlyMap<number, InboundTensor>, events: GrantEvents) {
    this.#window = window;
    this.#open = open;
    this.#events = events;
  }

  /** `flush` has something to look at. */
  get due(): boolean {
    return this.#dirty.size > 0 || this.#window.due;
  }
  /** Some stream waits for memory. */
  get wantsMemory(): boolean {
    for (const stream of this.#waiting) if (stream.wantsMemory) return true;
    return false;
  }

  /** There may be more to grant to `stream`. */
  add(stream: InboundTensor): void {
    this.#dirty.add(stream);
  }
  delete(stream: InboundTensor): void {
    this.#dirty.delete(stream);
    this.#waiting.delete(stream);
  }
  clear(): void {
    this.#dirty.clear();
    this.#waiting.clear();
  }

  /** Memory has come back: those that wait for it try again. */
  wake(): void {
    for (const stream of this.#waiting) if (stream.wantsMemory) this.#dirty.add(stream);
  }

  /** Grants to all that may be granted more. */
  flushStreams(): void {
    if (this.#dirty.size === 0) return;
    for (const stream of this.#dirty) if (this.#open.get(stream.id) === stream) this.#grant(stream);
    this.#dirty.clear();
  }

  /** Grants to `stream` now, so that what comes in the same read lies in place. */
  flushOne(stream: InboundTensor): void {
    this.#dirty.delete(stream);
    this.#grant(stream);
  }

  /** Grants to the connection. */
  flushWindow(): void {
    const limitBytes = this.#window.pollLimit();
    if (limitBytes !== undefined) this.#events.say(0, { kind: "credit", limitBytes });
  }

  #grant(stream: InboundTensor): void {
    let limitBytes: number;
    try {
      limitBytes = stream.grant();
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      this.#events.failed(stream, error);
      return;
    }
    if (stream.wantsMemory) this.#waiting.add(stream);
    else this.#waiting.delete(stream);
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
}
