/** docs/limits.md against the code: every limit stands there once, with its default. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as gateway from "../../gateway/limits.ts";
import * as core from "../../src/core/limits.ts";
import { ROOT } from "../support/process.ts";

const UNITS = new Set(["KiB", "MiB", "GiB"]);

/** Limits that can be set, and the fixed ones, by name. */
function limits(): Map<string, number> {
  const all = new Map<string, number>([
    ...Object.entries(core.DEFAULT_LIMITS),
    ...Object.entries(gateway.DEFAULT_GATEWAY_LIMITS),
  ]);
  for (const [name, value] of [...Object.entries(core), ...Object.entries(gateway)])
    if (typeof value === "number" && !UNITS.has(name)) all.set(name, value);
  return all;
}

/** A default as the page has it. */
function shown(name: string, value: number): string {
  if (/Ms$|_MS$/.test(name)) {
    if (value >= 3_600_000 && value % 3_600_000 === 0) return `${value / 3_600_000} h`;
    if (value >= 120_000 && value % 60_000 === 0) return `${value / 60_000} min`;
    return value % 1000 === 0 ? `${value / 1000} s` : `${value} ms`;
  }
  const bytes = /bytes/i.test(name);
  const units = [
    ["GiB", core.GiB],
    ["MiB", core.MiB],
    ["KiB", core.KiB],
  ] as const;
  const [unit, size] = units.find(([, each]) => bytes && value >= each && value % each === 0) ?? ["", 1];
  return `${(value / size).toLocaleString("en-US")}${unit === "" ? "" : ` ${unit}`}`;
}

const rows = [
  ...readFileSync(join(ROOT, "docs", "limits.md"), "utf8").matchAll(
    /^\| `(\w+)` \| ([^|]*) \|([^|]*)\|([^|]*)\|$/gm,
  ),
];

test("docs/limits.md names every limit once, with its default, what it bounds and why", () => {
  const page = new Map(rows.map(([, name = "", value = ""]) => [name, value.trim()]));
  const expected = new Map([...limits()].map(([name, value]) => [name, shown(name, value)]));
  assert.deepEqual(Object.fromEntries([...page].sort()), Object.fromEntries([...expected].sort()));
  assert.equal(rows.length, page.size, "a limit stands there twice");
  for (const [, name, , what = "", why = ""] of rows)
    assert.ok(what.trim() !== "" && why.trim() !== "", `${name} has no explanation`);
});

test("docs/limits.md has the numbers of files and certificates as they are in the code", () => {
  const page = readFileSync(join(ROOT, "docs", "limits.md"), "utf8");
  const fixed = [...page.matchAll(/^\| `(\w+)` \| ([^|]*) \| `([^`]*)` \|([^|]*)\|([^|]*)\|$/gm)];
  assert.ok(fixed.length >= 9);
  for (const [, name = "", value = "", file = ""] of fixed) {
    const code = readFileSync(join(ROOT, file), "utf8");
    const [, product = ""] = new RegExp(`\\b${name}(?: =|:) ([\\d_ *]+)[;,]`).exec(code) ?? [];
    const number = product
      .replaceAll("_", "")
      .split("*")
      .map(Number)
      .reduce((a, b) => a * b);
    assert.equal(shown(name, number), value, `${name} of ${file}`);
  }
});
