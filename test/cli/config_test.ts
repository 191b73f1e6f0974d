import assert from "node:assert/strict";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { COMMON_FLAGS, JOIN_FLAGS, readArgs } from "../../src/cli/args.ts";
import { nodeSettings } from "../../src/cli/config.ts";
import { loadIdentity } from "../../src/cli/identity.ts";
import { loadKey } from "../../src/cli/key.ts";
import { parseTargets, withTargets } from "../../src/cli/targets.ts";
import { VERSION } from "../../src/version.ts";
import { ROOT } from "../support/process.ts";
import { Home, KEY } from "./support.ts";

const FLAGS = {
  ...JOIN_FLAGS,
  ...COMMON_FLAGS,
  to: { value: "PEER", multiple: true, help: "" },
  out: { value: "DIR", help: "" },
};
const args = (...words: string[]) => readArgs("send", FLAGS, words);
const settings = (words: string[], env: Record<string, string> = {}) =>
  nodeSettings(args(...words), { ASOC_API_KEY: KEY, ...env }, 9000);
const text = (key: Uint8Array) => new TextDecoder().decode(key);

test("VERSION is that of package.json", async () => {
  assert.equal(VERSION, JSON.parse(await readFile(`${ROOT}/package.json`, "utf8")).version);
});

test("readArgs() reads flags, switches, repetitions and -", () => {
  const read = args("a", "--to", "x", "-", "--to=y", "--json", "--out", "-", "--", "--to");
  assert.deepEqual(read.positionals, ["a", "-", "--to"]);
  assert.deepEqual(read.list("to"), ["x", "y"]);
  assert.equal(read.text("out"), "-");
  assert.ok(read.has("json") && !read.has("discovery"));
});

test("readArgs() names the flag that is wrong, and what it wants", () => {
  assert.throws(() => args("--prot", "1"), /^CliError: --prot: unknown flag; see asoc send --help$/);
  assert.throws(() => args("-x"), /-x: unknown flag/);
  assert.throws(() => args("--__proto__"), /unknown flag/);
  assert.throws(() => args("--port"), /--port: expected PORT, got nothing/);
  assert.throws(() => args("--port", "--json"), /--port: expected PORT, got --json/);
  assert.throws(() => args("--port", "1", "--port", "2"), /--port: was given twice/);
  assert.throws(() => args("--json=1"), /--json: takes no value, got "1"/);
  assert.throws(
    () => args("--api-key", KEY),
    (error: Error) => /ASOC_API_KEY/.test(error.message) && !error.message.includes(KEY),
  );
});

test("nodeSettings() takes flags before variables before defaults", async () => {
  const env = {
    ASOC_COMMUNITY: "e",
    ASOC_HOST: "127.0.0.2",
    ASOC_PORT: "19201",
    ASOC_DISCOVERY_PORT: "19101",
    ASOC_PEERS: "a:1",
  };
  const byFlags = await settings(
    [
      "--community",
      "f",
      "--host",
      "127.0.0.3",
      "--port",
      "0",
      "--discovery-port",
      "19102",
      "--peers",
      "b:2, [::1]:3",
    ],
    env,
  );
  assert.deepEqual(
    [byFlags.community, byFlags.host, byFlags.port, byFlags.discoveryPort],
    ["f", "127.0.0.3", 0, 19_102],
  );
  assert.deepEqual(byFlags.peers, [
    { host: "b", port: 2 },
    { host: "::1", port: 3 },
  ]);
  const byEnv = await settings([], env);
  assert.deepEqual(
    [byEnv.community, byEnv.host, byEnv.port, byEnv.discoveryPort],
    ["e", "127.0.0.2", 19_201, 19_101],
  );
  assert.deepEqual(byEnv.peers, [{ host: "a", port: 1 }]);
  const byDefault = await settings([], { ASOC_PORT: "", ASOC_HOST: "" });
  assert.deepEqual(
    [byDefault.community, byDefault.host, byDefault.port, byDefault.discoveryPort],
    ["default", "0.0.0.0", 9000, 9999],
  );
});

