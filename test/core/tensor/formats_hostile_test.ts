/**
 * Attacks on the header parsers: whatever comes, they refuse it with an error of ours, ask for a bounded number of
 * bytes, or say something that holds together; in little time.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  MAX_NPY_HEADER_BYTES,
  MAX_RANK,
  MAX_SAFETENSORS_ENTRIES,
  MAX_SAFETENSORS_HEADER_BYTES,
  MiB,
} from "../../../src/core/limits.ts";
import { dtypeFrom, parseDType } from "../../../src/core/tensor/dtype.ts";
import { isNeedMore } from "../../../src/core/tensor/need_more.ts";
import { decodeNpyHeader, encodeNpyHeader } from "../../../src/core/tensor/npy.ts";
import { encodeSafetensorsHeader } from "../../../src/core/tensor/safetensors.ts";
import { decodeSafetensorsHeader } from "../../../src/core/tensor/safetensors_decode.ts";
import { tensorBytes } from "../../../src/core/tensor/shape.ts";
import { ascii, decodeOrRefuse, join, type Mutation, mutations, shapes } from "../../support/core_formats.ts";

/** Far more than any of it takes, far less than quadratic time would on the largest header. */
const MAX_MS = 5000;
const RUNS = { numRuns: 1000 };

/** Returns whether it was read. */
function checkNpy(bytes: Uint8Array): boolean {
  const result = decodeOrRefuse(() => decodeNpyHeader(bytes));
  if (!result) return false;
  if (isNeedMore(result)) {
    assert.ok(result.needBytes > 0 && result.needBytes <= MAX_NPY_HEADER_BYTES + 12);
    return false;
  }
  const { dtype, shape, dataOffset, dataBytes } = result;
  assert.deepEqual(dtypeFrom(dtype.code, dtype.bits, dtype.lanes), dtype);
  assert.ok(shape.length <= MAX_RANK);
  assert.equal(dataBytes, tensorBytes(dtype, shape));
  assert.ok(dataOffset >= 10 && dataOffset <= bytes.length);
  const again = decodeNpyHeader(encodeNpyHeader(result));
  assert.ok(!isNeedMore(again));
  assert.deepEqual(again.shape, shape);
  return true;
}

/** Returns whether it was read. */
function checkSafetensors(bytes: Uint8Array): boolean {
  const result = decodeOrRefuse(() => decodeSafetensorsHeader(bytes));
  if (!result) return false;
  if (isNeedMore(result)) {
    assert.ok(result.needBytes > 0 && result.needBytes <= MAX_SAFETENSORS_HEADER_BYTES);
    return false;
  }
  const { tensors, metadata, dataOffset, dataBytes } = result;
  assert.ok(dataOffset >= 10 && dataOffset <= bytes.length);
  assert.ok(tensors.length <= MAX_SAFETENSORS_ENTRIES && metadata.size <= MAX_SAFETENSORS_ENTRIES);
  assert.equal(new Set(tensors.map(({ name }) => name)).size, tensors.length);
  let at = 0;
  for (const { dtype, shape, start, end } of tensors) {
    assert.equal(start, at);
    assert.equal(end - start, tensorBytes(dtype, shape));
    at = end;
  }
  assert.equal(dataBytes, at);
  // Whatever is read can be written again, and says the same.
  const { bytes: written, ...header } = encodeSafetensorsHeader(tensors, metadata);
  assert.deepEqual(decodeSafetensorsHeader(written, written.length + dataBytes), header);
  // Here JSON.parse() agrees: no key was lost.
  const json = JSON.parse(new TextDecoder().decode(bytes.subarray(8, dataOffset)));
  assert.equal(Object.keys(json).filter((key) => key !== "__metadata__").length, tensors.length);
  return true;
}

/** The length that the bytes behind it have, so that a mutation reaches the parser of the text. */
function withLength(bytes: Uint8Array, prefix: number, isNpy: boolean): Uint8Array {
  const fixed = bytes.slice();
  if (fixed.length < prefix) return fixed;
  const view = new DataView(fixed.buffer);
  if (isNpy) view.setUint16(8, Math.min(fixed.length - prefix, 65_535), true);
  else view.setBigUint64(0, BigInt(fixed.length - prefix), true);
  return fixed;
}

const npyFiles = fc
  .tuple(fc.constantFrom("float32", "bool", "complex128", "bfloat16", "opaque24"), shapes, fc.boolean())
  .map(([name, shape, fortranOrder]) => encodeNpyHeader({ dtype: parseDType(name), shape, fortranOrder }));

const safetensorsFiles = fc
  .tuple(
    fc.uniqueArray(fc.constantFrom("a", "b.weight", "é", '"', "", "__proto__"), { maxLength: 4 }),
    fc.constantFrom("float32", "bool", "bfloat16", "float4_e2m1fn"),
    shapes.filter((shape) => shape.length < 3),
    fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
  )
  .map(([names, dtype, shape, metadata]) => {
    const tensors = names.map((name) => ({ name, dtype: parseDType(dtype), shape: [2, ...shape] }));
    return encodeSafetensorsHeader(tensors, new Map(Object.entries(metadata))).bytes;
  });

