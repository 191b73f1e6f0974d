import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdir, rename, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { drop, hold, removeOld, takeOver } from "../../src/cli/claims.ts";
import { Home } from "./support.ts";

/** A number that no process has any more. */
function deadPid(): number {
  return Number(execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }));
}

/** What a process left that was killed while it held `path`. */
async function abandoned(path: string): Promise<string> {
  const left = path.replace(/\.\d+-/, `.${deadPid()}-`);
  await rename(path, left);
  return left;
}

test("takeOver() finds what nobody holds, once, and nothing of another stem", async () => {
  await using home = await Home.make();
  assert.deepEqual(await takeOver(home.dir, "a"), { kind: "none" });
  const left = await abandoned(await hold(home.dir, "a", "content"));
  assert.equal((await stat(left)).mode & 0o777, 0o600);
  assert.deepEqual(await takeOver(home.dir, "b"), { kind: "none" });
  const both = await Promise.all([takeOver(home.dir, "a"), takeOver(home.dir, "a")]);
  assert.equal(both.filter(({ kind }) => kind === "taken").length, 1, JSON.stringify(both));
  assert.equal((await readdir(home.dir)).length, 1);
});

test("takeOver() leaves what a process holds, this one or another", async () => {
  await using home = await Home.make();
  const path = await hold(home.dir, "a", "");
  assert.deepEqual(await takeOver(home.dir, "a"), { kind: "held", pid: process.pid });
  await rename(path, path.replace(`.${process.pid}-`, `.${process.ppid}-`));
  assert.deepEqual(await takeOver(home.dir, "a"), { kind: "held", pid: process.ppid });
});

test("takeOver() takes what an earlier process with this one's number has left, or one before the machine was started", async () => {
  await using home = await Home.make();
  const path = await hold(home.dir, "a", "");
  const earlier = path.replace(/[0-9a-f]{16}$/, "0123456789abcdef");
  await rename(path, earlier);
  assert.equal((await takeOver(home.dir, "a")).kind, "taken");

  const other = await hold(home.dir, "b", "");
  const old = other.replace(`.${process.pid}-`, `.${process.ppid}-`);
  await rename(other, old);
  await utimes(old, 1, 1);
  assert.equal((await takeOver(home.dir, "b")).kind, "taken");
});

test("drop() and removeOld() remove what is not needed, and nothing else", async () => {
  await using home = await Home.make();
  await home.file("notes.txt", "");
  await utimes(home.path("notes.txt"), 1, 1);
  await drop(await hold(home.dir, "a", ""));
  const old = await abandoned(await hold(home.dir, "b", ""));
  await utimes(old, 1, 1);
  await abandoned(await hold(home.dir, "c", ""));
  const held = await hold(home.dir, "d", "");
  await utimes(held, 1, 1);
  await removeOld(home.dir, 60_000);
  const names = (await readdir(home.dir)).map((name) => join(home.dir, name));
  assert.equal(names.length, 3, names.join());
  assert.ok(names.includes(held) && names.includes(home.path("notes.txt")) && !names.includes(old));
});
