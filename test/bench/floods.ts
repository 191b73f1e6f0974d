/**
 * Floods: what a good peer keeps of 500 MB/s while strangers pour in, beside what it keeps while the same strangers pour
 * into a bare server that closes every connection; and what refusing one costs.
 */
import { readFileSync } from "node:fs";
import { MiB } from "../../src/core/limits.ts";
import { Process } from "../support/process.ts";
import { NAMES } from "./report.ts";
import { measure, type Pair, Role, RUNTIMES, type RuntimeName, type Spread, spread } from "./rig.ts";
import type { Section } from "./section.ts";

const KEPT = 0.9;
const GOOD_BYTES_PER_SECOND = 500e6;
const GOOD = { tensorBytes: 8 * MiB, frameBytes: MiB, bytesPerSecond: GOOD_BYTES_PER_SECOND };
/** One process may have so many descriptors. */
const MAX_SLOTS = 5000;
const WARM_MS = 1000;
const HAMMER_MS = 3000;
/** Ticks of the kernel's process times. */
const TICKS_PER_SECOND = 100;

interface FloodCommand {
  readonly cmd: "connect" | "beacons";
}

interface Flood {
  readonly name: string;
  /** What each attacker is told; the port is added. */
  readonly commands: readonly FloodCommand[];
}

/** Where to pour. */
interface Victim {
  readonly tcpPort: number;
  readonly udpPort: number;
}

const connections = (slots: number, perSecond: number, talks: boolean): FloodCommand[] => {
  const processes = Math.ceil(slots / MAX_SLOTS);
  return Array.from({ length: processes }, () => ({
    cmd: "connect" as const,
    slots: Math.ceil(slots / processes),
    perSecond: perSecond / processes,
    talks,
    addresses: 500,
  }));
};

const KEYLESS = connections(10_000, 2000, true);
const HALF_OPEN = connections(1000, 1000, false);
const BEACONS: readonly (FloodCommand & { readonly perSecond: number })[] = [
  { cmd: "beacons", perSecond: 20_000 },
];
const FLOODS: readonly Flood[] = [
  {
    name: "10,000 connections with another key, 2,000 a second from 1,000 addresses",
    commands: KEYLESS,
  },
  { name: "1,000 half-open handshakes that say nothing, 1,000 a second again", commands: HALF_OPEN },
  { name: "20,000 beacons a second that nobody has signed", commands: BEACONS },
  { name: "all three at once", commands: [...KEYLESS, ...HALF_OPEN, ...BEACONS] },
];

const script = (runtime: RuntimeName, name: string, options?: object) =>
  Role.start(
    Process.script(runtime, `test/bench/roles/${name}.ts`, options ? [JSON.stringify(options)] : []),
  );

async function attackers(commands: readonly FloodCommand[], { tcpPort, udpPort }: Victim): Promise<Role[]> {
  const roles = await Promise.all(commands.map(() => script("node", "flooder")));
  for (const [index, role] of roles.entries()) {
    const command = commands[index];
    role.tell({ ...command, port: command?.cmd === "beacons" ? udpPort : tcpPort });
  }
  return roles;
}

/** What attackers have done, all of them together. */
interface Poured {
  readonly openedPerSecond: number;
  readonly beaconsPerSecond: number;
  /** Connections that were open at the end. */
  readonly held: number;
  readonly closed: number;
}

async function end(roles: readonly Role[]): Promise<Poured> {
  const poured = { openedPerSecond: 0, beaconsPerSecond: 0, held: 0, closed: 0 };
  for (const role of roles) {
    const { seconds, opened, beacons, held, closed } = await role.ask({ cmd: "stop" }, "stopped");
    poured.openedPerSecond += Number(opened) / Number(seconds);
    poured.beaconsPerSecond += Number(beacons) / Number(seconds);
    poured.held += Number(held);
    poured.closed += Number(closed);
    await role.process[Symbol.asyncDispose]();
  }
  return poured;
}

function cpuSeconds({ process: { child } }: Role): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Held {
  readonly runtime: RuntimeName;
  readonly flood: string;
  readonly throughput: Spread;
  readonly control: Spread;
  /** Of each round. */
  readonly ratio: Spread;
  readonly poured: { readonly node: PouredSpread; readonly control: PouredSpread };
}

type PouredSpread = Readonly<Record<"opened" | "beacons" | "held", Spread>>;

function pouredSpread(rounds: readonly Poured[]): PouredSpread {
  return {
    opened: spread(rounds.map(({ openedPerSecond }) => openedPerSecond)),
    beacons: spread(rounds.map(({ beaconsPerSecond }) => beaconsPerSecond)),
    held: spread(rounds.map(({ held }) => held)),
  };
}

