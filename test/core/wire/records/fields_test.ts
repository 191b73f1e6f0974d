import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AsocError } from "../../../../src/core/errors.ts";
import { fromHex, toHex } from "../../../../src/core/wire/bytes.ts";
import { FieldReader } from "../../../../src/core/wire/records/field_reader.ts";
import { FieldWriter } from "../../../../src/core/wire/records/field_writer.ts";
import { readTlvs, writeTlv } from "../../../../src/core/wire/records/tlv.ts";

const reader = (hex: string) => new FieldReader(fromHex(hex), "TEST");

function written(write: (out: FieldWriter) => void): string {
  const into = new Uint8Array(64);
  const out = new FieldWriter(into, "TEST");
  write(out);
  return toHex(into.subarray(0, out.length));
}

function refuses(read: () => unknown, code: string, message: string): void {
  assert.throws(read, (error) => {
    assert.ok(error instanceof AsocError);
    assert.deepEqual([error.code, error.message], [code, message]);
    return true;
  });
}

test("FieldWriter writes integers with the most significant byte first, and FieldReader reads them", () => {
  const hex = written((out) => {
    out.u8("a", 0x12);
    out.u16("b", 0x3456);
    out.u32("c", 0x89abcdef);
    out.u64("d", Number.MAX_SAFE_INTEGER);
    out.i64("e", -2);
    out.u64OrNone("f", undefined);
    out.u64OrNone("g", 258);
  });
  assert.equal(hex, "12345689abcdef001ffffffffffffffffffffffffffffeffffffffffffffff0000000000000102");
  const from = reader(hex);
  assert.deepEqual(
    [from.u8("a"), from.u16("b"), from.u32("c"), from.u64("d"), from.i64("e")],
    [0x12, 0x3456, 0x89abcdef, Number.MAX_SAFE_INTEGER, -2],
  );
  assert.deepEqual([from.u64OrNone("f"), from.u64OrNone("g")], [undefined, 258]);
  from.end();
});

test("FieldReader gives back every safe integer that FieldWriter wrote, as DataView does", () => {
  const edges = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 52, Number.MAX_SAFE_INTEGER];
  const any = fc.oneof(fc.maxSafeInteger(), fc.constantFrom(...edges, ...edges.map((edge) => 0 - edge)));
  fc.assert(
    fc.property(any, (value) => {
      const hex = written((out) => out.i64("i", value));
      assert.equal(reader(hex).i64("i"), value);
      assert.equal(new DataView(fromHex(hex).buffer).getBigInt64(0), BigInt(value));
      if (value < 0) return;
      assert.equal(
        written((out) => out.u64("u", value)),
        hex,
      );
      assert.equal(reader(hex).u64("u"), value);
      assert.equal(reader(hex).u64OrNone("u"), value);
    }),
  );
});

test("FieldReader refuses 64-bit numbers that a double does not hold exactly", () => {
  const max = Number.MAX_SAFE_INTEGER;
  for (const [hex, got] of [
    ["0020000000000000", "9007199254740992"],
    ["8000000000000000", "9223372036854775808"],
    ["ffffffffffffffff", "18446744073709551615"],
  ] as const) {
    const message = `Cannot read TEST: n: expected at most ${max}, got ${got}`;
    refuses(() => reader(hex).u64("n"), "ASOC_RECORD_LIMIT", message);
  }
  const message = `Cannot read TEST: n: expected at most ${max}, got 18446744073709551614`;
  refuses(() => reader("fffffffffffffffe").u64OrNone("n"), "ASOC_RECORD_LIMIT", message);
  for (const hex of ["0020000000000000", "ffe0000000000000", "8000000000000000", "7fffffffffffffff"]) {
    assert.throws(
      () => reader(hex).i64("n"),
      (error) => error instanceof AsocError && error.code === "ASOC_RECORD_LIMIT",
    );
  }
  assert.equal(reader("ffe0000000000001").i64("n"), Number.MIN_SAFE_INTEGER);
});

test("FieldReader refuses a field that is not all there, and names it", () => {
  const cut = "Cannot read TEST: n: expected 4 bytes at byte 1, got 2";
  const from = reader("aabbcc");
  from.u8("first");
  refuses(() => from.u32("n"), "ASOC_BAD_RECORD", cut);
  refuses(() => from.bytes("n", 4), "ASOC_BAD_RECORD", cut);
  refuses(() => from.text("n", 4, 9), "ASOC_BAD_RECORD", cut);
  const short = reader("ffffffffffffff");
  refuses(
    () => short.u64OrNone("n"),
    "ASOC_BAD_RECORD",
    "Cannot read TEST: n: expected 8 bytes at byte 0, got 7",
  );
});

test("FieldReader.end() refuses bytes behind the last field", () => {
  const from = reader("aabb");
  from.u8("n");
  refuses(() => from.end(), "ASOC_BAD_RECORD", "Cannot read TEST: length: expected 1 bytes, got 2");
});

