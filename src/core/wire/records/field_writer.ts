/**
 * Writes the fields of records into memory of the caller's, one after the other. What cannot be written is a fault
 * of this side: it throws RangeError that names the record, the field, what was expected and what came.
 */
import { utf8 } from "../bytes.ts";
import { writeU32 } from "../header.ts";

const TWO_32 = 2 ** 32;
const MAX_U32 = TWO_32 - 1;

/** Text as UTF-8 of at least `minBytes` and at most `maxBytes`. Refuses lone surrogates, which have none. */
export function encodeText(
  what: string,
  field: string,
  text: string,
  maxBytes: number,
  minBytes = 0,
): Uint8Array {
  if (!text.isWellFormed()) {
    throw new RangeError(`${what}: ${field}: expected text that UTF-8 can hold, got a lone surrogate`);
  }
  const bytes = utf8(text);
  checkByteCount(what, field, bytes.length, minBytes, maxBytes);
  return bytes;
}

function checkByteCount(what: string, field: string, got: number, min: number, max: number): void {
  if (got >= min && got <= max) return;
  const expected = min === max ? `${min}` : min === 0 ? `at most ${max}` : `${min} to ${max}`;
  throw new RangeError(`${what}: ${field}: ${got} bytes, expected ${expected}`);
}

export class FieldWriter {
  readonly #into: Uint8Array;
  /** Name of the record that is being written, for messages. */
  what: string;
  #at = 0;

  /** `into` is written from its start, `length` bytes of it. */
  constructor(into: Uint8Array, what: string) {
    this.#into = into;
    this.what = what;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at;
  }

  u8(field: string, value: number): void {
    this.#check(field, value, 0, 0xff);
    this.#into[this.#room(1)] = value;
  }

  u16(field: string, value: number): void {
    this.#check(field, value, 0, 0xffff);
    const at = this.#room(2);
    this.#into[at] = value >>> 8;
    this.#into[at + 1] = value;
  }

  u32(field: string, value: number): void {
    this.#check(field, value, 0, MAX_U32);
    writeU32(this.#into, this.#room(4), value);
  }

  /** 0 to 2^53 - 1. */
  u64(field: string, value: number): void {
    this.#check(field, value, 0, Number.MAX_SAFE_INTEGER);
    this.#write64(value);
  }

  /** Undefined is written as all ones. */
  u64OrNone(field: string, value: number | undefined): void {
    if (value !== undefined) {
      this.u64(field, value);
      return;
    }
    const at = this.#room(8);
    this.#into.fill(0xff, at, at + 8);
  }

  /** Two's complement, magnitude at most 2^53 - 1. */
  i64(field: string, value: number): void {
    this.#check(field, value, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    this.#write64(value);
  }

  /** Exactly `byteCount` bytes. */
  fixed(field: string, bytes: Uint8Array, byteCount: number): void {
    this.raw(field, bytes, byteCount, byteCount);
  }

  /** Bytes as they are, at most `maxBytes` of them. */
  raw(field: string, bytes: Uint8Array, maxBytes: number, minBytes = 0): void {
    checkByteCount(this.what, field, bytes.length, minBytes, maxBytes);
    this.#into.set(bytes, this.#room(bytes.length));
  }

  /** Text without its length. */
  text(field: string, text: string, maxBytes: number, minBytes = 0): void {
    this.raw(field, encodeText(this.what, field, text, maxBytes, minBytes), maxBytes);
  }

  /** Text behind its length as a u8; `maxBytes` is at most 255. */
  text8(field: string, text: string, maxBytes: number, minBytes = 0): void {
    const bytes = encodeText(this.what, field, text, maxBytes, minBytes);
    this.u8(field, bytes.length);
    this.raw(field, bytes, maxBytes);
  }

  /** A u16 with the length of what `write` writes, then that. */
  counted(field: string, write: () => void): void {
    const at = this.#room(2);
    write();
    const byteCount = this.#at - at - 2;
    this.#check(`length of ${field}`, byteCount, 0, 0xffff);
    this.#into[at] = byteCount >>> 8;
    this.#into[at + 1] = byteCount;
  }

  /** The error for a field that breaks a rule of its own; the caller throws it. */
  bad(field: string, expected: string, got: string | number): RangeError {
    return new RangeError(`${this.what}: ${field}: expected ${expected}, got ${got}`);
  }

  #write64(value: number): void {
    const at = this.#room(8);
    // Floor, so that the low half is not negative; for a negative number this is two's complement.
    const high = Math.floor(value / TWO_32);
    writeU32(this.#into, at, high);
    writeU32(this.#into, at + 4, value - high * TWO_32);
  }

  #check(field: string, value: number, min: number, max: number): void {
    if (!Number.isInteger(value) || value < min || value > max) {
      throw this.bad(field, `an integer from ${min} to ${max}`, value);
    }
  }

  /** Reserves the next bytes and returns where they begin. */
  #room(byteCount: number): number {
    const at = this.#at;
    if (at + byteCount > this.#into.length) {
      throw new RangeError(
        `${this.what}: ${at + byteCount} bytes or more, expected at most ${this.#into.length}`,
      );
    }
    this.#at += byteCount;
    return at;
  }
}