test("nodeSettings() says which flag or variable is wrong, what it wants and what it got", async () => {
  const rejects = (words: string[], env: Record<string, string>, message: RegExp) =>
    assert.rejects(settings(words, env), message);
  await rejects(["--port", "70000"], {}, /--port: expected a whole number from 0 to 65535, got "70000"/);
  await rejects(["--port=-1"], {}, /--port: expected .*, got "-1"/);
  await rejects([], { ASOC_PORT: "http" }, /ASOC_PORT: expected a whole number from 0 to 65535, got "http"/);
  await rejects(
    [],
    { ASOC_DISCOVERY_PORT: "0" },
    /ASOC_DISCOVERY_PORT: expected a whole number from 1 to 65535, got "0"/,
  );
  await rejects([], { ASOC_PEERS: "a:1,b" }, /ASOC_PEERS: expected HOST:PORT, got "b"/);
  await rejects(["--peers", "a:0"], {}, /--peers: expected HOST:PORT, got "a:0"/);
  await rejects(["--peers", ","], {}, /--peers: expected HOST:PORT,..., got ","/);
  await rejects(["--host", "a b"], {}, /--host: expected an IP address or a host name/);
  await rejects(
    ["--community", "a\nb"],
    {},
    /--community: expected a name of 1 to 255 characters, got "a\\nb"/,
  );
  await rejects(["--node-id", "12"], {}, /--node-id: expected a UUID, got "12"/);
  await rejects(
    ["--name", "a", "--node-id", "0".repeat(32)],
    {},
    /--name: cannot be given together with --node-id/,
  );
  await rejects(["--discovery", "--no-discovery"], {}, /--discovery: cannot be given together/);
  await rejects(
    ["--peers-file", "/nowhere"],
    {},
    /--peers-file: expected a readable file, got \/nowhere \(there is no such file\)/,
  );
});

test("nodeSettings() turns discovery off with static peers, unless asked for", async () => {
  const modes = [
    [[], true],
    [["--no-discovery"], false],
    [["--peers", "a:1"], false],
    [["--peers", "a:1", "--discovery"], true],
  ] as const;
  for (const [words, discovery] of modes)
    assert.equal((await settings([...words])).discovery, discovery, words.join(" "));
  assert.equal((await settings([], { ASOC_PEERS: "a:1" })).discovery, false);
});

test("nodeSettings() adds --peers and --peers-file up", async () => {
  await using home = await Home.make();
  const file = await home.file("peers", "# the lab\n10.0.0.1:9000  # first\n\n  10.0.0.2:9001\r\n");
  const { peers } = await settings(["--peers", "a:1", "--peers-file", file, "--peers", "b:2"], {
    ASOC_PEERS: "ignored:1",
  });
  assert.deepEqual(
    peers.map(({ host, port }) => `${host}:${port}`),
    ["a:1", "b:2", "10.0.0.1:9000", "10.0.0.2:9001"],
  );
  await home.file("peers", "a:1\nb\n");
  await assert.rejects(
    settings(["--peers-file", file]),
    new RegExp(`--peers-file ${file} line 2: expected HOST:PORT, got "b"`),
  );
  await home.file("peers", "# nobody yet\n");
  assert.equal((await settings(["--peers-file", file])).discovery, false);
});

test("loadKey() takes the flag, then ASOC_API_KEY, then ASOC_API_KEY_FILE, then the home directory", async () => {
  await using home = await Home.make();
  await mkdir(home.path(".asoc"));
  await writeFile(home.path(".asoc", "api_key"), `home${KEY}\n`, { mode: 0o600 });
  const flag = await home.file("flag", `flag${KEY}\r\n`);
  const variable = await home.file("variable", `file${KEY}\n\n`);
  await chmod(flag, 0o600);
  await chmod(variable, 0o640);
  const env = { HOME: home.dir, ASOC_API_KEY: `env${KEY}`, ASOC_API_KEY_FILE: variable };
  assert.equal(text((await loadKey(flag, env)).key), `flag${KEY}`);
  assert.equal(text((await loadKey(undefined, env)).key), `env${KEY}`);
  assert.equal(
    text((await loadKey(undefined, { ...env, ASOC_API_KEY: "" })).key),
    `file${KEY}\n`,
    "one newline is dropped",
  );
  const last = await loadKey(undefined, { HOME: home.dir });
  assert.equal(text(last.key), `home${KEY}`);
  assert.deepEqual(last.warnings, []);
});

