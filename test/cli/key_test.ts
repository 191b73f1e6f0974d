/** `asoc key`, the file of a key ring, and keys that are read again while a node runs (RFC-0102). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { readArgs } from "../../src/cli/args.ts";
import { exitCodeOf } from "../../src/cli/exit_codes.ts";
import { flagsOf } from "../../src/cli/help.ts";
import { loadKey } from "../../src/cli/key.ts";
import { keyCommand } from "../../src/cli/key_command.ts";
import { Output } from "../../src/cli/output.ts";
import { readRing } from "../../src/cli/ring_file.ts";
import { mergeRings, RingStore } from "../../src/cli/ring_store.ts";
import { type KeyOptions, type KeyRing, openKeyRing } from "../../src/mod.ts";
import { type Json, type Process, ROOT, RUNTIMES, type RuntimeName } from "../support/process.ts";
import { event, Home, KEY, ready } from "./support.ts";

const { derivedKeys } = JSON.parse(readFileSync(join(ROOT, "test/vectors/x1.json"), "utf8")) as {
  derivedKeys: { masterKey: string; cluster: string; key: string }[];
};
const OTHER = KEY.replaceAll("a", "b");
const NO_VARIABLE = { ASOC_API_KEY: "" };

/** A home whose key is in the file, and not in the environment. */
async function homeWith(key = KEY): Promise<Home> {
  const home = await Home.make();
  await mkdir(home.path(".asoc"), { mode: 0o700 });
  await writeFile(home.path(".asoc", "api_key"), `${key}\n`, { mode: 0o600 });
  return home;
}

const ringFile = (home: Home) => home.path(".asoc", "keys.json");
const ringOf = async (home: Home) => (await readRing(ringFile(home)))?.keys ?? [];

/** `asoc key` in this process: its lines on standard output, its events, and what it ended with. */
async function key(home: Home, ...words: string[]) {
  const json = words.includes("--json");
  let stdout = "";
  let stderr = "";
  const output = new Output(
    json,
    { write: (text) => (stdout += text) },
    { write: (text) => (stderr += text) },
  );
  let code: number;
  try {
    const args = readArgs("key", flagsOf(keyCommand), words);
    code = await keyCommand.run({ args, env: { HOME: home.dir }, output });
  } catch (error) {
    code = exitCodeOf(error);
    output.error(error);
  }
  const events = stdout
    .split("\n")
    .flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as Json] : []));
  return { code, stdout, stderr, events };
}

async function putRing(home: Home, keys: readonly KeyOptions[]): Promise<void> {
  const store = await RingStore.open(ringFile(home), [], undefined);
  await store.save((await openKeyRing(keys)).snapshot());
}

test("asoc key makes a ring of the one key, adds to it, and never shows a key", async () => {
  await using home = await homeWith();
  const first = await key(home, "list", "--json");
  assert.equal(first.events[0]?.state, "current");
  const added = await key(home, "add", await home.file("new", `${OTHER}\n`), "--not-after", "2099-01-01");
  assert.equal(added.code, 0, added.stderr);
  assert.equal((await stat(ringFile(home))).mode & 0o777, 0o600);
  const made = await key(home, "add", "--current");
  const list = await key(home, "list");
  const ids = (await ringOf(home)).map(({ id, state }) => [id, state]);
  assert.deepEqual(
    ids.map(([, state]) => state),
    ["current", "accepted", "accepted"],
  );
  assert.match(list.stdout, /^ID +STATE +EPOCH +FROM +UNTIL\n(\S+) +current +1 +\(signs\)\n/);
  assert.match(list.stdout, / accepted +0 +2099-01-01T00:00:00$/m);
  const keys = (await ringOf(home)).map(({ key }) => String(key));
  for (const { stdout, stderr } of [first, added, made, list])
    for (const key of [KEY, OTHER, ...keys]) assert.ok(!(stdout + stderr).includes(key), "a key was shown");
  const [, second] = ids;
  assert.equal((await key(home, "use", String(second?.[0]))).code, 0);
  assert.equal((await key(home, "revoke", String(ids[0]?.[0]))).code, 0);
  const after = await ringOf(home);
  assert.equal(after.find(({ state }) => state === "current")?.id, second?.[0]);
  assert.equal(after.find(({ state }) => state === "revoked")?.key, undefined, "its bytes are gone");
  assert.deepEqual(
    (await readdir(home.path(".asoc"))).sort(),
    ["api_key", "keys.json"],
    "locks or temporary files are left",
  );
});

