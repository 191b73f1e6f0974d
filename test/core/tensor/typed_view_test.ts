import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DTYPE_NAMES, dtypeName, parseDType } from "../../../src/core/tensor/dtype.ts";
import { tensorBytes } from "../../../src/core/tensor/shape.ts";
import { dtypeOf, type TensorArray, typedView } from "../../../src/core/tensor/typed_view.ts";
import { dtypes, hasCode } from "../../support/core_formats.ts";

const hasHalf = typeof Float16Array !== "undefined";
const viewOf = (name: string, bytes: Uint8Array) => typedView(parseDType(name), bytes);

test("typedView() gives the array that JavaScript has", () => {
  const table: [string, string, number][] = [
    ["int8", "Int8Array", 16],
    ["int16", "Int16Array", 8],
    ["int32", "Int32Array", 4],
    ["int64", "BigInt64Array", 2],
    ["uint8", "Uint8Array", 16],
    ["uint16", "Uint16Array", 8],
    ["uint32", "Uint32Array", 4],
    ["uint64", "BigUint64Array", 2],
    ["float16", hasHalf ? "Float16Array" : "Uint16Array", 8],
    ["float32", "Float32Array", 4],
    ["float32x2", "Float32Array", 4],
    ["float64", "Float64Array", 2],
    ["bfloat16", "Uint16Array", 8],
    ["complex32", hasHalf ? "Float16Array" : "Uint16Array", 8],
    ["complex64", "Float32Array", 4],
    ["complex128", "Float64Array", 2],
    ["bool", "Uint8Array", 16],
    ["float8_e4m3fn", "Uint8Array", 16],
    ["float6_e2m3fn", "Uint8Array", 16],
    ["float4_e2m1fn", "Uint8Array", 16],
    ["int4", "Uint8Array", 16],
    ["opaque32", "Uint8Array", 16],
  ];
  for (const [name, array, length] of table) {
    const view = viewOf(name, new Uint8Array(16));
    assert.deepEqual([view[Symbol.toStringTag], view.length], [array, length], name);
  }
});

test("typedView() gives the bits of float16 where the runtime has no Float16Array", async () => {
  const Half = Object.getOwnPropertyDescriptor(globalThis, "Float16Array");
  Reflect.deleteProperty(globalThis, "Float16Array");
  try {
    const again = "../../../src/core/tensor/typed_view.ts?again"; // a second copy, which looks again
    const { typedView: view }: { typedView: typeof typedView } = await import(again);
    for (const name of ["float16", "complex32"])
      assert.equal(view(parseDType(name), new Uint8Array(8))[Symbol.toStringTag], "Uint16Array");
  } finally {
    if (Half) Object.defineProperty(globalThis, "Float16Array", Half);
  }
});

test("typedView() reads the numbers", () => {
  const bytes = new Uint8Array([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
  assert.deepEqual([...viewOf("float32", bytes)], [1, -2]);
  assert.deepEqual([...viewOf("bfloat16", bytes)], [0, 0x3f80, 0, 0xc000]);
});

test("typedView() shares memory where the offset allows it, and copies where not", () => {
  const buffer = new ArrayBuffer(64);
  const aligned = viewOf("float64", new Uint8Array(buffer, 8, 16));
  assert.equal(aligned.buffer, buffer);
  assert.equal(aligned.byteOffset, 8);
  assert.equal(viewOf("complex128", new Uint8Array(buffer, 24, 16)).buffer, buffer);
  assert.equal(viewOf("complex64", new Uint8Array(buffer, 4, 16)).buffer, buffer, "aligned to its parts");

  const source = new Uint8Array(buffer, 3, 16).fill(7);
  const copied = viewOf("int32", source);
  assert.notEqual(copied.buffer, buffer);
  source.fill(8);
  assert.deepEqual([...copied], new Array(4).fill(0x07070707));
  assert.equal(viewOf("uint8", source).buffer, buffer);
});

test("typedView() copies from a subclass whose slice() does not", () => {
  class Sharing extends Uint8Array {
    override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
      return super.subarray(start, end) as Uint8Array<ArrayBuffer>;
    }
  }
  const view = viewOf("int32", new Sharing(new ArrayBuffer(16), 1, 8));
  assert.deepEqual([view.byteOffset, view.length], [0, 2]);
});

test("typedView() refuses what is no whole number of elements", () => {
  for (const [name, length] of [
    ["float32", 7],
    ["complex64", 4],
    ["float32x3", 16],
    ["opaque24", 4],
  ] as const)
    assert.throws(() => viewOf(name, new Uint8Array(length)), hasCode("ASOC_BAD_SHAPE"), name);
  assert.throws(
    () => typedView({ code: 99, bits: 8, lanes: 1 }, new Uint8Array(8)),
    hasCode("ASOC_BAD_DTYPE"),
  );
});

test("typedView() holds exactly the bytes, for every data type, length and offset", () => {
  fc.assert(
    fc.property(dtypes, fc.nat(9), fc.nat(8), (dtype, count, offset) => {
      const length = tensorBytes(dtype, [count]);
      const bytes = new Uint8Array(new ArrayBuffer(length + 16), offset, length);
      for (let i = 0; i < length; i++) bytes[i] = i * 37 + 11;
      const { buffer, byteOffset, byteLength } = typedView(dtype, bytes);
      assert.deepEqual(new Uint8Array(buffer, byteOffset, byteLength), bytes.slice(), dtypeName(dtype));
    }),
  );
});

test("dtypeOf() knows every typed array", () => {
  for (const name of DTYPE_NAMES.filter((each) => /^(u?int(8|16|32|64)|float(32|64))$/.test(each)))
    assert.equal(dtypeName(dtypeOf(viewOf(name, new Uint8Array(8)))), name);
  if (hasHalf) assert.equal(dtypeName(dtypeOf(new Float16Array(1))), "float16");
  assert.equal(dtypeName(dtypeOf(new Uint8ClampedArray(1))), "uint8");
  assert.equal(dtypeName(dtypeOf(new (class extends Float32Array {})(1))), "float32");
  for (const wrong of [new DataView(new ArrayBuffer(8)), new ArrayBuffer(8), [1], null, "Float32Array"])
    assert.throws(() => dtypeOf(wrong as unknown as TensorArray), TypeError);
});
