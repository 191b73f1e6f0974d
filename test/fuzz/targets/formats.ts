/** Headers of npy and safetensors files, which come from who knows where (docs: file formats). */
import { MAX_NPY_HEADER_BYTES, MAX_SAFETENSORS_HEADER_BYTES } from "../../../src/core/limits.ts";
import { parseDType } from "../../../src/core/tensor/dtype.ts";
import { isNeedMore } from "../../../src/core/tensor/need_more.ts";
import { decodeNpyHeader, encodeNpyHeader } from "../../../src/core/tensor/npy.ts";
import { recogniseFormat } from "../../../src/core/tensor/recognise.ts";
import { encodeSafetensorsHeader } from "../../../src/core/tensor/safetensors.ts";
import { decodeSafetensorsHeader } from "../../../src/core/tensor/safetensors_decode.ts";
import { tensorBytes } from "../../../src/core/tensor/shape.ts";
import { joined, mutated } from "../mutate.ts";
import type { FuzzRandom } from "../random.ts";
import { type FuzzTarget, must, type Outcome, refusal, textOf } from "../target.ts";

const ascii = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

const PYTHON =
  "{ } ( ) , : ' \" 'descr' 'shape' 'fortran_order' True False '<f4' '>i8' '|O' '|V3' 3 0 - L (3,) (2,3) 99999999999999999999 \\ \n".split(
    " ",
  );
const JSON_TOKENS =
  '{ } [ ] , : " \\ "a" "b" "__proto__" "dtype" "shape" "data_offsets" "__metadata__" "F32" "U8" [] [0] [0,1] [0,8] [1] [2] null -1 1e9 9007199254740993 \\ud800'.split(
    " ",
  );

function npyRun(input: Uint8Array): Outcome {
  recogniseFormat(input, input.length);
  let header: ReturnType<typeof decodeNpyHeader>;
  try {
    header = decodeNpyHeader(input);
  } catch (error) {
    return refusal(error);
  }
  if (isNeedMore(header)) {
    must(
      header.needBytes > 0 && header.needBytes <= MAX_NPY_HEADER_BYTES + 12,
      "asks for more than a header",
    );
    return { label: "needs more", detail: () => textOf(header) };
  }
  must(header.dataBytes === tensorBytes(header.dtype, header.shape), "bytes that do not fit the shape");
  must(header.dataOffset >= 10 && header.dataOffset <= input.length, "data that begins elsewhere");
  const again = decodeNpyHeader(encodeNpyHeader(header));
  must(!isNeedMore(again) && again.shape.join() === header.shape.join(), "what was written reads otherwise");
  return {
    label: `npy ${header.dtype.code} ${header.shape.length} ${header.byteOrder}`,
    detail: () => textOf(header),
  };
}

/** The header that was mutated, with the length that it has. */
function npyMake(random: FuzzRandom, pick: () => Uint8Array): Uint8Array {
  let text: Uint8Array;
  if (random.oneIn(3)) {
    const tokens = Array.from({ length: random.below(30) }, () => random.pick(PYTHON));
    text = ascii(`{${tokens.join("")}`);
  } else text = mutated(pick().subarray(10), pick(), random);
  const version = random.oneIn(10) ? random.below(5) : 1;
  const head = ascii("\x93NUMPY\x01\x00..");
  head[6] = version;
  head[8] = text.length;
  head[9] = text.length >>> 8;
  return joined(head, text);
}

export const NPY: FuzzTarget = {
  name: "npy",
  share: 110,
  seeds: ["float32", "bool", "complex128", "bfloat16", "opaque24", "int64"].flatMap((name) =>
    [[], [3], [2, 3], [0, 5], [1, 1, 1, 7]].map((shape) =>
      encodeNpyHeader({ dtype: parseDType(name), shape, fortranOrder: shape.length === 2 }),
    ),
  ),
  make: npyMake,
  run: npyRun,
};

function safetensorsRun(input: Uint8Array): Outcome {
  let header: ReturnType<typeof decodeSafetensorsHeader>;
  try {
    header = decodeSafetensorsHeader(input);
  } catch (error) {
    return refusal(error);
  }
  if (isNeedMore(header)) {
    must(
      header.needBytes > 0 && header.needBytes <= MAX_SAFETENSORS_HEADER_BYTES,
      "asks for more than a header",
    );
    return { label: "needs more", detail: () => textOf(header) };
  }
  let at = 0;
  for (const { dtype, shape, start, end } of header.tensors) {
    must(start === at && end - start === tensorBytes(dtype, shape), "tensors that overlap, or leave a hole");
    at = end;
  }
  must(header.dataBytes === at, "bytes that nobody has");
  must(new Set(header.tensors.map(({ name }) => name)).size === header.tensors.length, "a name twice");
  const { bytes } = encodeSafetensorsHeader(header.tensors, header.metadata);
  const again = decodeSafetensorsHeader(bytes, bytes.length + header.dataBytes);
  must(
    !isNeedMore(again) && textOf(again.tensors) === textOf(header.tensors),
    "what was written reads otherwise",
  );
  return {
    label: `safetensors ${Math.min(4, header.tensors.length)} ${Math.min(3, header.metadata.size)}`,
    detail: () => textOf(header),
  };
}

function safetensorsMake(random: FuzzRandom, pick: () => Uint8Array): Uint8Array {
  let text: Uint8Array;
  if (random.oneIn(3)) {
    const tokens = Array.from({ length: random.below(30) }, () => random.pick(JSON_TOKENS));
    text = ascii(`{${tokens.join("")}`);
  } else text = mutated(pick().subarray(8), pick(), random);
  const head = new Uint8Array(8);
  new DataView(head.buffer).setBigUint64(0, BigInt(text.length), true);
  return joined(head, text);
}

const SAFETENSORS_NAMES = [["a"], ["a", "b.weight", "é"], ['"', "", "__proto__"], []];

export const SAFETENSORS: FuzzTarget = {
  name: "safetensors",
  share: 110,
  seeds: SAFETENSORS_NAMES.flatMap((names) =>
    ["float32", "bool", "bfloat16", "float8_e4m3fn"].map((dtype) => {
      const tensors = names.map((name) => ({ name, dtype: parseDType(dtype), shape: [2, 3] }));
      return encodeSafetensorsHeader(tensors, new Map([["format", "pt"]])).bytes;
    }),
  ),
  make: safetensorsMake,
  run: safetensorsRun,
};
