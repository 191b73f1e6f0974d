/** RFC-0002, section 6, as it is written: its commands are run in a shell, beside somebody who has stolen the key. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { type Json, type Process, ROOT } from "../support/process.ts";
import { Home, KEY, ready } from "./support.ts";

const THIEF = "0b0b0b0b-0000-8000-8000-00000000000b";
const SERVE = ["serve", "--json", "--port", "0", "--audit-log", "audit.log"];

/** The steps of the table, and the `asoc …` commands of each. */
async function runbook(): Promise<ReadonlyMap<number, string[]>> {
  const text = await readFile(join(ROOT, "rfcs/RFC-0002-security.md"), "utf8");
  const section = /^### 6\. Runbook[\s\S]*?(?=^### 7\.)/m.exec(text)?.[0] ?? "";
  const steps = new Map<number, string[]>();
  for (const [, step, , command = ""] of section.matchAll(/^\| (\d) \| ([^|]*) \| ([^|]*) \|/gm)) {
    const commands = [...command.matchAll(/`(asoc [^`]*)`/g)].map(([, words = ""]) => words);
    steps.set(Number(step), commands);
  }
  return steps;
}

/** A machine whose key is in its file, with `asoc` in the PATH. */
async function machine(): Promise<Home> {
  const home = await Home.make();
  await mkdir(home.path(".asoc"), { mode: 0o700 });
  await writeFile(home.path(".asoc", "api_key"), `${KEY}\n`, { mode: 0o600 });
  const program = `#!/bin/sh\nexec ${process.execPath} ${join(ROOT, "src/cli/main.ts")} "$@"\n`;
  await writeFile(home.path("asoc"), program, { mode: 0o755 });
  return home;
}

async function shell(home: Home, command: string, env: Record<string, string> = {}): Promise<string> {
  const PATH = `${home.dir}:${process.env.PATH}`;
  const all = { ...home.env({ ASOC_API_KEY: "", ASOC_HOST: "127.0.0.1", ASOC_PORT: "0", ...env }), PATH };
  const { stdout } = await promisify(execFile)("sh", ["-c", command], { cwd: home.dir, env: all });
  return stdout;
}

const lines = (text: string) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Json);
const joined = (node: Process, id: string) =>
  node.waitFor((one) => one.event === "peer" && one.state === "joined" && one.id === id);

test("RFC-0002, the runbook for a compromised key: its commands work, and a thief is out at the end", async () => {
  const steps = await runbook();
  assert.deepEqual([...steps.values()].flat(), [
    "asoc peers --json > peers.json",
    "asoc key list --json > key_ids.json",
    "asoc keygen > new.key && chmod 600 new.key",
    "asoc key add new.key --current",
    "asoc key revoke ID",
    "asoc token",
    "asoc certs",
  ]);
  const [look = "", ids = ""] = steps.get(1) ?? [];
  const [make = ""] = steps.get(3) ?? [];
  const [add = ""] = steps.get(5) ?? [];
  const [revoke = ""] = steps.get(6) ?? [];
  const [token = ""] = steps.get(7) ?? [];

  await using one = await machine();
  await using two = await machine();
  await using evil = await machine();
  const clean = [one, two];
  const keyOnly = { ASOC_API_KEY: "" };
  const first = one.node("node", [...SERVE, "--no-discovery"], keyOnly);
  const { address: firstAt, id: firstId } = await ready(first);
  const second = two.node("node", [...SERVE, "--peers", firstAt], keyOnly);
  const { address: secondAt, id: secondId } = await ready(second);
  const both = ["--peers", `${firstAt},${secondAt}`];
  const thief = evil.node("node", [...SERVE, ...both, "--node-id", THIEF], { ASOC_API_KEY: KEY });
  const { address: thiefAt } = await ready(thief);
  for (const node of [first, second]) await joined(node, THIEF);
  await joined(first, secondId);

  // A last key is not revoked, so nothing can be shut out before there is another.
  const everybody = { ASOC_PEERS: [firstAt, secondAt, thiefAt].join() };
  await shell(one, look, everybody);
  const seen = lines(await readFile(one.path("peers.json"), "utf8"));
  assert.deepEqual(seen.map(({ id }) => id).sort(), [firstId, secondId, THIEF].sort());
  assert.ok(seen.every(({ protocol }) => protocol === "x1"));
  await shell(one, ids);
  const kept = await readFile(one.path("key_ids.json"), "utf8");
  assert.ok(!kept.includes(KEY));
  const stolen = String(lines(kept)[0]?.id);
  await assert.rejects(shell(one, revoke.replace("ID", stolen)), /no other key could sign/);

  await shell(one, make);
  assert.equal((await stat(one.path("new.key"))).mode & 0o777, 0o600);
  await copyFile(one.path("new.key"), two.path("new.key"));
  await chmod(two.path("new.key"), 0o600);
  for (const home of clean) {
    await shell(home, add);
    assert.match(await shell(home, "asoc key list"), /current .*\(signs\)/);
  }
  for (const home of clean) await shell(home, revoke.replace("ID", stolen));
  for (const node of [first, second])
    await node.waitFor((event) => event.event === "peer" && event.state === "left" && event.id === THIEF);

  const now = lines(await shell(one, "asoc peers --json --timeout 3", everybody));
  assert.deepEqual(now.map(({ id }) => id).sort(), [firstId, secondId].sort());
  assert.match(await shell(one, token), /^asoc_/);
  const audit = lines(await readFile(one.path("audit.log"), "utf8"));
  const came = audit.find(({ what, who }) => what === "handshake.accepted" && (who as Json).nodeId === THIEF);
  assert.match(String(came?.where), /^127\.0\.0\.1:/);
  assert.ok(audit.some(({ what }) => String(what).startsWith("key.")));
});