test("asoc key says what is wrong with its words", async () => {
  await using home = await homeWith();
  for (const [words, message] of [
    [[], /expected list, add, use, revoke, derive, rotate; got nothing/],
    [["turn"], /got turn/],
    [["revoke"], /expected the id of a key, 8 hexadecimal digits/],
    [["revoke", "0a1b2c3d"], /no key has the id "0a1b2c3d"/],
    [["derive"], /expected --cluster NAME/],
    [["rotate", "--grace", "soon"], /--grace: expected a time such as 90s, 15m, 24h or 7d/],
  ] as const) {
    const process = await key(home, ...words);
    assert.equal(process.code, 2, process.stderr);
    assert.match(process.stderr, message);
  }
  const last = await key(home, "revoke", String((await key(home, "list", "--json")).events[0]?.id));
  assert.match(last.stderr, /no other key could sign; add one first/);
});

test("asoc key derive prints the key of a cluster, the same for everybody", async () => {
  await using home = await homeWith("the master key of these tests, long enough");
  const [vector] = derivedKeys;
  assert.ok(vector);
  await writeFile(home.path(".asoc", "api_key"), vector.masterKey, { mode: 0o600 });
  const derived = await key(home, "derive", "--cluster", vector.cluster);
  assert.equal(derived.stdout, `${vector.key}\n`);
});

test("a ring that cannot serve is refused with its file's name, and without a key", async () => {
  await using home = await homeWith();
  const good = [{ id: "…", key: KEY, state: "current", epoch: 0 }];
  await putRing(home, [{ key: KEY, state: "current" }]);
  const text = await readFile(ringFile(home), "utf8");
  const [one] = (JSON.parse(text) as { keys: Json[] }).keys;
  const put = (value: unknown) =>
    writeFile(ringFile(home), typeof value === "string" ? value : JSON.stringify(value));
  const two = { ...one, id: "11111111" };
  for (const [value, message] of [
    ["{", /expected JSON/],
    [text.slice(0, -20), /expected JSON/],
    [{ version: 2, keys: good }, /at version/],
    [{ version: 1, keys: [{ ...one, extra: 1 }] }, /at keys\.0/],
    [{ version: 1, keys: [{ ...one, state: "best" }] }, /at keys\.0\.state/],
    [{ version: 1, keys: [{ ...one, epoch: -1 }] }, /at keys\.0\.epoch/],
    [{ version: 1, keys: [{ ...one, notAfter: "tomorrow" }] }, /at keys\.0\.notAfter/],
    [{ version: 1, keys: [{ ...one, key: "" }] }, /at keys\.0\.key/],
    [{ version: 1, keys: [two] }, /expected the id/],
    [{ version: 1, keys: [one, one] }, /current, got 2/],
    [{ version: 1, keys: [{ ...one, notAfter: "2001-01-01T00:00:00Z" }] }, /expected a key that holds now/],
    [" ".repeat(70_000), /got a file of 70000 bytes/],
  ] as const) {
    await put(value);
    await assert.rejects(loadKey(undefined, { HOME: home.dir }), (error: Error) => {
      assert.match(error.message, message);
      assert.ok(error.message.includes(ringFile(home)));
      assert.ok(!error.message.includes(KEY.slice(0, 8)));
      return true;
    });
  }
  await put(text);
  for (const mode of [0o640, 0o604, 0o620]) {
    await chmod(ringFile(home), mode);
    await assert.rejects(
      loadKey(undefined, { HOME: home.dir }),
      /expected mode 600, got 6\d\d. Run: chmod 600/,
    );
  }
});

