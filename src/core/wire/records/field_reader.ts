/**
 * Reads the fields of one record or TLV in their order. Every read checks that the bytes are there, every number that
 * it can be held, every text that it is UTF-8: hostile input ends in an AsocError and in nothing else.
 */
import { LimitError, ProtocolError } from "../../errors.ts";
import { decodeUtf8 } from "../bytes.ts";
import { readU32 } from "../header.ts";

/** The high half of the largest number that a double holds exactly, 2^53 - 1. */
const MAX_SAFE_HIGH = 0x1f_ffff;
const TWO_32 = 2 ** 32;
const ALL_ONES = 0xffff_ffff;

/** A record that cannot be read: `what` is its name. */
export function badRecord(
  what: string,
  field: string,
  expected: string,
  got: string | number,
): ProtocolError {
  return new ProtocolError(
    "ASOC_BAD_RECORD",
    `Cannot read ${what}: ${field}: expected ${expected}, got ${got}`,
    {
      details: { record: what, field, expected, got },
    },
  );
}

/** A record whose `field` is over its limit. */
export function overLimit(what: string, field: string, limit: number, got: string | number): LimitError {
  return new LimitError(
    "ASOC_RECORD_LIMIT",
    `Cannot read ${what}: ${field}: expected at most ${limit}, got ${got}`,
    { details: { record: what, limit: field, expected: limit, got } },
  );
}

export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** `what` names the record in messages. `bytes` is read, and kept only as long as this reader is. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  /** Name of the record, for messages. */
  get what(): string {
    return this.#what;
  }
  /** Bytes that have not been read. */
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(field: string): number {
    return this.#bytes[this.#take(field, 1)] as number;
  }

  u16(field: string): number {
    const at = this.#take(field, 2);
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number);
  }

  u32(field: string): number {
    return readU32(this.#bytes, this.#take(field, 4));
  }

  /** Throws ASOC_RECORD_LIMIT over 2^53 - 1. */
  u64(field: string): number {
    const at = this.#take(field, 8);
    const high = readU32(this.#bytes, at);
    const low = readU32(this.#bytes, at + 4);
    if (high > MAX_SAFE_HIGH) {
      const got = (BigInt(high) << 32n) | BigInt(low);
      throw overLimit(this.#what, field, Number.MAX_SAFE_INTEGER, got.toString());
    }
    return high * TWO_32 + low;
  }

  /** A u64 whose all-ones value means that there is none: undefined. */
  u64OrNone(field: string): number | undefined {
    const at = this.#take(field, 8);
    const isNone = readU32(this.#bytes, at) === ALL_ONES && readU32(this.#bytes, at + 4) === ALL_ONES;
    if (isNone) return undefined;
    this.#at = at;
    return this.u64(field);
  }

  /** Two's complement. Throws ASOC_RECORD_LIMIT where the magnitude is over 2^53 - 1. */
  i64(field: string): number {
    const at = this.#take(field, 8);
    const value = (readU32(this.#bytes, at) | 0) * TWO_32 + readU32(this.#bytes, at + 4);
    if (!Number.isSafeInteger(value)) {
      throw overLimit(this.#what, field, Number.MAX_SAFE_INTEGER, `about ${value}`);
    }
    return value;
  }

  /** The next `byteCount` bytes, copied: they outlive the frame. */
  bytes(field: string, byteCount: number): Uint8Array {
    return new Uint8Array(this.view(field, byteCount));
  }

  /** All that is left, copied, and not more than `maxBytes`. */
  rest(field: string, maxBytes: number): Uint8Array {
    if (this.remaining > maxBytes) throw overLimit(this.#what, `${field} bytes`, maxBytes, this.remaining);
    return this.bytes(field, this.remaining);
  }

  /** The next `byteCount` bytes as text of at least `minBytes` and at most `maxBytes`. */
  text(field: string, byteCount: number, maxBytes: number, minBytes = 0): string {
    if (byteCount > maxBytes) throw overLimit(this.#what, `${field} bytes`, maxBytes, byteCount);
    if (byteCount < minBytes) throw this.bad(field, `at least ${minBytes} bytes`, byteCount);
    if (byteCount === 0) return "";
    const text = decodeUtf8(this.view(field, byteCount));
    if (text === undefined) throw this.bad(field, "UTF-8", "other bytes");
    return text;
  }

  /** All that is left as text. */
  restText(field: string, maxBytes: number, minBytes = 0): string {
    return this.text(field, this.remaining, maxBytes, minBytes);
  }

  /** The next bytes, not copied: valid while the frame is. */
  view(field: string, byteCount: number): Uint8Array {
    const at = this.#take(field, byteCount);
    return this.#bytes.subarray(at, at + byteCount);
  }

  /** A record of fixed length has no more fields than those that were read. */
  end(): void {
    if (this.remaining > 0) throw this.bad("length", `${this.#at} bytes`, this.#bytes.length);
  }

  /** The error for a field that breaks a rule of its own; the caller throws it. */
  bad(field: string, expected: string, got: string | number): ProtocolError {
    return badRecord(this.#what, field, expected, got);
  }

  /** Where the next `byteCount` bytes begin, which are read now. No view is made of them: a record has a dozen numbers. */
  #take(field: string, byteCount: number): number {
    const at = this.#at;
    if (byteCount > this.#bytes.length - at) {
      throw this.bad(field, `${byteCount} bytes at byte ${at}`, `${this.remaining}`);
    }
    this.#at = at + byteCount;
    return at;
  }
}
