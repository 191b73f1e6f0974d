/**
 * Real processes for tests: any program, or one of our scripts on any of the three runtimes, that prints one JSON
 * object a line on stdout. Every process that a test starts ends with the test, by its own id.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const RUNTIMES = ["node", "bun", "deno"] as const;
export type RuntimeName = (typeof RUNTIMES)[number];
export type Json = Record<string, unknown>;

/** The command line that runs `script` (a path from the root) on a runtime of node_modules. */
export function commandFor(
  runtime: RuntimeName,
  script: string,
  args: readonly string[],
): [string, ...string[]] {
  const bin = join(ROOT, "node_modules", ".bin", runtime);
  const path = join(ROOT, script);
  if (runtime === "node") return [bin, path, ...args];
  if (runtime === "bun") return [bin, path, ...args];
  return [bin, "run", "-A", "--no-check", path, ...args];
}

export interface ProcessOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** Network namespace to run in. */
  readonly netns?: string;
}

export class Process implements AsyncDisposable {
  readonly child: ChildProcess;
  /** Lines of stdout that were JSON, in order. */
  readonly events: Json[] = [];
  /** All of stdout and stderr as text. */
  stdout = "";
  stderr = "";
  /** Exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
  #rest = "";
  #looks = new Set<() => void>();
  #exit: number | string | undefined;

  constructor(command: readonly [string, ...string[]], options: ProcessOptions = {}) {
    const full = options.netns ? ["ip", "netns", "exec", options.netns, ...command] : command;
    this.child = spawn(full[0] as string, full.slice(1), {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...options.env }, // nothing asks the network by itself
      stdio: ["pipe", "pipe", "pipe"],
      detached: true, // a process group of its own: signals reach what it started, as a terminal's Ctrl-C does
    });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#look();
    });
    this.child.stdin?.on("error", () => {});
    this.exited = new Promise((resolve) => {
      this.child.once("error", (error) => {
        this.stderr += String(error);
        this.#exit = "spawn";
        resolve("spawn");
        this.#look();
      });
      this.child.once("close", (code, signal) => {
        this.#exit = code ?? signal ?? "unknown";
        resolve(this.#exit);
        this.#look();
      });
    });
  }

  /** One of our scripts on a runtime. */
  static script(
    runtime: RuntimeName,
    script: string,
    args: readonly string[],
    options: ProcessOptions = {},
  ): Process {
    return new Process(commandFor(runtime, script, args), options);
  }

  /** The first event, from `from` on, that `accept` takes. Rejects with all output when the process ends or time is up. */
  waitFor(accept: (event: Json) => boolean, timeoutMs = 20_000, from = 0): Promise<Json> {
    return this.#wait(() => this.events.slice(from).find(accept), timeoutMs, "the awaited event");
  }

  /** Resolves once `holds`, which is asked whenever there is output. */
  async waitUntil(holds: () => boolean, timeoutMs = 20_000): Promise<void> {
    await this.#wait(() => holds() || undefined, timeoutMs, String(holds));
  }

  /** Resolves once stderr and stdout together match. */
  waitForText(pattern: RegExp, timeoutMs = 20_000): Promise<true> {
    return this.#wait(
      () => (pattern.test(this.stdout + this.stderr) ? true : undefined),
      timeoutMs,
      String(pattern),
    );
  }

  /** Exit code, or rejects when it takes longer. */
  async exitWithin(timeoutMs = 20_000): Promise<number | string> {
    return this.#wait(() => this.#exit, timeoutMs, "its end");
  }

  /** Signals the process and what it started. */
  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    const { pid } = this.child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if ((error as { code?: string }).code !== "ESRCH") throw error; // it has ended
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#exit === undefined) this.kill("SIGKILL");
    await this.exited;
  }

  #wait<T>(pick: () => T | undefined, timeoutMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (run: () => void) => {
        clearTimeout(timer);
        this.#looks.delete(look);
        run();
      };
      const fail = (why: string) =>
        settle(() =>
          reject(
            new Error(
              `${why} before ${what}: ${this.child.spawnargs.join(" ")}\nstdout: ${this.stdout.slice(-4000)}\nstderr: ${this.stderr.slice(-4000)}`,
            ),
          ),
        );
      const look = () => {
        const found = pick();
        if (found !== undefined) settle(() => resolve(found));
        else if (this.#exit !== undefined) fail(`the process ended (${this.#exit})`);
      };
      const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs);
      this.#looks.add(look);
      look();
    });
  }

  #read(text: string): void {
    this.stdout += text;
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("{")) continue;
      try {
        this.events.push(JSON.parse(line) as Json);
      } catch {
        // not an event
      }
    }
    this.#look();
  }

  #look(): void {
    for (const look of [...this.#looks]) look();
  }
}
