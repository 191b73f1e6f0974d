/** Files as tensors between real processes: what arrives, and what the events say of it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, readFile, truncate } from "node:fs/promises";
import { describe, test } from "node:test";
import { decodeNpyHeader, encodeSafetensorsHeader, isNeedMore, parseDType } from "../../src/mod.ts";
import { type Json, Process, RUNTIMES } from "../support/process.ts";
import { safetensorsFile } from "../support/tensor_files.ts";
import { event, Home, noise, npy, ready } from "./support.ts";

const MODEL_TENSORS = 40;

/** Some tensors of two types, one of them empty. */
function model(): Uint8Array {
  const infos = Array.from({ length: MODEL_TENSORS }, (_, index) => ({
    name: `layers.${index}.weight`,
    dtype: parseDType(index % 2 === 0 ? "bfloat16" : "float32"),
    shape: index === 7 ? [0, 3] : [index + 1, 300],
  }));
  return safetensorsFile(infos, (byteCount, index) => noise(byteCount, index + 1), { made: "here" });
}

const ofKind = (process: Process, name: string, state?: string): Json[] =>
  process.events.filter((one) => one.event === name && (state === undefined || one.state === state));

/** Resolves when the receiver has written so many files. */
async function filesOf(serve: Process, count: number): Promise<Json[]> {
  const files = () => ofKind(serve, "stream", "received").filter((one) => one.file !== undefined);
  await serve.waitUntil(() => files().length >= count, 30_000);
  return files();
}

const serveArgs = (...more: string[]) => ["serve", "--json", "--port", "0", "--no-discovery", ...more];

