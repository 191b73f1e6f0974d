/** A TensorSink and the tensors of one file. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TensorSink } from "../../src/cli/tensor_sink.ts";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import { decodeSafetensorsHeader } from "../../src/core/tensor/safetensors_decode.ts";
import { hasCode } from "../support/core_formats.ts";
import { inParts, safetensorsFile } from "../support/tensor_files.ts";
import { HERE, sinkIn, tensor } from "./sink_support.ts";
import { Home, noise } from "./support.ts";

test("a TensorSink for npy names the tensors of a group after its file", async () => {
  await using home = await Home.make();
  const { write } = await sinkIn(home, "npy");
  assert.equal(await write(tensor("w", "uint8", [1], {}), noise(1)), "model.w.npy");
  assert.equal(await write(tensor("", "uint8", [1], { index: 1 }), noise(1)), "model.1.npy");
  assert.equal(
    await write(tensor("w", "uint8", [1], { count: 1, fileName: "weights.npy" }), noise(1)),
    "weights.npy",
  );
  assert.equal(await write(tensor("w", "uint8", [1], { count: 1, fileName: "" }), noise(1)), "w.npy");
  assert.equal(await write(tensor("", "uint8", [1]), noise(1)), "fallback.npy");
});

test("a TensorSink puts the tensors of a group into one safetensors file when the last is there", async () => {
  await using home = await Home.make();
  const { sink, out, write, names, content, warnings } = await sinkIn(home);
  const group = { count: 3, fileMetadata: '{"format":"pt"}' };
  assert.equal(await write(tensor("c", "float8_e5m2", [5], { ...group, index: 2 }), noise(5, 2)), "");
  assert.equal(await write(tensor("a", "bfloat16", [2, 2], { ...group, index: 0 }), noise(8, 0)), "");
  assert.ok((await names()).every((name) => /^\.asoc-[0-9a-f]{16}\.part$/.test(name)));
  const last = tensor("b", "bool", [], { ...group, index: 1 });
  const stored = await sink.write(last, inParts(noise(1, 1)), HERE);
  const expected = safetensorsFile(
    [
      { name: "a", dtype: parseDType("bfloat16"), shape: [2, 2] },
      { name: "b", dtype: parseDType("bool"), shape: [] },
      { name: "c", dtype: parseDType("float8_e5m2"), shape: [5] },
    ],
    noise,
    { format: "pt" },
  );
  const file = `${out}/model.safetensors`;
  assert.deepEqual(stored, { bytes: 1, files: [{ file, bytes: expected.length, format: "safetensors" }] });
  assert.deepEqual(await content("model.safetensors"), expected);
  assert.deepEqual(await names(), ["model.safetensors"]);
  await sink.close();
  assert.deepEqual(warnings, []);
});

test("a TensorSink learns how many tensors a group has from any of them", async () => {
  await using home = await Home.make();
  const { write } = await sinkIn(home);
  assert.equal(await write(tensor("a", "uint8", [], { index: 0, count: 0 }), noise(1)), "");
  assert.equal(await write(tensor("b", "uint8", [], { index: 1, count: 2 }), noise(1)), "model.safetensors");
});

test("a TensorSink keeps groups of different senders and ids apart", async () => {
  await using home = await Home.make();
  const { write } = await sinkIn(home);
  const first = tensor("w", "uint8", [], { index: 0 });
  const second = tensor("v", "uint8", [], { index: 1 });
  const other = tensor("w", "uint8", [], { index: 0, id: new Uint8Array(8).fill(1), fileName: "other" });
  assert.equal(await write(first, noise(1)), "");
  assert.equal(await write(first, noise(1), { peer: "b" }), "");
  assert.equal(await write(other, noise(1)), "");
  assert.equal(await write(second, noise(1)), "model.safetensors");
  assert.equal(await write(second, noise(1), { peer: "b" }), "model-2.safetensors");
});

test("a TensorSink takes the tensors of a group at once, and writes the file once", async () => {
  await using home = await Home.make();
  const { sink, names } = await sinkIn(home);
  const count = 60;
  const stored = await Promise.all(
    Array.from({ length: count }, (_, index) =>
      sink.write(tensor(`t${index}`, "uint8", [100], { index, count }), inParts(noise(100), 9), HERE),
    ),
  );
  assert.equal(stored.filter(({ files }) => files.length > 0).length, 1);
  assert.deepEqual(await names(), ["model.safetensors"]);
});

test("a TensorSink gives a tensor that a group's file cannot hold its own file, and completes the group", async () => {
  await using home = await Home.make();
  const { write, content, names } = await sinkIn(home);
  const group = (index: number) => ({ index, count: 4 });
  assert.equal(await write(tensor("z", "complex128", [1], group(0)), noise(16)), "model.z.npy");
  assert.equal(await write(tensor("v", "float32x4", [1], group(1)), noise(16)), "model.v.bin");
  assert.equal(await write(tensor("a", "uint8", [3], group(2)), noise(3)), "");
  assert.equal(await write(tensor("t", undefined, [], group(3)), noise(3)), "model.t.bin model.safetensors");
  const bytes = await content("model.safetensors");
  const header = decodeSafetensorsHeader(bytes, bytes.length);
  assert.deepEqual("tensors" in header && header.tensors.map(({ name }) => name), ["a"]);
  assert.equal((await names()).length, 4);
  const strict = new TensorSink({ out: home.path("out"), format: "safetensors" });
  const refusing = strict.write(tensor("z", "complex128", [1], group(0)), inParts(noise(16)), HERE);
  await assert.rejects(refusing, hasCode("ASOC_UNSUPPORTED_DTYPE"));
});

test("a TensorSink lets a tensor of a group that broke off come again", async () => {
  await using home = await Home.make();
  const { sink, write, warnings } = await sinkIn(home);
  const first = tensor("a", "uint8", [10], { index: 0 });
  await write(tensor("b", "uint8", [1], { index: 1 }), noise(1));
  await assert.rejects(sink.write(first, inParts(noise(3)), HERE), hasCode("ASOC_BAD_SHAPE"));
  assert.equal(await write(first, noise(10)), "model.safetensors");
  await sink.close();
  assert.deepEqual(warnings, []);
});

test("a TensorSink refuses tensors that contradict their group, and the group goes on", async () => {
  await using home = await Home.make();
  const { write } = await sinkIn(home);
  const of = (name: string, index: number, count: number) => tensor(name, "uint8", [1], { index, count });
  await write(of("a", 0, 3), noise(1));
  for (const [wrong, message] of [
    [of("b", 0, 3), /tensor 0 came twice/],
    [of("a", 1, 3), /two tensors are called "a"/],
    [of("b", 1, 2), /tensor 1 of 2 does not belong to 3/],
    [of("b", 3, 0), /tensor 3 of 0 does not belong to 3/],
  ] as const) {
    await assert.rejects(write(wrong, noise(1)), (error: Error) => {
      assert.match(error.message, message);
      return hasCode("ASOC_BAD_SAFETENSORS")(error);
    });
  }
  await write(of("b", 1, 0), noise(1));
  const later = (index: number, count: number) =>
    tensor(`${index}`, "uint8", [1], { index, count, id: noise(8) });
  await write(later(5, 0), noise(1));
  await assert.rejects(write(later(0, 2), noise(1)), /tensor 0 of 2 does not belong to 2/);
  assert.equal(await write(of("c", 2, 3), noise(1)), "model.safetensors");
});

test("a TensorSink refuses a group of more tensors than a file may have, or writes them one by one", async () => {
  await using home = await Home.make();
  const one = tensor("a", "uint8", [1], { count: 131_073 });
  const strict = await sinkIn(home, "safetensors");
  await assert.rejects(strict.write(one, noise(1)), hasCode("ASOC_TOO_MANY_TENSORS"));
  assert.equal(await (await sinkIn(home)).write(one, noise(1)), "model.a.npy");
});

test("close() removes what came of groups that are not complete, and says so", async () => {
  await using home = await Home.make();
  const { sink, write, names, warnings } = await sinkIn(home);
  await write(tensor("a", "uint8", [1], { count: 3, fileName: 'x\x1b[2J"\u202e.safetensors' }), noise(1));
  await write(tensor("a", "uint8", [1], { count: 0, fileName: "", id: noise(8) }), noise(1));
  assert.equal((await names()).length, 2);
  await sink.close();
  assert.deepEqual(await names(), []);
  assert.deepEqual(warnings, [
    'gave up "x\\u001b[2J\\"\\u{202e}.safetensors": only 1 of 3 tensors came',
    "gave up a group without a file name: only 1 tensors of nobody knows how many came",
  ]);
});

test("close() ends a tensor of a group that is still being written", async () => {
  await using home = await Home.make();
  const { sink, names } = await sinkIn(home);
  async function* parts() {
    yield noise(1);
    await sink.close();
    yield noise(1);
  }
  await assert.rejects(sink.write(tensor("a", "uint8", [2], {}), parts(), HERE), hasCode("ASOC_CLOSED"));
  assert.deepEqual(await names(), []);
});

test("a TensorSink gives up the group that has waited longest when too many wait", async () => {
  await using home = await Home.make();
  const { sink, write, names, warnings } = await sinkIn(home);
  const waiting = (number: number, index: number) =>
    tensor(`t${index}`, "uint8", [1], {
      index,
      count: 3,
      id: Uint8Array.of(number >> 8, number, 0, 0, 0, 0, 0, 0),
      fileName: `f${number}.safetensors`,
    });
  for (let number = 0; number < 256; number++) await write(waiting(number, 0), noise(1));
  await write(waiting(0, 1), noise(1));
  await write(waiting(256, 0), noise(1));
  assert.deepEqual(warnings, ['gave up "f1.safetensors": only 1 of 3 tensors came']);
  assert.equal(await write(waiting(0, 2), noise(1)), "f0.safetensors");
  await sink.close();
  assert.deepEqual(await names(), ["f0.safetensors"]);
});
