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