/** The good stream under `flood` into the node itself, and into a bare server, in turns. */
async function held(
  runtime: RuntimeName,
  flood: Flood,
  seconds: number,
  rounds: number,
  say: (text: string) => void,
): Promise<Held> {
  const discoveryPort = 19_700 + (process.pid % 100);
  const discovery = flood.commands.some(({ cmd }) => cmd === "beacons");
  const receiver = await script(runtime, "asoc_node", { discovery, discoveryPort });
  const sender = await script("node", "asoc_node");
  const closer = await script(runtime, "closer");
  await using _receiver = receiver.process;
  await using _sender = sender.process;
  await using _closer = closer.process;
  const [{ udpPort }] = closer.process.events.filter(({ event }) => event === "ready") as [
    { udpPort: number },
  ];
  const pair: Pair = { name: flood.name, sender, receiver };
  const count = Math.ceil((seconds * GOOD_BYTES_PER_SECOND) / GOOD.tensorBytes);
  await measure(pair, { ...GOOD, count: 10 });
  const poured = { node: [] as Poured[], control: [] as Poured[] };
  const under = async (victim: Victim, side: "node" | "control") => {
    const roles = await attackers(flood.commands, victim);
    await rest(WARM_MS);
    const { bytesPerSecond } = await measure(pair, { ...GOOD, count });
    poured[side].push(await end(roles));
    return bytesPerSecond;
  };
  const rates: number[] = [];
  const controls: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    say(`${NAMES[runtime]} under ${flood.name}, round ${round} of ${rounds}`);
    const attacked = () => under({ tcpPort: receiver.port, udpPort: discoveryPort }, "node");
    const bare = () => under({ tcpPort: closer.port, udpPort }, "control");
    // Whoever comes first may have the quieter machine.
    if (round % 2 === 0) {
      controls.push(await bare());
      rates.push(await attacked());
    } else {
      rates.push(await attacked());
      controls.push(await bare());
    }
  }
  const ratios = rates.map((rate, index) => rate / (controls[index] ?? rate));
  return {
    runtime,
    flood: flood.name,
    throughput: spread(rates),
    control: spread(controls),
    ratio: spread(ratios),
    poured: { node: pouredSpread(poured.node), control: pouredSpread(poured.control) },
  };
}

interface Cost {
  readonly runtime: RuntimeName;
  /** A second of one processor, by what was refused. */
  readonly refusedPerCpuSecond: Readonly<Record<string, number>>;
}

/** As many as come, for a while, and the processor time that the victim spent on them. */
async function hammer(role: Role, talks: boolean): Promise<number> {
  const before = cpuSeconds(role);
  const roles = await attackers(
    [1, 2].map(() => ({ cmd: "connect", slots: 200, perSecond: 1e6, talks, addresses: 500 })),
    { tcpPort: role.port, udpPort: 0 },
  );
  await rest(HAMMER_MS);
  const { closed } = await end(roles);
  return closed / Math.max(cpuSeconds(role) - before, 0.01);
}

export async function cost(runtime: RuntimeName, say: (text: string) => void): Promise<Cost> {
  say(`${NAMES[runtime]}: what refusing costs`);
  const ask = async (name: string, limits: object | undefined, talks: boolean) => {
    const role = await script(runtime, name, limits && { limits });
    await using _role = role.process;
    return Math.round(await hammer(role, talks));
  };
  const never = { maxFailedHandshakes: 1e9, maxAttemptsPerHour: 1e9, maxPendingHandshakes: 1000 };
  return {
    runtime,
    refusedPerCpuSecond: {
      "before a byte is read": await ask("asoc_node", { maxAttemptsPerHour: 0 }, true),
      "HELLO with another key": await ask("asoc_node", never, true),
      "bare server": await ask("closer", undefined, true),
    },
  };
}

export async function floods(full: boolean, rounds: number, say: (text: string) => void): Promise<Section> {
  const rows: Held[] = [];
  for (const runtime of RUNTIMES)
    for (const flood of FLOODS) rows.push(await held(runtime, flood, full ? 3 : 2, rounds, say));
  const costs: Cost[] = [];
  for (const runtime of RUNTIMES) costs.push(await cost(runtime, say));
  const text = ({ median, low, high }: Spread, scale = 1, digits = 2) =>
    `${(median / scale).toFixed(digits)} (${(low / scale).toFixed(digits)}-${(high / scale).toFixed(digits)})`;
  return {
    name: "floods",
    title: "A good peer in a flood",
    markdown: [
      `A sender on Node.js holds ${GOOD_BYTES_PER_SECOND / 1e6} MB/s to a receiver, in tensors of 8 MiB, on ${navigator.hardwareConcurrency} processors that the attackers share.`,
      "Control: the same stream while the same attackers have a bare server of the receiver's runtime, which closes every",
      "connection at once, or drops every datagram; it is a process of its own. Opened and held: connections that the attackers",
      "have made a second, and had open at the end, against the node and against the control; whoever closes at once is dialled again at once.",
      "",
      "| receiver | flood | MB/s | control, MB/s | ratio of each round | opened/s | control | held | control |",
      "|---|---|---:|---:|---:|---:|---:|---:|---:|",
      ...rows.map(
        ({ runtime, flood, throughput, control, ratio, poured: { node, control: bare } }) =>
          `| ${NAMES[runtime]} | ${flood} | ${text(throughput, 1e6, 0)} | ${text(control, 1e6, 0)} | ${text(ratio)} | ${[node.opened, bare.opened, node.held, bare.held].map(({ median }) => median.toFixed(0)).join(" | ")} |`,
      ),
      "",
      "Connections refused a second of one processor's time, as many as two attackers can make:",
      "",
      "| receiver | address over its limit, before a byte is read | HELLO with another key | bare server, for comparison |",
      "|---|---:|---:|---:|",
      ...costs.map(
        ({ runtime, refusedPerCpuSecond: of }) =>
          `| ${NAMES[runtime]} | ${of["before a byte is read"]} | ${of["HELLO with another key"]} | ${of["bare server"]} |`,
      ),
    ],
    data: { held: rows, costs },
    missed: rows
      .filter(({ ratio }) => ratio.median < KEPT)
      .map(
        ({ runtime, flood, ratio }) =>
          `${NAMES[runtime]} in a flood of ${flood}: ${ratio.median.toFixed(2)} of what it keeps beside a bare server, the target is ${KEPT}`,
      ),
  };
}
