/** Runs `asoc` as users do: real processes with a home directory of their own, on loopback, away from the usual ports. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { parseDType } from "../../src/core/tensor/dtype.ts";
import { type Json, Process, type RuntimeName } from "../support/process.ts";
import { safetensorsFile } from "../support/tensor_files.ts";

export const KEY = "5b1f8f0ee3c74b6a9d20c1e86f3a7d94e2b05c6178ad43f9b0e1d2c3a4f50617";

/** Test files, and several runs of them at once, do not hear each other: a port of the process, in 19100-19199. */
export const DISCOVERY_PORT = 19_100 + (process.pid % 100);

/** A directory of one test, with a home in it. At the end every process of the test ends, and it is removed. */
export class Home implements AsyncDisposable {
  readonly dir: string;
  /** Nodes of other tests, and of other runs of this one, stay out. */
  readonly key = randomBytes(32).toString("hex");
  readonly #processes: Process[] = [];

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async make(): Promise<Home> {
    return new Home(await mkdtemp(join(tmpdir(), "asoc-cli-")));
  }

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  async file(name: string, content: Uint8Array | string): Promise<string> {
    const path = this.path(name);
    await writeFile(path, content);
    return path;
  }

  /** The environment of a user who has set nothing but the key. */
  env(more: Record<string, string> = {}): Record<string, string> {
    const unset = ["COMMUNITY", "API_KEY_FILE", "PEERS", "PORT", "HOST", "DISCOVERY_PORT"];
    return {
      ...Object.fromEntries(unset.map((name) => [`ASOC_${name}`, ""])),
      HOME: this.dir,
      DENO_DIR: process.env.DENO_DIR ?? join(homedir(), ".cache", "deno"),
      ASOC_API_KEY: this.key,
      ...more,
    };
  }

  /** `asoc` with `args` on a runtime. */
  asoc(runtime: RuntimeName, args: readonly string[], env: Record<string, string> = {}): Process {
    const process = Process.script(runtime, "src/cli/main.ts", args, { env: this.env(env), cwd: this.dir });
    this.#processes.push(process);
    return process;
  }

  /** The same with the flags that keep it on this machine. */
  node(runtime: RuntimeName, args: readonly string[], env: Record<string, string> = {}): Process {
    return this.asoc(
      runtime,
      [...args, "--host", "127.0.0.1", "--discovery-port", String(DISCOVERY_PORT)],
      env,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process[Symbol.asyncDispose]()));
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Waits for an event of that name, and state where one is given. */
export function event(process: Process, name: string, state?: string, from = 0): Promise<Json> {
  return process.waitFor(
    (one) => one.event === name && (state === undefined || one.state === state),
    20_000,
    from,
  );
}

/** The ready event's id and address. */
export async function ready(process: Process): Promise<{ id: string; address: string; port: number }> {
  const { nodeId, host, port } = await event(process, "ready");
  return { id: String(nodeId), address: `${host}:${port}`, port: Number(port) };
}

/** The address in the line that a node without --json logs when it is ready. */
export async function readyText(process: Process): Promise<string> {
  await process.waitForText(/^asoc: node .*\n/m);
  return /^asoc: node \S+ on (\S+),/m.exec(process.stderr)?.[1] ?? "";
}

/** A NumPy file of `count` float32 values. */
export function npy(count: number): Uint8Array {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${count},), }`;
  const header = `${text.padEnd(117)}\n`;
  const bytes = new Uint8Array(10 + header.length + 4 * count);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0]);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(noise(4 * count), 10 + header.length);
  return bytes;
}

/** A safetensors file with one tensor of `count` bytes. */
export function safetensors(count: number): Uint8Array {
  const infos = [{ name: "a", dtype: parseDType("uint8"), shape: [count] }];
  return safetensorsFile(infos, (byteCount) => noise(byteCount));
}

/** Bytes without a pattern, the same at each call. */
export function noise(count: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(count);
  let state = seed;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}
