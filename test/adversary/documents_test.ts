/** What the security documents name is there: metrics, files, dependencies. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/process.ts";

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

test("every metric that RFC-0002 watches is one of the gateway's", () => {
  const metrics = read("gateway/routes/metrics.ts");
  const names = new Set(
    [...read("rfcs/RFC-0002-security.md").matchAll(/\basoc_([a-z_]+)/g)].map(([, name]) => name),
  );
  assert.ok(names.size > 5);
  for (const name of names) assert.ok(metrics.includes(`"${name}"`), `asoc_${name}`);
});

test("every link of the security documents leads to a file", () => {
  for (const path of [
    "docs/security.md",
    "docs/dependencies.md",
    "SECURITY.md",
    "rfcs/RFC-0002-security.md",
  ]) {
    for (const [, link = ""] of read(path).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g))
      assert.ok(existsSync(join(ROOT, dirname(path), link)), `${path}: ${link}`);
  }
});

test("every dependency at run time has its reason in docs/dependencies.md, and its exact version", () => {
  const listed = read("docs/dependencies.md");
  const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
  for (const [name, version] of Object.entries(dependencies)) {
    assert.ok(listed.includes(`| \`${name}\` |`), name);
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is not of one version`);
  }
  for (const [, name = ""] of listed.matchAll(/^\| `([^`]+)` \|/gm))
    assert.ok(name in dependencies, `${name} is not used`);
});