test("loadKey() takes the ring before the one key, and says when that is not in it", async () => {
  await using home = await homeWith();
  const env = { HOME: home.dir };
  const text = (key: Uint8Array) => new TextDecoder().decode(key);
  await putRing(home, [{ key: KEY, state: "current" }]);
  assert.deepEqual((await loadKey(undefined, env)).warnings, []);
  await putRing(home, [{ key: OTHER, state: "current", epoch: 1 }]);
  const { key, keys, warnings } = await loadKey(undefined, env);
  assert.equal(text(key), OTHER);
  assert.equal(keys.length, 2);
  assert.deepEqual(warnings, []);
  assert.equal(text((await loadKey(undefined, { ...env, ASOC_API_KEY: KEY })).key), KEY);
  const named = await home.file("ring.json", await readFile(ringFile(home)));
  await chmod(named, 0o600);
  assert.equal(text((await loadKey(undefined, {}, named)).key), OTHER);
  assert.equal(text((await loadKey(undefined, { ASOC_KEY_RING: named })).key), OTHER);
  await writeFile(home.path(".asoc", "api_key"), `${KEY}x\n`);
  assert.match(
    (await loadKey(undefined, env)).warnings.join(),
    /api_key is not used, because there is .*keys.json/,
  );
});

test("of two that change a ring at once, each change counts", async () => {
  await using home = await homeWith();
  await putRing(home, [{ key: "a", state: "current" }, { key: "b" }]);
  const read = await readRing(ringFile(home));
  assert.ok(read);
  const stores = await Promise.all([1, 2].map(() => RingStore.open(ringFile(home), read.keys, read.text)));
  const rings = await Promise.all([1, 2].map(() => openKeyRing(read.keys)));
  const nowMs = Date.now();
  const [one, other] = rings as [KeyRing, KeyRing];
  one.revoke(one.snapshot()[1]?.id ?? "", nowMs);
  other.add({ key: new TextEncoder().encode("c"), state: "current", epoch: 1 }, nowMs);
  await Promise.all(stores.map((store, index) => store.save(rings[index]?.snapshot() ?? [])));
  const states = (await ringOf(home)).map(({ state, epoch }) => `${state} ${epoch}`);
  assert.deepEqual(states, ["current 1", "accepted 0", "revoked 0"]);
  // Each of them learns what the other has written, whoever was first.
  for (const [index, store] of stores.entries()) {
    const ring = rings[index];
    const changed = await store.changes(ring?.snapshot() ?? []);
    if (changed) ring?.replace((await openKeyRing(changed)).snapshot(), nowMs);
    assert.deepEqual(
      ring?.snapshot().map(({ state, epoch }) => `${state} ${epoch}`),
      states,
    );
    assert.equal(await store.changes(ring?.snapshot() ?? []), undefined);
  }
});

test("mergeRings(): revoked wins, what one side took out stays out, and one key is current", async () => {
  const ring = async (...keys: KeyOptions[]) =>
    new Map((await openKeyRing(keys)).snapshot().map((key) => [key.id, key]));
  const base = await ring({ key: "a", state: "current" }, { key: "b" });
  const ours = await ring({ key: "a" }, { key: "n", state: "current", epoch: 2 });
  const theirs = await ring(
    { key: "a", state: "current" },
    { key: "b" },
    { key: "m", state: "accepted", epoch: 1 },
  );
  const merged = mergeRings(base, ours, theirs);
  assert.deepEqual(merged.map(({ key, state }) => `${new TextDecoder().decode(key)} ${state}`).sort(), [
    "a accepted",
    "m accepted",
    "n current",
  ]);
});

