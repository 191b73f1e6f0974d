import assert from "node:assert/strict";
import { chmod, readdir, readFile, stat } from "node:fs/promises";
import { describe, test } from "node:test";
import { type Json, type Process, RUNTIMES } from "../support/process.ts";
import { event, Home, noise, npy, ready, readyText, safetensors } from "./support.ts";

const received = (process: Process): Json[] =>
  process.events.filter((one) => one.event === "stream" && one.state === "received");

describe("on each runtime", { concurrency: 2 }, () => {
  for (const [index, runtime] of RUNTIMES.entries()) {
    const other = RUNTIMES[(index + 1) % RUNTIMES.length] ?? "node";

    test(`serve on ${runtime} keeps what send on ${other} sends: by name, id, prefix and address; several files`, async () => {
      await using home = await Home.make();
      const files = {
        "a.npy": npy(1000),
        "b.safetensors": safetensors(3_000_000),
        "c.txt": noise(100),
        "d.empty": new Uint8Array(0),
      };
      for (const [name, bytes] of Object.entries(files)) await home.file(name, bytes);
      const serve = home.node(runtime, ["serve", "--json", "--port", "0", "--name", "store", "--out", "out"]);
      const { id, address } = await ready(serve);

      const byName = home.node(other, ["send", "--json", "a.npy", "b.safetensors", "--to", "store"]);
      assert.equal(await byName.exitWithin(), 0, byName.stderr);
      const sent = byName.events.filter((one) => one.event === "sent");
      assert.deepEqual(
        sent.map((one) => [one.file, one.peer, one.bytes, one.delivery]),
        [
          ["a.npy", id, 4000, "verified"],
          ["b.safetensors", id, 3_000_000, "verified"],
        ],
      );
      const others = [
        home.node(other, ["send", "c.txt", "--to", id.slice(0, 9), "--to", id]),
        home.node(other, ["send", "d.empty", "--to", address]),
      ];
      for (const run of others) assert.equal(await run.exitWithin(), 0, run.stderr);
      assert.match(
        others[0]?.stdout ?? "",
        /^c\.txt -> .*: 100 B in [\d.]+ s, verified crc32:[0-9a-f]{8}\n$/,
        "once, although it was named twice",
      );

      serve.kill("SIGINT");
      assert.equal(await serve.exitWithin(), 0, serve.stderr);
      const kept = await Promise.all(
        received(serve).map(
          async (one) => [one.format, await readFile(home.path(String(one.file)))] as const,
        ),
      );
      assert.deepEqual(kept.map(([format]) => format).sort(), ["npy", "safetensors", undefined, undefined]);
      for (const bytes of Object.values(files))
        assert.ok(
          kept.some(([, content]) => content.equals(bytes)),
          `${bytes.length} bytes`,
        );
      const names = ["a.npy", "b.safetensors", "c.txt.bin", "d.empty.bin"];
      assert.deepEqual((await readdir(home.path("out"))).sort(), names, "and nothing else");
    });

    test(`recv on ${runtime} ends after --count tensors of send on ${other}`, async () => {
      await using home = await Home.make();
      await home.file("a.npy", npy(10));
      await home.file("b.npy", npy(20));
      const recv = home.node(runtime, ["recv", "--json", "--out", "in", "--count", "2"]);
      const { address } = await ready(recv);
      const send = home.node(other, ["send", "a.npy", "b.npy", "--to", address]);
      assert.equal(await send.exitWithin(), 0, send.stderr);
      assert.equal(await recv.exitWithin(), 0, recv.stderr);
      assert.equal((await readdir(home.path("in"))).length, 2);
      assert.match(send.stderr, /discovery off/);
    });

    test(`a tensor goes through pipes: send - on ${other}, recv --out - on ${runtime}`, async () => {
      await using home = await Home.make();
      const bytes = noise(3_000_001);
      const recv = home.node(runtime, ["recv", "--out", "-"]);
      const output: Buffer[] = [];
      recv.child.stdout
        ?.removeAllListeners("data")
        .setEncoding("latin1")
        .on("data", (text: string) => output.push(Buffer.from(text, "latin1")));
      const address = await readyText(recv);
      const send = home.node(other, ["send", "-", "--to", address]);
      send.child.stdin?.end(bytes);
      assert.equal(await send.exitWithin(), 0, send.stderr);
      assert.equal(await recv.exitWithin(), 0, recv.stderr);
      assert.ok(Buffer.concat(output).equals(bytes));
      assert.match(recv.stderr, /received 3\.0 MB/);
      assert.ok(!send.stderr.includes("\u001b"), "no bar in a pipe");
    });

    test(`recv --out - on ${runtime} ends with 4 when its reader goes away`, async () => {
      await using home = await Home.make();
      await home.file("big", noise(8_000_000));
      const recv = home.node(runtime, ["recv", "--out", "-"]);
      const address = await readyText(recv);
      recv.child.stdout?.destroy();
      const send = home.node("node", ["send", "big", "--to", address]);
      assert.equal(await recv.exitWithin(), 4, recv.stderr);
      assert.match(recv.stderr, /standard output was closed by its reader[\s\S]*not written whole/);
      await send.exitWithin();
    });

    test(`--state-dir on ${runtime} keeps the id, with its name, for its owner alone`, async () => {
      await using home = await Home.make();
      const ids: string[] = [];
      for (const name of ["gpu1", "gpu2"]) {
        const serve = home.node(runtime, [
          "serve",
          "--json",
          "--port",
          "0",
          "--no-discovery",
          "--state-dir",
          "state/deep",
          "--name",
          name,
        ]);
        ids.push((await ready(serve)).id);
        serve.kill();
        assert.equal(await serve.exitWithin(), 0, serve.stderr);
        assert.equal(serve.stderr.includes('does not carry the name "gpu2"'), name === "gpu2");
      }
      assert.equal(ids[0], ids[1]);
      assert.equal(await readFile(home.path("state", "deep", "node_id"), "utf8"), `${ids[0]}\n`);
      assert.equal((await stat(home.path("state", "deep", "node_id"))).mode & 0o777, 0o600);
      assert.equal((await stat(home.path("state", "deep"))).mode & 0o777, 0o700);
    });
  }
});

