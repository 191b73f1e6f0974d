/**
 * `npm run python:install`: the Python packages that tests of interoperation hold ASoc against, in the versions of
 * test/interop/requirements.txt, in an environment of their own (`.venv`). None of it is needed to use ASoc, and the
 * tests are skipped by name without it. Does nothing when all is there. Prints one line; the exit code is 0 when all
 * is there, else 1.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { REQUIREMENTS, VENV, VENV_PYTHON } from "../test/interop/python.ts";

/** Imports every package and compares its version. */
const CHECK = `
import importlib, importlib.metadata, sys
for wanted in sys.argv[1:]:
    name, version = wanted.split("==")
    importlib.import_module(name)
    found = importlib.metadata.version(name)
    if found != version:
        sys.exit(f"{name} is {found}")
`;

const wanted = readFileSync(REQUIREMENTS, "utf8").split("\n").filter(Boolean);

/** What went wrong, in its last line; undefined when nothing did. */
function run(program: string, args: readonly string[]): string | undefined {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const result = spawnSync(program, args, { encoding: "utf8", env, maxBuffer: 64 << 20 });
  if (result.status === 0) return undefined;
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}${result.error ?? ""}`.trim();
  return output.split("\n").at(-1) || `${program} ended with ${result.status ?? result.signal}`;
}

const missing = () =>
  existsSync(VENV_PYTHON) ? run(VENV_PYTHON, ["-c", CHECK, ...wanted]) : "no environment";

/** Debian has the module that makes environments in a package of its own. */
function installVenv(): string | undefined {
  const problem = run("python3", ["-c", "import ensurepip, venv"]);
  if (problem === undefined) return undefined;
  if (process.getuid?.() !== 0) return `python3 with venv is missing (${problem})`;
  return run("apt-get", ["update", "-qq"]) ?? run("apt-get", ["install", "-y", "-qq", "python3-venv"]);
}

function install(): string | undefined {
  const pip = ["-m", "pip", "--disable-pip-version-check"];
  // A working environment is kept, with whatever else is in it.
  if (run(VENV_PYTHON, [...pip, "--version"]) !== undefined) {
    const problem = installVenv() ?? run("python3", ["-m", "venv", "--clear", VENV]);
    if (problem !== undefined) return problem;
  }
  return run(VENV_PYTHON, [...pip, "install", "--quiet", "--requirement", REQUIREMENTS]) ?? missing();
}

const problem = missing() === undefined ? undefined : install();
const list = wanted.map((each) => each.replace("==", " ")).join(", ");
process.stdout.write(
  problem === undefined ? `ok     python: ${list}\n` : `NOT OK python: ${list}: ${problem}\n`,
);
process.exitCode = problem === undefined ? 0 : 1;
