import assert from "node:assert/strict";
import { test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { event, Home, noise, ready } from "./support.ts";

test("send --to all reaches every node that discovery finds, and peers lists them", async () => {
  await using home = await Home.make();
  await home.file("a", noise(300_000));
  await home.file("b", noise(7));
  const node = home.node("node", ["serve", "--json", "--port", "0"]);
  const bun = home.node("bun", ["serve", "--json", "--port", "0"]);
  const deno = home.node("deno", ["serve", "--json", "--port", "0"]);
  const serves = [node, bun, deno];
  const ids = (await Promise.all(serves.map(ready))).map(({ id }) => id).sort();

  const sends = RUNTIMES.map((runtime) => home.node(runtime, ["send", "a", "b", "--to", "all", "--json"]));
  for (const send of sends) {
    assert.equal(await send.exitWithin(30_000), 0, send.stderr);
    for (const file of ["a", "b"]) {
      const reached = send.events
        .filter((one) => one.event === "sent" && one.file === file)
        .map((one) => String(one.peer));
      assert.deepEqual(
        ids.filter((id) => !reached.includes(id)),
        [],
        send.stdout,
      );
    }
    assert.match(send.stderr, /looking for peers for 3\.5 s/);
  }
  for (const serve of serves) {
    for (const size of [300_000, 7]) {
      await serve.waitFor((one) => one.event === "stream" && one.state === "received" && one.bytes === size);
    }
  }

  const lists = RUNTIMES.map((runtime) => home.node(runtime, ["peers", "--json", "--wait", "3"]));
  for (const list of lists) {
    assert.equal(await list.exitWithin(30_000), 0, list.stderr);
    const listed = list.events.filter((one) => one.event === "peer").map((one) => String(one.id));
    assert.ok(listed.length >= 3, list.stdout);
  }
  const table = home.node("node", ["peers"]);
  assert.equal(await table.exitWithin(30_000), 0, table.stderr);
  assert.match(table.stdout, /^PEER +ADDRESS +PROTOCOL\n/);
  for (const id of ids) assert.match(table.stdout, new RegExp(`^${id}  127\\.0\\.0\\.1:\\d+ +x1$`, "m"));
});

test("send --to all with static peers waits for each; one that is not there makes it 4, the others get it", async () => {
  await using home = await Home.make();
  await home.file("a", noise(1000));
  const one = home.node("bun", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const two = home.node("deno", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const addresses = [(await ready(one)).address, (await ready(two)).address];
  await home.file("peers", `${addresses[1]} # the second\n`);
  const both = home.node("node", [
    "send",
    "a",
    "--to",
    "all",
    "--peers",
    addresses[0] ?? "",
    "--peers-file",
    "peers",
  ]);
  assert.equal(await both.exitWithin(), 0, both.stderr);
  assert.match(both.stderr, /discovery off/);
  await event(one, "stream", "received");
  await event(two, "stream", "received");
  const some = home.node("node", [
    "send",
    "a",
    "--to",
    "all",
    "--timeout",
    "1",
    "--peers",
    `${addresses[0]},127.0.0.1:19299`,
  ]);
  assert.equal(await some.exitWithin(), 4, some.stderr);
  assert.match(some.stderr, /Static peer 127\.0\.0\.1:19299 was not there: .*connection refused/);
  assert.match(some.stdout, /^a -> /);
});

test("send says which ids a beginning fits when it fits several", async () => {
  await using home = await Home.make();
  await home.file("a", noise(1));
  const ids = ["abcd0000-0000-4000-8000-000000000001", "abcd0000-0000-4000-8000-000000000002"];
  const serves = ids.map((id) => home.node("node", ["serve", "--json", "--port", "0", "--node-id", id]));
  assert.deepEqual(
    (await Promise.all(serves.map(ready))).map(({ id }) => id),
    ids,
  );
  const send = home.node("node", ["send", "a", "--to", "all", "--to", "abcd"]);
  assert.equal(await send.exitWithin(), 2, send.stderr);
  assert.match(send.stderr, /--to: .*"abcd" fits abcd0000-.* and abcd0000-.*; give more of the id/);
  assert.equal(send.stdout, "");
});

test("send --to all leaves out nodes that take no tensors; one that is named is a failure", async () => {
  await using home = await Home.make();
  await home.file("a", noise(5));
  const serve = home.node("bun", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const { address } = await ready(serve);
  const idle = home.node("deno", [
    "send",
    "-",
    "--json",
    "--to",
    "nobody",
    "--timeout",
    "60",
    "--no-discovery",
  ]);
  const { address: other } = await ready(idle);
  const peers = ["--peers", `${address},${other}`];
  const all = home.node("node", ["send", "a", "a", "--to", "all", "--json", ...peers]);
  assert.equal(await all.exitWithin(), 0, all.stderr);
  assert.equal(all.events.filter((one) => one.event === "sent").length, 2);
  assert.equal(all.stderr.match(/left out .*: it takes no tensors/g)?.length, 1, all.stderr);
  const named = home.node("node", ["send", "a", "--to", other]);
  assert.equal(await named.exitWithin(), 4);
  assert.match(named.stderr, /Cannot send a to .*: the peer takes no tensors/);
});
