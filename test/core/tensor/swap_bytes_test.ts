import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DTypeCode, dtypeName, parseDType } from "../../../src/core/tensor/dtype.ts";
import { tensorBytes } from "../../../src/core/tensor/shape.ts";
import { swapBytes } from "../../../src/core/tensor/swap_bytes.ts";
import { dtypes, hasCode } from "../../support/core_formats.ts";

const count = (length: number) => Uint8Array.from({ length }, (_, i) => i);

function swapped(name: string, length: number): number[] {
  const bytes = count(length);
  swapBytes(parseDType(name), bytes);
  return [...bytes];
}

test("swapBytes() turns each number round, in place, and the parts of complex numbers apart", () => {
  assert.deepEqual(swapped("int16", 4), [1, 0, 3, 2]);
  assert.deepEqual(swapped("bfloat16x2", 4), [1, 0, 3, 2]);
  assert.deepEqual(swapped("float32", 8), [3, 2, 1, 0, 7, 6, 5, 4]);
  assert.deepEqual(swapped("uint64", 8), [7, 6, 5, 4, 3, 2, 1, 0]);
  assert.deepEqual(swapped("complex64", 8), [3, 2, 1, 0, 7, 6, 5, 4]);
  assert.deepEqual(swapped("complex128", 16), [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]);
  for (const name of ["int8", "bool", "float8_e5m2", "float4_e2m1fn", "opaque8"])
    assert.deepEqual(swapped(name, 3), [0, 1, 2]);
});

test("swapBytes() refuses parts of elements, and elements of unknown parts", () => {
  assert.throws(() => swapped("float32", 6), hasCode("ASOC_BAD_SHAPE"));
  assert.throws(() => swapped("complex64", 4), hasCode("ASOC_BAD_SHAPE"));
  assert.throws(() => swapped("opaque16", 4), hasCode("ASOC_UNSUPPORTED_DTYPE"));
});

test("swapBytes() twice changes nothing, and never what lies beside", () => {
  fc.assert(
    fc.property(dtypes, fc.nat(5), fc.nat(7), (dtype, elements, offset) => {
      if (dtype.code === DTypeCode.opaque) return;
      const memory = count(tensorBytes(dtype, [elements]) + 16);
      const before = memory.slice();
      const bytes = memory.subarray(offset, offset + tensorBytes(dtype, [elements]));
      swapBytes(dtype, bytes);
      assert.deepEqual(memory.subarray(0, offset), before.subarray(0, offset));
      const end = offset + bytes.length;
      assert.deepEqual(memory.subarray(end), before.subarray(end));
      swapBytes(dtype, bytes);
      assert.deepEqual(memory, before, dtypeName(dtype));
    }),
  );
});
