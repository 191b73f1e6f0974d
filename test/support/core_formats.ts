/** What the tests of tensor formats share: data types, shapes, and inputs that mean harm. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { AsocError, type AsocErrorCode } from "../../src/core/errors.ts";
import { DTYPE_NAMES, type DType, parseDType } from "../../src/core/tensor/dtype.ts";

/** For assert.throws(). */
export const hasCode = (code: AsocErrorCode) => (error: unknown) =>
  error instanceof AsocError && error.code === code;

/** Dimensions whose bytes can be counted, whatever the elements without lanes. */
export const shapes = fc.array(fc.oneof(fc.constantFrom(0, 1), fc.nat(200)), { maxLength: 6 });

/** Any data type, vectors too. */
export const dtypes = fc
  .tuple(fc.constantFrom(...DTYPE_NAMES), fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 65_535 })))
  .map(([name, lanes]): DType => parseDType(lanes === 1 ? name : `${name}x${lanes}`));

/** Bytes as text, one character each. */
export function ascii(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** One change of some bytes, as a fault or an attacker makes it. */
export type Mutation = (bytes: Uint8Array) => Uint8Array;

const NASTY = [
  "",
  "[".repeat(50_000),
  "{".repeat(50_000),
  '{"a":'.repeat(10_000),
  "(".repeat(50_000),
  String(2 ** 53),
  String(2 ** 53 - 1),
  "9".repeat(20_000),
  "-1",
  "-0",
  "1e3",
  "1.0",
  "0x10",
  "01",
  "\\ud800",
  "\\u0000",
  "\xff\xfe",
  "\xed\xa0\x80",
  "\xef\xbb\xbf",
  "\0",
  '"',
  "'",
  "\\",
  "\\'",
  "k".repeat(20_000),
  "__proto__",
  "constructor",
  "null",
  "True",
  "|O",
  ",",
  " ".repeat(20_000),
  // what does less harm
  " ",
  "\n",
  "\t",
  "0",
  "1",
  "a",
  "\\n",
  "\\u0061",
  "\xc3\xa9",
];

/** Flips, cuts, repeats, and puts what is in NASTY somewhere in. */
export const mutations: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })).map(([at, byte]) => (bytes: Uint8Array) => {
    const changed = bytes.slice();
    if (changed.length > 0) changed[at % changed.length] = byte;
    return changed;
  }),
  fc
    .tuple(fc.nat(), fc.oneof(fc.constant(0), fc.nat(40)), fc.constantFrom(...NASTY))
    .map(([at, cut, text]) => (bytes: Uint8Array) => {
      const from = at % (bytes.length + 1);
      return join([bytes.subarray(0, from), ascii(text), bytes.subarray(from + cut)]);
    }),
  fc.tuple(fc.nat(), fc.nat(60)).map(([at, length]) => (bytes: Uint8Array) => {
    const from = at % (bytes.length + 1);
    const piece = bytes.subarray(from, from + length);
    return join([bytes.subarray(0, from), piece, piece, bytes.subarray(from + length)]);
  }),
);

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** What `decode` says; undefined when it refuses. Fails on an error that is not ours. */
export function decodeOrRefuse<Result>(decode: () => Result): Result | undefined {
  try {
    return decode();
  } catch (error) {
    assert.ok(error instanceof AsocError, `threw ${String(error)}`);
    assert.ok(error.message.length < 500, `a message of ${error.message.length} characters`);
    return undefined;
  }
}