test("loadKey() refuses a key in the home directory that others can get at", async () => {
  await using home = await Home.make();
  await mkdir(home.path(".asoc"));
  const file = home.path(".asoc", "api_key");
  await writeFile(file, KEY);
  for (const mode of [0o644, 0o640, 0o604, 0o620, 0o601]) {
    await chmod(file, mode);
    await assert.rejects(
      loadKey(undefined, { HOME: home.dir }),
      new RegExp(`refused.*mode 600, got ${mode.toString(8)}. Run: chmod 600`),
    );
  }
  await chmod(file, 0o400);
  assert.equal(text((await loadKey(undefined, { HOME: home.dir })).key), KEY);
});

test("loadKey() without a key names asoc keygen; a bad file is named", async () => {
  await using home = await Home.make();
  const env = { HOME: home.dir };
  await assert.rejects(loadKey(undefined, env), /No key: expected --api-key-file, ASOC_API_KEY.*asoc keygen/);
  await assert.rejects(loadKey("/nowhere", env), /--api-key-file: expected a readable file, got \/nowhere/);
  await assert.rejects(
    loadKey(undefined, { ...env, ASOC_API_KEY_FILE: home.dir }),
    /ASOC_API_KEY_FILE: .*it is a directory/,
  );
  await assert.rejects(loadKey(await home.file("empty", "\n"), env), /expected a key, got an empty file/);
});

test("loadKey() warns of a weak key without showing it, and of a named file that others can get at", async () => {
  const { warnings } = await loadKey(undefined, { ASOC_API_KEY: "swordfish" });
  assert.match(warnings.join(), /the key of ASOC_API_KEY looks weak \(about \d+ bits/);
  assert.ok(!warnings.join().includes("swordfish"));
  await using home = await Home.make();
  const file = await home.file("key", KEY);
  for (const mode of [0o644, 0o640, 0o604, 0o660, 0o601]) {
    await chmod(file, mode);
    for (const loaded of [await loadKey(file, {}), await loadKey(undefined, { ASOC_API_KEY_FILE: file })])
      assert.match(
        loaded.warnings.join(),
        new RegExp(`others can get at the key in .*mode ${mode.toString(8)}: chmod 600`),
      );
  }
  await chmod(file, 0o400);
  assert.deepEqual((await loadKey(file, {})).warnings, []);
});

test("loadIdentity() warns when the kept id does not carry the name, and refuses what is no id", async () => {
  await using home = await Home.make();
  const kept = "0123456789ab4cdef0123456789abcde";
  await home.file("node_id", `${kept}\n`);
  const words = ["--state-dir", home.dir];
  const plain = await loadIdentity(await settings(words));
  assert.deepEqual([plain.nodeId, plain.warnings], [kept, []]);
  const named = await loadIdentity(await settings([...words, "--name", "gpu1"]));
  assert.deepEqual([named.nodeId, named.name], [kept, undefined]);
  assert.match(named.warnings.join(), /does not carry the name "gpu1"/);
  await home.file("node_id", "nonsense");
  await assert.rejects(
    settings(words).then(loadIdentity),
    /--state-dir: expected a UUID in .*node_id, got "nonsense"/,
  );
});

test("parseTargets() and withTargets() add addresses as static peers and drop discovery where nobody needs it", async () => {
  assert.throws(() => parseTargets([]), /--to: expected a node id/);
  const wanted = parseTargets(["all", "gpu1", "3f2a", "127.0.0.1:9000"]);
  assert.deepEqual(wanted, {
    all: true,
    names: ["gpu1", "3f2a"],
    addresses: [{ host: "127.0.0.1", port: 9000 }],
  });
  const discovery = async (to: string[], words: string[]) =>
    withTargets(await settings(words), parseTargets(to)).discovery;
  assert.equal(await discovery(["h:1"], []), false);
  assert.equal(await discovery(["h:1"], ["--discovery"]), true);
  assert.equal(await discovery(["h:1", "gpu1"], []), true);
  assert.equal(await discovery(["gpu1"], ["--peers", "h:1"]), false);
  assert.equal(withTargets(await settings(["--peers", "h:1"]), parseTargets(["i:2"])).peers.length, 2);
});
