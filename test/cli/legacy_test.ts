/** A peer that cannot prove itself: people and programs are told at each session. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "../../src/mod.ts";
import { event, Home, ready, readyText } from "./support.ts";

test("serve warns at each session with a peer of version 1 only, and not at one that has proven itself", async () => {
  await using home = await Home.make();
  const serve = home.node("node", ["serve", "--json", "--port", "0", "--no-discovery"]);
  const { address } = await ready(serve);
  const common = { apiKey: home.key, host: "127.0.0.1", discovery: false, peers: [address] };
  for (const extension of [false, false, true]) {
    const from = serve.events.length;
    const node = await join({ ...common, extension });
    const joined = await event(serve, "peer", "joined", from);
    assert.equal(joined.protocol, extension ? "x1" : "v1");
    await node.close();
    await event(serve, "peer", "left", from);
  }
});

test("serve says so to people, in the line that names the peer", async () => {
  await using home = await Home.make();
  const serve = home.node("node", ["serve", "--port", "0", "--no-discovery"]);
  const common = { apiKey: home.key, host: "127.0.0.1", discovery: false, peers: [await readyText(serve)] };
  const legacy = await join({ ...common, extension: false });
  await serve.waitForText(/peer joined: .*; warning: it speaks version 1 only and has not proven who it is/);
  await legacy.close();
  const proven = await join(common);
  await serve.waitForText(new RegExp(`peer joined: .*${proven.id.slice(0, 8)}.*`));
  await proven.close();
  const lines = serve.stderr.split("\n").filter((line) => line.includes("peer joined"));
  assert.deepEqual(
    lines.map((line) => line.includes("warning")),
    [true, false],
    serve.stderr,
  );
});