test("serve counts tensors without --out; a tensor that breaks off is reported and leaves no file", async () => {
  await using home = await Home.make();
  const drain = home.node("bun", ["serve", "--port", "0", "--no-discovery", "--json"]);
  const keep = home.node("deno", ["serve", "--port", "0", "--no-discovery", "--json", "--out", "out"]);
  const to = [await ready(drain), await ready(keep)].flatMap(({ address }) => ["--to", address]);
  const send = home.node("node", ["send", "-", ...to]);
  send.child.stdin?.write(noise(100_000));
  await event(drain, "stream", "started");
  await event(keep, "stream", "started");
  send.kill("SIGKILL");
  for (const serve of [keep, drain]) await event(serve, "peer", "left");

  const whole = home.node("bun", ["send", "-", ...to]);
  whole.child.stdin?.end(noise(10));
  assert.equal(await whole.exitWithin(), 0, whole.stderr);
  const { file, bytes } = await event(drain, "stream", "received");
  assert.deepEqual([file, bytes], [undefined, 10]);
  await event(keep, "stream", "received");
  for (const serve of [keep, drain]) {
    serve.kill("SIGINT"); // the rest of what broke off is not waited for any more
    assert.equal(await serve.exitWithin(), 0, serve.stderr);
    const [failed, ...others] = serve.events.filter(
      (one) => one.event === "stream" && one.state === "failed",
    );
    assert.deepEqual([failed?.code, others.length], ["ASOC_INCOMPLETE_STREAM", 0]);
  }
  assert.equal((await readdir(home.path("out"))).length, 1);
  assert.match(drain.stderr, /closed; 1 tensors received \(10 B\), 1 failed/);
});

test("send fails with 4 when the target has gone, and says which file did not arrive", async () => {
  await using home = await Home.make();
  const serve = home.node("node", ["serve", "--port", "0", "--no-discovery", "--json"]);
  const { address } = await ready(serve);
  const send = home.node("node", ["send", "-", "--json", "--to", address]);
  send.child.stdin?.write(noise(100_000));
  await event(serve, "stream", "started");
  serve.kill("SIGKILL");
  await serve.exited;
  // Its standard input stays open: the loss alone ends it.
  assert.equal(await send.exitWithin(), 4, send.stderr);
  const { code, message } = await event(send, "error").catch(() => ({ code: "", message: send.stderr }));
  assert.equal(code, "ASOC_CONNECTION_LOST");
  assert.match(String(message), /Cannot send standard input to \S+ \(127\.0\.0\.1:\d+\)/);
});

test("a key in the home directory works, and is refused once others can read it", async () => {
  await using home = await Home.make();
  const keygen = home.asoc("node", ["keygen", "--write"]);
  assert.equal(await keygen.exitWithin(), 0);
  for (const runtime of RUNTIMES) {
    const serve = home.node(runtime, ["serve", "--json", "--port", "0", "--no-discovery"], {
      ASOC_API_KEY: "",
    });
    await ready(serve);
    assert.ok(!serve.stderr.includes("weak"), serve.stderr);
    serve.kill("SIGTERM");
    assert.equal(await serve.exitWithin(), 0, serve.stderr);
  }
  await chmod(home.path(".asoc", "api_key"), 0o644);
  const refused = home.node("node", ["serve"], { ASOC_API_KEY: "" });
  assert.equal(await refused.exitWithin(), 2);
  assert.match(refused.stderr, /api_key: refused.*expected mode 600, got 644/);
});
