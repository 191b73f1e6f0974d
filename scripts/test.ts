/**
 * `npm test`: every test, on every runtime.
 *
 * Tests of the core, the simulation and the adapters run natively under Node.js, Bun and Deno; those that start
 * real processes run once, under Node.js, and start the three runtimes themselves. Arguments choose suites by
 * name, e.g. `npm test -- core process`. The last line is `N passed, N failed`; the exit code is 0 without failures.
 * With ASOC_NO_SKIPS=1 what is skipped has failed (see `skips.ts`): CI has all that the tests want.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { unexpectedSkips } from "./skips.ts";

const ROOT = join(import.meta.dirname, "..");
const EVERYWHERE = ["core", "runtime", "certs", "sim", "fuzz"];
/** Each starts processes or namespaces; one file at a time keeps their timings honest on two cores. */
const PROCESSES = [
  "gateway",
  "cli",
  "process",
  "adversary",
  "interop",
  "net",
  "bench",
  "examples",
  "package",
];
/** Its processes stand still for a minute: it runs beside whatever comes first, which it neither disturbs nor heeds. */
const WAITS = "./test/process/suspended_minute_test.ts";
/** The others share no port, and most of them run in virtual time. */
const FILES_AT_ONCE = "--test-concurrency=2";
const SUITE_TIMEOUT_MS = 25 * 60_000;
/** Node.js strips the types of the sources at every start unless it keeps what it made of them: half the time of a short command. */
const COMPILE_CACHE = join(ROOT, "node_modules", ".cache", "compile");

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

interface Suite {
  readonly name: string;
  readonly command: readonly string[];
  readonly tally: (output: string) => Tally;
}

function filesOf(folder: string): string[] {
  const path = join(ROOT, "test", folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith("_test.ts"))
    .sort()
    .map((file) => `./test/${folder}/${file}`);
}

function count(output: string, pattern: RegExp): number {
  let sum = 0;
  for (const match of output.matchAll(pattern)) sum += Number(match[1]);
  return sum;
}

const tallies = {
  node: (output: string): Tally => ({
    passed: count(output, /^ℹ pass (\d+)/gm),
    failed: count(output, /^ℹ fail (\d+)/gm) + count(output, /^ℹ cancelled (\d+)/gm),
    skipped: count(output, /^ℹ skipped (\d+)/gm),
  }),
  bun: (output: string): Tally => ({
    passed: count(output, /^ *(\d+) pass$/gm),
    failed: count(output, /^ *(\d+) fail$/gm),
    skipped: count(output, /^ *(\d+) skip$/gm),
  }),
  deno: (output: string): Tally => ({
    passed: count(output, /\| (\d+) passed/g),
    failed: count(output, /\| (\d+) failed/g),
    skipped: count(output, /\| (\d+) ignored/g),
  }),
};

const commands = {
  node: ["node", "--test", "--test-reporter=spec"],
  bun: ["bun", "test", "--timeout", "120000"],
  deno: ["deno", "test", "-A", "--no-check"],
};

/** In their order; those of one group run beside each other. */
function suites(chosen: readonly string[]): Suite[][] {
  const wanted = (folder: string) => chosen.length === 0 || chosen.includes(folder);
  const shared = EVERYWHERE.filter(wanted).flatMap(filesOf);
  const list: Suite[][] = [];
  if (shared.length > 0) {
    const on = (runtime: keyof typeof commands, ...flags: string[]): Suite => ({
      name: `${EVERYWHERE.filter(wanted).join(", ")} on ${runtime}`,
      command: [...commands[runtime], ...flags, ...shared],
      tally: tallies[runtime],
    });
    list.push([on("node", FILES_AT_ONCE)], [on("bun"), on("deno")]); // each of the two uses one processor
  }
  for (const folder of PROCESSES.filter(wanted)) {
    const files = filesOf(folder).filter((file) => file !== WAITS);
    if (files.length > 0) list.push([processes(folder, files)]);
  }
  if (wanted("process")) list[0]?.push(processes("process, a minute", [WAITS]));
  return list;
}

function processes(name: string, files: readonly string[]): Suite {
  return { name, command: [...commands.node, "--test-concurrency=1", ...files], tally: tallies.node };
}

function run(suite: Suite): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const [program = "", ...args] = suite.command;
    const child = spawn(program, args, {
      cwd: ROOT,
      env: {
        ...process.env,
        NO_COLOR: "1",
        FORCE_COLOR: "0",
        NODE_COMPILE_CACHE: COMPILE_CACHE,
        DENO_NO_UPDATE_CHECK: "1", // nothing but this machine is asked
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const take = (text: string) => {
      output += text;
    };
    child.stdout.setEncoding("utf8").on("data", take);
    child.stderr.setEncoding("utf8").on("data", take);
    const timer = setTimeout(() => {
      output += `\nended: ${SUITE_TIMEOUT_MS / 60_000} minutes are over\n`;
      child.kill("SIGKILL");
    }, SUITE_TIMEOUT_MS);
    child.on("error", (error) => {
      output += String(error);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? 1, output });
    });
  });
}

const { positionals } = parseArgs({ allowPositionals: true });
const total: Tally = { passed: 0, failed: 0, skipped: 0 };
async function report(suite: Suite): Promise<void> {
  const startMs = performance.now();
  if (process.stderr.isTTY) process.stderr.write(`${suite.name} …\n`);
  const { code, output } = await run(suite);
  const tally = suite.tally(output);
  if (code !== 0 && tally.failed === 0) tally.failed = 1;
  if (code === 0 && tally.passed === 0) tally.failed = 1; // a suite that ran nothing has not passed
  const missed = process.env.ASOC_NO_SKIPS === "1" ? unexpectedSkips(tally.skipped, output) : 0;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : "";
  process.stdout.write(
    `${suite.name}: ${tally.passed} ok, ${tally.failed} not ok${skipped} (${seconds} s)\n`,
  );
  if (tally.failed > 0) process.stdout.write(`${output.slice(-20_000)}\n`);
  if (tally.skipped > 0) {
    for (const line of output.split("\n"))
      if (/^\s*﹣/.test(line)) process.stdout.write(`  skipped: ${line.trim()}\n`);
  }
  total.passed += tally.passed;
  if (missed > 0) process.stdout.write(`  ${missed} skipped tests count as failed (ASOC_NO_SKIPS=1)\n`);
  total.failed += tally.failed + missed;
  total.skipped += tally.skipped;
}
for (const group of suites(positionals)) await Promise.all(group.map(report));
process.stdout.write(
  `${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}\n`,
);
process.exitCode = total.failed > 0 ? 1 : 0;
