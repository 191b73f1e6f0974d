import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { readTensorFile } from "../../src/cli/tensor_files.ts";
import { TensorSink } from "../../src/cli/tensor_sink.ts";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import { encodeNpyHeader } from "../../src/core/tensor/npy.ts";
import { hasCode, join } from "../support/core_formats.ts";
import { deliver, inParts, safetensorsFile } from "../support/tensor_files.ts";
import { HERE, sinkIn, tensor } from "./sink_support.ts";
import { Home, noise, npy } from "./support.ts";

test("a TensorSink for npy writes the header NumPy writes, then the elements", async () => {
  await using home = await Home.make();
  const { sink, out, content } = await sinkIn(home, "npy");
  const stored = await sink.write(tensor("layers/0/w", "int16", [2, 3]), inParts(noise(12), 5), HERE);
  const header = encodeNpyHeader({ dtype: parseDType("int16"), shape: [2, 3] });
  assert.deepEqual(stored, {
    bytes: 12,
    files: [{ file: `${out}/layers.0.w.npy`, bytes: header.length + 12, format: "npy" }],
  });
  assert.deepEqual(await content("layers.0.w.npy"), join([header, noise(12)]));
});

test("a TensorSink for npy refuses what NumPy has no name for before it asks for a byte", async () => {
  await using home = await Home.make();
  const { sink, names } = await sinkIn(home, "npy");
  let asked = 0;
  async function* parts() {
    asked++;
    yield noise(2);
  }
  for (const dtype of ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float4_e2m1fn", "float32x4", "int4"]) {
    const write = sink.write(tensor("a", dtype, [2]), parts(), HERE);
    await assert.rejects(write, hasCode("ASOC_UNSUPPORTED_DTYPE"), dtype);
  }
  await assert.rejects(sink.write(tensor("a", "bfloat16"), parts(), HERE), /NumPy has no bfloat16; --format/);
  assert.equal(asked, 0);
  assert.deepEqual(await names(), []);
});

test("a TensorSink for raw writes the elements alone, and calls them .bin whatever they look like", async () => {
  await using home = await Home.make();
  const { write, content } = await sinkIn(home, "raw");
  const bytes = npy(10);
  assert.equal(await write(tensor("a", "uint8", [bytes.length]), bytes), "a.bin");
  assert.equal(await write(tensor("a", "float32x4", [2]), noise(32)), "a-2.bin");
  assert.deepEqual(await content("a.bin"), bytes);
});

test("a TensorSink writes bytes without a type as they are, and takes no extension from a stranger", async () => {
  await using home = await Home.make();
  for (const format of ["auto", "npy", "safetensors", "raw"] as const) {
    const { write, content } = await sinkIn(home, format);
    const file = (fileName: string) => tensor("topic", undefined, [], { fileName, count: 1 });
    const at = (name: string) => `${format}-${name}`;
    assert.equal(await write(file(at("conftest.py")), noise(9)), at("conftest.py.bin"));
    assert.equal(await write(file(at("photo.bin")), noise(9)), at("photo.bin"));
    assert.equal(await write(file(at("broken.npy")), noise(9)), at("broken.bin"));
    assert.equal(await write(file(at("array")), npy(3)), at("array.npy"));
    assert.deepEqual(await content(at("array.npy")), npy(3));
  }
});

test("a TensorSink without a format of its own writes what the file was, or the next that holds the tensor", async () => {
  await using home = await Home.make();
  const { write } = await sinkIn(home);
  const one = (fileName: string) => ({ count: 1, fileName });
  assert.equal(await write(tensor("a", "float32", [1], one("a.npy")), noise(4)), "a.npy");
  assert.equal(await write(tensor("b", "float32", [1], one("b.safetensors")), noise(4)), "b.safetensors");
  assert.equal(await write(tensor("c", "float32", [1]), noise(4)), "c.npy");
  assert.equal(await write(tensor("d", "bfloat16", [1]), noise(2)), "d.safetensors");
  assert.equal(await write(tensor("e", "complex128", [1], one("e.safetensors")), noise(16)), "e.npy");
  assert.equal(await write(tensor("f", "float8_e3m4", [1]), noise(1)), "f.bin");
  assert.equal(await write(tensor("__metadata__", "bfloat16", [1]), noise(2)), "__metadata__.bin");
});

