/** docs/security.md: every test that its tables name exists and is run, every attack is in them, and none is made to look better. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/process.ts";
import { FLOOD_ATTACKS } from "./flood_attacks.ts";
import { GATEWAY_ATTACKS } from "./gateway_attacks.ts";
import { HANDSHAKE_ATTACKS } from "./handshake_attacks.ts";
import { PATH_ATTACKS } from "./path_attacks.ts";
import { ROTATION_ATTACKS } from "./rotation_attacks.ts";
import { SESSION_ATTACKS } from "./session_attacks.ts";

interface Row {
  readonly threat: string;
  readonly cells: readonly string[];
  /** File and title; the file is undefined for the attacks of this folder. */
  readonly tests: readonly { readonly file: string | undefined; readonly title: string }[];
}

const ATTACKS = [
  ...HANDSHAKE_ATTACKS,
  ...SESSION_ATTACKS,
  ...ROTATION_ATTACKS,
  ...PATH_ATTACKS,
  ...FLOOD_ATTACKS,
  ...GATEWAY_ATTACKS,
];

function rows(): Row[] {
  const text = readFileSync(join(ROOT, "docs", "security.md"), "utf8");
  return text
    .split("\n")
    .filter((line) => /^\| [A-Z]/.test(line))
    .map((line) => {
      const cells = line.split("|").slice(1, -1);
      const named = cells.at(-1) ?? "";
      const tests = [...named.matchAll(/(?:`([^`]+)`: )?"([^"]+)"/g)].map(([, file, title = ""]) => ({
        file,
        title,
      }));
      const [threat = "", , ...modes] = cells.map((cell) => cell.trim());
      return { threat, cells: modes.slice(0, -1), tests };
    });
}

test("every row names a test, or says that nothing is protected by us", () => {
  const table = rows();
  assert.ok(table.length > 30);
  for (const { threat, cells, tests } of table)
    assert.ok(tests.length > 0 || cells.some((cell) => cell.startsWith("not protected")), threat);
});

test("every test of the table is there, in a suite that is run", () => {
  const suites = readFileSync(join(ROOT, "scripts", "test.ts"), "utf8");
  const titles = new Set(ATTACKS.map(({ title }) => title));
  for (const { threat, tests } of rows()) {
    for (const { file, title } of tests) {
      if (file === undefined) {
        assert.ok(titles.has(title), `${threat}: no attack is called "${title}"`);
        continue;
      }
      assert.ok(existsSync(join(ROOT, file)), `${threat}: there is no ${file}`);
      assert.ok(readFileSync(join(ROOT, file), "utf8").includes(title), `${file} has no "${title}"`);
      const [, folder] = file.split("/");
      assert.ok(suites.includes(`"${folder}"`), `${file}: npm test does not run test/${folder}`);
      assert.match(file, /_test\.ts$/);
    }
  }
});

test("every attack has its row, and titles are not used twice", () => {
  const named = new Set(rows().flatMap(({ tests }) => tests.map(({ title }) => title)));
  for (const { title } of ATTACKS) assert.ok(named.has(title), `"${title}" is in no row of docs/security.md`);
  assert.equal(new Set(ATTACKS.map(({ title }) => title)).size, ATTACKS.length);
});

test("an attack that works stands in a row that says so", () => {
  for (const { title } of ATTACKS.filter(({ outcome }) => outcome === "works")) {
    const its = rows().filter(({ tests }) => tests.some((each) => each.title === title));
    for (const { threat, cells } of its)
      assert.ok(
        cells.some((cell) => cell.startsWith("not protected")),
        `${threat}: "${title}" works, and the row does not say so`,
      );
  }
});
