/** `npm run demo`, as a new user runs it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { Process, ROOT } from "../support/process.ts";

test("the demo ends by itself with 0: six directions, all digests equal, something urgent, and a cut", async () => {
  await using demo = new Process([join(ROOT, "node_modules", ".bin", "node"), "examples/demo.ts"]);
  assert.equal(await demo.exitWithin(60_000), 0);
  const rows =
    demo.stdout.match(
      /^(Node\.js|Bun|Deno) +(Node\.js|Bun|Deno) +demo\/sine float32 \[8,128\] +\d+ +equal$/gm,
    ) ?? [];
  assert.equal(rows.length, 6);
  assert.match(demo.stdout, /each has proven to each that it knows the key/);
  const [, before = "", all = "", then = ""] =
    /had sent (\d+) of (\d+) MiB[\s\S]+with (\d+) MiB of the bulk sent/.exec(demo.stdout) ?? [];
  assert.equal(Number(all), 256);
  assert.ok(Number(before) <= Number(then) && Number(then) < 256, demo.stdout);
  assert.match(demo.stdout, /cut 4\d MiB into a tensor of 64 MiB[\s\S]+arrived once, digests equal/);
  const inAll = Number(/(\d+) MiB were sent in all/.exec(demo.stdout)?.[1]);
  assert.ok(inAll >= 64 && inAll < 90, demo.stdout);
  assert.match(demo.stdout, /All 6 directions arrived as sent/);
});

test("with --stay it goes on behind a gateway, and each line that it prints for curl works, until Ctrl-C", async () => {
  const node = join(ROOT, "node_modules", ".bin", "node");
  await using demo = new Process([node, "examples/demo.ts", "--stay", "--port", "0"]);
  await demo.waitForText(/Ctrl-C ends it/, 60_000);
  const lines = [...demo.stdout.matchAll(/^ {2}(curl .+)$/gm)].map(([, line = ""]) => line);
  assert.equal(lines.length, 7);
  for (const line of lines) {
    // What goes on for ever is looked at until it has shown something.
    const command = line.includes("/events") ? `timeout 30 sh -c '${line} | head -n 8'` : line;
    const { stdout, status } = spawnSync("sh", ["-c", command.replace("-o sine.npy", "-o -")], {
      cwd: ROOT,
      timeout: 60_000,
    });
    assert.equal(status, 0, line);
    assert.ok(stdout.length > 0, line);
    assert.doesNotMatch(stdout.toString("latin1"), /"status":[45]/, line);
    if (line.includes("-o ")) assert.equal(stdout.subarray(1, 6).toString(), "NUMPY");
    if (line.includes("/events")) assert.match(stdout.toString(), /event: tensor/);
  }
  demo.kill("SIGINT"); // all that the terminal would reach
  assert.equal(await demo.exitWithin(20_000), 0);
});
