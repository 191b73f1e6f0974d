/** `npm run build`: src/ and gateway/ to dist/ as JavaScript and declarations, for the npm package. */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
rmSync(join(ROOT, "dist"), { recursive: true, force: true });
const tsc = join(ROOT, "node_modules", ".bin", "tsc");
const result = spawnSync(tsc, ["-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit" });
if (result.status !== 0) process.exit(result.status ?? 1);
const dashboard = join(ROOT, "gateway", "dashboard");
if (existsSync(dashboard)) cpSync(dashboard, join(ROOT, "dist", "gateway", "dashboard"), { recursive: true });
chmodSync(join(ROOT, "dist", "src", "cli", "main.js"), 0o755);
