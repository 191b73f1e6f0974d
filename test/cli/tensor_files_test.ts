import assert from "node:assert/strict";
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join as joinPath } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { CliError, ExitCode } from "../../src/cli/exit_codes.ts";
import { readTensorFile } from "../../src/cli/tensor_files.ts";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import { encodeNpyHeader } from "../../src/core/tensor/npy.ts";
import { encodeSafetensorsHeader, type TensorInfo } from "../../src/core/tensor/safetensors.ts";
import { ascii, join, mutations } from "../support/core_formats.ts";
import { joined, npyFile, safetensorsFile, tensorAt } from "../support/tensor_files.ts";
import { Home, noise, npy } from "./support.ts";

const info = (name: string, dtype: string, shape: readonly number[]): TensorInfo => ({
  name,
  dtype: parseDType(dtype),
  shape,
});

/** For assert.rejects(): refused before anything is sent, in one line. */
const refused = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof CliError, String(error));
  assert.equal(error.exitCode, ExitCode.USAGE);
  assert.equal(error.code, code);
  assert.match(error.message, message);
  assert.doesNotMatch(error.message, /\n/);
  return true;
};

test("readTensorFile() finds the array of an npy file, whatever the file is called", async () => {
  await using home = await Home.make();
  const content = npy(1000);
  const plan = await readTensorFile(await home.file("weights.v2.npy", content));
  assert.deepEqual(
    [plan.format, plan.fileName, plan.fileMetadata, plan.tensors.length],
    ["npy", "weights.v2.npy", undefined, 1],
  );
  const { name, dtype, shape, totalBytes, read } = tensorAt(plan, 0);
  assert.deepEqual([name, dtype, shape, totalBytes], ["weights.v2", "float32", [1000], 4000]);
  assert.deepEqual(await joined(read(0)), content.slice(-4000));
  const other = await readTensorFile(await home.file("weights.safetensors", content));
  assert.deepEqual([other.format, tensorAt(other, 0).name], ["npy", "weights"]);
  const bare = await readTensorFile(await home.file("weights", npyFile("'|u1'", "()", noise(1))));
  assert.deepEqual([tensorAt(bare, 0).name, tensorAt(bare, 0).shape], ["weights", []]);
});

test("readTensorFile() finds the tensors of a safetensors file in the order of their bytes", async () => {
  await using home = await Home.make();
  const tensors = [
    info("model/layers/0", "bfloat16", [3, 4]),
    info("empty", "float64", [0, 5]),
    info("", "float8_e4m3fn", [7]),
    info("scalar", "bool", []),
  ];
  const content = safetensorsFile(tensors, noise, { format: "pt", é: '"' });
  const plan = await readTensorFile(await home.file("model", content));
  assert.deepEqual([plan.format, plan.fileName], ["safetensors", "model"]);
  assert.deepEqual(JSON.parse(plan.fileMetadata ?? ""), { format: "pt", é: '"' });
  assert.deepEqual(
    plan.tensors.map(({ name, dtype, shape, totalBytes }) => [name, dtype, shape, totalBytes]),
    [
      ["model/layers/0", "bfloat16", [3, 4], 24],
      ["empty", "float64", [0, 5], 0],
      ["", "float8_e4m3fn", [7], 7],
      ["scalar", "bool", [], 1],
    ],
  );
  for (const [index, { read, totalBytes }] of plan.tensors.entries())
    assert.deepEqual(await joined(read(0)), noise(totalBytes, index), `tensor ${index}`);
});

