import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { AsocErrorCode } from "../../../src/core/errors.ts";
import { MAX_RANK, MAX_SAFETENSORS_ENTRIES, MAX_SAFETENSORS_HEADER_BYTES } from "../../../src/core/limits.ts";
import { dtypeName, parseDType } from "../../../src/core/tensor/dtype.ts";
import { isNeedMore } from "../../../src/core/tensor/need_more.ts";
import { encodeSafetensorsHeader, type SafetensorsHeader } from "../../../src/core/tensor/safetensors.ts";
import { decodeSafetensorsHeader } from "../../../src/core/tensor/safetensors_decode.ts";
import { ascii, hasCode, join, shapes } from "../../support/core_formats.ts";

/** The length and this JSON, which need not be any. */
function file(json: string | Uint8Array): Uint8Array {
  const text = typeof json === "string" ? new TextEncoder().encode(json) : json;
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  return join([length, text]);
}

function decode(json: string, totalBytes?: number): SafetensorsHeader {
  const header = decodeSafetensorsHeader(file(json), totalBytes);
  assert.ok(!isNeedMore(header));
  return header;
}

const refuses = (json: string | Uint8Array, code: AsocErrorCode = "ASOC_BAD_SAFETENSORS") =>
  assert.throws(() => decodeSafetensorsHeader(file(json)), hasCode(code), String(json).slice(0, 100));

const tensor = (name: string, start = 0, end = 4, dtype = "F32", shape = "[]") =>
  `"${name}":{"dtype":"${dtype}","shape":${shape},"data_offsets":[${start},${end}]}`;

test("decodeSafetensorsHeader() reads tensors in the order of their bytes, and metadata", () => {
  const json = `{${tensor("b", 4, 4, "I64", "[0]")} , "__metadata__" : {"k":"v","":"\\u00e9\\n"},\n${tensor("a")} }   `;
  const header = decode(json);
  assert.deepEqual(
    header.tensors.map((each) => ({ ...each, dtype: dtypeName(each.dtype) })),
    [
      { name: "a", dtype: "float32", shape: [], start: 0, end: 4 },
      { name: "b", dtype: "int64", shape: [0], start: 4, end: 4 },
    ],
  );
  assert.deepEqual(
    [...header.metadata],
    [
      ["k", "v"],
      ["", "é\n"],
    ],
  );
  assert.deepEqual([header.dataOffset, header.dataBytes], [8 + new TextEncoder().encode(json).length, 4]);
});

test("decodeSafetensorsHeader() takes empty tensors at the place of another, whichever comes first", () => {
  const [empty, full] = [tensor("e", 0, 0, "U8", "[0]"), tensor("f")];
  for (const json of [`{${empty},${full}}`, `{${full},${empty}}`])
    assert.deepEqual(
      decode(json).tensors.map(({ name }) => name),
      ["e", "f"],
    );
});

test("decodeSafetensorsHeader() undoes encodeSafetensorsHeader()", () => {
  const types = ["bool", "uint8", "float16", "bfloat16", "float8_e4m3fn", "float32", "complex64", "int64"];
  const tensors = fc.uniqueArray(
    fc.record({
      name: fc.string({ unit: "grapheme" }).filter((name) => name !== "__metadata__"),
      dtype: fc.constantFrom(...types).map(parseDType),
      shape: shapes.filter((shape) => shape.every((size) => size < 100)),
    }),
    { selector: ({ name }) => name, maxLength: 10 },
  );
  const text = fc.string({ unit: "grapheme" });
  fc.assert(
    fc.property(tensors, fc.dictionary(text, text), (list, pairs) => {
      const { bytes, ...written } = encodeSafetensorsHeader(list, new Map(Object.entries(pairs)));
      const read = decodeSafetensorsHeader(bytes, bytes.length + written.dataBytes);
      assert.ok(!isNeedMore(read));
      // Empty tensors share a place with others, and their order says nothing.
      const sorted = (header: SafetensorsHeader) =>
        header.tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1));
      assert.deepEqual(sorted(read), sorted(written));
      assert.deepEqual({ ...read, tensors: [] }, { ...written, tensors: [] });
    }),
  );
});

