/**
 * Hosts of a network of the test's own: network namespaces on one bridge, with Debian's iproute2, as root. The bridge lives in
 * a namespace too, so that nothing of the machine's own network is touched. Names carry the process id.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";

/** Why namespaces cannot be had here, or undefined when they can. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root";
  if (spawnSync("ip", ["-Version"]).error) return "needs iproute2 (the command ip)";
  const name = `asoc${process.pid}try`;
  const tried = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
  if (tried.status !== 0) return `needs network namespaces: ${tried.stderr.trim()}`;
  const linked = spawnSync("ip", ["-n", name, "link", "add", "br0", "type", "bridge"], { encoding: "utf8" });
  spawnSync("ip", ["netns", "delete", name]);
  return linked.status === 0 ? undefined : `needs bridges in the kernel: ${linked.stderr.trim()}`;
}

/** Why packets cannot be dropped in namespaces here, or undefined when they can. */
export function whyNoFilters(): string | undefined {
  const why = whyNoNamespaces();
  if (why !== undefined) return why;
  if (spawnSync("nft", ["--version"]).error) return "needs nftables (the command nft)";
  const name = `asoc${process.pid}try`;
  ip("netns", "add", name);
  const tried = spawnSync("ip", ["netns", "exec", name, "nft", "-f", "-"], { input: DEAF, encoding: "utf8" });
  ip("netns", "delete", name);
  return tried.status === 0 ? undefined : `needs nftables in the kernel: ${tried.stderr.trim()}`;
}

/** What comes from other hosts vanishes, and nobody is told. */
const DEAF = `
table ip deaf {
  chain in { type filter hook input priority 0; iif != "lo" drop; }
}
`;

function ip(...args: string[]): string {
  return ipWith("", ...args);
}

function ipWith(input: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync("ip", args, { input, encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr.trim()}`);
  return stdout;
}

export interface Host {
  /** Its namespace. */
  readonly netns: string;
  readonly address: string;
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
let networks = 0;

/** `count` hosts, 10.77.0.1 and up, on one bridge. Dispose of it: all namespaces go, and their interfaces with them. */
export class Network implements Disposable {
  readonly hosts: readonly Host[];
  readonly #bridge: string;
  readonly #leftover = () => this[Symbol.dispose]();
  readonly #killed = (signal: NodeJS.Signals) => {
    this[Symbol.dispose]();
    process.kill(process.pid, signal); // as it would have ended without us
  };

  constructor(count: number) {
    const name = `asoc${process.pid}n${networks++}`;
    this.#bridge = `${name}b`;
    this.hosts = Array.from({ length: count }, (_each, index) => ({
      netns: `${name}h${index + 1}`,
      address: `10.77.0.${index + 1}`,
    }));
    process.once("exit", this.#leftover);
    for (const signal of SIGNALS) process.once(signal, this.#killed);
    try {
      this.#build();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #build(): void {
    ip("netns", "add", this.#bridge);
    ip("-n", this.#bridge, "link", "add", "br0", "type", "bridge", "forward_delay", "0");
    ip("-n", this.#bridge, "link", "set", "br0", "up");
    for (const [index, { netns, address }] of this.hosts.entries()) {
      const port = `port${index + 1}`;
      ip("netns", "add", netns);
      ip("-n", this.#bridge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", netns);
      ip("-n", this.#bridge, "link", "set", port, "master", "br0", "up");
      ip("-n", netns, "address", "add", `${address}/24`, "broadcast", "10.77.0.255", "dev", "eth0");
      ip("-n", netns, "link", "set", "lo", "up");
      ip("-n", netns, "link", "set", "eth0", "up");
    }
  }

  host(index: number): Host {
    const host = this.hosts[index];
    if (!host) throw new RangeError(`host: expected 0 to ${this.hosts.length - 1}, got ${index}`);
    return host;
  }

  /** Pulls the host's cable, or plugs it in: no FIN and no RST can leave. */
  setLink(index: number, state: "up" | "down"): void {
    ip("-n", this.host(index).netns, "link", "set", "eth0", state);
  }

  /** The host gets another address in place of the one that it had, as from another DHCP server. Returns the new one. */
  renumber(index: number): string {
    const { netns, address } = this.host(index);
    const next = address.replace(/\d+$/, (last) => String(Number(last) + 100));
    ip("-n", netns, "address", "delete", `${address}/24`, "dev", "eth0");
    ip("-n", netns, "address", "add", `${next}/24`, "broadcast", "10.77.0.255", "dev", "eth0");
    return next;
  }

  /** Whatever comes to the host is dropped from now on; what it sends still leaves. Needs `whyNoFilters`. */
  deafen(index: number): void {
    ipWith(DEAF, "netns", "exec", this.host(index).netns, "nft", "-f", "-");
  }

  /** It hears again. */
  heal(index: number): void {
    ip("netns", "exec", this.host(index).netns, "nft", "delete", "table", "ip", "deaf");
  }

  /** Whether a TCP connection of the host waits longer and longer for the answer to what it has sent. */
  backsOff(index: number): boolean {
    return /backoff:[1-9]/.test(
      ip("netns", "exec", this.host(index).netns, "ss", "-tinH", "state", "established"),
    );
  }

  [Symbol.dispose](): void {
    process.removeListener("exit", this.#leftover);
    for (const signal of SIGNALS) process.removeListener(signal, this.#killed);
    for (const netns of [...this.hosts.map((host) => host.netns), this.#bridge]) {
      if (existsSync(`/run/netns/${netns}`)) spawnSync("ip", ["netns", "delete", netns]);
    }
  }
}
