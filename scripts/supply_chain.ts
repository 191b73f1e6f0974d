/**
 * `npm run sbom`: a bill of materials of what is installed with the package, as CycloneDX, in `dist/sbom.cdx.json`.
 * `npm run audit:signatures`: whether the registry has signed what is installed. Without a network that is said, and is no
 * failure.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const FILE = join(ROOT, "dist", "sbom.cdx.json");
const TIMEOUT_MS = 120_000;
/** What npm says when it cannot reach the registry. */
const NO_NETWORK = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|network|proxy/i;

function npm(...args: string[]) {
  return spawnSync("npm", args, { cwd: ROOT, encoding: "utf8", timeout: TIMEOUT_MS });
}

function sbom(): number {
  const flags = ["--sbom-format", "cyclonedx", "--omit", "dev", "--package-lock-only"];
  const { status, stdout, stderr } = npm("sbom", ...flags);
  if (status !== 0) {
    process.stderr.write(stderr);
    return 1;
  }
  const { components, specVersion } = JSON.parse(stdout) as { components: unknown[]; specVersion: string };
  mkdirSync(join(ROOT, "dist"), { recursive: true });
  writeFileSync(FILE, stdout);
  process.stdout.write(`${FILE}: CycloneDX ${specVersion}, ${components.length} packages\n`);
  return 0;
}

function signatures(): number {
  const { status, stdout, stderr } = npm("audit", "signatures", "--fetch-retries=0", "--fetch-timeout=20000");
  if (status === 0) {
    process.stdout.write(stdout);
    return 0;
  }
  if (NO_NETWORK.test(stderr)) {
    process.stdout.write("not checked: the registry cannot be reached\n");
    return 0;
  }
  process.stderr.write(stdout + stderr);
  return 1;
}

const actions: Readonly<Record<string, () => number>> = { sbom, signatures };
const action = actions[process.argv[2] ?? ""];
if (!action) throw new TypeError(`expected ${Object.keys(actions).join(" or ")}`);
process.exitCode = action();