/** `asoc serve` of a home, on loopback. */
function serve(home: Home, runtime: RuntimeName, ...more: string[]): Process {
  const words = ["serve", "--json", "--host", "127.0.0.1", "--port", "0", "--no-discovery", ...more];
  return home.asoc(runtime, words, NO_VARIABLE);
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: a node reads its ring again when it changes and on SIGHUP, and keeps it when the file is broken`, {
    timeout: 60_000,
  }, async () => {
    await using home = await homeWith();
    await using elsewhere = await homeWith();
    await putRing(home, [{ key: KEY, state: "current" }]);
    const node = serve(home, runtime);
    const { address } = await ready(node);
    const peer = serve(elsewhere, runtime, "--peers", address);
    await event(peer, "peer", "joined");
    // Changed: the key is there at once for whoever has it.
    const added = await key(home, "add", await home.file("new", OTHER));
    assert.equal(added.code, 0, added.stderr);
    await node.waitFor((one) => one.event === "keys" && one.state === "reloaded" && one.count === 2);
    await using third = await homeWith(OTHER);
    const newcomer = serve(third, runtime, "--peers", address);
    await event(newcomer, "peer", "joined");
    // Broken: reported, and everything as it was.
    const good = await readFile(ringFile(home));
    await writeFile(`${ringFile(home)}.new`, "{ broken", { mode: 0o600 });
    await rename(`${ringFile(home)}.new`, ringFile(home));
    const broken = await event(node, "keys", "broken");
    assert.match(String(broken.message), /expected JSON/);
    // Asked for: the same, once more.
    const from = node.events.length;
    node.kill("SIGHUP");
    await event(node, "keys", "broken", from);
    await writeFile(ringFile(home), good);
    node.kill("SIGHUP");
    await event(node, "keys", "unchanged", from);
    // Revoked: whoever rests on it is gone.
    const revoked = await key(home, "revoke", String(added.stdout.trim()));
    assert.equal(revoked.code, 0, revoked.stderr);
    const left = await event(newcomer, "peer", "left");
    assert.match(String(left.reason), /key of this connection was revoked/);
    assert.equal(peer.events.filter(({ state }) => state === "left").length, 0, "the other key's peer stays");
  });

  test(`${runtime}: another key in ~/.asoc/api_key is current from then on, and the one before is believed for a day`, {
    timeout: 60_000,
  }, async () => {
    await using home = await homeWith();
    await using elsewhere = await homeWith(OTHER);
    const node = serve(home, runtime);
    const { address } = await ready(node);
    await writeFile(home.path(".asoc", "api_key"), `${OTHER}\n`);
    await event(node, "keys", "reloaded");
    const keys = await ringOf(home);
    assert.deepEqual(
      keys.map(({ state }) => state),
      ["current", "accepted"],
    );
    const leftH = ((keys[1]?.notAfterMs ?? 0) - Date.now()) / 3_600_000;
    assert.ok(leftH > 23 && leftH <= 24, `${leftH} h`);
    const peer = serve(elsewhere, runtime, "--peers", address);
    await event(peer, "peer", "joined");
  });

  test(`${runtime}: asoc key rotate gives three nodes on three runtimes a new key, which they write down`, {
    timeout: 60_000,
  }, async () => {
    await using rotator = await homeWith();
    await using one = await homeWith();
    await using two = await homeWith();
    await using three = await homeWith();
    const homes = [one, two, three];
    const nodes = homes.map((home, index) => serve(home, RUNTIMES[index] as RuntimeName));
    const addresses = await Promise.all(nodes.map(async (node) => (await ready(node)).address));
    const words = ["--host", "127.0.0.1", "--no-discovery", "--peers", addresses.join(), "--json"];
    const dry = rotator.asoc(runtime, ["key", "rotate", "--dry-run", ...words], NO_VARIABLE);
    assert.equal(await dry.exitWithin(60_000), 0, dry.stderr);
    assert.deepEqual(
      dry.events.filter((event) => event.event === "rotated").map(({ result }) => result),
      Array(3).fill("hasKey"),
    );
    const rotation = rotator.asoc(runtime, ["key", "rotate", "--grace", "1h", ...words], NO_VARIABLE);
    assert.equal(await rotation.exitWithin(60_000), 0, rotation.stderr);
    const { switched, keyId, oldKeyId } = await event(rotation, "rotation");
    assert.equal(switched, true);
    assert.deepEqual(
      rotation.events.filter((event) => event.event === "rotated").map(({ result }) => result),
      Array(3).fill("switched"),
    );
    for (const [index, node] of nodes.entries()) {
      await node.waitFor(
        (event) => event.event === "key" && event.change === "current" && event.keyId === keyId,
      );
      const keys = await ringOf(homes[index] as Home);
      assert.deepEqual(
        keys.map(({ id, state }) => `${id} ${state}`),
        [`${keyId} current`, `${oldKeyId} accepted`],
      );
    }
    const all = [...nodes, rotation, dry].map(({ stdout, stderr }) => stdout + stderr).join();
    for (const { key } of [...(await ringOf(rotator)), ...(await ringOf(one))])
      assert.ok(!all.includes(String(key)), "a key was shown");
  });
}

test("asoc key rotate says who cannot follow, changes nothing then, and leaves them behind with --yes", async () => {
  await using rotator = await homeWith();
  await using other = await Home.make();
  const words = ["serve", "--json", "--host", "127.0.0.1", "--port", "0", "--no-discovery"];
  const node = other.asoc("node", words, { ASOC_API_KEY: KEY });
  const { address } = await ready(node);
  const away = ["--peers", `${address},127.0.0.1:9`, "--host", "127.0.0.1", "--no-discovery", "--wait", "3s"];
  const stopped = rotator.asoc("node", ["key", "rotate", ...away], NO_VARIABLE);
  assert.equal(await stopped.exitWithin(60_000), 1, stopped.stderr);
  assert.match(stopped.stderr, /Nothing was changed: 0 peers cannot follow, and 1 were not found/);
  const rotated = rotator.asoc("node", ["key", "rotate", "--yes", ...away], NO_VARIABLE);
  assert.equal(await rotated.exitWithin(60_000), 0, rotated.stderr);
  assert.match(rotated.stdout, /switched\nkey \S+ signs; \S+ is believed until /);
  // It has no file to write to, and says so.
  const told = await node.waitFor((one) => one.event === "key" && one.change === "current");
  assert.equal(told.kept, false);
});

test("a key that ends soon, and a current one that does not hold, are warned of", async () => {
  await using home = await homeWith();
  const soon = Date.now() + 24 * 3_600_000;
  await putRing(home, [{ key: KEY, state: "current", notAfterMs: soon }]);
  const { warnings } = await loadKey(undefined, { HOME: home.dir });
  assert.match(
    warnings.join(),
    /the key that signs, [0-9a-f]{8}, ends \d{4}-.*; asoc key rotate makes another/,
  );
  await using other = await homeWith();
  await putRing(other, [
    { key: KEY, state: "current", notBeforeMs: soon },
    { key: OTHER, epoch: 1 },
  ]);
  const loaded = await loadKey(undefined, { HOME: other.dir });
  assert.equal(new TextDecoder().decode(loaded.key), OTHER);
  assert.match(loaded.warnings.join(), /no current key holds now; [0-9a-f]{8} signs in its place/);
});

test("README.md: what it says of a stolen key works", async () => {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const block =
    /After a theft[\s\S]*?^```\n([\s\S]*?)^```/m.exec(readme.slice(readme.indexOf("After a theft")))?.[1] ??
    "";
  const lines = block
    .trim()
    .split("\n")
    .map((text) => text.replace(/#.*/, "").trim().split(/\s+/));
  assert.deepEqual(
    lines.map((words) => words.slice(0, 3).join(" ")),
    ["asoc keygen >", "asoc key add", "asoc key list", "asoc key use", "asoc key revoke"],
  );
  await using home = await homeWith();
  const file = await home.file("new.key", `${OTHER}\n`);
  let fresh = "";
  const stolen = String((await key(home, "list", "--json")).events[0]?.id);
  for (const [, , action = "", word] of lines.slice(1)) {
    const ids: Record<string, string> = { add: file, use: fresh, revoke: stolen };
    const { code, stdout, stderr } = await key(home, action, ...(word ? [ids[action] ?? ""] : []));
    assert.equal(code, 0, stderr);
    if (action === "add") fresh = stdout.trim();
  }
  assert.deepEqual(
    (await ringOf(home)).map(({ id, state }) => [id, state]),
    [
      [fresh, "current"],
      [stolen, "revoked"],
    ],
  );
});
