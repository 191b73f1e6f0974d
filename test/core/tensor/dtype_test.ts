import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  DTYPE_NAMES,
  DTypeCode,
  dtypeFrom,
  dtypeName,
  parseDType,
  sameDType,
} from "../../../src/core/tensor/dtype.ts";
import { decodeOrRefuse, dtypes, hasCode } from "../../support/core_formats.ts";

test("parseDType() gives code, bits and lanes of DLPack", () => {
  const table: [string, number, number][] = [
    ["int4", 0, 4],
    ["int64", 0, 64],
    ["uint8", 1, 8],
    ["float16", 2, 16],
    ["float64", 2, 64],
    ["opaque24", 3, 24],
    ["bfloat16", 4, 16],
    ["complex64", 5, 64],
    ["complex128", 5, 128],
    ["bool", 6, 8],
    ["float8_e3m4", 7, 8],
    ["float8_e4m3", 8, 8],
    ["float8_e4m3b11fnuz", 9, 8],
    ["float8_e4m3fn", 10, 8],
    ["float8_e4m3fnuz", 11, 8],
    ["float8_e5m2", 12, 8],
    ["float8_e5m2fnuz", 13, 8],
    ["float8_e8m0fnu", 14, 8],
    ["float6_e2m3fn", 15, 6],
    ["float6_e3m2fn", 16, 6],
    ["float4_e2m1fn", 17, 4],
  ];
  for (const [name, code, bits] of table) {
    assert.deepEqual({ ...parseDType(name) }, { code, bits, lanes: 1 }, name);
    assert.deepEqual({ ...parseDType(`${name}x4`) }, { code, bits, lanes: 4 }, name);
  }
  assert.deepEqual([...new Set(DTYPE_NAMES.map((name) => parseDType(name).code))].length, 18);
  assert.equal(Object.keys(DTypeCode).length, 18);
});

test("dtypeName() and parseDType() undo each other, and dtypeFrom() takes the fields", () => {
  fc.assert(
    fc.property(dtypes, (dtype) => {
      const again = parseDType(dtypeName(dtype));
      assert.ok(sameDType(again, dtype));
      assert.ok(Object.isFrozen(again));
      assert.ok(sameDType(dtypeFrom(dtype.code, dtype.bits, dtype.lanes), dtype));
    }),
  );
  assert.equal(new Set(DTYPE_NAMES).size, DTYPE_NAMES.length);
  assert.ok(!sameDType(parseDType("int8"), parseDType("uint8")));
});

test("parseDType() refuses other spellings", () => {
  const wrong = [
    "",
    "x",
    "x4",
    "float",
    "float8",
    "float128",
    "Float32",
    " float32",
    "float32 ",
    "half",
    "f4",
  ];
  wrong.push(
    "float32x",
    "float32x0",
    "float32x1",
    "float32x04",
    "float32x65536",
    "float32x4x4",
    "float32x-4",
  );
  wrong.push("bool8", "uint1x", "opaque0", "opaque12", "opaque256", "__proto__", "constructor", "complex");
  for (const name of wrong) assert.throws(() => parseDType(name), hasCode("ASOC_BAD_DTYPE"), name);
  assert.equal(parseDType("float32x65535").lanes, 65_535);
});

test("dtypeFrom() refuses fields that stand for no data type, whatever they are", () => {
  const wrong: [number, number, number][] = [
    [0, 7, 1],
    [2, 8, 1],
    [2, 32, 0],
    [2, 32, -1],
    [2, 32, 65_536],
    [2, 32, 1.5],
    [6, 1, 1],
    [10, 6, 1],
    [15, 8, 1],
    [17, 8, 1],
    [18, 8, 1],
    [-1, 264, 1],
    [1, -248, 1],
    [0, 264, 1],
    [Number.NaN, 8, 1],
    [0, Number.NaN, 1],
    [0, 8, Number.NaN],
  ];
  for (const fields of wrong)
    assert.throws(() => dtypeFrom(...fields), hasCode("ASOC_BAD_DTYPE"), String(fields));
});

test("parseDType() and dtypeFrom() throw nothing but our errors", () => {
  fc.assert(
    fc.property(fc.string(), fc.double(), fc.integer(), fc.integer(), (name, code, bits, lanes) => {
      decodeOrRefuse(() => parseDType(name));
      const dtype = decodeOrRefuse(() => dtypeFrom(code, bits, lanes));
      // -0 is a zero.
      if (dtype) assert.deepEqual({ ...dtype }, { code: code + 0, bits, lanes });
    }),
  );
  decodeOrRefuse(() => parseDType("x".repeat(1e6)));
});