test("readTensorFile() takes any other file, and every file that is raw, as bytes", async () => {
  await using home = await Home.make();
  const empty = safetensorsFile([], noise, { a: "b" });
  for (const [name, content, raw] of [
    ["photo.jpg", noise(100), false],
    ["empty.npy", new Uint8Array(0), false],
    ["short.npy", ascii("\x93NUMP"), false],
    ["data.json", ascii('[\n"a"]\n{"b":1}'), false],
    ["none.safetensors", empty, false],
    ["array.npy", npy(10), true],
    ["broken.npy", npy(10).slice(0, 100), true],
  ] as const) {
    const plan = await readTensorFile(await home.file(name, content), { raw });
    assert.deepEqual([plan.format, plan.fileName, plan.fileMetadata], ["bytes", name, undefined]);
    const [tensor] = plan.tensors;
    assert.deepEqual([tensor?.name, tensor?.dtype, tensor?.shape], [name, undefined, []]);
    assert.deepEqual(await joined(tensorAt(plan, 0).read(0)), content, name);
  }
});

test("readTensorFile() refuses broken files with the code of what is wrong", async () => {
  await using home = await Home.make();
  const tensors = safetensorsFile([info("a", "uint8", [100])], noise);
  const twice = ascii('........{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"a":{}} ');
  new DataView(twice.buffer).setBigUint64(0, BigInt(twice.length - 8), true);
  for (const [name, content, code, message] of [
    ["cut.npy", npy(100).slice(0, 50), "ASOC_BAD_NPY", /the file ends in it, after 50 bytes; --raw sends/],
    ["cut2.npy", npy(100).slice(0, -1), "ASOC_BAD_NPY", /expected 400 bytes of elements, got 399/],
    ["more.npy", join([npy(1), npy(1)]), "ASOC_BAD_NPY", /expected 4 bytes of elements, got 136/],
    ["magic.npy", ascii("\x93NUMPY"), "ASOC_BAD_NPY", /the file ends in it, after 6 bytes/],
    ["version.npy", ascii("\x93NUMPY\x09\x00abc"), "ASOC_BAD_NPY", /version 9\.0/],
    ["object.npy", npyFile("'|O'", "()", noise(8)), "ASOC_UNSUPPORTED_DTYPE", /pickles/],
    ["record.npy", npyFile("[('a', '<f4')]", "()", noise(4)), "ASOC_UNSUPPORTED_DTYPE", /structured/],
    ["big.npy", npyFile("'>V4'", "()", noise(4)), "ASOC_UNSUPPORTED_DTYPE", /parts are unknown/],
    ["shape.npy", npyFile("'<f8'", `(${2 ** 53 - 1},)`, noise(8)), "ASOC_BAD_SHAPE", /Cannot use shape/],
    ["cut.safetensors", tensors.slice(0, 40), "ASOC_BAD_SAFETENSORS", /but the file has 40 bytes/],
    ["cut2.safetensors", tensors.slice(0, -1), "ASOC_BAD_SAFETENSORS", /its tensors end at/],
    ["more.safetensors", join([tensors, noise(1)]), "ASOC_BAD_SAFETENSORS", /its tensors end at/],
    ["twice.safetensors", join([twice, noise(1)]), "ASOC_BAD_SAFETENSORS", /there twice/],
  ] as const) {
    const path = await home.file(name, content);
    await assert.rejects(readTensorFile(path), refused(code, message), name);
    assert.equal((await readTensorFile(path, { raw: true })).format, "bytes");
  }
});

test("readTensorFile() refuses columns first where it makes a difference, and says what to do", async () => {
  await using home = await Home.make();
  const fortran = (shape: string, count: number) => npyFile("'|u1'", shape, noise(count), "True");
  await assert.rejects(
    readTensorFile(await home.file("a.npy", fortran("(2, 3)", 6))),
    refused("ASOC_CONFIG", /a\.npy: .*Fortran order.*numpy\.ascontiguousarray\(array\).*--raw/),
  );
  for (const [shape, count] of [["(6,)", 6] as const, ["(1, 6, 1)", 6] as const, ["(0, 2, 3)", 0] as const])
    assert.equal((await readTensorFile(await home.file("b.npy", fortran(shape, count)))).format, "npy");
});

