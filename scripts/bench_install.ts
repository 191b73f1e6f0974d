/**
 * `npm run bench:install`: installs what the comparison peers of the benchmark need. None of it is needed to use or
 * test ASoc, and the benchmark skips by name what is missing.
 *
 * npm packages go to test/bench/peers/node_modules, Python ones to test/bench/peers/.venv, and programs come from
 * Debian's packages when this runs as root. It goes on after a failure; the exit code is 0 when all is there, else 1.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { findProgram, PEERS, PEERS_FOLDER, VENV_PYTHON } from "../test/bench/peers/peers.ts";

/** The newest torch that is known to work. On machines where pip would add CUDA to it, it is left out (see below). */
const TORCH = "torch==2.13.0";
const PYZMQ = "pyzmq==27.3.0";
/** Debian's package for each program. */
const PROGRAMS = { gcc: "gcc", "nats-server": "nats-server", ip: "iproute2" };

const problems: string[] = [];

function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): { ok: boolean; output: string } {
  const result = spawnSync(program, args, {
    cwd: PEERS_FOLDER,
    encoding: "utf8",
    env: { ...process.env, ...env },
    maxBuffer: 256 << 20,
  });
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}${result.error ?? ""}`;
  return { ok: result.status === 0, output: output.trim() };
}

function step(
  name: string,
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): boolean {
  process.stdout.write(`${name}...\n`);
  const { ok, output } = run(program, args, env);
  if (!ok) problem(name, output);
  return ok;
}

function problem(name: string, why: string): void {
  problems.push(name);
  process.stdout.write(`NOT OK ${name}: ${why.split("\n").slice(-3).join("\n")}\n`);
}

function installPrograms(): void {
  const packages = Object.entries(PROGRAMS)
    .filter(([program]) => !findProgram(program))
    .map(([, name]) => name);
  if (!run("python3", ["-c", "import ensurepip, venv"]).ok) packages.push("python3-venv");
  if (packages.length === 0) return;
  if (process.getuid?.() !== 0 || !findProgram("apt-get")) {
    problem(packages.join(", "), "install these system packages as root");
    return;
  }
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  step("list of Debian packages", "apt-get", ["update", "-qq"], env);
  for (const name of packages) step(`Debian package ${name}`, "apt-get", ["install", "-y", "-qq", name], env);
}

/**
 * torch as it comes by default on Linux brings gigabytes of CUDA libraries that gloo does not need. pip is asked first
 * what it would install; only a build without them is taken.
 */
function installTorch(): void {
  if (
    run(VENV_PYTHON, [
      "-c",
      `import torch; assert torch.__version__.split("+")[0] == "${TORCH.split("==")[1]}"`,
    ]).ok
  )
    return;
  const plan = run(VENV_PYTHON, ["-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", TORCH]);
  if (!plan.ok) problem(TORCH, plan.output);
  else if (/"name": "(nvidia|cuda)-/.test(plan.output)) {
    problem(TORCH, `pip would add CUDA here; install a CPU build of it with ${VENV_PYTHON} -m pip`);
  } else step(TORCH, VENV_PYTHON, ["-m", "pip", "install", "--quiet", TORCH]);
}

function installPython(): void {
  if (
    !existsSync(VENV_PYTHON) &&
    !step("Python environment", "python3", ["-m", "venv", join(PEERS_FOLDER, ".venv")])
  )
    return;
  step(PYZMQ, VENV_PYTHON, ["-m", "pip", "install", "--quiet", PYZMQ]);
  installTorch();
}

installPrograms();
step("npm packages", "npm", ["ci", "--no-audit", "--no-fund"]);
installPython();

for (const peer of PEERS) {
  const missing = await peer.missing();
  if (missing) problems.push(peer.name);
  process.stdout.write(
    missing
      ? `NOT OK ${peer.name}: ${missing} is missing\n`
      : `ok     ${peer.name} ${(await peer.version()) ?? ""}\n`,
  );
}
process.exitCode = problems.length > 0 ? 1 : 0;
