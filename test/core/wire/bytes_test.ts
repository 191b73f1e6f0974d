import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { equalBytes, fromHex, toHex, utf8 } from "../../../src/core/wire/bytes.ts";

test("fromHex() gives back what toHex() wrote", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.deepEqual(fromHex(toHex(bytes)), bytes)));
});

test("fromHex() takes both cases", () => {
  assert.deepEqual(fromHex("aBCd"), Uint8Array.of(0xab, 0xcd));
});

test("fromHex() refuses odd lengths and anything but hex digits", () => {
  for (const text of ["a", "abc", "0g", " 00", "0x00", "--"]) assert.throws(() => fromHex(text), RangeError);
});

test("equalBytes() agrees with a comparison of the hex text", () => {
  const few = fc.uint8Array({ maxLength: 3, max: 2 });
  fc.assert(fc.property(few, few, (a, b) => assert.equal(equalBytes(a, b), toHex(a) === toHex(b))));
});

test("equalBytes() sees a difference of one bit anywhere", () => {
  const bits = fc
    .uint8Array({ minLength: 1, maxLength: 64 })
    .chain((bytes) => fc.tuple(fc.constant(bytes), fc.nat(8 * bytes.length - 1)));
  fc.assert(
    fc.property(bits, ([bytes, bit]) => {
      const other = bytes.slice();
      other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(equalBytes(bytes, other), false);
    }),
  );
});

test("utf8() encodes beyond ASCII", () => {
  assert.equal(toHex(utf8("clé-鍵")), "636cc3a92de98db5");
});
