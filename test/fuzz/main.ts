/**
 * `npm run fuzz -- --inputs 10000000 --target all --seed 1 --runtime bun`: that many inputs, shared out among the targets.
 *
 * A fault is minimised and written to `test/vectors/fuzz`, where `npm test` plays it again for ever; the exit code is 1 then.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT, RUNTIMES, type RuntimeName } from "../support/process.ts";
import { type Finding, Fuzzer, heldBytes } from "./engine.ts";
import { TARGETS } from "./targets.ts";

const PROGRESS_MS = 2000;
const SLICE = 5000;
/** What a heap may have grown by after all inputs of a target: caches of the engine, and the seeds that were kept. */
const MAX_GROWTH_BYTES = 48 * 1024 * 1024;

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "200000" },
    target: { type: "string", default: "all" },
    seed: { type: "string" },
    runtime: { type: "string" },
  },
});

const bin = (name: string) => join(ROOT, "node_modules", ".bin", name);
const COMMANDS: Record<RuntimeName, readonly [string, ...string[]]> = {
  node: [bin("node"), "--expose-gc"],
  bun: [bin("bun")],
  deno: [bin("deno"), "run", "-A", "--no-check", "--v8-flags=--expose-gc"],
};

const atHand: RuntimeName = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const wanted = values.runtime as RuntimeName | undefined;
const again = wanted !== undefined || (atHand === "node" && !("gc" in globalThis));
process.exitCode = again ? await onRuntime(wanted ?? "node") : await fuzz();

function onRuntime(runtime: RuntimeName): Promise<number> {
  if (!RUNTIMES.includes(runtime)) throw new TypeError(`--runtime: expected ${RUNTIMES.join(", ")}`);
  const [program, ...flags] = COMMANDS[runtime];
  const { inputs, target, seed } = values;
  const args = [
    `--inputs=${inputs}`,
    `--target=${target}`,
    ...(seed === undefined ? [] : [`--seed=${seed}`]),
  ];
  const child = spawn(program, [...flags, join(ROOT, "test", "fuzz", "main.ts"), ...args], {
    stdio: "inherit",
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
  });
  return new Promise((resolve) => child.once("close", (code) => resolve(code ?? 1)));
}

async function fuzz(): Promise<number> {
  const inputs = Number(values.inputs);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
  if (!Number.isInteger(inputs) || inputs < 1)
    throw new TypeError("--inputs: expected a whole number from 1");
  if (!Number.isInteger(seed)) throw new TypeError("--seed: expected a whole number");
  const chosen = TARGETS.filter(
    ({ name }) => values.target === "all" || values.target.split(",").includes(name),
  );
  if (chosen.length === 0)
    throw new TypeError(`--target: expected all, or some of ${TARGETS.map(({ name }) => name).join(",")}`);
  const shares = chosen.reduce((sum, { share }) => sum + share, 0);
  console.log(`${atHand}: ${inputs} inputs, seed ${seed}`);
  const startedMs = performance.now();
  let total = 0;
  let faults = 0;
  let toldMs = startedMs;
  for (const [index, target] of chosen.entries()) {
    const fuzzer = new Fuzzer(target, seed);
    const count = Math.ceil((inputs * target.share) / shares);
    const warm = Math.min(count, 2 * SLICE);
    const targetMs = performance.now();
    let heapBefore: number | undefined;
    let finding: Finding | undefined;
    while (fuzzer.inputs < count && !finding) {
      finding = await fuzzer.run(Math.min(SLICE, count - fuzzer.inputs));
      if (fuzzer.inputs >= warm) heapBefore ??= heldBytes();
      if (performance.now() - toldMs > PROGRESS_MS && process.stdout.isTTY) {
        toldMs = performance.now();
        process.stdout.write(`\r${index + 1}/${chosen.length} ${target.name} ${fuzzer.inputs} of ${count} `);
      }
    }
    total += fuzzer.inputs;
    try {
      target.finish?.();
    } catch (error) {
      finding ??= { target: target.name, input: new Uint8Array(0), what: String(error) };
    }
    const heapAfter = heldBytes();
    const grown = heapBefore !== undefined && heapAfter !== undefined ? heapAfter - heapBefore : undefined;
    if (grown !== undefined && grown > MAX_GROWTH_BYTES)
      finding ??= {
        target: target.name,
        input: new Uint8Array(0),
        what: `memory has grown by ${grown} bytes`,
      };
    const seconds = (performance.now() - targetMs) / 1000;
    const growth =
      grown === undefined ? "" : `, memory ${grown < 0 ? "" : "+"}${(grown / 1024).toFixed(0)} KiB`;
    const rate = Math.round(fuzzer.inputs / seconds);
    console.log(
      `${target.name.padEnd(12)} ${fuzzer.inputs} inputs, ${fuzzer.ways} ways, ${seconds.toFixed(1)} s (${rate}/s)${growth}${finding ? ", A FAULT" : ""}`,
    );
    if (finding) {
      faults++;
      tell(finding);
    }
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${atHand}: ${total} inputs in ${seconds} s, ${faults} faults, seed ${seed}`);
  return faults > 0 ? 1 : 0;
}

function tell({ target, input, what }: Finding): void {
  const folder = join(ROOT, "test", "vectors", "fuzz");
  const hex = Buffer.from(input).toString("hex");
  const digest = createHash("sha256").update(input).digest("hex").slice(0, 12);
  const path = join(folder, `${target}-${digest}.json`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, `${JSON.stringify({ target, what: what.slice(0, 500), hex }, undefined, 2)}\n`);
  console.log(`${what.slice(0, 2000)}\n${hex.slice(0, 2000)}\nwritten to ${path}`);
}
