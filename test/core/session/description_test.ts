import assert from "node:assert/strict";
import { test } from "node:test";
import { describeOpen } from "../../../src/core/session/description.ts";
import { DTYPE_NAMES, parseDType } from "../../../src/core/tensor/dtype.ts";
import { tensorBytes } from "../../../src/core/tensor/shape.ts";
import type { OpenRecord } from "../../../src/core/wire/records/open.ts";
import { MINIMAL_OPEN } from "../../support/x1_samples.ts";

const open = (fields: Partial<OpenRecord>): OpenRecord => ({ ...MINIMAL_OPEN, ...fields });
const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;

test("describeOpen() names every dtype, alone and in vectors, for a scalar, a matrix and nothing", () => {
  for (const name of [...DTYPE_NAMES, "float32x4", "uint4x3"]) {
    const dtype = parseDType(name);
    for (const shape of [[], [3, 5], [0, 7]]) {
      const totalBytes = tensorBytes(dtype, shape);
      const description = describeOpen(open({ dtype, shape, totalBytes }));
      assert.deepEqual(
        [description.dtype, description.shape, description.totalBytes],
        [name, shape, totalBytes],
      );
      for (const wrong of [totalBytes + 1, undefined])
        assert.throws(
          () => describeOpen(open({ dtype, shape, totalBytes: wrong })),
          hasCode("ASOC_BAD_STREAM"),
        );
    }
  }
});

test("describeOpen() refuses what it does not know", () => {
  for (const fields of [
    { layout: 1 },
    { layout: 9 },
    { codec: 1 },
    { digest: 3 },
    { dtype: { code: 2, bits: 31, lanes: 1 }, totalBytes: 4 },
    { dtype: { code: 200, bits: 8, lanes: 1 }, totalBytes: 1 },
  ])
    assert.throws(
      () => describeOpen(open(fields)),
      hasCode("ASOC_UNSUPPORTED_TENSOR"),
      JSON.stringify(fields),
    );
});

test("describeOpen() reads the metadata of the user, CRC-32 where nothing is said, and the id in hex", () => {
  const description = describeOpen(open({ userMetadata: '{"a":[1,null]}', topic: "train/w" }));
  assert.deepEqual(description.metadata, { a: [1, null] });
  assert.deepEqual(
    [description.topic, description.digest, description.transferId, description.totalBytes],
    ["train/w", "crc32", "a0a1a2a3a4a5a6a7", undefined],
  );
});
