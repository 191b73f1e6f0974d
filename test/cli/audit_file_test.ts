/** The audit log as a file: rotation, deletion, a disk that is full. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AuditFile, type AuditFileOptions } from "../../src/cli/audit_file.ts";
import { auditLine } from "../../src/cli/audit_line.ts";
import type { AuditEvent } from "../../src/mod.ts";

const event = (number: number, text = "x".repeat(50)): AuditEvent => ({
  timeMs: 1_750_000_000_000 + number,
  what: "handshake.refused",
  outcome: "refused",
  reason: "ASOC_WRONG_KEY",
  where: "192.0.2.1:4000",
  facts: { number, text },
});

class Log implements AsyncDisposable {
  readonly dir: string;
  readonly reports: string[] = [];
  private constructor(dir: string) {
    this.dir = dir;
  }
  static async make(): Promise<Log> {
    return new Log(await mkdtemp(join(tmpdir(), "asoc-audit-")));
  }
  get path(): string {
    return join(this.dir, "audit.log");
  }
  open(options: AuditFileOptions = {}, path = this.path): Promise<AuditFile> {
    return AuditFile.open(path, (text) => this.reports.push(text), options);
  }
  async numbers(path = this.path): Promise<number[]> {
    const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line !== "");
    return lines.map((line) => (JSON.parse(line) as { facts: { number: number } }).facts?.number ?? -1);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}

const until = async (holds: () => Promise<boolean> | boolean) => {
  for (let tries = 0; tries < 500; tries++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail("it did not come to that in 5 s");
};

test("AuditFile writes a line for each event, in order, to a file that only its owner can read", async () => {
  await using log = await Log.make();
  const file = await log.open();
  for (let number = 0; number < 1000; number++) file.write(event(number));
  await file.close();
  assert.deepEqual(
    await log.numbers(),
    Array.from({ length: 1000 }, (_, number) => number),
  );
  assert.equal((await stat(log.path)).mode & 0o777, 0o600);
  const again = await log.open();
  again.write(event(1000));
  await again.close();
  assert.equal((await log.numbers()).length, 1001, "it did not append");
  assert.deepEqual(log.reports, []);
});

test("AuditFile begins a new file at its size, keeps so many, and loses none of the newest", async () => {
  await using log = await Log.make();
  const file = await log.open({ maxBytes: 2000, maxFiles: 3 });
  for (let number = 0; number < 100; number++) {
    file.write(event(number));
    // Between two files there is none for a moment.
    if (number % 5 === 0)
      await until(async () => (await log.numbers().catch((): number[] => [])).includes(number));
  }
  await file.close();
  assert.deepEqual((await readdir(log.dir)).sort(), ["audit.log", "audit.log.1", "audit.log.2"]);
  const kept: number[] = [];
  for (const name of ["audit.log.2", "audit.log.1", "audit.log"]) {
    const { size, mode } = await stat(join(log.dir, name));
    assert.ok(size <= 2000, `${name} has ${size} bytes`);
    assert.equal(mode & 0o777, 0o600);
    kept.push(...(await log.numbers(join(log.dir, name))));
  }
  assert.deepEqual(
    kept,
    Array.from({ length: kept.length }, (_, at) => 100 - kept.length + at),
  );
});

test("AuditFile begins a new file when its own was deleted or moved away", async () => {
  await using log = await Log.make();
  const file = await log.open();
  file.write(event(1));
  await until(async () => (await log.numbers()).length === 1);
  await rm(log.path);
  file.write(event(2));
  await until(async () => (await log.numbers().catch(() => [])).length === 1);
  await rename(log.path, `${log.path}.moved`);
  file.write(event(3));
  await file.close();
  assert.deepEqual(await log.numbers(`${log.path}.moved`), [2]);
  assert.deepEqual(await log.numbers(), [3]);
  assert.deepEqual(log.reports, []);
});

test("AuditFile says once that it cannot write, keeps a bounded number of events, and tells what it lost", async () => {
  await using log = await Log.make();
  const file = await log.open({ retryMs: 20 });
  file.write(event(0));
  await until(async () => (await log.numbers()).length === 1);
  // A directory in its place: nothing can be opened there, whoever one is.
  await rename(log.path, `${log.path}.moved`);
  execFileSync("mkdir", [log.path]);
  for (let number = 1; number <= 5000; number++) file.write(event(number));
  await until(() => log.reports.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(log.reports.length, 1, "it is said again and again");
  assert.match(log.reports[0] ?? "", /cannot write the audit log .*The node goes on/);
  await rm(log.path, { recursive: true });
  await until(() => log.reports.length > 1);
  await file.close();
  assert.match(log.reports[1] ?? "", /is written again; 904 events were lost/);
  const numbers = await log.numbers();
  assert.deepEqual(
    numbers.slice(0, 4096),
    Array.from({ length: 4096 }, (_, at) => at + 1),
  );
  const last = JSON.parse((await readFile(log.path, "utf8")).trim().split("\n").at(-1) ?? "");
  assert.deepEqual([last.what, last.more], ["audit.lost", 904]);
});

const isRoot = process.platform === "linux" && process.getuid?.() === 0;
test("AuditFile on a disk that is full goes on in whole lines when there is room again", {
  skip: isRoot ? false : "mounting a small disk wants root",
}, async (t) => {
  await using log = await Log.make();
  const disk = join(log.dir, "disk");
  execFileSync("mkdir", [disk]);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "asoc-test", disk], { stdio: "ignore" });
  } catch {
    t.skip("mounting is not allowed here");
    return;
  }
  try {
    const path = join(disk, "audit.log");
    const ballast = join(disk, "ballast");
    await writeFile(ballast, new Uint8Array(40_000));
    const file = await log.open({ retryMs: 20 }, path);
    for (let number = 0; number < 300; number++) file.write(event(number));
    await until(() => log.reports.length > 0);
    assert.match(log.reports[0] ?? "", /no space left/);
    await rm(ballast);
    await until(() => log.reports.length > 1);
    await file.close();
    const lines = (await readFile(path, "utf8")).split("\n");
    const whole = new Set<number>();
    let torn = 0;
    for (const line of lines) {
      if (line === "") continue;
      try {
        whole.add((JSON.parse(line) as { facts: { number: number } }).facts.number);
      } catch {
        torn++;
      }
    }
    assert.ok(torn <= 1, `${torn} torn lines`);
    assert.equal(whole.size, 300);
  } finally {
    execFileSync("umount", [disk]);
  }
});

test("AuditFile.open() says that others can read a file that is there, and lets its mode be", async () => {
  await using log = await Log.make();
  await writeFile(log.path, "");
  await chmod(log.path, 0o644);
  const file = await log.open();
  file.write(event(1));
  await file.close();
  assert.deepEqual(log.reports, [`warning: the audit log ${log.path} has mode 644: chmod 600 ${log.path}`]);
  assert.equal((await stat(log.path)).mode & 0o777, 0o644);
});

test("AuditFile.open() refuses what is no file, and a path that cannot be written, with a usage error", async () => {
  await using log = await Log.make();
  await assert.rejects(log.open({}, log.dir), /--audit-log: expected a file/);
  await assert.rejects(
    log.open({}, join(log.dir, "no", "such", "dir")),
    /--audit-log: cannot write .*there is no such/,
  );
  await chmod(log.dir, 0o700);
});

test("auditLine() is printable ASCII in one line, whatever the event holds", () => {
  const line = auditLine(
    event(1, 'a\nb\u0085c\u2028d\u009b31m\u202e"}{"what":"node.started"\ud83d\ude00\u007f'),
  );
  assert.match(line, /^[\x20-\x7e]+$/);
  const read = JSON.parse(line) as { what: string; facts: { text: string } };
  assert.equal(read.what, "handshake.refused");
  assert.ok(read.facts.text.includes("\u2028") && read.facts.text.includes("😀"));
});
