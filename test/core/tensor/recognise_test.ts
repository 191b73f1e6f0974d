import assert from "node:assert/strict";
import { test } from "node:test";
import { recogniseFormat } from "../../../src/core/tensor/recognise.ts";

const NPY = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

function safetensors(headerBytes: number, first = "{"): Uint8Array {
  const head = new Uint8Array(9);
  new DataView(head.buffer).setBigUint64(0, BigInt(headerBytes), true);
  head[8] = first.charCodeAt(0);
  return head;
}

test("recogniseFormat() knows npy of the versions that exist", () => {
  for (const major of [1, 2, 3])
    assert.equal(recogniseFormat(new Uint8Array([...NPY, major, 0]), 128), "npy");
  for (const version of [[0, 0], [4, 0], [1, 1], [1], []]) {
    assert.equal(recogniseFormat(new Uint8Array([...NPY, ...version]), 128), undefined);
  }
  assert.equal(recogniseFormat(new Uint8Array([0x92, ...NPY.slice(1), 1, 0]), 128), undefined);
});

test("recogniseFormat() knows safetensors by a header that fits and begins with a brace", () => {
  assert.equal(recogniseFormat(safetensors(2), 10), "safetensors");
  assert.equal(recogniseFormat(safetensors(100_000_000), 200_000_000), "safetensors");
  assert.equal(recogniseFormat(safetensors(100_000_001), 200_000_000), undefined);
  assert.equal(recogniseFormat(safetensors(100), 107), undefined, "the header is longer than the content");
  assert.equal(recogniseFormat(safetensors(100), 108), "safetensors");
  assert.equal(recogniseFormat(safetensors(0), 10), undefined);
  assert.equal(recogniseFormat(safetensors(2, "["), 10), undefined);
  const huge = safetensors(2);
  huge[7] = 0x80;
  assert.equal(recogniseFormat(huge, 10), undefined);
});

test("recogniseFormat() takes any head, down to nothing", () => {
  assert.equal(recogniseFormat(new Uint8Array(0), 0), undefined);
  for (let length = 1; length < 9; length++)
    assert.equal(recogniseFormat(safetensors(2).subarray(0, length), length), undefined);
  const inside = new Uint8Array(32);
  inside.set(safetensors(4), 5);
  assert.equal(
    recogniseFormat(inside.subarray(5, 14), 12),
    "safetensors",
    "a view in the middle of its buffer",
  );
});
