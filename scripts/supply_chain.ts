/**
 * `npm run sbom`: a bill of materials of what is installed with the package, as CycloneDX, in `dist/sbom.cdx.json`.
 * `npm run audit:signatures`: whether the registry has signed what is installed. Without a network that is said, and is no
 * failure.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unreachableCode } from "./unreachable.ts";

const ROOT = join(import.meta.dirname, "..");
const FILE = join(ROOT, "dist", "sbom.cdx.json");
const { name: NAME } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { name: string };
const TIMEOUT_MS = 120_000;

interface Bill {
  readonly specVersion: string;
  readonly metadata: { readonly component: { name: string } };
  readonly components: readonly unknown[];
}

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
  const bill = JSON.parse(stdout) as Bill;
  const { components, specVersion, metadata } = bill;
  metadata.component.name = NAME; // npm takes the name of the folder
  mkdirSync(join(ROOT, "dist"), { recursive: true });
  writeFileSync(FILE, `${JSON.stringify(bill, undefined, 2)}\n`);
  process.stdout.write(`${FILE}: CycloneDX ${specVersion}, ${components.length} packages\n`);
  return 0;
}

function signatures(): number {
  const { status, stdout, stderr } = npm("audit", "signatures", "--fetch-retries=0", "--fetch-timeout=20000");
  if (status === 0) {
    process.stdout.write(stdout);
    return 0;
  }
  const code = unreachableCode(stderr);
  if (code !== undefined) {
    process.stdout.write(
      `not checked: the registry, or the keys of its signatures, cannot be reached (${code})\n`,
    );
    return 0;
  }
  process.stderr.write(stdout + stderr);
  return 1;
}

const actions: Readonly<Record<string, () => number>> = { sbom, signatures };
const action = actions[process.argv[2] ?? ""];
if (!action) throw new TypeError(`expected ${Object.keys(actions).join(" or ")}`);
process.exitCode = action();
