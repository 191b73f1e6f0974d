import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AsocError } from "../../../src/core/errors.ts";
import { MAX_NPY_HEADER_BYTES, MAX_RANK } from "../../../src/core/limits.ts";
import { DTYPE_NAMES, type DType, DTypeCode, dtypeName, parseDType } from "../../../src/core/tensor/dtype.ts";
import { isNeedMore } from "../../../src/core/tensor/need_more.ts";
import { decodeNpyHeader, encodeNpyHeader, type NpyHeader } from "../../../src/core/tensor/npy.ts";
import { ascii, hasCode, shapes } from "../../support/core_formats.ts";

const MAGIC = "\x93NUMPY";
const f4 = parseDType("float32");

/** A file of version `major`.0 with this text, which is padded as NumPy does. */
function file(text: string, major = 1): Uint8Array {
  const prefix = major === 1 ? 10 : 12;
  const length = Math.ceil((prefix + text.length + 1) / 64) * 64 - prefix;
  const size =
    major === 1
      ? [length & 255, length >> 8]
      : [length & 255, (length >> 8) & 255, (length >> 16) & 255, length >>> 24];
  return ascii(
    `${MAGIC}${String.fromCharCode(major, 0, ...size)}${text}${" ".repeat(length - text.length - 1)}\n`,
  );
}

