/** Files that tests send: good ones, and every kind of bad one. */
import { encodeNpyHeader, encodeSafetensorsHeader, parseDType } from "../../src/mod.ts";

export function npyFile(dtype: string, shape: readonly number[], bytes: Uint8Array): Uint8Array {
  return concat(encodeNpyHeader({ dtype: parseDType(dtype), shape }), bytes);
}

export function safetensorsFile(
  tensors: readonly { name: string; dtype: string; shape: readonly number[]; bytes: Uint8Array }[],
): Uint8Array {
  const infos = tensors.map(({ name, dtype, shape }) => ({ name, dtype: parseDType(dtype), shape }));
  return concat(encodeSafetensorsHeader(infos).bytes, ...tensors.map(({ bytes }) => bytes));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** An npy file with a header as it is given. */
export function npyText(text: string, data = new Uint8Array(0), version = 1): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const head = new Uint8Array(version === 1 ? 10 : 12);
  head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]);
  const view = new DataView(head.buffer);
  if (version === 1) view.setUint16(8, bytes.length, true);
  else view.setUint32(8, bytes.length, true);
  return concat(head, bytes, data);
}

/** A safetensors file with a header as it is given. */
export function safetensorsText(text: string, data = new Uint8Array(0), length?: bigint): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const head = new Uint8Array(8);
  new DataView(head.buffer).setBigUint64(0, length ?? BigInt(bytes.length), true);
  return concat(head, bytes, data);
}

