/**
 * CONTROL frames of one session, in and out: their payloads as they come, and the seq that counts them in each direction
 * (RFC-0004, Records in CONTROL frames). What the records mean is the session's affair.
 */
import { ProtocolError } from "../errors.ts";
import type { Header } from "../wire/header.ts";
import { controlTooLarge } from "./faults.ts";

export class ControlFrames {
  #payload = new Uint8Array(0);
  #filled = 0;
  #nextIn = 0;
  #nextOut = 0;
  #onZero = false;
  #streamId = 0;

  /** The payload of the frame that was read last, in memory of its own. */
  get payload(): Uint8Array {
    return this.#payload;
  }
  /** That frame lay on stream 0 with seq 0, where CAPS must. */
  get onZero(): boolean {
    return this.#onZero;
  }
  /** The stream that frame is about. */
  get streamId(): number {
    return this.#streamId;
  }
  /** How many have been numbered for sending. */
  get numbered(): number {
    return this.#nextOut;
  }

  /** The seq of the next frame that is sent. */
  number(): number {
    return this.#nextOut++;
  }

  /**
   * A header has come. `counted`: the other side speaks x1, so its seq has to be the next one; of another nothing can be
   * said about it. Throws ASOC_FRAME_TOO_LARGE over `limit` bytes, ASOC_UNEXPECTED_RECORD on a gap.
   */
  begin(header: Header, limit: number, counted: boolean): void {
    const { payloadBytes, streamId, seq } = header;
    if (payloadBytes > limit) throw controlTooLarge(header, limit);
    if (counted && seq !== this.#nextIn) {
      throw new ProtocolError(
        "ASOC_UNEXPECTED_RECORD",
        `Cannot read CONTROL: expected seq ${this.#nextIn}, got ${seq}`,
        { details: { expected: this.#nextIn, got: seq, streamId } },
      );
    }
    this.#onZero = streamId === 0 && seq === 0;
    this.#streamId = streamId;
    this.#nextIn = (seq + 1) >>> 0;
    this.#payload = new Uint8Array(payloadBytes);
    this.#filled = 0;
  }

  /** Where the next `byteCount` bytes of the payload go. */
  target(byteCount: number): Uint8Array {
    return this.#payload.subarray(this.#filled, this.#filled + byteCount);
  }
  filled(byteCount: number): void {
    this.#filled += byteCount;
  }
}