const several = fc.array(mutations, { minLength: 1, maxLength: 4 });

function mutate(
  file: Uint8Array,
  changes: readonly Mutation[],
  prefix: number,
  keepsLength: boolean,
): Uint8Array {
  const changed = changes.reduce(
    (bytes, change) => join([file.subarray(0, prefix), change(bytes)]).slice(prefix),
    file.subarray(prefix),
  );
  const whole = join([file.subarray(0, prefix), changed]);
  return keepsLength ? whole : withLength(whole, prefix, prefix === 10);
}

test("the header parsers survive random bytes", () => {
  const random = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(random, (bytes) => {
      checkNpy(bytes);
      checkNpy(join([ascii("\x93NUMPY\x01\x00"), bytes]));
      checkSafetensors(bytes);
      checkSafetensors(withLength(join([ascii("........{"), bytes]), 8, false));
    }),
    RUNS,
  );
});

test("the header parsers survive text of their own alphabet", () => {
  const tokens = (list: string) => fc.array(fc.constantFrom(...list.split(" ")), { maxLength: 30 });
  const npy = tokens(
    "{ } ( ) , : ' \" 'descr' 'shape' 'fortran_order' True False '<f4' '|O' 3 0 - L (3,) \n",
  );
  const json = tokens(
    '{ } [ ] , : " \\ "a" "b" "dtype" "shape" "data_offsets" "__metadata__" "U8" [] [0] [0,1] [1] null -1',
  );
  fc.assert(
    fc.property(npy, json, (python, javascript) => {
      checkNpy(withLength(ascii(`\x93NUMPY\x01\x00..{${python.join("")}`), 10, true));
      checkSafetensors(withLength(ascii(`........{${javascript.join("")}`), 8, false));
    }),
    RUNS,
  );
});

test("decodeNpyHeader() survives mutated headers", () => {
  let read = 0;
  fc.assert(
    fc.property(npyFiles, several, fc.boolean(), (file, changes, keepsLength) => {
      assert.ok(checkNpy(file));
      if (checkNpy(mutate(file, changes, 10, keepsLength))) read++;
      checkNpy(changes.reduce((bytes, change) => change(bytes), file));
    }),
    RUNS,
  );
  assert.ok(read > 0, "mutations never left a header that can be read");
});

test("decodeSafetensorsHeader() survives mutated headers", () => {
  let read = 0;
  fc.assert(
    fc.property(safetensorsFiles, several, fc.boolean(), (file, changes, keepsLength) => {
      assert.ok(checkSafetensors(file));
      if (checkSafetensors(mutate(file, changes, 8, keepsLength))) read++;
      checkSafetensors(changes.reduce((bytes, change) => change(bytes), file));
    }),
    RUNS,
  );
  assert.ok(read > 0, "mutations never left a header that can be read");
});

test("the header parsers take little time for the worst headers of the largest size", () => {
  const size = MAX_SAFETENSORS_HEADER_BYTES - 2;
  const fill = (piece: string, begin = "{", end = "") =>
    begin + piece.repeat(Math.floor((size - begin.length - end.length) / piece.length)) + end;
  for (const json of [
    fill("["),
    fill("{"),
    fill('{"a":', ""),
    fill(" "),
    fill("\\n", '{"', '":{}}'),
    fill("\\ud800", '{"', '":{}}'),
    fill("k", '{"', '":{}}'),
    fill("9", '{"a":{"shape":['),
    fill("1,", '{"a":{"shape":['),
    fill('"",', '{"__metadata__":{'),
    fill("\\\\", '{"'),
    fill("\t", '{"'),
  ]) {
    const bytes = withLength(ascii(`........${json}`), 8, false);
    const startMs = performance.now();
    checkSafetensors(bytes);
    const ms = performance.now() - startMs;
    assert.ok(ms < MAX_MS, `${json.slice(0, 20)}: ${ms} ms`);
  }
  for (const piece of ["(", "{", "'", "9", "1,", " ", "\\", "{'descr':"]) {
    const text = `{'shape': (${piece.repeat(Math.floor(60_000 / piece.length))}`;
    const startMs = performance.now();
    assert.ok(!checkNpy(withLength(ascii(`\x93NUMPY\x01\x00..${text}`), 10, true)));
    assert.ok(performance.now() - startMs < MAX_MS, piece);
  }
});

test("the header parsers hold little memory for a stranger's promises", () => {
  // Nothing is allocated for what a header only claims: the tensors of this one take 8 PiB.
  const dims = `[${2 ** 26},${2 ** 27 - 1}]`;
  const bytes = 2 ** 26 * (2 ** 27 - 1);
  const json = `{"a":{"dtype":"U8","shape":${dims},"data_offsets":[0,${bytes}]}}`;
  const result = decodeSafetensorsHeader(withLength(ascii(`........${json}`), 8, false));
  assert.ok(!isNeedMore(result));
  assert.equal(result.dataBytes, bytes);
  assert.ok(bytes > MiB ** 2);
});
