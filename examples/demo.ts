/**
 * `npm run demo`: three processes, one each on Node.js, Bun and Deno, find each other by discovery on loopback, prove
 * themselves, send a NumPy array and 256 MiB of random data in every direction, and check every digest. Then something
 * urgent overtakes, and a connection is cut in the middle of a tensor. Ends by itself, with 0 when all arrived as sent;
 * with `--stay` it goes on behind a gateway (`--port`, default 8080) until Ctrl-C.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { sendThroughCut } from "./demo_cut.ts";
import { stay } from "./demo_gateway.ts";

const HERE = import.meta.dirname;
const BIN = join(HERE, "..", "node_modules", ".bin");
const TIMEOUT_MS = 60_000;
const PEER = join(HERE, "demo_peer.ts");
const COMMANDS = {
  "Node.js": [join(BIN, "node"), PEER],
  Bun: [join(BIN, "bun"), PEER],
  Deno: [join(BIN, "deno"), "run", "-A", "--no-check", PEER],
} as const;
const BULK_TENSORS = 4;

interface Event {
  readonly event: string;
  readonly id?: string;
  readonly port?: number;
  readonly protocols?: readonly string[];
  readonly from?: string;
  readonly topic?: string;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  readonly bytes?: number;
  readonly seconds?: number;
  readonly sha256?: string;
  readonly array?: string;
  readonly bulk?: string;
  readonly ms?: number;
  readonly atBytes?: number;
  readonly thenBytes?: number;
  readonly allBytes?: number;
}

class DemoPeer {
  readonly name: string;
  readonly child: ChildProcess;
  readonly events: Event[] = [];
  #look: () => void = () => {};
  ready: Event = { event: "none" };

  constructor(name: string, command: readonly string[], args: readonly string[], env: NodeJS.ProcessEnv) {
    this.name = name;
    this.child = spawn(command[0] as string, [...command.slice(1), ...args], {
      env,
      stdio: ["pipe", "pipe", "inherit"],
      detached: process.platform !== "win32", // Ctrl-C is for the demo alone: it tells them to close
    });
    this.child.on("exit", (code) => {
      if (code !== 0) fail(`the ${name} process ended with ${code}`);
    });
    if (this.child.stdout) {
      createInterface({ input: this.child.stdout }).on("line", (line) => {
        this.events.push(JSON.parse(line) as Event);
        this.#look();
      });
    }
  }

  /** The first `count` events that `accept` takes, from `from` on. */
  wait(count: number, from: number, accept: (event: Event) => boolean): Promise<Event[]> {
    return new Promise((resolve) => {
      this.#look = () => {
        const found = this.events.slice(from).filter(accept);
        if (found.length >= count) resolve(found);
      };
      this.#look();
    });
  }

  tell(command: object): void {
    this.child.stdin?.write(`${JSON.stringify(command)}\n`);
  }
}

const peers: DemoPeer[] = [];
function fail(why: string): never {
  process.stderr.write(`demo failed: ${why}\n`);
  for (const peer of peers) peer.child.kill("SIGKILL");
  process.exit(1);
}
const { values: flags } = parseArgs({
  options: { stay: { type: "boolean", default: false }, port: { type: "string" } },
});
const timer = setTimeout(() => fail(`not done after ${TIMEOUT_MS / 1000} s`), TIMEOUT_MS);
const interrupted = () => fail("interrupted");
process.on("SIGINT", interrupted);

const startMs = performance.now();
const say = (text: string) => process.stdout.write(`${text}\n`);
const mib = (bytes = 0) => (bytes / 1024 / 1024).toFixed(0);
const seconds = () => ((performance.now() - startMs) / 1000).toFixed(1);
say("Starting three nodes, one per runtime, with one shared key …");
process.env.ASOC_API_KEY = randomBytes(32).toString("hex");
process.env.DENO_NO_UPDATE_CHECK = "1"; // nothing but this machine is asked
const community = `demo-${randomBytes(4).toString("hex")}`;
const args = [community, String(randomInt(20_000, 30_000))];
for (const [name, command] of Object.entries(COMMANDS))
  peers.push(new DemoPeer(name, command, args, process.env));

