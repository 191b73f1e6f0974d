import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { NewFile } from "../../src/cli/new_file.ts";
import { TensorGroup } from "../../src/cli/tensor_group.ts";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import { Home, noise } from "./support.ts";

/** A group in which `count` tensors of one byte have begun, and what makes one of them whole. */
async function begun(home: Home, count: number) {
  const group = new TensorGroup("model.safetensors", new Map());
  for (let index = 0; index < count; index++) group.begin(index, count, `t${index}`);
  const keep = async (index: number) => {
    const file = await NewFile.create(home.dir, "part");
    await file.write(noise(1, index));
    await file.close();
    group.keep(index, { name: `t${index}`, dtype: parseDType("uint8"), shape: [1] }, file);
    return file;
  };
  return { group, keep };
}

test("takeWhole() is true for the first who asks when all is there, and for nobody else", async () => {
  await using home = await Home.make();
  const { group, keep } = await begun(home, 2);
  assert.equal(group.takeWhole(), false);
  await keep(1);
  assert.equal(group.takeWhole(), false);
  await keep(0);
  assert.deepEqual([group.takeWhole(), group.takeWhole()], [true, false]);
  const written = await group.assemble(home.dir, "model", () => true);
  assert.equal(written?.file, home.path("model.safetensors"));
  assert.deepEqual(await readdir(home.dir), ["model.safetensors"]);
  assert.deepEqual(
    (await readFile(home.path("model.safetensors"))).subarray(-2),
    Buffer.from([...noise(1, 0), ...noise(1, 1)]),
  );
});

test("takeWhole() is false once the group was discarded", async () => {
  await using home = await Home.make();
  const { group, keep } = await begun(home, 1);
  await keep(0);
  await group.discard();
  assert.equal(group.takeWhole(), false);
  assert.deepEqual(await readdir(home.dir), []);
});

test("assemble() leaves nothing behind when a part was changed", async () => {
  await using home = await Home.make();
  const { group, keep } = await begun(home, 2);
  await keep(0);
  await home.file("other", "");
  const part = await keep(1);
  await home.file(part.path.slice(home.dir.length + 1), "longer");
  await assert.rejects(
    group.assemble(home.dir, "model", () => true),
    /somebody has changed its parts/,
  );
  assert.deepEqual(await readdir(home.dir), ["other"]);
});

test("assemble() writes no file of a group whose tensors have all got their own", async () => {
  await using home = await Home.make();
  const { group } = await begun(home, 1);
  group.leaveOut(0);
  assert.equal(group.takeWhole(), true);
  assert.equal(await group.assemble(home.dir, "model", () => true), undefined);
  assert.deepEqual(await readdir(home.dir), []);
});
