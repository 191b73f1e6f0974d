/** Files to tensors to files: what arrives says the same as what was sent. */
import assert from "node:assert/strict";
import { readdir, readFile, unlink } from "node:fs/promises";
import { test } from "node:test";
import fc from "fast-check";
import { makeOutDir } from "../../src/cli/files.ts";
import { readTensorFile } from "../../src/cli/tensor_files.ts";
import { TensorSink } from "../../src/cli/tensor_sink.ts";
import { DTYPE_NAMES, parseDType } from "../../src/core/tensor/dtype.ts";
import { encodeNpyHeader } from "../../src/core/tensor/npy.ts";
import type { TensorInfo } from "../../src/core/tensor/safetensors.ts";
import { safetensorsBytes } from "../../src/core/tensor/safetensors.ts";
import { encodeSafetensorsDType } from "../../src/core/tensor/safetensors_dtype.ts";
import { tensorBytes } from "../../src/core/tensor/shape.ts";
import { decodeOrRefuse, join } from "../support/core_formats.ts";
import { deliver, safetensorsFile } from "../support/tensor_files.ts";
import { Home, noise } from "./support.ts";

const RUNS = { seed: 20_261, numRuns: 30 };

const shapes = fc.array(fc.nat(9), { maxLength: 4 });
const SAFETENSORS_DTYPES = DTYPE_NAMES.filter(
  (name) => decodeOrRefuse(() => encodeSafetensorsDType(parseDType(name))) !== undefined,
);
const NPY_DTYPES = DTYPE_NAMES.filter((name) => !/^(bfloat|float[468]_|u?int[124]$|complex32)/.test(name));

const tensors: fc.Arbitrary<TensorInfo> = fc
  .record({
    name: fc
      .string({ unit: "grapheme", maxLength: 30 })
      .filter((name) => name !== "__metadata__" && Buffer.byteLength(name) <= 255 && name.isWellFormed()),
    dtype: fc.constantFrom(...SAFETENSORS_DTYPES).map(parseDType),
    shape: shapes,
  })
  .filter(
    ({ name, dtype, shape }) => decodeOrRefuse(() => safetensorsBytes(name, dtype, shape)) !== undefined,
  );

async function onlyFile(dir: string): Promise<{ name: string; content: Uint8Array }> {
  const [name = "", ...more] = await readdir(dir);
  assert.deepEqual(more, []);
  const content = new Uint8Array(await readFile(`${dir}/${name}`));
  await unlink(`${dir}/${name}`);
  return { name, content };
}

test("a safetensors file arrives byte for byte, in whatever order its tensors do", async () => {
  await using home = await Home.make();
  const out = home.path("out");
  await makeOutDir(out);
  const text = fc.string({ unit: "grapheme", maxLength: 20 }).filter((each) => each.isWellFormed());
  // An object of JavaScript puts keys that are numbers first.
  const keys = text.filter((key) => !/^[0-9]+$/.test(key));
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(tensors, { selector: ({ name }) => name, minLength: 1, maxLength: 6 }),
      fc.dictionary(keys, text, { maxKeys: 3 }),
      fc.infiniteStream(fc.nat()),
      async (list, metadata, chance) => {
        const content = safetensorsFile(list, noise, metadata);
        const plan = await readTensorFile(await home.file("model.safetensors", content));
        const order = plan.tensors
          .map((_, index) => ({ index, key: chance.next().value }))
          .sort((a, b) => a.key - b.key);
        const sink = new TensorSink({ out, format: "auto", warn: assert.fail });
        const indices = order.map(({ index }) => index);
        const stored = await deliver(plan, sink, indices);
        await sink.close();
        assert.deepEqual(
          stored.map(({ files }) => files.length),
          indices.map((_, place) => (place === indices.length - 1 ? 1 : 0)),
        );
        assert.deepEqual(await onlyFile(out), { name: "model.safetensors", content });
      },
    ),
    RUNS,
  );
});

test("an npy file arrives byte for byte", async () => {
  await using home = await Home.make();
  const out = home.path("out");
  await makeOutDir(out);
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...NPY_DTYPES), shapes, async (name, shape) => {
      const dtype = parseDType(name);
      const content = join([encodeNpyHeader({ dtype, shape }), noise(tensorBytes(dtype, shape))]);
      const plan = await readTensorFile(await home.file("array.npy", content));
      await deliver(plan, new TensorSink({ out, format: "auto" }));
      assert.deepEqual(await onlyFile(out), { name: "array.npy", content });
    }),
    RUNS,
  );
});

test("any other file arrives byte for byte", async () => {
  await using home = await Home.make();
  const out = home.path("out");
  await makeOutDir(out);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (content) => {
      await deliver(
        await readTensorFile(await home.file("notes.txt", content)),
        new TensorSink({ out, format: "auto" }),
      );
      assert.deepEqual(await onlyFile(out), { name: "notes.txt.bin", content });
    }),
    RUNS,
  );
});

test("a file of large tensors arrives byte for byte", async () => {
  await using home = await Home.make();
  const out = home.path("out");
  await makeOutDir(out);
  const uint8 = parseDType("uint8");
  const sizes = [2 ** 21, 1, 2 ** 21 + 1, 0, 5_000_000];
  const content = safetensorsFile(
    sizes.map((size, index) => ({ name: `t${index}`, dtype: uint8, shape: [size] })),
    noise,
  );
  const plan = await readTensorFile(await home.file("model.safetensors", content));
  await deliver(plan, new TensorSink({ out, format: "auto" }), [4, 0, 3, 1, 2]);
  assert.ok(Buffer.from((await onlyFile(out)).content).equals(content));
});
