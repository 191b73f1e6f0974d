import assert from "node:assert/strict";
import { chmod } from "node:fs/promises";
import { test } from "node:test";
import { accessText, parseAccess, readAccess } from "../../src/cli/access_file.ts";
import { Home } from "./support.ts";

const RULES = {
  default: "deny",
  rules: [
    { name: "gpu1", match: { nodeId: "0a0a0a0a-0000-8000-8000-00000000000a" }, maySend: ["kv/**"] },
    { match: { address: "10.0.0.0/8" }, quota: { bytesPerHour: 1e9, memoryBytes: 1e8 } },
  ],
};

test("readAccess() reads rules, and accessText() says which of them are advice", async () => {
  await using home = await Home.make();
  const file = await home.file("access.json", JSON.stringify(RULES));
  const access = await readAccess(file);
  assert.deepEqual(access, RULES);
  assert.match(accessText(access), /^2 rules, default deny; advisory, since .* claim a uuid: gpu1$/);
});

test("parseAccess() names what is wrong and where: a word that is none, a value, an address", () => {
  const rows: [string, RegExp][] = [
    ["{", /expected JSON/],
    ["[]", /expected object|the file/i],
    ['{"defualt":"deny"}', /defualt/],
    ['{"rules":[{"mayconnect":false}]}', /rules\.0: .*mayconnect/],
    ['{"rules":[{"quota":{"bytesPerHour":-1}}]}', /rules\.0\.quota\.bytesPerHour/],
    ['{"rules":[{"match":{"address":"10.0.0.1/8"}}]}', /rules\[0\]\.match\.address/],
    ['{"default":"maybe"}', /default/],
  ];
  for (const [text, expected] of rows) assert.throws(() => parseAccess(text), expected, text);
});

test("readAccess() refuses a file that everybody can write, and one that is not there", async () => {
  await using home = await Home.make();
  const file = await home.file("access.json", "{}");
  await chmod(file, 0o666);
  await assert.rejects(readAccess(file), /everybody can write to it/);
  await assert.rejects(readAccess(home.path("none.json")), /--access: cannot use .*no such file/);
});

test("asoc access lists rules with what they are worth, says what a peer may, and ends with 2 for rules that cannot be", async () => {
  await using home = await Home.make();
  await home.file("access.json", JSON.stringify(RULES));
  const list = home.asoc("node", ["access", "access.json"]);
  assert.equal(await list.exitWithin(), 0, list.stderr);
  assert.match(
    list.stdout,
    /^1\. gpu1: advisory: any holder .*\n2\. rule 2: worth as much as the network\notherwise: deny\n$/,
  );
  const flags = [
    "--address",
    "192.0.2.1",
    "--node-id",
    "0A0A0A0A-0000-8000-8000-00000000000a",
    "--topic",
    "kv/1",
  ];
  const peer = home.asoc("node", ["access", "access.json", "--json", ...flags]);
  assert.equal(await peer.exitWithin(), 0, peer.stderr);
  const { rule, binding, connect, send } = peer.events[0] ?? {};
  assert.deepEqual([rule, binding, connect, send], ["gpu1", "advisory", true, true]);
  const stranger = home.asoc("node", ["access", "access.json", "--address", "192.0.2.1"]);
  assert.equal(await stranger.exitWithin(), 0);
  assert.match(
    stranger.stdout,
    /^no rule fits: may not connect, may not send, may not receive, may not tap\n$/,
  );
  await home.file("wrong.json", '{"rules":[{"match":{"address":"10.0.0.1/8"}}]}');
  const wrong = home.asoc("node", ["access", "wrong.json"]);
  assert.equal(await wrong.exitWithin(), 2);
  assert.match(wrong.stderr, /rules\[0\]\.match\.address\[0\].*bits set behind its prefix/);
});

test("--audit-log - writes events to standard output: JSON lines, and with --json as events", async () => {
  await using home = await Home.make();
  const flags = ["serve", "--port", "0", "--no-discovery", "--audit-log", "-"];
  const [plain, json] = [home.node("node", flags), home.node("node", [...flags, "--json"])];
  await plain.waitForText(/^\{"time":"[^"]+","what":"node\.started","outcome":"noted"/m);
  await json.waitFor((one) => one.event === "audit" && one.what === "node.started");
});