test("a TensorSink keeps no byte of a tensor that breaks off, is too long or too short", async () => {
  await using home = await Home.make();
  for (const format of ["auto", "npy", "safetensors", "raw"] as const) {
    const { sink, names, write, warnings } = await sinkIn(home, format);
    for (const group of [undefined, {}]) {
      const one = tensor("a", "uint8", [10], group);
      async function* broken() {
        yield noise(5);
        throw new Error("lost");
      }
      await assert.rejects(sink.write(one, broken(), HERE), /lost/);
      for (const size of [0, 9, 11])
        await assert.rejects(sink.write(one, inParts(noise(size)), HERE), hasCode("ASOC_BAD_SHAPE"));
      await assert.rejects(sink.write({ ...one, totalBytes: 11 }, inParts(noise(10)), HERE), /expected 10/);
    }
    assert.deepEqual(await names(), []);
    await sink.close();
    assert.deepEqual(warnings, []); // the errors have said all
    assert.equal(await write(tensor("a", "uint8"), noise(1)).catch(() => "closed"), "closed");
  }
});

test("a TensorSink asks once for each file whether it is wanted, when it is whole", async () => {
  await using home = await Home.make();
  const { write, names } = await sinkIn(home);
  const asked: number[] = [];
  const claim = (answer: boolean) => () => {
    asked.push(1);
    return answer;
  };
  assert.equal(await write(tensor("a", "uint8", [1]), noise(1), { claim: claim(false) }), "");
  assert.equal(await write(tensor("a", "uint8", [1], { index: 0 }), noise(1), { claim: claim(false) }), "");
  assert.equal(asked.length, 1);
  assert.equal(await write(tensor("b", "uint8", [1], { index: 1 }), noise(1), { claim: claim(false) }), "");
  assert.equal(asked.length, 2);
  assert.deepEqual(await names(), []);
  assert.equal(await write(tensor("a", "uint8", [1]), noise(1), { claim: claim(true) }), "a.npy");
});

test("a TensorSink leaves metadata out that no safetensors file can hold", async () => {
  await using home = await Home.make();
  const wrong = ["[]", "null", '"a"', '{"a":1}', '{"a":{}}', "{", '{"a":"\\ud800"}', '{"\\udfff":""}'];
  for (const fileMetadata of wrong) {
    const { write, content, warnings, out } = await sinkIn(home);
    const name = await write(tensor("a", "uint8", [1], { count: 1, fileMetadata }), noise(1));
    assert.deepEqual(warnings, ['the metadata of "model.safetensors" is no object of texts: left out']);
    assert.doesNotMatch(new TextDecoder().decode(await content(name)), /__metadata__/, out);
  }
  const { write, content } = await sinkIn(home);
  const fileMetadata = '{"__proto__":"x","é":""}';
  const name = await write(tensor("a", "uint8", [1], { count: 1, fileMetadata }), noise(1));
  assert.match(new TextDecoder().decode(await content(name)), /"__metadata__":\{"__proto__":"x","é":""\}/);
});

test("a TensorSink keeps every name in its directory, and overwrites nothing", async () => {
  await using home = await Home.make();
  const { sink, out, write, names } = await sinkIn(home);
  const before = await readdir(home.dir);
  const evil = [
    "../up",
    "/etc/passwd",
    "..",
    ".",
    "a\0b",
    "C:\\x",
    "~/.ssh/id",
    "-rf",
    "x".repeat(255),
    "é/é",
  ];
  for (const topic of evil) {
    await write(tensor(topic, "uint8", [1]), noise(1));
    await write(tensor(topic, "uint8", [1]), noise(1));
    for (const count of [1, 2])
      await write(tensor("t", "uint8", [1], { count, fileName: topic, id: noise(8, count) }), noise(1));
    await write(tensor("u", "uint8", [1], { index: 1, fileName: topic, id: noise(8, 2) }), noise(1));
  }
  assert.deepEqual(await readdir(home.dir), before);
  assert.equal((await names()).length, 4 * evil.length);
  for (const name of await names()) assert.match(name, /^[\p{L}\p{N}_].*\.(npy|safetensors)$/u);
  await sink.close();
  const path = await home.file("again.safetensors", safetensorsFile([], noise));
  assert.equal(
    (await deliver(await readTensorFile(path), new TensorSink({ out, format: "auto" }))).length,
    1,
  );
});