describe("on each runtime", { concurrency: 2 }, () => {
  for (const [index, runtime] of RUNTIMES.entries()) {
    const other = RUNTIMES[(index + 1) % RUNTIMES.length] ?? "node";

    test(`send on ${runtime}, serve on ${other}: safetensors, npy and other files arrive as they were, under their names`, async () => {
      await using home = await Home.make();
      const files = { "model.safetensors": model(), "a.npy": npy(1000), notes: noise(5000) };
      for (const [name, bytes] of Object.entries(files)) await home.file(name, bytes);
      const serve = home.node(other, serveArgs("--out", "out"));
      const { id, address } = await ready(serve);
      const send = home.node(runtime, ["send", ...Object.keys(files), "--json", "--to", address]);
      assert.equal(await send.exitWithin(), 0, send.stderr);
      await filesOf(serve, 3);
      assert.ok((await readFile(home.path("out/model.safetensors"))).equals(files["model.safetensors"]));
      assert.ok((await readFile(home.path("out/a.npy"))).equals(files["a.npy"]));
      assert.ok((await readFile(home.path("out/notes.bin"))).equals(files.notes));

      const tensors = ofKind(send, "tensor");
      assert.equal(tensors.length, MODEL_TENSORS + 2);
      const second = tensors.find((one) => one.topic === "layers.1.weight");
      const { digest, ...facts } = second ?? {};
      assert.deepEqual(facts, {
        event: "tensor",
        file: "model.safetensors",
        peer: id,
        bytes: 2400,
        topic: "layers.1.weight",
        dtype: "float32",
        shape: [2, 300],
        delivery: "verified",
        cuts: 0,
      });
      assert.match(String(digest), /^crc32:[0-9a-f]{8}$/);
      const [whole, array, bytes] = ofKind(send, "sent");
      assert.deepEqual([whole?.format, whole?.tensors, whole?.delivery], ["safetensors", 40, "verified"]);
      assert.deepEqual(
        [array?.format, array?.topic, array?.dtype, array?.shape, array?.bytes, array?.sentBytes],
        ["npy", "a", "float32", [1000], 4000, 4000],
      );
      assert.deepEqual([bytes?.format, bytes?.topic, bytes?.dtype], ["bytes", "notes", undefined]);
      const came = ofKind(serve, "stream", "received").find((one) => one.topic === "layers.1.weight");
      assert.deepEqual([came?.dtype, came?.shape, came?.bytes], ["float32", [2, 300], 2400]);
    });

    test(`recv --format npy on ${runtime} makes a file of each tensor that send on ${other} sends; --raw is byte for byte`, async () => {
      await using home = await Home.make();
      const infos = ["x", "y"].map((name) => ({ name, dtype: parseDType("float32"), shape: [2, 3] }));
      const file = safetensorsFile(infos, (byteCount, at) => noise(byteCount, at + 1));
      await home.file("m.safetensors", file);
      const recv = home.node(runtime, ["recv", "--json", "--out", "in", "--count", "2", "--format", "npy"]);
      const { address } = await ready(recv);
      const send = home.node(other, ["send", "m.safetensors", "--to", address]);
      assert.equal(await send.exitWithin(), 0, send.stderr);
      assert.equal(await recv.exitWithin(), 0, recv.stderr);
      assert.match(send.stdout, /^m\.safetensors -> .*: 48 B in [\d.]+ s, 2 tensors, verified\n$/);
      assert.deepEqual((await readdir(home.path("in"))).sort(), ["m.x.npy", "m.y.npy"]);
      const x = await readFile(home.path("in/m.x.npy"));
      const header = decodeNpyHeader(x);
      assert.ok(!isNeedMore(header));
      assert.deepEqual(header.shape, [2, 3]);
      assert.ok(x.subarray(header.dataOffset).equals(noise(24, 1)));

      const raw = home.node(runtime, ["recv", "--json", "--out", "raw"]);
      const { address: to } = await ready(raw);
      const flags = ["--raw", "--topic", "weights/m", "--priority", "255", "--digest", "sha256"];
      const meta = ["--metadata", '{"epoch":3}'];
      const again = home.node(other, ["send", "m.safetensors", ...flags, ...meta, "--to", to]);
      assert.equal(await again.exitWithin(), 0, again.stderr);
      assert.equal(await raw.exitWithin(), 0, raw.stderr);
      assert.match(again.stdout, /: \d+ B in [\d.]+ s, verified sha256:[0-9a-f]{64}\n$/);
      const started = await event(raw, "stream", "started").catch(() => undefined);
      assert.deepEqual(
        [started?.topic, started?.priority, started?.metadata],
        ["weights/m", 255, { epoch: 3 }],
      );
      const [received] = ofKind(raw, "stream", "received");
      assert.deepEqual([received?.format, received?.digest], ["safetensors", "sha256"]);
      assert.ok((await readFile(home.path(String(received?.file)))).equals(file));
    });

    test(`a peer of version 0.1 on ${runtime} gets the file's bytes from send on ${other}, and serve those that it sends`, async () => {
      await using home = await Home.make();
      const file = model();
      await home.file("model.safetensors", file);
      const options = { apiKey: home.key, host: "127.0.0.1", discovery: false, extension: false };
      await using peer = Process.script(runtime, "test/support/peer_script.ts", [
        JSON.stringify({ options }),
      ]);
      const { port } = await event(peer, "ready");
      const send = home.node(other, ["send", "model.safetensors", "--json", "--to", `127.0.0.1:${port}`]);
      assert.equal(await send.exitWithin(), 0, send.stderr);
      const [sent] = ofKind(send, "sent");
      assert.deepEqual([sent?.format, sent?.bytes, sent?.delivery], ["bytes", file.length, "kernel"]);
      const tensor = await event(peer, "tensor");
      assert.equal(tensor.sha256, createHash("sha256").update(file).digest("hex"));

      const serve = home.node(other, serveArgs("--out", "out"));
      const { address } = await ready(serve);
      const line = (command: object) => peer.child.stdin?.write(`${JSON.stringify(command)}\n`);
      line({ cmd: "addPeer", address });
      await event(peer, "joined", undefined, peer.events.length);
      line({ cmd: "send", id: 1, to: address, bytes: 1000 });
      const [got] = await filesOf(serve, 1);
      assert.equal(got?.bytes, 1000);
      assert.match(String(got?.file), /^out\/\d{8}T\d{9}Z-[0-9a-f]{8}-\d+\.bin$/);
    });
  }
});

