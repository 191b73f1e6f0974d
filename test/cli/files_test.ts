import assert from "node:assert/strict";
import { appendFile, readdir, readFile, truncate } from "node:fs/promises";
import { test } from "node:test";
import { checkSource, makeOutDir, readAhead, readParts, writeTensor } from "../../src/cli/files.ts";
import { gather } from "../../src/cli/stdin.ts";
import { Home, noise, npy, safetensors } from "./support.ts";

async function* inParts(bytes: Uint8Array, partBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += partBytes) yield bytes.subarray(at, at + partBytes);
}

async function joined(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const part of parts) copies.push(Buffer.from(part)); // a copy: a part is valid until the next
  return Buffer.concat(copies);
}

test("readParts() gives a file's bytes in order", async () => {
  await using home = await Home.make();
  for (const size of [0, 1, 2 * 1024 * 1024, 2 * 1024 * 1024 + 1, 5_000_000]) {
    const bytes = noise(size);
    assert.ok(
      (await joined(readParts(await checkSource(await home.file("a", bytes))))).equals(bytes),
      `${size} bytes`,
    );
  }
});

test("readParts() rejects when the file was cut, and takes what was added", async () => {
  await using home = await Home.make();
  const source = await checkSource(await home.file("a", noise(1000)));
  await appendFile(source.path, "more");
  assert.equal((await joined(readParts(source))).length, 1004);
  await truncate(source.path, 999);
  await assert.rejects(
    joined(readParts(source)),
    /has changed while it was sent: expected 1000 bytes, got 999/,
  );
});

test("readAhead() begins the next read before it yields, into the other buffer", async () => {
  const buffers: ArrayBufferLike[] = [];
  let left = 4;
  const parts = readAhead(async (buffer) => {
    buffers.push(buffer.buffer);
    return left-- > 0 ? 10 : 0;
  });
  await parts.next();
  assert.equal(buffers.length, 2);
  assert.notEqual(buffers[0], buffers[1]);
  await joined(parts);
  assert.equal(new Set(buffers).size, 2);
});

test("readAhead() waits for the read under way when its taker leaves, and keeps its failure quiet", async () => {
  let settled = false;
  let reads = 0;
  const parts = readAhead(async () => {
    if (++reads === 1) return 10;
    await new Promise((resolve) => setImmediate(resolve));
    settled = true;
    throw new Error("disk");
  });
  await parts.next();
  await parts.return();
  assert.ok(settled);
});

test("gather() keeps the bytes and joins what has piled up", async () => {
  const bytes = noise(100_000);
  for (const [partBytes, byteCount] of [
    [1000, 4096],
    [7, 64],
    [50_000, 333],
    [100_000, 100_000],
  ] as const) {
    assert.ok((await joined(gather(inParts(bytes, partBytes), byteCount))).equals(bytes));
  }
  let count = 0;
  for await (const _ of gather(inParts(bytes, 10), 10_000)) {
    await new Promise((resolve) => setImmediate(resolve));
    count++;
  }
  assert.ok(count < 1000, `${count} parts of 10000`);
});

test("gather() passes a failure on, and lets its source go when its taker leaves", async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield noise(10);
    throw new Error("pipe");
  }
  await assert.rejects(joined(gather(failing(), 5)), /pipe/);
  let closed: (() => void) | undefined;
  const closing = new Promise<void>((resolve) => (closed = resolve));
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield noise(10);
    } finally {
      closed?.();
    }
  }
  for await (const _ of gather(endless(), 25)) break;
  await closing;
});

test("writeTensor() names files by their content, and never overwrites", async () => {
  await using home = await Home.make();
  const dir = home.path("out", "deep");
  await makeOutDir(dir);
  const write = async (bytes: Uint8Array, partBytes: number) =>
    (await writeTensor(inParts(bytes, partBytes), dir, "a", () => true))?.file;
  assert.equal(await write(npy(100), 1), `${dir}/a.npy`);
  assert.equal(await write(safetensors(100), 3), `${dir}/a.safetensors`);
  assert.equal(await write(noise(100), 100), `${dir}/a.bin`);
  assert.equal(await write(new Uint8Array(0), 1), `${dir}/a-2.bin`);
  assert.equal(await write(noise(7, 9), 100), `${dir}/a-3.bin`);
  assert.ok((await readFile(`${dir}/a.npy`)).equals(npy(100)));
  assert.ok((await readFile(`${dir}/a.bin`)).equals(noise(100)));
  assert.deepEqual((await readdir(dir)).sort(), ["a-2.bin", "a-3.bin", "a.bin", "a.npy", "a.safetensors"]);
});

test("writeTensor() shows nothing before the whole, and leaves nothing behind", async () => {
  await using home = await Home.make();
  const names: string[][] = [];
  async function* watched(): AsyncGenerator<Uint8Array> {
    yield noise(10);
    names.push(await readdir(home.dir));
    throw new Error("lost");
  }
  await assert.rejects(
    writeTensor(watched(), home.dir, "a", () => true),
    /lost/,
  );
  assert.match(names.join(), /^\.asoc-[0-9a-f]{16}\.tmp$/);
  assert.equal(await writeTensor(inParts(noise(10), 3), home.dir, "a", () => false), undefined);
  assert.deepEqual(await readdir(home.dir), []);
});

test("checkSource() and makeOutDir() say what is wrong", async () => {
  await using home = await Home.make();
  await assert.rejects(checkSource(home.path("none")), /none: cannot be read \(there is no such file\)/);
  await assert.rejects(checkSource(home.dir), /expected a file, got a directory/);
  await assert.rejects(checkSource("/dev/zero"), /expected a file, got a pipe or device/);
  const file = await home.file("file", "");
  await assert.rejects(
    makeOutDir(file),
    /--out: expected a directory that can be written, got .*file \(it is a file\)/,
  );
});
