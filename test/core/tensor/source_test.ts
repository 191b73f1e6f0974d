import assert from "node:assert/strict";
import { test } from "node:test";
import { describeSource, memoryOf, type TensorSource } from "../../../src/core/tensor/source.ts";

const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;

test("describeSource() takes a bare typed array for a tensor of one dimension, and bytes for bytes", () => {
  const { dtype, shape, totalBytes, memory } = describeSource(new Float64Array([1, 2, 3]).subarray(1));
  assert.deepEqual([dtype, shape, totalBytes], [{ code: 2, bits: 64, lanes: 1 }, [2], 16]);
  assert.deepEqual(memory, new Uint8Array(new Float64Array([2, 3]).buffer));
  for (const bytes of [new Uint8Array(5), new ArrayBuffer(5), new DataView(new ArrayBuffer(5))]) {
    const described = describeSource(bytes);
    assert.deepEqual([described.dtype, described.shape, described.totalBytes], [undefined, [], 5]);
  }
});

test("describeSource() takes scalars, empty tensors, and elements of less than a byte", () => {
  assert.equal(describeSource({ data: new Float32Array(1), shape: [] }).totalBytes, 4);
  assert.equal(describeSource({ data: new Float32Array(0), shape: [0, 3] }).totalBytes, 0);
  assert.deepEqual(describeSource({ data: new Uint8Array(3), dtype: "int4" }).shape, [6]);
  assert.equal(describeSource({ data: new Uint8Array(3), dtype: "int4", shape: [5] }).totalBytes, 3);
});

test("describeSource() knows the length of iterables and readers only where it is said", () => {
  const reader = () => [];
  assert.equal(describeSource([]).totalBytes, undefined);
  assert.equal(describeSource({ data: [], totalBytes: 7 }).totalBytes, 7);
  assert.equal(describeSource({ data: reader, dtype: "float32", shape: [2, 3] }).totalBytes, 24);
  assert.equal(describeSource(reader).reader, reader);
  assert.equal(describeSource(reader).parts, undefined);
});

test("describeSource() refuses bytes that do not fit, and elements that do not lie dense", () => {
  for (const source of [
    { data: new Float32Array(5), shape: [6] },
    { data: new Uint8Array(7), dtype: "float32" },
    { data: new Float32Array(6), shape: [2, 3], strides: [1, 2] },
    { data: new Float32Array(6), shape: [2, 3], strides: [3] },
    { data: new Float32Array(1), shape: [], strides: [1] },
  ])
    assert.throws(() => describeSource(source), hasCode("ASOC_BAD_SHAPE"), JSON.stringify(source));
  assert.equal(describeSource({ data: new Float32Array(6), shape: [2, 3], strides: [3, 1] }).totalBytes, 24);
  assert.equal(describeSource({ data: new Float32Array(3), shape: [1, 3], strides: [99, 1] }).totalBytes, 12);
});

test("describeSource() and memoryOf() throw TypeError for what is no source", () => {
  for (const source of [
    "text",
    5,
    null,
    undefined,
    {},
    { data: 5 },
    { data: [], shape: [1] },
    { data: [], dtype: "int8" },
  ])
    assert.throws(() => describeSource(source as unknown as TensorSource), TypeError, JSON.stringify(source));
  assert.throws(() => memoryOf("text" as unknown as Uint8Array), TypeError);
});
