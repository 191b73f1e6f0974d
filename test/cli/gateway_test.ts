/** `asoc serve --gateway` and `asoc token`, as users run them. */
import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { event, Home, ready } from "./support.ts";

for (const runtime of RUNTIMES) {
  test(`asoc serve --gateway serves HTTP beside the node, and asoc token guards it, on ${runtime}`, async () => {
    await using home = await Home.make();
    const serve = home.node(runtime, [
      "serve",
      "--json",
      "--port",
      "0",
      "--no-discovery",
      "--gateway",
      "127.0.0.1:0",
    ]);
    const { id } = await ready(serve);
    const { url, port } = await event(serve, "gateway");
    const health = (await (await fetch(`${url}/v1/health`)).json()) as { nodeId: string; ready: boolean };
    assert.equal(health.nodeId, id);
    assert.equal(health.ready, true);

    const taken = home.node(runtime, [
      "serve",
      "--port",
      "0",
      "--no-discovery",
      "--gateway",
      `127.0.0.1:${port}`,
    ]);
    assert.equal(await taken.exitWithin(), 1);
    assert.match(taken.stderr, /the port is in use: --gateway HOST:PORT/);
    serve.kill("SIGINT");
    assert.equal(await serve.exitWithin(), 0);

    const open = home.node(runtime, ["serve", "--port", "0", "--no-discovery", "--gateway", "0.0.0.0:0"]);
    assert.equal(await open.exitWithin(), 2);
    assert.match(open.stderr, /wants a token: asoc token makes one/);

    const made = home.asoc(runtime, ["token", "--scope", "read", "--name", "test"]);
    assert.equal(await made.exitWithin(), 0);
    const token = made.stdout.trim();
    assert.match(token, /^asoc_[1-9A-HJ-NP-Za-km-z]{32}$/);
    const file = home.path(".asoc", "gateway-tokens.json");
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.ok(!(await readFile(file, "utf8")).includes(token.slice(5)));

    const guarded = home.node(runtime, [
      "serve",
      "--json",
      "--port",
      "0",
      "--no-discovery",
      "--gateway",
      "0.0.0.0:0",
    ]);
    const at = await event(guarded, "gateway");
    const local = `http://127.0.0.1:${at.port}/v1/peers`;
    assert.equal((await fetch(local)).status, 401);
    assert.equal((await fetch(local, { headers: { authorization: `Bearer ${token}` } })).status, 200);
    guarded.kill("SIGINT");
    assert.equal(await guarded.exitWithin(), 0);
  });
}

test("asoc token and serve --gateway say what is wrong with their flags", async () => {
  await using home = await Home.make();
  const cases: [string[], RegExp][] = [
    [["token", "--scope", "write"], /--scope: expected some of read,tap,inject,admin, got "write"/],
    [["token", "more"], /token: expected no words/],
    [["serve", "--gateway", "nonsense"], /--gateway: expected HOST:PORT/],
    [["serve", "--gateway-host", "a"], /--gateway-host: expected --gateway with it/],
    [["serve", "--gateway", "--gateway-origin", "a"], /--gateway-origin: expected one like/],
    [["serve", "--gateway", "--gateway-tokens", "/nowhere.json"], /there is no such file/],
  ];
  for (const [args, pattern] of cases) {
    const run = home.asoc("node", args);
    assert.equal(await run.exitWithin(), 2, args.join(" "));
    assert.match(run.stderr, pattern);
  }
});
