import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_SAFETENSORS_ENTRIES, MAX_SAFETENSORS_HEADER_BYTES } from "../../../src/core/limits.ts";
import { parseDType, sameDType } from "../../../src/core/tensor/dtype.ts";
import { encodeSafetensorsHeader, type TensorInfo } from "../../../src/core/tensor/safetensors.ts";
import {
  decodeSafetensorsDType,
  encodeSafetensorsDType,
} from "../../../src/core/tensor/safetensors_dtype.ts";
import { hasCode } from "../../support/core_formats.ts";

const info = (name: string, dtype = "uint8", shape: number[] = [1]): TensorInfo => ({
  name,
  dtype: parseDType(dtype),
  shape,
});

const jsonOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes.subarray(8));

test("encodeSafetensorsHeader() writes what the reference implementation 0.8 wrote", () => {
  const { bytes } = encodeSafetensorsHeader(
    [info("a", "uint8", [8])],
    new Map([["k", "v\n\x01\x7f\u2028é"]]),
  );
  assert.equal(bytes[0], 0x60);
  assert.equal(
    jsonOf(bytes),
    '{"__metadata__":{"k":"v\\n\\u0001\x7f\u2028é"},"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}    ',
  );
});

test("encodeSafetensorsHeader() places tensors one after the other, in the order given", () => {
  const tensors = [
    info("b", "float32", [3, 4]),
    info("a", "bool", []),
    info("", "int64", [0]),
    info("c", "bfloat16"),
  ];
  const header = encodeSafetensorsHeader(tensors);
  assert.deepEqual(
    header.tensors.map(({ name, start, end }) => [name, start, end]),
    [
      ["b", 0, 48],
      ["a", 48, 49],
      ["", 49, 49],
      ["c", 49, 51],
    ],
  );
  assert.equal(header.dataBytes, 51);
  assert.equal(header.dataOffset, header.bytes.length);
  assert.equal(header.bytes.length % 8, 0);
  assert.deepEqual(encodeSafetensorsHeader(tensors).bytes, header.bytes);
});

test("encodeSafetensorsHeader() writes a file of no tensors", () => {
  const { bytes, tensors, dataBytes } = encodeSafetensorsHeader([]);
  assert.equal(jsonOf(bytes), "{}      ");
  assert.deepEqual([tensors, dataBytes], [[], 0]);
});

test("encodeSafetensorsHeader() refuses names that are taken or no text", () => {
  const refuses = (tensors: TensorInfo[], metadata?: Map<string, string>) =>
    assert.throws(() => encodeSafetensorsHeader(tensors, metadata), hasCode("ASOC_BAD_SAFETENSORS"));
  refuses([info("a"), info("a")]);
  refuses([info("__metadata__")]);
  refuses([info("\ud800")]);
  refuses([], new Map([["\udfff", "v"]]));
  refuses([], new Map([["k", "\ud83d"]]));
  encodeSafetensorsHeader([info("\u{1f600}"), info("__proto__"), info('"\\')]);
});

test("encodeSafetensorsHeader() refuses packed elements that fill no whole bytes", () => {
  const encode = (dtype: string, shape: number[]) => encodeSafetensorsHeader([info("a", dtype, shape)]);
  assert.throws(() => encode("float4_e2m1fn", [3]), hasCode("ASOC_BAD_SAFETENSORS"));
  assert.throws(() => encode("float6_e2m3fn", [2]), hasCode("ASOC_BAD_SAFETENSORS"));
  assert.equal(encode("float4_e2m1fn", [3, 2]).dataBytes, 3);
  assert.equal(encode("float6_e3m2fn", [4]).dataBytes, 3);
  assert.equal(encode("float6_e3m2fn", [0]).dataBytes, 0);
});

test("encodeSafetensorsHeader() refuses what safetensors has not, and what cannot be counted", () => {
  const encode = (...tensors: TensorInfo[]) => encodeSafetensorsHeader(tensors);
  for (const name of ["complex128", "opaque8", "float8_e4m3", "float8_e3m4", "float32x2", "int4"])
    assert.throws(() => encode(info("a", name)), hasCode("ASOC_UNSUPPORTED_DTYPE"), name);
  const huge = [Number.MAX_SAFE_INTEGER];
  assert.throws(() => encode(info("a", "uint16", huge)), hasCode("ASOC_BAD_SHAPE"));
  encode(info("a", "uint8", huge));
  assert.throws(() => encode(info("a", "uint8", huge), info("b")), hasCode("ASOC_BAD_SAFETENSORS"));
});

test("encodeSafetensorsHeader() refuses what would not be read again", () => {
  const many = Array.from({ length: MAX_SAFETENSORS_ENTRIES + 1 }, (_, i) => info(String(i)));
  assert.throws(() => encodeSafetensorsHeader(many), hasCode("ASOC_TOO_MANY_TENSORS"));
  const long = new Map([["k", "v".repeat(MAX_SAFETENSORS_HEADER_BYTES)]]);
  assert.throws(() => encodeSafetensorsHeader([], long), hasCode("ASOC_HEADER_TOO_LARGE"));
});

test("encodeSafetensorsHeader() writes JSON that JSON.parse() reads, and aligns tensors sorted by size", () => {
  const sorted = ["float64", "int32", "bfloat16", "float8_e8m0fnu"];
  const names = fc.uniqueArray(fc.string({ unit: "grapheme" }), { maxLength: 4 });
  const text = fc.string({ unit: "grapheme" });
  fc.assert(
    fc.property(names, fc.dictionary(text, text), (keys, metadata) => {
      const tensors = keys.map((key, i) => info(key, sorted[i], [3]));
      const header = encodeSafetensorsHeader(tensors, new Map(Object.entries(metadata)));
      const json = JSON.parse(jsonOf(header.bytes));
      for (const { name, shape, start, end } of header.tensors)
        assert.deepEqual([json[name].shape, json[name].data_offsets], [shape, [start, end]]);
      assert.deepEqual(Object.entries(json.__metadata__ ?? {}), Object.entries(metadata));
      for (const { dtype, start } of header.tensors)
        assert.equal((header.dataOffset + start) % (dtype.bits / 8), 0);
    }),
  );
});

test("encodeSafetensorsDType() and decodeSafetensorsDType() undo each other, for all 22 dtypes", () => {
  const names =
    "BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64";
  for (const name of names.split(" ")) {
    const dtype = decodeSafetensorsDType(name);
    assert.ok(dtype, name);
    assert.equal(encodeSafetensorsDType(dtype), name);
  }
  assert.ok(sameDType(decodeSafetensorsDType("F8_E4M3") ?? parseDType("bool"), parseDType("float8_e4m3fn")));
  for (const name of ["f32", "F128", "", "constructor"])
    assert.equal(decodeSafetensorsDType(name), undefined);
});
