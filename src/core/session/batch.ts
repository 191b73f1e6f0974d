/**
 * What one write gives the socket: a list of parts. Headers and small payloads lie side by side in one slab, large payloads
 * are the caller's own memory, and nothing is joined.
 *
 * One batch is under way at a time; its parts stay untouched until `handleWritten`. How large the next one may be follows
 * from how long a write takes.
 */
import { KiB, MAX_DIGEST_BYTES, MAX_WRITE_BYTES, MIN_WRITE_BYTES, SMALL_PAYLOAD_BYTES } from "../limits.ts";
import { encodeHeader, FrameType, HEADER_BYTES } from "../wire/header.ts";

const SLAB_BYTES = 128 * KiB;
const MAX_PARTS = 128;
/**
 * A write faster than this lets the next one be larger, one slower than the other smaller: what is urgent waits for the one
 * under way, and between two of them the sender copies nothing.
 */
const FAST_WRITE_MS = 5;
const SLOW_WRITE_MS = 50;
/** CONTROL up to this length lies beside the headers: all but a long OPEN. */
const SMALL_CONTROL_BYTES = KiB;
/** What one turn may put into the slab: OPEN, a chunk's header and a small payload, CLOSE or RESET, END. */
const TURN_BYTES = 4 * HEADER_BYTES + SMALL_CONTROL_BYTES + SMALL_PAYLOAD_BYTES + MAX_DIGEST_BYTES + 512;

export class Batch {
  /** Made with the first stream: a stranger who only knocks costs no memory. */
  #slab: Uint8Array = new Uint8Array(0);
  #parts: Uint8Array[] = [];
  #slabAt = 0;
  /** Where in the slab the next part begins. */
  #slabFrom = 0;
  /** Up to where `#bytes` has counted the slab. */
  #slabCounted = 0;
  #bytes = 0;
  #writeBytes = 4 * MIN_WRITE_BYTES;
  #inFlight = false;
  #atMs = 0;
  #movedMs = 0;
  #frames = 0;
  #payloadBytes = 0;
  #coalescedBytes = 0;

  /** It is with the socket. */
  get inFlight(): boolean {
    return this.#inFlight;
  }
  /** When the one under way was given out, or some of it was last seen to go. */
  get lastProgressMs(): number {
    return this.#movedMs;
  }
  /** Some of it has gone. */
  handleProgress(nowMs: number): void {
    this.#movedMs = nowMs;
  }
  get counters(): {
    readonly frames: number;
    readonly payloadBytes: number;
    readonly coalescedBytes: number;
  } {
    return {
      frames: this.#frames,
      payloadBytes: this.#payloadBytes,
      coalescedBytes: this.#coalescedBytes,
    };
  }

  /** Streams will come: headers get memory to lie in. */
  prepare(): void {
    if (this.#slab.length === 0) this.#slab = new Uint8Array(SLAB_BYTES);
  }

  /** The next batch, into `parts` (emptied first). */
  begin(parts: Uint8Array[]): void {
    parts.length = 0;
    this.#parts = parts;
    this.#bytes = 0;
    this.#slabAt = 0;
    this.#slabFrom = 0;
    this.#slabCounted = 0;
  }

  /** What it has, as of the end of the last turn and of what lies outside the slab. */
  get bytes(): number {
    return this.#bytes;
  }
  /** It is as large as it may be. */
  get full(): boolean {
    return this.#bytes >= this.#writeBytes || this.#parts.length >= MAX_PARTS;
  }
  /** Whatever one stream adds in one turn has room beside the headers. */
  get hasRoomForTurn(): boolean {
    return this.#slabAt + TURN_BYTES <= SLAB_BYTES;
  }
  /** How many of `leftBytes` of a chunk go in: all, or as many as there is room for. */
  fitting(leftBytes: number): number {
    const room = Math.max(1, this.#writeBytes - this.#bytes);
    return leftBytes <= room + MIN_WRITE_BYTES ? leftBytes : room;
  }

  /** A header whose payload, if any, follows by `payload`. */
  header(type: number, streamId: number, seq: number, payloadBytes: number): void {
    encodeHeader(this.#slab, this.#slabAt, type, streamId, seq, payloadBytes);
    this.#slabAt += HEADER_BYTES;
    this.#frames++;
  }

  /** Bytes of the chunk under way: beside the headers when they are few, or from where they lie. */
  payload(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#payloadBytes += length;
    if (length <= SMALL_PAYLOAD_BYTES && this.#slabAt + length <= SLAB_BYTES) {
      this.#slab.set(bytes, this.#slabAt);
      this.#slabAt += length;
      this.#coalescedBytes += length;
    } else this.#part(bytes);
  }

  /** A CONTROL frame of a stream, in its place between the stream's other frames. */
  control(streamId: number, seq: number, payload: Uint8Array): void {
    this.header(FrameType.CONTROL, streamId, seq, payload.length);
    if (payload.length <= SMALL_CONTROL_BYTES) {
      this.#slab.set(payload, this.#slabAt);
      this.#slabAt += payload.length;
    } else this.#part(payload);
  }

  /** A frame in memory of its own: it needs no slab. */
  frame(type: number, streamId: number, seq: number, payload: Uint8Array): void {
    const frame = new Uint8Array(HEADER_BYTES + payload.length);
    encodeHeader(frame, 0, type, streamId, seq, payload.length);
    frame.set(payload, HEADER_BYTES);
    this.#part(frame);
    this.#frames++;
  }

  /** A stream's turn is over. */
  endTurn(): void {
    this.#bytes += this.#slabAt - this.#slabCounted;
    this.#slabCounted = this.#slabAt;
  }

  /** Nothing more goes in. False when nothing is in it; otherwise it is under way. */
  end(nowMs: number): boolean {
    this.#cutSlab();
    const any = this.#parts.length > 0;
    this.#parts = [];
    if (!any) return false;
    this.#inFlight = true;
    this.#atMs = nowMs;
    this.#movedMs = nowMs;
    return true;
  }

  /** It is in the kernel. */
  handleWritten(nowMs: number): void {
    const tookMs = nowMs - this.#atMs;
    if (tookMs > SLOW_WRITE_MS) this.#writeBytes = Math.max(MIN_WRITE_BYTES, this.#writeBytes / 2);
    else if (tookMs < FAST_WRITE_MS && this.#bytes >= this.#writeBytes) {
      this.#writeBytes = Math.min(MAX_WRITE_BYTES, this.#writeBytes * 2);
    }
    this.#inFlight = false;
  }

  #part(bytes: Uint8Array): void {
    this.#cutSlab();
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
  }

  /** What lies in the slab since the last part becomes one. */
  #cutSlab(): void {
    if (this.#slabAt > this.#slabFrom) this.#parts.push(this.#slab.subarray(this.#slabFrom, this.#slabAt));
    this.#slabFrom = this.#slabAt;
  }
}
