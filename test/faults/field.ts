/**
 * Three hosts, one runtime each, in network namespaces on a bridge, and a fourth one through which all their connections go:
 * host 0 dials 1, 1 dials 2, 2 dials 0. What breaks, breaks in the kernel (nftables, tc) or in the process itself.
 */
import { spawnSync } from "node:child_process";
import { Peer } from "../process/peer.ts";
import { Network, whyNoFilters } from "../support/netns.ts";
import { Process, RUNTIMES, type RuntimeName } from "../support/process.ts";
import type { Wire } from "./relay_process.ts";

/** Why no faults can be made here, or undefined. */
export function whyNoFaults(): string | undefined {
  return whyNoFilters() ?? (spawnSync("tc", ["-V"]).error ? "needs iproute2 (the command tc)" : undefined);
}

/** Short, so that a run sees many of each kind; the resume time is that of users. */
const LIMITS = {
  keepaliveMs: 500,
  silenceMs: 2500,
  sendStallMs: 2500,
  dialTimeoutMs: 1500,
  handshakeTimeoutMs: 3000,
  reconnectMinMs: 50,
  reconnectMaxMs: 200,
  reconnectProvenMs: 50,
  reconnectCapMs: 500,
  // One address knocks as often as faults come: that is no abuse here.
  maxAttemptsPerHour: 100_000,
  maxFailedHandshakes: 1000,
};
const RELAY = 3;
export const HOSTS = [0, 1, 2] as const;

export class Field implements AsyncDisposable {
  readonly network = new Network(RUNTIMES.length + 1);
  readonly #peers: Peer[] = [];
  #relay: Process | undefined;
  #tables = 0;

  static async start(): Promise<Field> {
    const field = new Field();
    try {
      await field.#start();
      return field;
    } catch (error) {
      await field[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { netns } = this.network.host(RELAY);
    const wires: Wire[] = HOSTS.map((host) => ({
      host: wireAddress(host),
      to: this.#addressOf((host + 1) % 3),
    }));
    for (const { host } of wires) run(netns, ["ip", "address", "add", `${host}/24`, "dev", "eth0"]);
    this.#relay = Process.script("node", "test/faults/relay_process.ts", [JSON.stringify(wires)], { netns });
    await this.#relay.waitFor(({ event }) => event === "ready");
    for (const host of HOSTS) this.#peers.push(await this.#launch(host));
    await this.whole();
  }

  #addressOf(host: number): string {
    return this.network.host(host).address;
  }

  #launch(host: number, nodeId?: string): Promise<Peer> {
    const runtime = RUNTIMES[host] as RuntimeName; // as many hosts as runtimes
    const options = {
      community: "faults",
      host: "0.0.0.0",
      port: 9000,
      peers: [`${wireAddress(host)}:9000`],
      limits: LIMITS,
      ...(nodeId === undefined ? {} : { nodeId }),
    };
    return Peer.start(runtime, options, { netns: this.network.host(host).netns });
  }

  /** The process that lives on the host now. */
  peer(host: number): Peer {
    return this.#peers[host] as Peer; // one for each host
  }

  /** Resolves when every node lists both others. */
  async whole(timeoutMs = 60_000): Promise<void> {
    for (const one of this.#peers) {
      const deadlineMs = performance.now() + timeoutMs;
      for (;;) {
        const from = one.mark;
        one.command({ cmd: "peers" });
        const { peers } = await one.event("peers", {}, timeoutMs, from);
        if ((peers as unknown[]).length === 2) break;
        if (performance.now() > deadlineMs) throw new Error(`${one.runtime} does not list both others`);
      }
    }
  }

  // --- faults; each returns what ends it

  /** What comes to and leaves the host over the wires of `between` vanishes, or over all. `ways`: in which directions. */
  cut(host: number, between: number | undefined, ways: "both" | "in"): () => void {
    const wire = between === undefined ? undefined : wireAddress(between);
    const input = wire === undefined ? 'iif != "lo" drop;' : `ip saddr ${wire} drop;`;
    const output = wire === undefined ? 'oif != "lo" drop;' : `ip daddr ${wire} drop;`;
    return this.#filter(host, input, ways === "both" ? output : "");
  }

  /** Every TCP packet that comes to the host over a wire is answered with RST. */
  reset(host: number, wire: number): () => void {
    return this.#filter(host, `ip saddr ${wireAddress(wire)} meta l4proto tcp reject with tcp reset;`, "");
  }

  /** So many of a hundred packets vanish, each way. */
  lose(host: number, percent: number): () => void {
    const rule = `numgen random mod 100 < ${percent} drop;`;
    return this.#filter(host, `iif != "lo" ${rule}`, `oif != "lo" ${rule}`);
  }

  /** Bits a second that may leave the host. */
  slow(host: number, megabits: number): () => void {
    const { netns } = this.network.host(host);
    const tbf = ["tbf", "rate", `${megabits}mbit`, "burst", "128kb", "latency", "100ms"];
    run(netns, ["tc", "qdisc", "replace", "dev", "eth0", "root", ...tbf]);
    return () => run(netns, ["tc", "qdisc", "delete", "dev", "eth0", "root"]);
  }

  /** All wires. */
  delay(delayMs: number): () => void {
    const tell = (ms: number) => this.#relay?.child.stdin?.write(`${JSON.stringify({ delayMs: ms })}\n`);
    tell(delayMs);
    return () => tell(0);
  }

  suspend(host: number): () => void {
    const peer = this.peer(host);
    peer.process.kill("SIGSTOP");
    return () => peer.process.kill("SIGCONT");
  }

  /** kill -9; the same node again, as a new process, when that is called which it returns. */
  async kill(host: number): Promise<() => Promise<void>> {
    const peer = this.peer(host);
    await peer.kill();
    return async () => {
      this.#peers[host] = await this.#launch(host, peer.id);
    };
  }

  #filter(host: number, input: string, output: string): () => void {
    const { netns } = this.network.host(host);
    const table = `fault${++this.#tables}`;
    const chain = (hook: string, rule: string) =>
      rule === "" ? "" : `chain ${hook} {\n type filter hook ${hook} priority 0;\n ${rule}\n }\n`;
    run(
      netns,
      ["nft", "-f", "-"],
      `table ip ${table} {\n${chain("input", input)}${chain("output", output)}}\n`,
    );
    return () => run(netns, ["nft", "delete", "table", "ip", table]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers) await peer[Symbol.asyncDispose]();
    await this.#relay?.[Symbol.asyncDispose]();
    this.network[Symbol.dispose]();
  }
}

/** The wires that end at the host: the one that it dials over, and the one that it is dialled over. */
export function wiresOf(host: number): readonly number[] {
  return [host, (host + HOSTS.length - 1) % HOSTS.length];
}

/** Of the relay, for the connection that `host` dials. */
function wireAddress(host: number): string {
  return `10.77.0.${51 + host}`;
}

function run(netns: string, command: readonly string[], input = ""): void {
  const { status, stderr } = spawnSync("ip", ["netns", "exec", netns, ...command], {
    input,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${command.join(" ")} in ${netns}: ${stderr?.trim()}`);
}
