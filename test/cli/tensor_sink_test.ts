import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { test } from "node:test";
import { makeOutDir } from "../../src/cli/files.ts";
import { readTensorFile } from "../../src/cli/tensor_files.ts";
import type { ArrivingGroup, ArrivingTensor, SinkFormat } from "../../src/cli/tensor_format.ts";
import { type Arrival, TensorSink } from "../../src/cli/tensor_sink.ts";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import { encodeNpyHeader } from "../../src/core/tensor/npy.ts";
import { decodeSafetensorsHeader } from "../../src/core/tensor/safetensors_decode.ts";
import { tensorBytes } from "../../src/core/tensor/shape.ts";
import { hasCode, join } from "../support/core_formats.ts";
import { deliver, inParts, safetensorsFile } from "../support/tensor_files.ts";
import { Home, noise, npy } from "./support.ts";

const HERE: Arrival = { peer: "a", fallbackName: "fallback" };

function tensor(
  topic: string,
  dtype: string | undefined,
  shape: number[] = [],
  group?: Partial<ArrivingGroup>,
): ArrivingTensor {
  const whole = { id: new Uint8Array(8), fileName: "model.safetensors", index: 0, count: 2, ...group };
  const totalBytes = dtype === undefined ? undefined : tensorBytes(parseDType(dtype), shape);
  return { topic, dtype, shape, totalBytes, ...(group ? { group: whole } : {}) };
}

/** A sink for `home.path("out")` with what it warned of. */
async function sinkIn(home: Home, format: SinkFormat = "auto") {
  const out = home.path("out");
  await makeOutDir(out);
  const warnings: string[] = [];
  const sink = new TensorSink({ out, format, warn: (text) => warnings.push(text) });
  const write = async (one: ArrivingTensor, bytes: Uint8Array, arrival: Partial<Arrival> = {}) => {
    const { files } = await sink.write(one, inParts(bytes, 7), { ...HERE, ...arrival });
    return files.map(({ file }) => basename(file)).join(" ");
  };
  const names = async () => (await readdir(out)).sort();
  const content = async (name: string) => new Uint8Array(await readFile(home.path("out", name)));
  return { sink, out, warnings, write, names, content };
}

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
