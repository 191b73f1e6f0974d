/** `npm run demo`, as a new user runs it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { Process, ROOT } from "../support/process.ts";

test("the demo ends by itself with 0 and a table of six directions, all digests equal", async () => {
  await using demo = new Process([join(ROOT, "node_modules", ".bin", "node"), "examples/demo.ts"]);
  assert.equal(await demo.exitWithin(60_000), 0);
  const rows = demo.stdout.match(/^(Node\.js|Bun|Deno) +(Node\.js|Bun|Deno) +\d+ +equal$/gm) ?? [];
  assert.equal(rows.length, 6);
  assert.match(demo.stdout, /All 6 directions arrived as sent/);
});
