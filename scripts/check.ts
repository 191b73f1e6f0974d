/** `npm run check`: format and lint, types, import rules. Everything is run; the exit code is 0 when all hold. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const steps: readonly (readonly [string, readonly string[]])[] = [
  ["format and lint", ["biome", "check", "--error-on-warnings", "."]],
  ["types", ["tsc", "-p", "."]],
  ["types of the dashboard", ["tsc", "-p", "tsconfig.dashboard.json"]],
  ["import rules", ["node", "--test", "test/core/import_rules_test.ts"]],
];

let failed = 0;
for (const [name, [program = "", ...args]] of steps) {
  const result = spawnSync(program, args, { cwd: ROOT, encoding: "utf8" });
  const ok = result.status === 0;
  process.stdout.write(`${ok ? "ok    " : "NOT OK"} ${name}\n`);
  if (!ok) {
    failed++;
    process.stdout.write(`${result.stdout ?? ""}${result.stderr ?? ""}${result.error ?? ""}\n`);
  }
}
process.exitCode = failed > 0 ? 1 : 0;