for (const peer of peers) {
  const [ready] = await peer.wait(1, 0, (event) => event.event === "ready");
  peer.ready = ready as Event; // wait() gives at least one
}
const met = await Promise.all(peers.map((peer) => peer.wait(1, 0, (event) => event.event === "peers")));
const proven = met.flat().every(({ protocols }) => protocols?.every((protocol) => protocol === "x1"));
say(
  `They found each other by UDP beacons on loopback${proven ? ", and each has proven to each that it knows the key" : ""}: ${seconds()} s after the start.`,
);
say("Each sends examples/data/sine.npy and 256 MiB of random data to each …");

const rows: string[][] = [];
let wrong = 0;
let described = "";
for (const sender of peers) {
  for (const receiver of peers) {
    if (sender === receiver) continue;
    const from = receiver.events.length;
    sender.tell({ to: receiver.ready.id });
    const received = await receiver.wait(1 + BULK_TENSORS, from, (event) => event.event === "received");
    const [array, ...bulk] = received;
    described = `${array?.topic} ${array?.dtype} [${array?.shape}]`;
    const whole =
      array?.sha256 === sender.ready.array &&
      bulk.every((tensor) => tensor.sha256 === sender.ready.bulk) &&
      received.every((tensor) => tensor.from === sender.ready.id);
    if (!whole) wrong++;
    const bytes = bulk.reduce((sum, tensor) => sum + (tensor.bytes ?? 0), 0);
    const took = bulk.reduce((sum, tensor) => sum + (tensor.seconds ?? 0), 0);
    rows.push([
      sender.name,
      receiver.name,
      described,
      (bytes / 1e6 / took).toFixed(0),
      whole ? "equal" : "DIFFERENT",
    ]);
  }
}

const table = [["from", "to", "array", "MB/s", "digests"], ...rows];
const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => (row[column] ?? "").length)));
say("");
for (const row of table)
  say(
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("   ")
      .trimEnd(),
  );
say("");

const [first, second, third] = peers as [DemoPeer, DemoPeer, DemoPeer]; // one for each of COMMANDS
let from = first.events.length;
first.tell({ overtake: third.ready.id });
const [overtook] = await first.wait(1, from, (event) => event.event === "overtook");
const { ms = 0, bytes, atBytes, thenBytes, allBytes } = overtook ?? {};
say(
  `Priority: ${first.name} had sent ${mib(atBytes)} of ${mib(allBytes)} MiB of priority 50 to ${third.name} when ${bytes} bytes of`,
);
say(
  `  priority 200 came up: verified ${ms.toFixed(1)} ms later, with ${mib(thenBytes)} MiB of the bulk sent.`,
);

from = second.events.length;
const cut = await sendThroughCut(community, second.ready.port ?? 0);
const [arrived] = await second.wait(
  1,
  from,
  (event) => event.event === "received" && event.topic === "demo/cut",
);
if (arrived?.sha256 !== cut.sha256 || cut.cuts !== 1)
  fail("the tensor of the cut connection arrived different");
say(
  `Resume: a connection to ${second.name} was cut ${mib(cut.cutAtBytes)} MiB into a tensor of ${mib(cut.bytes)} MiB. It went on over the`,
);
say(`  next one and arrived once, digests equal; ${mib(cut.relayedBytes)} MiB were sent in all.`);

if (wrong === 0 && flags.stay) {
  clearTimeout(timer);
  const stop = new AbortController();
  process.off("SIGINT", interrupted);
  process.once("SIGINT", () => stop.abort());
  const ports = peers.map(({ ready }) => ready.port ?? 0);
  await stay(
    community,
    ports,
    flags.port === undefined ? undefined : Number(flags.port),
    stop.signal,
    say,
  ).catch((error: unknown) => fail(error instanceof Error ? error.message : String(error)));
}

for (const peer of peers) peer.tell({ close: true });
await Promise.all(peers.map((peer) => new Promise((resolve) => peer.child.once("close", resolve))));
clearTimeout(timer);
say("");
if (wrong > 0) fail(`${wrong} of ${rows.length} directions arrived different`);
say(`All ${rows.length} directions arrived as sent, verified by their receivers. ${seconds()} s in all.`);