const dict = (descr: string, shape = "(3,)", order = "False") =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }`;

function decode(bytes: Uint8Array): NpyHeader {
  const header = decodeNpyHeader(bytes);
  assert.ok(!isNeedMore(header));
  return header;
}

const refuses = (bytes: Uint8Array, code: Parameters<typeof hasCode>[0] = "ASOC_BAD_NPY", about?: string) =>
  assert.throws(() => decodeNpyHeader(bytes), hasCode(code), about);

test("encodeNpyHeader() writes what NumPy 2.4 wrote", () => {
  const written: [Parameters<typeof encodeNpyHeader>[0], string][] = [
    [
      { dtype: f4, shape: [] },
      `${MAGIC}\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (), }${" ".repeat(62)}\n`,
    ],
    [
      { dtype: f4, shape: [3] },
      `${MAGIC}\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }${" ".repeat(60)}\n`,
    ],
    [
      { dtype: f4, shape: [3, 4], fortranOrder: true },
      `${MAGIC}\x01\x00v\x00{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }${" ".repeat(59)}\n`,
    ],
    [
      { dtype: parseDType("complex128"), shape: [2, 0, 5] },
      `${MAGIC}\x01\x00v\x00{'descr': '<c16', 'fortran_order': False, 'shape': (2, 0, 5), }${" ".repeat(54)}\n`,
    ],
  ];
  for (const [array, expected] of written) assert.deepEqual(encodeNpyHeader(array), ascii(expected));
});

test("encodeNpyHeader() says fortran_order only where the orders differ, as NumPy does", () => {
  for (const shape of [[], [5], [1, 5], [5, 1, 1], [3, 0, 4]])
    assert.equal(decode(encodeNpyHeader({ dtype: f4, shape, fortranOrder: true })).fortranOrder, false);
  for (const shape of [
    [2, 2],
    [1, 3, 2],
  ])
    assert.equal(decode(encodeNpyHeader({ dtype: f4, shape, fortranOrder: true })).fortranOrder, true);
});

test("encodeNpyHeader() refuses elements that npy has not, and shapes that no tensor has", () => {
  for (const name of ["float32x2", "float4_e2m1fn", "float6_e3m2fn", "int4", "complex32"]) {
    assert.throws(
      () => encodeNpyHeader({ dtype: parseDType(name), shape: [2] }),
      hasCode("ASOC_UNSUPPORTED_DTYPE"),
      name,
    );
  }
  for (const shape of [[-1], [2 ** 53], [2 ** 40, 2 ** 40], new Array(MAX_RANK + 1).fill(1)])
    assert.throws(() => encodeNpyHeader({ dtype: f4, shape }), hasCode("ASOC_BAD_SHAPE"));
});

/** What npy makes of a data type. */
function inNpy(dtype: DType): string {
  const name = dtypeName(dtype);
  const isForeign = dtype.code === DTypeCode.bfloat || dtype.code > DTypeCode.bool;
  return isForeign ? `opaque${dtype.bits}` : name;
}

test("decodeNpyHeader() undoes encodeNpyHeader(); what npy cannot name comes back opaque", () => {
  const names = DTYPE_NAMES.filter((name) => parseDType(name).bits % 8 === 0 && name !== "complex32");
  fc.assert(
    fc.property(fc.constantFrom(...names), shapes, fc.boolean(), (name, shape, fortranOrder) => {
      const dtype = parseDType(name);
      const header = encodeNpyHeader({ dtype, shape, fortranOrder });
      const decoded = decode(header);
      assert.equal(dtypeName(decoded.dtype), inNpy(dtype));
      assert.deepEqual(decoded.shape, shape);
      assert.equal(decoded.byteOrder, "little");
      assert.equal(decoded.dataOffset, header.length);
      assert.equal(header.length % 64, 0);
      assert.equal(decoded.dataBytes, (dtype.bits / 8) * shape.reduce((a, b) => a * b, 1));
      assert.deepEqual(encodeNpyHeader(decoded), encodeNpyHeader({ ...decoded, fortranOrder }));
    }),
  );
  const most = { dtype: parseDType("opaque248"), shape: new Array(MAX_RANK).fill(1) };
  assert.ok(encodeNpyHeader(most).length <= 4096, "far from what needs version 2.0");
});

test("decodeNpyHeader() asks for exactly what is missing, and never beyond the header", () => {
  for (const major of [1, 2, 3]) {
    const whole = file(dict("'<f4'", "(3, 4)"), major);
    const data = new Uint8Array([...whole, 1, 2, 3]);
    for (let length = 0; length < whole.length; length++) {
      const result = decodeNpyHeader(data.subarray(0, length));
      assert.ok(isNeedMore(result));
      assert.ok(result.needBytes > 0 && length + result.needBytes <= whole.length);
    }
    const header = decode(data);
    assert.deepEqual(
      { ...header, dtype: dtypeName(header.dtype) },
      {
        dtype: "float32",
        shape: [3, 4],
        fortranOrder: false,
        byteOrder: "little",
        dataOffset: whole.length,
        dataBytes: 48,
      },
    );
  }
});

test("decodeNpyHeader() reads a header in the middle of a buffer", () => {
  const whole = file(dict("'<i2'"));
  const memory = new Uint8Array(whole.length + 7);
  memory.set(whole, 7);
  assert.equal(decode(memory.subarray(7)).dataBytes, 6);
});

test("decodeNpyHeader() reports big-endian elements, where order makes a difference", () => {
  for (const [descr, name, order] of [
    [">f4", "float32", "big"],
    [">c16", "complex128", "big"],
    [">V2", "opaque16", "big"],
    ["<V2", "opaque16", "little"],
    ["|V2", "opaque16", "little"],
    [">V1", "opaque8", "little"],
    [">i1", "int8", "little"],
    ["|u1", "uint8", "little"],
    ["<b1", "bool", "little"],
    ["<f1", "float8_e5m2", "little"],
    ["|V31", "opaque248", "little"],
  ] as const) {
    const { dtype, byteOrder } = decode(file(dict(`'${descr}'`)));
    assert.deepEqual([dtypeName(dtype), byteOrder], [name, order], descr);
  }
});

test("decodeNpyHeader() takes what other writers do: order, spaces, double quotes, Python 2", () => {
  for (const text of [
    `{"shape":(3,4),"descr":"<f4","fortran_order":True}`,
    `{\n'fortran_order' : True,\t'shape' : ( 3 , 4 , ) , 'descr' : '<f4' , } `,
    dict("'<f4'", "(3L, 4L)", "True"),
  ]) {
    const { shape, fortranOrder } = decode(file(text));
    assert.deepEqual([shape, fortranOrder], [[3, 4], true]);
  }
  assert.deepEqual(decode(file(dict("'<f4'", "(3L,)"), 2)).shape, [3]);
  refuses(file(dict("'<f4'", "(3L,)"), 3), "ASOC_BAD_NPY", "version 3.0 is younger than Python 2");
});

test("decodeNpyHeader() refuses Python objects, structures, text and dates by name", () => {
  for (const descr of [
    "'|O'",
    "'O'",
    "'|S5'",
    "'<U4'",
    "'<M8[ns]'",
    "'<m8[s]'",
    "'<f16'",
    "'<c32'",
    "'a5'",
    "'|V32'",
    "'|V0'",
    "[('a', '<f4'), ('b', '<i2', (2,))]",
    "('<f4', (2,))",
  ])
    refuses(file(dict(descr)), "ASOC_UNSUPPORTED_DTYPE", descr);
  assert.throws(() => decodeNpyHeader(file(dict("'|O'"))), /pickles, which run code/);
});

test("decodeNpyHeader() refuses other descr", () => {
  for (const descr of ["''", "'f4'", "'=f4'", "'|f4'", "'<f3'", "'<f04'", "'<x4'", "'float32'", "'<b2'", "4"])
    refuses(file(dict(descr)), "ASOC_BAD_NPY", descr);
});

test("decodeNpyHeader() refuses what is no dictionary of the three keys", () => {
  for (const text of [
    "",
    "{",
    "{}",
    "[]",
    "None",
    "{'descr': '<f4', 'fortran_order': False}",
    `${dict("'<f4'").slice(0, -1)}'descr': '<f4'}`,
    `${dict("'<f4'").slice(0, -1)}'extra': 1}`,
    `${dict("'<f4'")} x`,
    `${dict("'<f4'")}${dict("'<f4'")}`,
    `${dict("'<f4'").slice(0, -1)},}`,
    "{'descr' '<f4'}",
    "{'descr': '<f4' 'fortran_order': False}",
    "{'descr': '<f\\x34', 'fortran_order': False, 'shape': ()}",
    "{'descr': '<f4\n', 'fortran_order': False, 'shape': ()}",
    "{'descr\": '<f4'}",
    "{u'descr': '<f4', 'fortran_order': False, 'shape': ()}",
    "{'d\xe9scr': '<f4', 'fortran_order': False, 'shape': ()}",
    "__import__('os')",
    ` ${dict("'<f4'")}`,
    `\xef\xbb\xbf${dict("'<f4'")}`,
    dict("'<f4'", "(3)"),
    dict("'<f4'", "[3]"),
    dict("'<f4'", "(,)"),
    dict("'<f4'", "(3,,4)"),
    dict("'<f4'", "(3 4)"),
    dict("'<f4'", "(-3,)"),
    dict("'<f4'", "(+3,)"),
    dict("'<f4'", "(03,)"),
    dict("'<f4'", "(3.0,)"),
    dict("'<f4'", "(1_0,)"),
    dict("'<f4'", "(0x3,)"),
    dict("'<f4'", "(True,)"),
    dict("'<f4'", "((3,),)"),
    dict("'<f4'", `(${2 ** 53},)`),
    dict("'<f4'", `(${"9".repeat(60_000)},)`),
    dict("'<f4'", "(3,)", "true"),
    dict("'<f4'", "(3,)", "Truest"),
    dict("'<f4'", "(3,)", "0"),
  ])
    refuses(file(text), "ASOC_BAD_NPY", text.slice(0, 100));
});

test("decodeNpyHeader() refuses shapes that no tensor has", () => {
  for (const shape of [
    `(${2 ** 53 - 1},)`,
    `(${2 ** 40}, ${2 ** 40})`,
    `(0, ${2 ** 40}, ${2 ** 40})`,
    `(${"1, ".repeat(MAX_RANK + 1)})`,
    `(${"1, ".repeat(MAX_RANK + 1)}`, // before its end is seen
  ])
    refuses(file(dict("'<f4'", shape)), "ASOC_BAD_SHAPE", shape);
  assert.equal(decode(file(dict("'<f4'", `(${"1, ".repeat(MAX_RANK)})`))).shape.length, MAX_RANK);
});

test("decodeNpyHeader() refuses wrong bytes as soon as they come", () => {
  for (const head of ["\x92", "\x93NUMPZ", `${MAGIC}\0`, `${MAGIC}\x04`, `${MAGIC}\x01\x01`, "PK\x03\x04"])
    refuses(ascii(head));
});

test("decodeNpyHeader() refuses a length above its limit before the text has come", () => {
  const prefix = (bytes: number) => {
    const head = ascii(`${MAGIC}\x02\x00....`);
    new DataView(head.buffer).setUint32(8, bytes, true);
    return head;
  };
  refuses(prefix(MAX_NPY_HEADER_BYTES + 1), "ASOC_HEADER_TOO_LARGE");
  refuses(prefix(2 ** 32 - 1), "ASOC_HEADER_TOO_LARGE");
  assert.deepEqual(decodeNpyHeader(prefix(MAX_NPY_HEADER_BYTES)), { needBytes: MAX_NPY_HEADER_BYTES });
});

test("errors of decodeNpyHeader() say what and where, and quote little", () => {
  assert.throws(
    () => decodeNpyHeader(file(dict("'<f4'", `(${"x".repeat(5000)})`))),
    (error) =>
      error instanceof AsocError &&
      error.name === "FormatError" &&
      /^Cannot read npy header: expected an integer .* at character 51, got "x{48}"/.test(error.message),
  );
});