test("readTensorFile() refuses names and metadata that are too long to go along", async () => {
  await using home = await Home.make();
  const named = (name: string) => safetensorsFile([info(name, "uint8", [1])], noise);
  assert.equal(
    (await readTensorFile(await home.file("a", named("é".repeat(127))))).tensors[0]?.name.length,
    127,
  );
  await assert.rejects(
    readTensorFile(await home.file("a", named("é".repeat(128)))),
    refused("ASOC_RECORD_LIMIT", /the name of tensor "é{32}" takes 256 bytes, at most 255 go along; --raw/),
  );
  const described = (value: string) => safetensorsFile([info("a", "uint8", [1])], noise, { k: value });
  assert.equal((await readTensorFile(await home.file("a", described("x".repeat(4088))))).tensors.length, 1);
  await assert.rejects(
    readTensorFile(await home.file("a", described("x".repeat(4089)))),
    refused("ASOC_RECORD_LIMIT", /its metadata takes 4097 bytes, at most 4096 go along; --raw/),
  );
});

test("readTensorFile() reads no more of a header than the limit allows", async () => {
  await using home = await Home.make();
  const path = await home.file("a", join([new Uint8Array(8), ascii('{"a":')]));
  await truncate(path, 90_000_000);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, 80_000_000n, true);
  await writeFile(path, length, { flag: "r+" });
  await assert.rejects(
    readTensorFile(path),
    refused("ASOC_HEADER_TOO_LARGE", /80000000 bytes, at most 16777216/),
  );
  const npyPath = await home.file("b", ascii("\x93NUMPY\x02\x00\xff\xff\xff\x7f{"));
  await assert.rejects(readTensorFile(npyPath), refused("ASOC_HEADER_TOO_LARGE", /at most 65536/));
});

test("readTensorFile() says what is wrong with the file itself", async () => {
  await using home = await Home.make();
  await mkdir(home.path("dir"));
  await assert.rejects(readTensorFile(home.path("dir")), refused("ASOC_CONFIG", /got a directory/));
  await assert.rejects(readTensorFile(home.path("no")), refused("ASOC_CONFIG", /there is no such file/));
});

test("readTensorFile() gives names that a group may have", async () => {
  await using home = await Home.make();
  const nameOf = async (name: string) => (await readTensorFile(await home.file(name, "x"))).fileName;
  assert.equal(await nameOf("a b.c"), "a b.c");
  assert.equal(await nameOf(".hidden"), ".hidden");
  const isLetter = joinPath("a\\b") === "a\\b" && process.platform !== "win32";
  if (isLetter) assert.deepEqual([await nameOf("a\\b.npy"), await nameOf("a\\..")], ["b.npy", "_"]);
});

test("readTensorFile() refuses changed files cleanly, and every plan is as long as it says", async () => {
  await using home = await Home.make();
  const files = [
    join([encodeNpyHeader({ dtype: parseDType("float32"), shape: [3, 4] }), noise(48)]),
    safetensorsFile([info("a", "int16", [3]), info("b", "float4_e2m1fn", [2])], noise, { k: "v" }),
    encodeSafetensorsHeader([]).bytes,
  ];
  const samples = fc.sample(
    fc.tuple(fc.constantFrom(...files), fc.array(mutations, { minLength: 1, maxLength: 2 })),
    { seed: 20_261, numRuns: 300 },
  );
  let accepted = 0;
  for (const [file, changes] of samples) {
    const path = await home.file(
      "a",
      changes.reduce((bytes, change) => change(bytes), file),
    );
    try {
      const plan = await readTensorFile(path);
      for (const { read, totalBytes } of plan.tensors)
        assert.equal((await joined(read(0))).length, totalBytes);
      accepted++;
    } catch (error) {
      assert.ok(error instanceof CliError && error.exitCode === ExitCode.USAGE, String(error));
      assert.ok(error.message.length < 600);
    }
  }
  assert.ok(accepted > 10, `${accepted} accepted`);
});