test("FieldReader reads strict UTF-8 only, and keeps U+FEFF", () => {
  for (const hex of ["ff", "c0af", "eda080", "f4908080", "e282", "80", "c3"]) {
    const from = reader(hex);
    refuses(
      () => from.restText("t", 99),
      "ASOC_BAD_RECORD",
      "Cannot read TEST: t: expected UTF-8, got other bytes",
    );
  }
  for (const text of ["", "\ufeffa", "\0", "ä€😀", "\uffff"]) {
    const hex = written((out) => out.text("t", text, 99));
    assert.equal(reader(hex).restText("t", 99), text);
  }
});

test("FieldReader checks the length of a text before its bytes", () => {
  const message = "Cannot read TEST: t bytes: expected at most 3, got 4";
  refuses(() => reader("ff").text("t", 4, 3), "ASOC_RECORD_LIMIT", message);
  refuses(() => reader("ffffffff").restText("t", 3), "ASOC_RECORD_LIMIT", message);
  refuses(() => reader("ffffffff").rest("t", 3), "ASOC_RECORD_LIMIT", message);
  const few = "Cannot read TEST: t: expected at least 1 bytes, got 0";
  refuses(() => reader("").restText("t", 3, 1), "ASOC_BAD_RECORD", few);
});

test("FieldWriter refuses what the wire cannot say, and names the field", () => {
  const cases: readonly (readonly [(out: FieldWriter) => void, string])[] = [
    [(out) => out.u8("n", 256), "TEST: n: expected an integer from 0 to 255, got 256"],
    [(out) => out.u8("n", -1), "TEST: n: expected an integer from 0 to 255, got -1"],
    [(out) => out.u16("n", 1.5), "TEST: n: expected an integer from 0 to 65535, got 1.5"],
    [(out) => out.u32("n", 2 ** 32), "TEST: n: expected an integer from 0 to 4294967295, got 4294967296"],
    [(out) => out.u64("n", 2 ** 53), `TEST: n: expected an integer from 0 to ${2 ** 53 - 1}, got ${2 ** 53}`],
    [(out) => out.u64("n", Number.NaN), `TEST: n: expected an integer from 0 to ${2 ** 53 - 1}, got NaN`],
    [(out) => out.fixed("n", new Uint8Array(3), 4), "TEST: n: 3 bytes, expected 4"],
    [(out) => out.raw("n", new Uint8Array(3), 2), "TEST: n: 3 bytes, expected at most 2"],
    [(out) => out.raw("n", new Uint8Array(0), 2, 1), "TEST: n: 0 bytes, expected 1 to 2"],
    [(out) => out.text("n", "äö", 3), "TEST: n: 4 bytes, expected at most 3"],
    [
      (out) => out.text8("n", "a\ud800", 9),
      "TEST: n: expected text that UTF-8 can hold, got a lone surrogate",
    ],
    [(out) => out.raw("n", new Uint8Array(65), 99), "TEST: 65 bytes or more, expected at most 64"],
  ];
  for (const [write, message] of cases) {
    assert.throws(() => written(write), { name: "RangeError", message });
  }
});

test("writeTlv() writes type, length and value; readTlvs() gives the known ones and skips others", () => {
  const hex = written((out) => {
    writeTlv(out, 1, "one", () => out.u16("value", 0xabcd));
    writeTlv(out, 0x7777, "other", () => out.u8("value", 9));
    writeTlv(out, 2, "two", () => undefined);
  });
  assert.equal(hex, "00010002abcd77770001090002 0000".replace(" ", ""));
  const seen: [number, number][] = [];
  const known = new Map([
    [1, "one"],
    [2, "two"],
  ]);
  readTlvs(reader(hex), known, (type, value) => {
    seen.push([type, value.remaining]);
    if (type === 1) value.u16("value");
  });
  assert.deepEqual(seen, [
    [1, 2],
    [2, 0],
  ]);
});

test("readTlvs() refuses a TLV that is cut off, comes twice or has bytes behind its value", () => {
  const known = new Map([[1, "one"]]);
  const read = (hex: string) => () => readTlvs(reader(hex), known, (_, value) => value.u8("value"));
  const bad = "ASOC_BAD_RECORD";
  refuses(read("00"), bad, "Cannot read TEST: TLV type: expected 2 bytes at byte 0, got 1");
  refuses(read("000100"), bad, "Cannot read TEST: TLV length: expected 2 bytes at byte 2, got 1");
  refuses(read("0001000201"), bad, "Cannot read TEST: one: expected 2 bytes at byte 4, got 1");
  refuses(read("0009000201"), bad, "Cannot read TEST: TLV 9: expected 2 bytes at byte 4, got 1");
  refuses(read("00010001010001000102"), bad, "Cannot read TEST: one: expected one at most, got a second");
  refuses(read("000100020102"), bad, "Cannot read TEST one: length: expected 1 bytes, got 2");
  refuses(read("00010000"), bad, "Cannot read TEST one: value: expected 1 bytes at byte 0, got 0");
});