test("decodeSafetensorsHeader() asks for exactly what is missing, and never beyond the header", () => {
  const whole = file(`{${tensor("a")}}`);
  const data = join([whole, new Uint8Array(4)]);
  for (let length = 0; length < whole.length; length++) {
    const result = decodeSafetensorsHeader(data.subarray(0, length), data.length);
    assert.ok(isNeedMore(result));
    assert.equal(result.needBytes, (length < 8 ? 8 : whole.length) - length);
  }
  for (const part of [whole, data])
    assert.ok(!isNeedMore(decodeSafetensorsHeader(part, data.length)), "data may follow");
});

test("decodeSafetensorsHeader() holds a known length of the file against its tensors", () => {
  const json = `{${tensor("a")}}`;
  const length = file(json).length;
  decode(json, length + 4);
  for (const wrong of [0, 8, length - 1, length, length + 3, length + 5])
    assert.throws(() => decode(json, wrong), hasCode("ASOC_BAD_SAFETENSORS"), String(wrong));
});

test("decodeSafetensorsHeader() refuses keys that come twice, at every place", () => {
  refuses(`{${tensor("a")},${tensor("a", 4, 8)}}`);
  refuses(`{${tensor("a")},${tensor("\\u0061", 4, 8)}}`);
  refuses('{"__metadata__":{},"__metadata__":{}}');
  refuses('{"__metadata__":{"k":"1","k":"1"}}');
  refuses('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}');
  refuses('{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}');
  refuses('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"data_offsets":[0,1]}}');
  const { tensors, metadata } = decode(
    `{${tensor("__proto__")},${tensor("constructor", 4, 8)},"__metadata__":{"__proto__":"x"}}`,
  );
  assert.deepEqual(
    tensors.map(({ name }) => name),
    ["__proto__", "constructor"],
  );
  assert.equal(metadata.get("__proto__"), "x");
});

test("decodeSafetensorsHeader() refuses holes, overlaps and sizes that differ from dtype and shape", () => {
  refuses(`{${tensor("a", 4, 8)}}`);
  refuses(`{${tensor("a")},${tensor("b", 8, 12)}}`);
  refuses(`{${tensor("a")},${tensor("b", 2, 6)}}`);
  refuses(`{${tensor("a")},${tensor("b", 0, 4)}}`);
  refuses(`{${tensor("a")},${tensor("b", 2, 2, "U8", "[0]")}}`);
  refuses(`{${tensor("a", 4, 0)}}`);
  refuses(`{${tensor("a", 0, 5)}}`);
  refuses(`{${tensor("a", 0, 4, "F64")}}`);
  refuses(`{${tensor("a", 0, 2, "F4", "[3]")}}`);
  assert.equal(decode(`{${tensor("a", 0, 2, "F4", "[4]")}}`).dataBytes, 2);
});

test("decodeSafetensorsHeader() refuses shapes that no tensor has", () => {
  refuses(`{${tensor("a", 0, 0, "F64", `[${2 ** 53 - 1}]`)}}`, "ASOC_BAD_SHAPE");
  refuses(`{${tensor("a", 0, 0, "U8", `[0,${2 ** 40},${2 ** 40}]`)}}`, "ASOC_BAD_SHAPE");
  refuses(`{${tensor("a", 0, 1, "U8", `[${"1,".repeat(MAX_RANK)}1]`)}}`, "ASOC_BAD_SHAPE");
  refuses(`{${tensor("a", 0, 1, "U8", `[${"1,".repeat(1e6)}1]`)}}`, "ASOC_BAD_SHAPE");
  for (const shape of [
    "[-1]",
    "[-0]",
    "[1.0]",
    "[1e0]",
    "[01]",
    `[${2 ** 53}]`,
    `["1"]`,
    "[null]",
    "[[1]]",
    "[1,]",
  ])
    refuses(`{${tensor("a", 0, 1, "U8", shape)}}`);
});

