/** The processes of a benchmark run: started once, told what to do, measured in turn, ended by their own ids. */
import { makeSelfSigned } from "../../src/certs/make.ts";
import { Process, RUNTIMES, type RuntimeName } from "../support/process.ts";
import type { Peer } from "./peers/peers.ts";

export interface Throughput {
  readonly bytesPerSecond: number;
  readonly cpuSeconds: number | undefined;
  readonly rssBytes: number | undefined;
}

export interface Load {
  readonly tensorBytes: number;
  readonly count: number;
  readonly frameBytes: number;
  readonly verify?: boolean;
  readonly digest?: "none" | "crc32" | "sha256";
  readonly atOnce?: number;
  readonly bytesPerSecond?: number;
}

export type RoleKind = "asoc" | "tls" | "v1" | "v1 again" | "bare";

/** One program in one role. */
export class Role {
  readonly process: Process;
  readonly port: number;

  private constructor(process: Process, port: number) {
    this.process = process;
    this.port = port;
  }

  static async start(process: Process): Promise<Role> {
    const ready = await process.waitFor((event) => event.event === "ready", 60_000);
    return new Role(process, Number(ready.port ?? 0));
  }

  tell(command: object): void {
    this.process.child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** Sends a command and resolves with the first `event` that follows. */
  async ask(command: object, event: string, timeoutMs = 120_000) {
    const from = this.process.events.length;
    this.tell(command);
    return this.process.waitFor((one) => one.event === event, timeoutMs, from);
  }
}

/** A sender and a receiver that understand each other. */
export interface Pair {
  readonly name: string;
  readonly sender: Role;
  readonly receiver: Role;
}

export class Rig implements AsyncDisposable {
  readonly #roles = new Map<string, Promise<Role>>();
  readonly #processes: Process[] = [];
  /** Network namespace in which everything runs, if any. */
  readonly #netns: string | undefined;

  constructor(netns?: string) {
    this.#netns = netns;
  }

  /**
   * A role of ours: "asoc", the whole node; "tls", the same with TLS; "v1", the same without x1, and "v1 again" in processes of their own; or "bare",
   * the control. Started at first use.
   */
  role(kind: RoleKind, runtime: RuntimeName, side: "sender" | "receiver"): Promise<Role> {
    const script = kind === "bare" ? `bare_${runtime}` : "asoc_node";
    return this.#start(`${kind}/${runtime}/${side}`, async () =>
      Process.script(runtime, `test/bench/roles/${script}.ts`, await argsOf(kind), this.#options()),
    );
  }

  async pair(kind: RoleKind, from: RuntimeName, to: RuntimeName): Promise<Pair> {
    const receiver = await this.role(kind, to, "receiver");
    return { name: `${kind} ${from} → ${to}`, sender: await this.role(kind, from, "sender"), receiver };
  }

  async peerPair(peer: Peer): Promise<Pair> {
    const start = (role: "receive" | "send") =>
      this.#start(`${peer.name}/${role}`, async () => new Process(peer.command(role), this.#options()));
    const receiver = await start("receive");
    return { name: peer.name, sender: await start("send"), receiver };
  }

  /** Ends the processes of a peer, which may keep others busy. */
  async stop(name: string): Promise<void> {
    for (const [key, starting] of [...this.#roles]) {
      if (!key.startsWith(`${name}/`)) continue;
      this.#roles.delete(key);
      await (await starting).process[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process[Symbol.asyncDispose]()));
  }

  #options() {
    return this.#netns === undefined ? {} : { netns: this.#netns };
  }

  #start(key: string, make: () => Promise<Process>): Promise<Role> {
    let starting = this.#roles.get(key);
    if (!starting) {
      starting = make().then((process) => {
        this.#processes.push(process);
        return Role.start(process);
      });
      this.#roles.set(key, starting);
    }
    return starting;
  }
}

/** Further options of `join`, as the argument of a role's program. */
async function argsOf(kind: RoleKind): Promise<string[]> {
  if (kind.startsWith("v1")) return [JSON.stringify({ extension: false })];
  if (kind !== "tls") return [];
  const { certificatePem, keyPem } = await makeSelfSigned({ name: "bench", days: 1, unixMs: Date.now() });
  return [JSON.stringify({ tls: { cert: certificatePem, key: keyPem } })];
}

let numbered = 0;

/** Sends `load` over a pair once; where it is to be verified, with content that was never sent before. */
export async function measure(pair: Pair, wanted: Load): Promise<Throughput> {
  const { sender, receiver } = pair;
  const load = { ...wanted, first: numbered };
  if (load.verify) numbered += load.count;
  await receiver.ask({ cmd: "receive", ...load }, "armed");
  const from = receiver.process.events.length;
  sender.tell({ cmd: "send", port: receiver.port, ...load });
  const died = sender.process.exited.then((code) => {
    throw new Error(`${pair.name}: the sender ended (${code}): ${sender.process.stderr.slice(-2000)}`);
  });
  const done = await Promise.race([
    receiver.process.waitFor((event) => event.event === "done", 120_000, from),
    died,
  ]);
  died.catch(() => {}); // when the benchmark is over
  const wrong = receiver.process.events.slice(from).some((event) => event.event === "different");
  if (wrong) throw new Error(`${pair.name}: the content that arrived is different`);
  return {
    bytesPerSecond: Number(done.bytes) / Number(done.seconds),
    cpuSeconds: typeof done.cpuSeconds === "number" ? done.cpuSeconds : undefined,
    rssBytes: typeof done.rssBytes === "number" ? done.rssBytes : undefined,
  };
}

/** Median, least and greatest of what was measured. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly values: readonly number[];
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
  return { median, low: sorted[0] ?? 0, high: sorted.at(-1) ?? 0, values };
}

export { RUNTIMES, type RuntimeName };
