/**
 * Bytes in, frames out: cuts the byte stream of a connection into headers and payloads.
 *
 * Two ways in. Direct: `next()` names memory (the rest of a header, or the place in
 * the tensor where the payload belongs) and `commit()` says how much of it was
 * filled; no payload byte is copied. The header of the next frame is read along with the end of a payload where
 * memory of the same tensor follows, and the next payload overwrites it there: that saves a read a frame. Copying: `push()` takes bytes wherever they
 * lie. Small frames in a row are read many at a time into a staging buffer and
 * go the copying way, because a read each would cost more than the copy.
 *
 * It owns no tensor memory and knows no frame type. When the consumer has no
 * room, bytes that still come are spilled unparsed until `retry()`.
 */
import { READ_BYTES, SMALL_PAYLOAD_BYTES, STAGING_BYTES } from "../limits.ts";
import { decodeHeader, HEADER_BYTES, type Header } from "./header.ts";

/** What to do with frames. The session implements it. */
export interface FrameConsumer {
  /** A header has come; it is overwritten later. Throws to end the connection. */
  onHeader(header: Header): void;
  /**
   * Memory for up to `remainingBytes` of the payload; never empty. Undefined: no room now. Never more either, except by exactly
   * `spareBytes` where all of the rest fits and what lies behind it is still to come: the next header may land there, and
   * what belongs there follows.
   */
  payloadTarget(remainingBytes: number, spareBytes: number): Uint8Array | undefined;
  /** True when there is a better place now than the last target, whose memory nobody was given. */
  readonly targetMoved: boolean;
  /** `byteCount` bytes lie at the start of the last target. */
  onPayload(byteCount: number): void;
  /** The payload is complete. */
  onFrameEnd(): void;
}

/** Small frames in a row after which reading goes through the staging buffer: more than lie between two large tensors (CLOSE, END, OPEN, PING and some grants). */
const STAGE_AFTER = 8;

type Place = "header" | "payload" | "staging" | "spill";

export class FrameReader {
  readonly #consumer: FrameConsumer;
  readonly #header: Header = { type: 0, streamId: 0, seq: 0, payloadBytes: 0 };
  readonly #headerBytes = new Uint8Array(HEADER_BYTES);
  #headerFilled = 0;
  #inPayload = false;
  #remaining = 0;
  #smallRun = 0;
  #staging: Uint8Array | undefined;
  #target: Uint8Array | undefined;
  #place: Place = "header";
  /** True from next() to commit(): the target belongs to the socket. */
  #lent = false;
  #spill: Uint8Array[] = [];
  #stalled = false;
  #copiedBytes = 0;

  constructor(consumer: FrameConsumer) {
    this.#consumer = consumer;
  }

  /** True while the consumer has no room: nothing more should be read. */
  get stalled(): boolean {
    return this.#stalled;
  }
  /** True between frames. */
  get atBoundary(): boolean {
    return !this.#inPayload && this.#headerFilled === 0 && this.#spill.length === 0;
  }
  /** Payload bytes that went the copying way. */
  get copiedBytes(): number {
    return this.#copiedBytes;
  }

