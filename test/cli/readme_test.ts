/** The lines of README.md on tensors, run as they stand there. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/process.ts";
import { event, Home, npy, ready, safetensors } from "./support.ts";

/** The words of a line after "asoc", as a shell sees them: '…' is one word, # begins a comment. */
function wordsOf(line: string): string[] {
  const words = [...line.matchAll(/'([^']*)'|(#.*)|(\S+)/g)];
  return words.flatMap(([, quoted, comment, plain]) => (comment ? [] : [quoted ?? plain ?? ""])).slice(1);
}

test("README.md: what it says of tensors on the command line works", async () => {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const block = /^### Tensors$[\s\S]*?^```\n([\s\S]*?)^```/m.exec(readme)?.[1] ?? "";
  const [first = [], ...others] = block.trim().split("\n").map(wordsOf);
  assert.equal(first[0], "serve");
  assert.ok(others.length >= 4 && others.every(([name]) => name === "send"), block);

  await using home = await Home.make();
  await home.file("model.safetensors", safetensors(1000));
  await home.file("kv.npy", npy(100));
  const serve = home.node("node", [...first, "--json", "--port", "0"]);
  await ready(serve);
  for (const words of others) {
    const send = home.node("bun", words);
    assert.equal(await send.exitWithin(), 0, send.stderr);
    assert.match(send.stdout, /, verified (crc32|sha256):[0-9a-f]+\n$/);
  }
  const started = serve.events.filter((one) => one.event === "stream" && one.state === "started");
  assert.deepEqual(
    started.map(({ topic, dtype, priority, metadata }) => [topic, dtype, priority, metadata]),
    [
      ["a", "uint8", 128, undefined],
      ["model.safetensors", undefined, 128, undefined],
      ["kv/layer0", "float32", 200, undefined],
      ["kv", "float32", 128, { step: 7 }],
    ],
  );
  await event(serve, "stream", "received", serve.events.indexOf(started.at(-1) ?? {}));
  serve.kill();
  assert.equal(await serve.exitWithin(), 0, serve.stderr);
  assert.deepEqual((await readdir(home.path("received"))).sort(), [
    "kv-2.npy",
    "kv.npy",
    "model-2.safetensors",
    "model.safetensors",
  ]);
});

test("README.md: what it says of encryption works", async () => {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const section = /^## Encryption$[\s\S]*?(?=^## )/m.exec(readme)?.[0] ?? "";
  const [shared = [], certified = []] = [...section.matchAll(/^```\n([\s\S]*?)^```/gm)].map(([, block]) =>
    (block ?? "").trim().split("\n").map(wordsOf),
  );
  await using home = await Home.make();
  await home.file("model.safetensors", safetensors(1000));
  const [serving = [], sending = []] = shared;
  assert.deepEqual([serving[0], sending[0]], ["serve", "send"]);
  const serve = home.node("node", [...serving, "--json", "--port", "0"]);
  await ready(serve);
  const send = home.node("bun", sending);
  assert.equal(await send.exitWithin(), 0, send.stderr);
  const joined = await event(serve, "peer", "joined");
  assert.equal((joined.tls as { verified: string }).verified, "proof");

  const [init = [], issue = [], last = []] = certified;
  for (const words of [init, issue]) assert.equal(await home.asoc("node", words).exitWithin(), 0);
  const named = home.node("node", [...last, "--json", "--port", "0"]);
  assert.equal((await event(named, "ready")).community, "default");
  assert.equal(((await event(named, "ready")).tls as { verify: string }).verify, "ca");
});
