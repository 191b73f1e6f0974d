import assert from "node:assert/strict";
import { readdir, readFile, truncate } from "node:fs/promises";
import { describe, test } from "node:test";
import { encodeSafetensorsHeader, parseDType } from "../../src/mod.ts";
import { RUNTIMES } from "../support/process.ts";
import { event, Home, noise, ready } from "./support.ts";

const BYTES = noise(400_000);
/** Far more than the sockets between two processes hold. */
const LARGE_BYTES = 512 * 1024 * 1024;

describe("on each runtime", { concurrency: 2 }, () => {
  for (const runtime of RUNTIMES) {
    test(`Ctrl-C at serve on ${runtime} lets a tensor under way finish`, async () => {
      await using home = await Home.make();
      const serve = home.node(runtime, ["serve", "--json", "--port", "0", "--no-discovery", "--out", "out"]);
      const { address } = await ready(serve);
      const send = home.node("node", ["send", "-", "--to", address]);
      send.child.stdin?.write(BYTES.subarray(0, 200_000));
      await event(serve, "stream", "started");
      serve.kill("SIGINT");
      await event(serve, "closing");
      await serve.waitForText(/closing: what is under way may finish/);
      send.child.stdin?.end(BYTES.subarray(200_000));
      assert.equal(await serve.exitWithin(), 0, serve.stderr);
      assert.equal(await send.exitWithin(), 0, send.stderr);
      const { file } = await event(serve, "stream", "received").catch(() => ({ file: "" }));
      assert.ok((await readFile(home.path(String(file)))).equals(BYTES));
    });

    test(`a second Ctrl-C at serve on ${runtime} ends it with 130 and leaves no file`, async () => {
      await using home = await Home.make();
      const serve = home.node(runtime, ["serve", "--json", "--port", "0", "--no-discovery", "--out", "out"]);
      const { address } = await ready(serve);
      const send = home.node("node", ["send", "-", "--to", address]);
      send.child.stdin?.write(BYTES);
      await event(serve, "stream", "started");
      serve.kill("SIGTERM");
      await event(serve, "closing");
      serve.kill("SIGINT");
      assert.equal(await serve.exitWithin(), 130, serve.stderr);
      assert.deepEqual(await readdir(home.path("out")), []);
    });

    test(`Ctrl-C at send on ${runtime} finishes the file under way, begins no other, and ends with 130`, async () => {
      await using home = await Home.make();
      await truncate(await home.file("large", ""), LARGE_BYTES);
      await home.file("next", BYTES);
      const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery"]);
      const { address } = await ready(serve);
      const send = home.node(runtime, ["send", "large", "next", "--json", "--to", address]);
      await event(serve, "stream", "started");
      serve.kill("SIGSTOP"); // nothing more is read: the file cannot be through
      send.kill("SIGINT");
      await event(send, "closing");
      serve.kill("SIGCONT");
      assert.equal(await send.exitWithin(), 130, send.stderr);
      const { bytes } = await event(serve, "stream", "received");
      assert.equal(bytes, LARGE_BYTES);
      assert.equal(send.events.filter((one) => one.event === "sent").length, 1);
    });

    test(`Ctrl-C at send on ${runtime} finishes all tensors of the file under way`, async () => {
      await using home = await Home.make();
      const infos = ["a", "b", "c"].map((name) => ({
        name,
        dtype: parseDType("float32"),
        shape: [LARGE_BYTES / 16],
      }));
      const { bytes: header, dataBytes } = encodeSafetensorsHeader(infos);
      await truncate(await home.file("m.safetensors", header), header.length + dataBytes);
      const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery"]);
      const { address } = await ready(serve);
      const send = home.node(runtime, ["send", "m.safetensors", "--json", "--to", address]);
      await event(serve, "stream", "started");
      serve.kill("SIGSTOP");
      send.kill("SIGINT");
      await event(send, "closing");
      serve.kill("SIGCONT");
      assert.equal(await send.exitWithin(), 130, send.stderr);
      const sent = send.events.filter((one) => one.event === "sent");
      assert.deepEqual(
        sent.map(({ tensors, bytes, delivery }) => [tensors, bytes, delivery]),
        [[3, dataBytes, "verified"]],
      );
    });

    test(`a second Ctrl-C at send on ${runtime} ends it with 130; the receiver has no file`, async () => {
      await using home = await Home.make();
      await truncate(await home.file("large", ""), LARGE_BYTES);
      const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery", "--out", "out"]);
      const { address } = await ready(serve);
      const send = home.node(runtime, ["send", "large", "--json", "--to", address]);
      await event(serve, "stream", "started");
      serve.kill("SIGSTOP");
      send.kill("SIGINT");
      await event(send, "closing");
      send.kill("SIGINT");
      assert.equal(await send.exitWithin(), 130, send.stderr);
      serve.kill("SIGCONT");
      await event(serve, "peer", "left");
      serve.kill("SIGINT"); // the rest is not waited for any more
      assert.equal(await serve.exitWithin(), 0, serve.stderr);
      const failed = serve.events.filter((one) => one.event === "stream" && one.state === "failed");
      assert.equal(failed.length, 1, serve.stdout);
      assert.deepEqual(await readdir(home.path("out")), []);
    });

    test(`Ctrl-C at send - on ${runtime} gives the tensor up, also when its pipe ends at the same time`, async () => {
      await using home = await Home.make();
      const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery", "--out", "out"]);
      const { address } = await ready(serve);
      const send = home.node(runtime, ["send", "-", "--to", address]);
      send.child.stdin?.write(BYTES);
      await event(serve, "stream", "started");
      send.child.stdin?.end();
      send.kill("SIGINT");
      assert.equal(await send.exitWithin(), 130, send.stderr);
      await event(serve, "stream", "failed");
      assert.deepEqual(await readdir(home.path("out")), []);
    });

    test(`Ctrl-C at recv, send and peers on ${runtime} that wait ends them with 130`, async () => {
      await using home = await Home.make();
      await home.file("a", BYTES);
      const runs = [
        home.node(runtime, ["recv", "--out", "out", "--json"]),
        home.node(runtime, ["send", "a", "--to", "nobody", "--timeout", "60", "--json"]),
        home.node(runtime, ["send", "a", "--to", "127.0.0.1:19297", "--timeout", "60", "--json"]),
      ];
      for (const run of runs) {
        await ready(run);
        run.kill("SIGINT");
      }
      for (const run of runs) assert.equal(await run.exitWithin(), 130, run.stderr);
    });
  }
});