test("a receiver that cannot hold a tensor refuses it with a reason, and the sender ends with 4", async () => {
  await using home = await Home.make();
  // Large: a small one is there, and acknowledged, before anybody can refuse it.
  const infos = [{ name: "w", dtype: parseDType("bfloat16"), shape: [64 * 1024 * 1024] }];
  const { bytes: header, dataBytes } = encodeSafetensorsHeader(infos);
  await truncate(await home.file("m.safetensors", header), header.length + dataBytes);
  const serve = home.node("bun", serveArgs("--out", "out", "--format", "npy"));
  const { address } = await ready(serve);
  const send = home.node("deno", ["send", "m.safetensors", "--json", "--to", address]);
  assert.equal(await send.exitWithin(), 4, send.stderr);
  const [error] = ofKind(send, "error");
  assert.equal(error?.code, "ASOC_STOPPED");
  assert.match(String(error?.message), /Cannot send m\.safetensors to .*NumPy has no bfloat16/);
  const failed = await event(serve, "stream", "failed");
  assert.equal(failed.code, "ASOC_UNSUPPORTED_DTYPE");
});

test("send --deadline gives a file up that is too late; its receiver keeps nothing of it", async () => {
  await using home = await Home.make();
  const serve = home.node("node", serveArgs("--out", "out"));
  const { address } = await ready(serve);
  const send = await sendLarge(home, address);
  await event(serve, "stream", "started");
  serve.kill("SIGSTOP"); // nothing more is read: it cannot be in time
  // Where the socket holds memory of it, with the connection: 18 s after the receiver was last heard.
  const error = await send.waitFor((one) => one.event === "error", 30_000);
  assert.equal(error.code, "ASOC_DEADLINE");
  serve.kill("SIGCONT");
  assert.equal(await send.exitWithin(), 4, send.stderr);
  await event(serve, "stream", "failed");
  assert.deepEqual(await readdir(home.path("out")), []);
});

test("send --deadline gives a file up whose receiver died, although it could still come back", async () => {
  await using home = await Home.make();
  const serve = home.node("deno", serveArgs("--out", "out"));
  const { address } = await ready(serve);
  const send = await sendLarge(home, address);
  await event(serve, "stream", "started");
  serve.kill("SIGKILL");
  const error = await event(send, "error");
  assert.equal(error.code, "ASOC_DEADLINE", String(error.message));
  assert.equal(await send.exitWithin(), 4, send.stderr);
});

/** More than can be there within its deadline, where nobody reads it. */
async function sendLarge(home: Home, address: string): Promise<Process> {
  await truncate(await home.file("large", ""), 512 * 1024 * 1024);
  return home.node("bun", ["send", "large", "--json", "--deadline", "2", "--to", address]);
}

test("send takes priorities of several senders, and a flag that cannot be is named", async () => {
  await using home = await Home.make();
  await home.file("m.safetensors", model());
  await home.file("bad.npy", npy(10).subarray(0, 60));
  const serve = home.node("deno", serveArgs("--out", "out"));
  const { address } = await ready(serve);
  const sends = ["0", "128", "255"].map((priority) =>
    home.node("node", ["send", "m.safetensors", "--priority", priority, "--to", address]),
  );
  for (const send of sends) assert.equal(await send.exitWithin(), 0, send.stderr);
  const files = await filesOf(serve, 3);
  assert.deepEqual(files.map((one) => one.file).sort(), [
    "out/m-2.safetensors",
    "out/m-3.safetensors",
    "out/m.safetensors",
  ]);
  const cases: [string[], RegExp][] = [
    [["send", "m.safetensors", "--priority", "256"], /--priority: expected a whole number from 0 to 255/],
    [["send", "m.safetensors", "--deadline", "0"], /--deadline: expected a number of seconds from 0\.001/],
    [["send", "m.safetensors", "--digest", "md5"], /--digest: expected crc32, sha256 or none, got "md5"/],
    [["send", "m.safetensors", "--metadata", "{"], /--metadata: expected JSON of at most 8192 bytes/],
    [["send", "m.safetensors", "--topic", "a"], /--topic: the tensors of m\.safetensors have names/],
    [["send", "bad.npy"], /bad\.npy: .*; --raw sends the file as it is/],
  ];
  for (const [words, expected] of cases) {
    const run = home.node("bun", [...words, "--to", address]);
    assert.equal(await run.exitWithin(), 2, run.stderr);
    assert.match(run.stderr, expected);
  }
  const alone = home.node("bun", ["serve", "--format", "npy"]);
  assert.equal(await alone.exitWithin(), 2);
  assert.match(alone.stderr, /--format: expected --out DIR with it/);
});