test("decodeSafetensorsHeader() refuses JSON of any other form", () => {
  for (const json of [
    "[]",
    " {}",
    "{} x",
    "{}{}",
    "{}\0",
    "{,}",
    `{${tensor("a")},}`,
    `{${tensor("a")} ${tensor("b", 4, 8)}}`,
    "{'a':1}",
    "{a:1}",
    '{"a":null}',
    '{"a":["F32",[],[0,4]]}',
    '{"a":{"dtype":"F32","shape":[]}}',
    '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}}',
    '{"a":{"dtype":"F32","shape":[],"data_offsets":[0]}}',
    '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4,4]}}',
    '{"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}}',
    '{"a":{"dtype":7,"shape":[],"data_offsets":[0,4]}}',
    '{"__metadata__":null}',
    '{"__metadata__":{"a":1}}',
    '{"__metadata__":{"a":{"b":"c"}}}',
    "/**/{}",
    '{"a',
    '{"a\\',
    '{"a\\"',
  ])
    refuses(json);
});

test("decodeSafetensorsHeader() refuses text that is none", () => {
  for (const json of [
    '{"\\ud800":1}',
    `{${tensor("\\udc00")}}`,
    `{${tensor("a\nb")}}`,
    `{${tensor("\\x41")}}`,
    `{${tensor("\\u00g1")}}`,
    '\ufeff{"a":1}',
  ])
    refuses(json);
  refuses(ascii('{"\xff":1}'));
  refuses(ascii('{"\xed\xa0\x80":1}'));
  refuses(ascii('{"\xc0\xaf":1}'));
  assert.equal(decode(`{${tensor("\\ud83d\\ude00")}}`).tensors[0]?.name, "\u{1f600}");
});

test("decodeSafetensorsHeader() refuses a length beyond its limit, or none, before the JSON has come", () => {
  const head = (length: bigint, rest = "") => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    return join([bytes, ascii(rest)]);
  };
  const limit = BigInt(MAX_SAFETENSORS_HEADER_BYTES);
  for (const length of [limit + 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n])
    assert.throws(() => decodeSafetensorsHeader(head(length)), hasCode("ASOC_HEADER_TOO_LARGE"));
  for (const length of [0n, 1n])
    assert.throws(() => decodeSafetensorsHeader(head(length)), hasCode("ASOC_BAD_SAFETENSORS"));
  assert.throws(() => decodeSafetensorsHeader(head(100n, "[")), hasCode("ASOC_BAD_SAFETENSORS"));
  assert.throws(() => decodeSafetensorsHeader(head(100n), 107), hasCode("ASOC_BAD_SAFETENSORS"));
  assert.deepEqual(decodeSafetensorsHeader(head(limit)), { needBytes: MAX_SAFETENSORS_HEADER_BYTES });
});

test("decodeSafetensorsHeader() reads as many tensors as its limit, and no more", () => {
  const many = (count: number) =>
    `{${Array.from({ length: count }, (_, i) => tensor(String(i), i, i + 1, "U8")).join(",")}}`;
  assert.equal(decode(many(MAX_SAFETENSORS_ENTRIES)).tensors.length, MAX_SAFETENSORS_ENTRIES);
  refuses(many(MAX_SAFETENSORS_ENTRIES + 1), "ASOC_TOO_MANY_TENSORS");
  const pairs = Array.from({ length: MAX_SAFETENSORS_ENTRIES + 1 }, (_, i) => `"${i}":""`);
  refuses(`{"__metadata__":{${pairs.join(",")}}}`, "ASOC_TOO_MANY_TENSORS");
});
