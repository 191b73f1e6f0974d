/** Reading the tensors of a planned file. */
import assert from "node:assert/strict";
import { appendFile, rename, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { test } from "node:test";
import fc from "fast-check";
import { readTensorFile } from "../../src/cli/tensor_files.ts";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import type { TensorInfo } from "../../src/core/tensor/safetensors.ts";
import { joined, npyFile, safetensorsFile, tensorAt } from "../support/tensor_files.ts";
import { Home, noise, npy } from "./support.ts";

const info = (name: string, dtype: string, shape: readonly number[]): TensorInfo => ({
  name,
  dtype: parseDType(dtype),
  shape,
});

test("read() begins at any byte, as often as it is asked, with two buffers in turn", async () => {
  await using home = await Home.make();
  const content = safetensorsFile(
    [info("a", "uint8", [10]), info("b", "uint8", [5_000_000]), info("c", "uint8", [10])],
    noise,
  );
  const tensor = tensorAt(await readTensorFile(await home.file("a", content)), 1);
  const expected = noise(5_000_000, 1);
  for (const from of [0, 1, 2 ** 21 - 1, 2 ** 21, 4_999_999, 5_000_000])
    assert.ok(Buffer.from(await joined(tensor.read(from))).equals(expected.subarray(from)), `from ${from}`);
  const [one, two] = await Promise.all([joined(tensor.read(7)), joined(tensor.read(8))]);
  assert.ok(Buffer.from(one).equals(expected.subarray(7)) && Buffer.from(two).equals(expected.subarray(8)));
  const buffers: ArrayBufferLike[] = [];
  for await (const part of tensor.read(0)) buffers.push(part.buffer);
  assert.ok(buffers.length > 2 && new Set(buffers).size === 2 && buffers[0] === buffers[2]);
  for (const from of [-1, 0.5, 5_000_001, Number.NaN]) assert.throws(() => tensor.read(from), RangeError);
});

test("read() turns big-endian elements round, from any byte on", async () => {
  await using home = await Home.make();
  const seed = { seed: 20_261, numRuns: 40 };
  const samples = fc.tuple(
    fc.constantFrom(["'>i2'", 2], ["'>f4'", 4], ["'>f8'", 8], ["'>c8'", 4], ["'>c16'", 8]),
    fc.integer({ min: 0, max: 300_000 }),
    fc.nat(),
  );
  for (const [[descr, size], count, at] of fc.sample(samples, seed) as [[string, number], number, number][]) {
    const elements = descr.includes("c") ? 2 * count : count;
    const data = noise(elements * size);
    const expected = data.slice();
    for (let i = 0; i < expected.length; i += size) expected.subarray(i, i + size).reverse();
    const tensor = tensorAt(
      await readTensorFile(await home.file("big.npy", npyFile(descr, `(${count},)`, data))),
      0,
    );
    const from = at % (tensor.totalBytes + 1);
    assert.ok(Buffer.from(await joined(tensor.read(0))).equals(expected), descr);
    assert.ok(
      Buffer.from(await joined(tensor.read(from))).equals(expected.subarray(from)),
      `${descr} ${from}`,
    );
  }
});

test("read() rejects when the file was cut, grew, was written to or replaced", async () => {
  await using home = await Home.make();
  const content = npy(1000);
  const changes: [string, RegExp, (path: string) => Promise<void>][] = [
    ["cut", /has changed while it was sent: expected 4128 bytes, got 4127/, (path) => truncate(path, 4127)],
    ["grown", /expected 4128 bytes, got 4129/, (path) => appendFile(path, "x")],
    ["touched", /it was written to/, (path) => utimes(path, 1, 1)],
    [
      "replaced",
      /it is another file now/,
      async (path) => {
        const { atime, mtime } = await stat(path);
        await writeFile(`${path}.new`, content);
        await utimes(`${path}.new`, atime, mtime);
        await rename(`${path}.new`, path);
      },
    ],
  ];
  for (const [name, message, change] of changes) {
    const path = await home.file(name, content);
    const tensor = tensorAt(await readTensorFile(path), 0);
    assert.equal((await joined(tensor.read(0))).length, 4000);
    await change(path);
    await assert.rejects(joined(tensor.read(0)), message, name);
    await assert.rejects(joined(tensor.read(4000)), message, name);
  }
});

test("read() rejects when the file is cut or written to while it is read", async () => {
  await using home = await Home.make();
  for (const change of [
    (path: string) => truncate(path, 5_000_000),
    (path: string) => utimes(path, 1, 1),
    (path: string) => truncate(path, 0),
  ]) {
    const path = await home.file("a", noise(9_000_000));
    const parts = tensorAt(await readTensorFile(path), 0).read(0);
    await parts.next();
    await change(path);
    await assert.rejects(joined(parts), /has changed while it was sent/);
  }
});

test("read() lets the file go when its taker leaves", async () => {
  await using home = await Home.make();
  const tensor = tensorAt(await readTensorFile(await home.file("a", noise(9_000_000))), 0);
  for await (const _ of tensor.read(0)) break;
  const parts = tensor.read(0);
  await parts.return();
  assert.deepEqual(await parts.next(), { done: true, value: undefined });
});
