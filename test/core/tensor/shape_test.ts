import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_RANK } from "../../../src/core/limits.ts";
import { dtypeName, parseDType } from "../../../src/core/tensor/dtype.ts";
import { checkShape, elementCount, tensorBytes } from "../../../src/core/tensor/shape.ts";
import { decodeOrRefuse, dtypes, hasCode, shapes } from "../../support/core_formats.ts";

const bytesOf = (name: string, shape: number[]) => tensorBytes(parseDType(name), shape);
const badShape = hasCode("ASOC_BAD_SHAPE");

test("elementCount() multiplies, and knows scalars and empty tensors", () => {
  assert.equal(elementCount([]), 1);
  assert.equal(elementCount([0]), 0);
  assert.equal(elementCount([3, 4]), 12);
  assert.equal(elementCount([2, 0, 5]), 0);
  assert.ok(Object.is(elementCount([5, -0]), 0));
});

test("tensorBytes() counts whole bytes of an element, and packs what is smaller", () => {
  assert.equal(bytesOf("float32", [3, 4]), 48);
  assert.equal(bytesOf("float32x4", [3]), 48);
  assert.equal(bytesOf("complex128", []), 16);
  assert.equal(bytesOf("bool", [7]), 7);
  assert.equal(bytesOf("float8_e4m3fn", [7]), 7);
  assert.equal(bytesOf("float4_e2m1fn", [5]), 3);
  assert.equal(bytesOf("float4_e2m1fnx2", [5]), 5);
  assert.equal(bytesOf("float6_e2m3fn", [4]), 3);
  assert.equal(bytesOf("float6_e2m3fn", [5]), 4);
  assert.equal(bytesOf("int1", [9]), 2);
  assert.equal(bytesOf("uint4", [0]), 0);
  assert.throws(() => tensorBytes({ code: 2, bits: 7, lanes: 1 }, [1]), hasCode("ASOC_BAD_DTYPE"));
});

test("checkShape() refuses too many dimensions and what is no size", () => {
  checkShape(new Array(MAX_RANK).fill(1));
  assert.throws(() => checkShape(new Array(MAX_RANK + 1).fill(1)), badShape);
  for (const size of [-1, 1.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, "3", null, 3n, {}, undefined]) {
    assert.throws(() => checkShape([1, size as number]), badShape, String(size));
  }
  assert.throws(() => checkShape(new Array(3)), badShape, "holes");
});

test("tensorBytes() never overflows, and a zero does not hide dimensions that do", () => {
  const max = Number.MAX_SAFE_INTEGER;
  assert.equal(bytesOf("uint8", [max]), max);
  assert.throws(() => bytesOf("uint16", [max]), badShape);
  assert.throws(() => bytesOf("int4", [max]), badShape);
  assert.throws(() => bytesOf("uint8", [2 ** 27, 2 ** 26]), badShape);
  for (const shape of [
    [0, 2 ** 40, 2 ** 40],
    [2 ** 40, 2 ** 40, 0],
  ])
    assert.throws(() => elementCount(shape), badShape);
  assert.equal(
    decodeOrRefuse(() => elementCount(new Array(MAX_RANK).fill(2 ** 52))),
    undefined,
  );
});

test("tensorBytes() agrees with arithmetic that cannot overflow", () => {
  const large = fc.array(fc.oneof(fc.nat(3), fc.maxSafeNat()), { maxLength: 5 });
  fc.assert(
    fc.property(dtypes, fc.oneof(shapes, large), (dtype, shape) => {
      const bytes = decodeOrRefuse(() => tensorBytes(dtype, shape));
      const bits =
        BigInt(dtype.bits * dtype.lanes) * shape.reduce((product, size) => product * BigInt(size), 1n);
      if (bytes !== undefined) assert.equal(BigInt(bytes), (bits + 7n) / 8n, dtypeName(dtype));
      else assert.ok(bits > BigInt(Number.MAX_SAFE_INTEGER) || shape.includes(0));
    }),
  );
});