const dict = (descr: string, shape: string, order = "False") =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }`;
const four = new Uint8Array(4);

/** Bodies that can be no tensor, and what is said of each. */
export const BAD_BODIES: readonly {
  readonly what: string;
  readonly type: string;
  readonly body: Uint8Array | string;
  readonly headers?: Record<string, string>;
  readonly status: number;
  readonly code: string;
}[] = [
  bad("npy", "another magic", "not numpy at all", 400, "ASOC_BAD_NPY"),
  bad("npy", "nothing", "", 400, "GATEWAY_BODY_TRUNCATED"),
  bad("npy", "half a magic", new Uint8Array([0x93, 0x4e]), 400, "GATEWAY_BODY_TRUNCATED"),
  bad("npy", "a version that is none", npyText(dict("'<f4'", "(1,)"), four, 9), 400, "ASOC_BAD_NPY"),
  bad("npy", "no dictionary", npyText("[]", four), 400, "ASOC_BAD_NPY"),
  bad("npy", "code", npyText("__import__('os')", four), 400, "ASOC_BAD_NPY"),
  bad("npy", "pickled objects", npyText(dict("'|O'", "(1,)"), four), 415, "ASOC_UNSUPPORTED_DTYPE"),
  bad(
    "npy",
    "structured elements",
    npyText(dict("[('a', '<f4')]", "(1,)"), four),
    415,
    "ASOC_UNSUPPORTED_DTYPE",
  ),
  bad("npy", "a dtype that is none", npyText(dict("'<q9'", "(1,)"), four), 400, "ASOC_BAD_NPY"),
  bad("npy", "a negative dimension", npyText(dict("'<f4'", "(-1,)"), four), 400, "ASOC_BAD_NPY"),
  bad(
    "npy",
    "a huge dimension",
    npyText(dict("'<f4'", "(99999999999999999999,)"), four),
    400,
    "ASOC_BAD_NPY",
  ),
  bad(
    "npy",
    "a shape that overflows",
    npyText(dict("'<f8'", "(4503599627370496, 4503599627370496)"), four),
    400,
    "ASOC_BAD_SHAPE",
  ),
  bad("npy", "65 dimensions", npyText(dict("'<f4'", `(${"1, ".repeat(65)})`), four), 400, "ASOC_BAD_SHAPE"),
  bad(
    "npy",
    "columns first",
    npyText(dict("'<f4'", "(2, 2)", "True"), new Uint8Array(16)),
    415,
    "GATEWAY_UNSUPPORTED_BODY",
  ),
  bad(
    "npy",
    "a header bomb",
    npyText("x", four, 2).map((byte, at) => (at >= 8 && at < 12 ? 0xff : byte)),
    413,
    "ASOC_HEADER_TOO_LARGE",
  ),
  bad("npy", "too few bytes", npyText(dict("'<f4'", "(2,)"), four), 400, "GATEWAY_BODY_TRUNCATED"),
  bad(
    "npy",
    "too many bytes",
    npyText(dict("'<f4'", "(1,)"), new Uint8Array(8)),
    400,
    "GATEWAY_BODY_TOO_LONG",
  ),
  bad(
    "safetensors",
    "a length beyond the file",
    safetensorsText("{}", four, 1000n),
    400,
    "ASOC_BAD_SAFETENSORS",
  ),
  bad("safetensors", "a header bomb", safetensorsText("{}", four, 2n ** 60n), 413, "ASOC_HEADER_TOO_LARGE"),
  bad("safetensors", "no JSON", safetensorsText("{nonsense", four), 400, "ASOC_BAD_SAFETENSORS"),
  bad("safetensors", "no tensor", safetensorsText("{}"), 400, "GATEWAY_BAD_BODY"),
  bad(
    "safetensors",
    "offsets that lie",
    safetensorsText('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}}', four),
    400,
    "ASOC_BAD_SAFETENSORS",
  ),
  bad(
    "safetensors",
    "a hole",
    safetensorsText('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', new Uint8Array(8)),
    400,
    "ASOC_BAD_SAFETENSORS",
  ),
  bad(
    "safetensors",
    "a name twice",
    safetensorsText(
      '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      four,
    ),
    400,
    "ASOC_BAD_SAFETENSORS",
  ),
  bad(
    "safetensors",
    "a negative dimension",
    safetensorsText('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', four),
    400,
    "ASOC_BAD_SAFETENSORS",
  ),
  bad(
    "safetensors",
    "a shape that overflows",
    safetensorsText(
      '{"a":{"dtype":"F64","shape":[4503599627370496,4503599627370496],"data_offsets":[0,4]}}',
      four,
    ),
    400,
    "ASOC_BAD_SHAPE",
  ),
  bad(
    "safetensors",
    "bytes behind its end",
    safetensorsText('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', new Uint8Array(8)),
    400,
    "ASOC_BAD_SAFETENSORS",
  ),
  bad("json", "no JSON", "{", 400, "GATEWAY_BAD_BODY"),
  bad("json", "no data", '{"dtype":"float32","shape":[1]}', 400, "GATEWAY_BAD_BODY"),
  bad(
    "json",
    "a ragged array",
    '{"dtype":"float32","shape":[2,2],"data":[[1,2],[3]]}',
    400,
    "ASOC_BAD_SHAPE",
  ),
  bad(
    "json",
    "a number that does not fit",
    '{"dtype":"int8","shape":[1],"data":[300]}',
    400,
    "ASOC_BAD_SHAPE",
  ),
  bad("json", "a dtype that is none", '{"dtype":"float31","shape":[1],"data":[1]}', 400, "ASOC_BAD_DTYPE"),
  bad("json", "a negative dimension", '{"dtype":"int8","shape":[-1],"data":[]}', 400, "GATEWAY_BAD_BODY"),
  bad(
    "json",
    "a shape that overflows",
    '{"dtype":"float64","shape":[4503599627370496,4503599627370496],"data":[]}',
    400,
    "ASOC_BAD_SHAPE",
  ),
  bad(
    "json",
    "deep nesting",
    `{"dtype":"int8","shape":[1],"data":${"[".repeat(50_000)}${"]".repeat(50_000)}}`,
    400,
    "*",
  ),
  {
    ...bad("raw", "a dtype that is none", four, 400, "ASOC_BAD_DTYPE"),
    headers: { "asoc-dtype": "float31", "asoc-shape": "1" },
  },
  {
    ...bad("raw", "too few bytes", four, 400, "GATEWAY_BODY_TRUNCATED"),
    headers: { "asoc-dtype": "float32", "asoc-shape": "2" },
  },
  {
    ...bad("raw", "a shape that is none", four, 400, "GATEWAY_BAD_BODY"),
    headers: { "asoc-dtype": "float32", "asoc-shape": "1;2" },
  },
  { ...bad("raw", "a shape without a dtype", four, 400, "GATEWAY_BAD_BODY"), headers: { "asoc-shape": "4" } },
  { ...bad("raw", "a type of something else", four, 415, "GATEWAY_UNSUPPORTED_BODY"), type: "image/png" },
];

function bad(
  format: "npy" | "safetensors" | "json" | "raw",
  what: string,
  body: Uint8Array | string,
  status: number,
  code: string,
) {
  const types = {
    npy: "application/x-npy",
    safetensors: "application/vnd.safetensors",
    json: "application/json",
    raw: "application/octet-stream",
  };
  return { what: `${format}: ${what}`, type: types[format], body, status, code };
}
