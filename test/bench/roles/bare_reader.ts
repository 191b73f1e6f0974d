/** How the controls read: the least that any receiver of frames has to do. */
import { ageUs, type Meter, type Times } from "./role.ts";

export const HEADER_BYTES = 14;

/** Where a control's bytes go, as in the adapter interface. */
export interface Reader {
  next(): Uint8Array;
  commit(byteCount: number): void;
  push(part: Uint8Array): void;
}

/** Copies `part` to where `reader` wants it, piece by piece. */
function pushInto(reader: Reader, part: Uint8Array): void {
  let at = 0;
  while (at < part.length) {
    const target = reader.next();
    const byteCount = Math.min(target.length, part.length - at);
    target.set(part.subarray(at, at + byteCount));
    at += byteCount;
    reader.commit(byteCount);
  }
}

/**
 * Frames, in place in one reused tensor: exact rest of a header or a payload. A frame of stream 3 is a small one amid bulk:
 * its age goes to `times`.
 */
export class BareReader implements Reader {
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #small = new Uint8Array(4096);
  readonly #memory: Uint8Array;
  readonly #meter: Meter | undefined;
  readonly #times: Times | undefined;
  #headerFilled = 0;
  #payloadLeft = 0;
  #at = 0;
  #smallAt = -1;
  done = false;

  constructor(memory: Uint8Array, meter?: Meter, times?: Times) {
    this.#memory = memory;
    this.#meter = meter;
    this.#times = times;
  }

  next(): Uint8Array {
    if (this.#payloadLeft === 0) return this.#header.subarray(this.#headerFilled);
    if (this.#smallAt >= 0) return this.#small.subarray(this.#smallAt, this.#smallAt + this.#payloadLeft);
    return this.#memory.subarray(this.#at, this.#at + this.#payloadLeft);
  }

  commit(byteCount: number): void {
    if (this.#payloadLeft === 0) {
      this.#headerFilled += byteCount;
      if (this.#headerFilled === HEADER_BYTES) this.#readHeader(this.#header, 0);
      return;
    }
    this.#payloadLeft -= byteCount;
    if (this.#smallAt >= 0) {
      this.#smallAt += byteCount;
      if (this.#payloadLeft > 0) return;
      this.#times?.add(ageUs(this.#small));
      this.#smallAt = -1;
      return;
    }
    this.#at += byteCount;
    if (this.#at === this.#memory.length) this.#at = 0;
    if (this.#meter?.add(byteCount)) this.done = true;
  }

  push(part: Uint8Array): void {
    pushInto(this, part);
  }

  #readHeader(bytes: Uint8Array, at: number): void {
    this.#headerFilled = 0;
    const byte = (index: number) => bytes[at + index] as number; // a whole header is there
    this.#payloadLeft = ((byte(10) << 24) | (byte(11) << 16) | (byte(12) << 8) | byte(13)) >>> 0;
    if (byte(1) !== 1) this.#payloadLeft = 0; // END
    if (byte(5) === 3 && this.#payloadLeft > 0) this.#smallAt = 0;
  }
}

/** Small frames, many at a time: through a staging buffer, from there to the tensor. */
export class StagedReader implements Reader {
  readonly #staging = new Uint8Array(128 * 1024);
  readonly #memory: Uint8Array;
  readonly #meter: Meter;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerFilled = 0;
  #payloadLeft = 0;
  #at = 0;

  constructor(memory: Uint8Array, meter: Meter) {
    this.#memory = memory;
    this.#meter = meter;
  }

  next(): Uint8Array {
    return this.#staging;
  }

  commit(byteCount: number): void {
    this.push(this.#staging.subarray(0, byteCount));
  }

  push(part: Uint8Array): void {
    let at = 0;
    while (at < part.length) {
      if (this.#payloadLeft > 0) {
        const byteCount = Math.min(this.#payloadLeft, part.length - at);
        this.#memory.set(part.subarray(at, at + byteCount), this.#at);
        this.#at += byteCount;
        if (this.#at === this.#memory.length) this.#at = 0;
        at += byteCount;
        this.#payloadLeft -= byteCount;
        this.#meter.add(byteCount);
      } else {
        const byteCount = Math.min(HEADER_BYTES - this.#headerFilled, part.length - at);
        this.#header.set(part.subarray(at, at + byteCount), this.#headerFilled);
        this.#headerFilled += byteCount;
        at += byteCount;
        if (this.#headerFilled < HEADER_BYTES) return;
        this.#headerFilled = 0;
        const view = new DataView(this.#header.buffer);
        this.#payloadLeft = view.getUint8(1) === 1 ? view.getUint32(10) : 0;
      }
    }
  }
}

/** Calls `complete` for every `messageBytes` that came. */
export class MessageReader implements Reader {
  readonly message: Uint8Array;
  readonly #complete: () => void;
  #filled = 0;

  constructor(messageBytes: number, complete: () => void) {
    this.message = new Uint8Array(messageBytes);
    this.#complete = complete;
  }

  next(): Uint8Array {
    return this.message.subarray(this.#filled);
  }

  commit(byteCount: number): void {
    this.#filled += byteCount;
    if (this.#filled < this.message.length) return;
    this.#filled = 0;
    this.#complete();
  }

  push(part: Uint8Array): void {
    pushInto(this, part);
  }
}

export function header(type: number, streamId: number, seq: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  writeHeader(new DataView(bytes.buffer), 0, type, streamId, seq, payloadBytes);
  return bytes;
}

export function writeHeader(
  view: DataView,
  at: number,
  type: number,
  streamId: number,
  seq: number,
  payloadBytes: number,
): void {
  view.setUint8(at, 1);
  view.setUint8(at + 1, type);
  view.setUint32(at + 2, streamId);
  view.setUint32(at + 6, seq);
  view.setUint32(at + 10, payloadBytes);
}
