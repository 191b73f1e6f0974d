/** A network namespace of the benchmark's own whose congestion control is reno: nothing of the machine's changes. */
import { spawnSync } from "node:child_process";
import { whyNoNamespaces } from "../support/netns.ts";

function run(...command: [string, ...string[]]): void {
  const { status, stderr } = spawnSync(command[0], command.slice(1), { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr.trim()}`);
}

/** Dispose of it: the namespace goes. */
export class RenoNamespace implements Disposable {
  readonly netns = `asoc${process.pid}reno`;

  /** Why there can be none here, or undefined when there can. */
  static whyNot(): string | undefined {
    return whyNoNamespaces();
  }

  constructor() {
    run("ip", "netns", "add", this.netns);
    try {
      run("ip", "-n", this.netns, "link", "set", "lo", "up");
      run("ip", "netns", "exec", this.netns, "sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=reno");
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    spawnSync("ip", ["netns", "delete", this.netns]);
  }
}