  /** Memory for the next bytes; see `Sink.next`. */
  next(): Uint8Array {
    // Asked again at the last moment: since commit() the consumer may have found a better place.
    if (!this.#target || (!this.#lent && this.#place === "payload" && this.#consumer.targetMoved))
      this.#target = this.#chooseTarget();
    this.#lent = true;
    return this.#target;
  }

  /** `byteCount` bytes were put at the start of `next()`. Throws what the consumer throws. */
  commit(byteCount: number): void {
    const target = this.#target;
    if (!target || byteCount < 1 || byteCount > target.length) {
      throw new RangeError(`commit: ${byteCount} bytes, expected 1 to ${target?.length ?? 0}`);
    }
    this.#target = undefined;
    this.#lent = false;
    switch (this.#place) {
      case "header":
        this.#headerFilled += byteCount;
        if (this.#headerFilled === HEADER_BYTES) {
          decodeHeader(this.#headerBytes, 0, this.#header);
          this.#beginPayload();
        }
        break;
      case "payload": {
        const rest = this.#remaining;
        this.#advance(Math.min(byteCount, rest));
        if (byteCount > rest) this.#parse(target.subarray(rest, byteCount)); // of the next header
        break;
      }
      case "staging":
        this.#parse(target.subarray(0, byteCount));
        break;
      case "spill":
        if (this.#stalled) this.#spill.push(target.subarray(0, byteCount));
        else this.#parse(target.subarray(0, byteCount));
        break;
    }
    // Chosen now, so that a lack of room is known before the next read begins.
    this.#target = this.#chooseTarget();
  }

  /** The copying way in. Throws what the consumer throws. */
  push(part: Uint8Array): void {
    this.#target = undefined;
    this.#lent = false;
    if (this.#stalled) this.#spill.push(part.slice());
    else this.#parse(part);
  }

  /** Tries again after a stall, with what was spilled. */
  retry(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    const spilled = this.#spill;
    this.#spill = [];
    for (const [index, part] of spilled.entries()) {
      this.#parse(part);
      if (this.#stalled) {
        this.#spill.push(...spilled.slice(index + 1));
        return;
      }
    }
    if (this.#lent) return;
    this.#target = this.#chooseTarget();
  }

  #chooseTarget(): Uint8Array {
    if (this.#inPayload && !this.#stalled) {
      if (this.#smallRun < STAGE_AFTER || this.#remaining > SMALL_PAYLOAD_BYTES) {
        const wanted = Math.min(this.#remaining, READ_BYTES);
        const room = this.#consumer.payloadTarget(wanted, wanted === this.#remaining ? HEADER_BYTES : 0);
        if (room) {
          this.#place = "payload";
          return room;
        }
        this.#stalled = true;
      }
    }
    if (this.#stalled) {
      this.#place = "spill";
      return new Uint8Array(SMALL_PAYLOAD_BYTES);
    }
    if (this.#smallRun >= STAGE_AFTER) {
      this.#place = "staging";
      this.#staging ??= new Uint8Array(STAGING_BYTES);
      return this.#staging;
    }
    this.#place = "header";
    return this.#headerFilled === 0 ? this.#headerBytes : this.#headerBytes.subarray(this.#headerFilled);
  }

  #parse(part: Uint8Array): void {
    let at = 0;
    while (at < part.length) {
      if (this.#inPayload) {
        const room = this.#consumer.payloadTarget(this.#remaining, 0);
        if (!room) {
          this.#stalled = true;
          this.#spill.push(part.slice(at));
          return;
        }
        const byteCount = Math.min(room.length, part.length - at);
        room.set(part.subarray(at, at + byteCount));
        at += byteCount;
        this.#copiedBytes += byteCount;
        this.#advance(byteCount);
      } else if (this.#headerFilled === 0 && part.length - at >= HEADER_BYTES) {
        decodeHeader(part, at, this.#header);
        at += HEADER_BYTES;
        this.#beginPayload();
      } else {
        const byteCount = Math.min(HEADER_BYTES - this.#headerFilled, part.length - at);
        this.#headerBytes.set(part.subarray(at, at + byteCount), this.#headerFilled);
        this.#headerFilled += byteCount;
        at += byteCount;
        if (this.#headerFilled === HEADER_BYTES) {
          decodeHeader(this.#headerBytes, 0, this.#header);
          this.#beginPayload();
        }
      }
    }
  }

  #beginPayload(): void {
    const small = this.#header.payloadBytes <= SMALL_PAYLOAD_BYTES;
    this.#smallRun = small ? Math.min(this.#smallRun + 1, STAGE_AFTER) : 0;
    this.#headerFilled = 0;
    this.#remaining = this.#header.payloadBytes;
    this.#inPayload = this.#remaining > 0;
    this.#consumer.onHeader(this.#header);
    if (!this.#inPayload) this.#consumer.onFrameEnd();
  }

  #advance(byteCount: number): void {
    this.#remaining -= byteCount;
    this.#consumer.onPayload(byteCount);
    if (this.#remaining === 0) {
      this.#inPayload = false;
      this.#consumer.onFrameEnd();
    }
  }
}
