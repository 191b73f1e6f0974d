import assert from "node:assert/strict";
import { test } from "node:test";
import { elementForm } from "../../../gateway/formats/elements.ts";
import { fromJsonData, toJsonData } from "../../../gateway/formats/json_tensor.ts";
import {
  bfloat16Bits,
  bfloat16Value,
  float16Bits,
  smallFloats,
} from "../../../gateway/formats/small_floats.ts";
import { parseDType } from "../../../src/mod.ts";

test("smallFloats() has the values that the formats' tables give", () => {
  const cases: [name: string, bits: number, value: number][] = [
    ["float8_e4m3fn", 0x7e, 448],
    ["float8_e4m3fn", 0x7f, Number.NaN],
    ["float8_e4m3fn", 0x01, 2 ** -9],
    ["float8_e4m3fn", 0xb8, -1],
    ["float8_e5m2", 0x7b, 57_344],
    ["float8_e5m2", 0x7c, Number.POSITIVE_INFINITY],
    ["float8_e5m2", 0xfd, Number.NaN],
    ["float8_e4m3fnuz", 0x7f, 240],
    ["float8_e4m3fnuz", 0x80, Number.NaN],
    ["float8_e5m2fnuz", 0x7f, 57_344],
    ["float8_e4m3b11fnuz", 0x7f, 30],
    ["float8_e3m4", 0x6f, 15.5],
    ["float8_e8m0fnu", 127, 1],
    ["float8_e8m0fnu", 255, Number.NaN],
    ["float16", 0x3c00, 1],
    ["float16", 0x0001, 2 ** -24],
    ["float16", 0xfc00, Number.NEGATIVE_INFINITY],
  ];
  for (const [name, bits, value] of cases) assert.equal(smallFloats(name)?.[bits], value, `${name} ${bits}`);
});

test("float16Bits() turns every float16 back into its bits, and rounds to even between them", () => {
  const table = smallFloats("float16") ?? new Float32Array();
  for (const [bits, value] of table.entries())
    if (!Number.isNaN(value)) assert.equal(float16Bits(value), bits, String(value));
  assert.equal(float16Bits(65_519), 0x7bff);
  assert.equal(float16Bits(65_520), 0x7c00);
  assert.equal(float16Bits(1 + 2 ** -11), 0x3c00);
  assert.equal(float16Bits(1 + 3 * 2 ** -11), 0x3c02);
  assert.equal(float16Bits(2 ** -25), 0);
  assert.equal(float16Bits(2 - 2 ** -12), 0x4000);
  assert.equal(float16Bits(Number.NaN), 0x7e00);
});

test("bfloat16Bits() rounds to even", () => {
  assert.equal(bfloat16Bits(1), 0x3f80);
  assert.equal(bfloat16Bits(1 + 2 ** -8), 0x3f80);
  assert.equal(bfloat16Bits(1 + 3 * 2 ** -8), 0x3f82);
  assert.ok(Number.isNaN(bfloat16Value(bfloat16Bits(Number.NaN))));
  assert.equal(bfloat16Value(0xc000), -2);
});

test("toJsonData() and fromJsonData() are each other's reverse for every dtype that JSON can bring", () => {
  const cases: [dtype: string, shape: number[], data: unknown][] = [
    ["bool", [2], [true, false]],
    ["int8", [2], [-128, 127]],
    ["uint16", [1, 2], [[0, 65_535]]],
    ["int32", [], -5],
    ["uint32", [1], [4_294_967_295]],
    ["int64", [3], [-1, "-9223372036854775808", "9007199254740993"]],
    ["uint64", [1], ["18446744073709551615"]],
    ["float16", [2], [1.5, "NaN"]],
    ["bfloat16", [2], [1.5, "-Infinity"]],
    [
      "float32",
      [2, 2],
      [
        [0, 0.5],
        ["Infinity", -1],
      ],
    ],
    ["float64", [1], [0.1]],
    [
      "complex64",
      [2],
      [
        [1, -1],
        [0, "NaN"],
      ],
    ],
    ["complex128", [1, 1], [[[0.1, 2]]]],
    ["float32", [0, 3], []],
  ];
  for (const [name, shape, data] of cases) {
    const bytes = fromJsonData(parseDType(name), name, shape, data);
    assert.deepEqual(toJsonData(name, shape, bytes), data, name);
  }
});

test("fromJsonData() refuses what is no such element, or another shape", () => {
  const cases: [dtype: string, shape: number[], data: unknown][] = [
    ["int8", [1], [128]],
    ["uint8", [1], [-1]],
    ["int32", [1], [0.5]],
    ["int64", [1], [2 ** 60]],
    ["uint64", [1], ["-1"]],
    ["bool", [1], [2]],
    ["float32", [1], ["one"]],
    ["float32", [1], [null]],
    ["complex64", [1], [1]],
    ["float32", [2], [1]],
    ["float32", [2, 2], [[1, 2], [3]]],
    ["float32", [2, 2], [[1, 2], 3]],
    ["float32", [1], { 0: 1 }],
    ["float32", [0, 2], [1]],
    ["float8_e4m3fn", [1], [1]],
    ["opaque16", [1], [1]],
    ["float32x4", [1], [[1, 2, 3, 4]]],
  ];
  for (const [name, shape, data] of cases)
    assert.throws(
      () => fromJsonData(parseDType(name), name, shape, data),
      { name: "FormatError" },
      `${name} ${JSON.stringify(data)}`,
    );
});

test("toJsonData() runs over nothing where a dimension is 0", () => {
  assert.deepEqual(toJsonData("float32", [2 ** 50, 0], new Uint8Array(0)), []);
});

test("elementForm() knows lanes as a dimension, and no opaque or packed elements", () => {
  assert.equal(elementForm("float32x4")?.lanes, 4);
  assert.deepEqual(toJsonData("uint8x2", [2], new Uint8Array([1, 2, 3, 4])), [
    [1, 2],
    [3, 4],
  ]);
  assert.equal(elementForm("opaque16"), undefined);
  assert.equal(elementForm("int4"), undefined);
});
