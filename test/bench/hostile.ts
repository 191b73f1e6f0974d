/**
 * What one bad peer costs another's throughput: the same node is attacked, in turns with a bare server that the same attackers
 * have, so that what their own work takes from the machine is not laid at the node's door.
 */
import { MiB } from "../../src/core/limits.ts";
import { Process } from "../support/process.ts";
import { BULK } from "./matrix.ts";
import { measure, type Pair, Role, type Spread, spread } from "./rig.ts";
import type { AttackName } from "./roles/attacker.ts";
import type { Section } from "./section.ts";

const MOST_LOSS = 0.1;
const HELD_BYTES = 32 * MiB;
/** Small, so that a consumer that never releases has used its share up within a second. */
const BUDGET_BYTES = 512 * MiB;
/** An attack goes on so long before it is measured. */
const WARM_MS = 300;
/** Who has moved nothing for so long stands still. */
const STILL_MS = 100;

interface Attack {
  readonly says: string;
  /** Of attacker.ts; undefined: a whole node whose tensors are never released. */
  readonly name?: AttackName;
}

const ATTACKS: readonly Attack[] = [
  { name: "slow v1", says: "32 peers announce frames of 16 MiB and send a byte 20 times a second" },
  {
    name: "streams",
    says: "a peer opens 10,000 streams, is thrown out, and comes again every second",
  },
  { name: "parts", says: "a peer sends a tensor in parts of one byte, 5,000 a second" },
  {
    name: "slow x1",
    says: "32 proven peers open tensors of 1 GiB, announce 256 KiB of them, and send a byte 20 times a second",
  },
  { name: "frames", says: "a proven peer sends frames of one byte, as many as its credit allows" },
  { says: "a peer's tensors are never released, and it goes on sending" },
];

function start(options: object = {}): Promise<Role> {
  return Role.start(Process.script("node", "test/bench/roles/asoc_node.ts", [JSON.stringify(options)]));
}

interface Row {
  readonly attack: string;
  readonly throughput: Spread;
  readonly control: Spread;
  /** Attacked over the control, of each round. */
  readonly ratio: Spread;
  /** Attacked over not attacked: with what the attackers themselves take. */
  readonly overQuiet: Spread;
  /** What one attacker did a second, to the node. */
  readonly actsPerSecond: Spread | undefined;
}

interface Victims {
  readonly pair: Pair;
  /** Holds what it is sent, as the receiver does, and has no other peer. */
  readonly other: Role;
  /** The bare server that reads and throws away. */
  readonly sinkPort: number;
}

/** Until its share is used up the attacker is a peer like others, and has its part of the throughput. */
async function standsStill(victim: Role): Promise<void> {
  const progress = async () => {
    const { memoryUsedBytes, payloadBytesIn } = await victim.ask({ cmd: "stats" }, "stats");
    return { usedBytes: Number(memoryUsedBytes), inBytes: Number(payloadBytesIn) };
  };
  let last = await progress();
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, STILL_MS));
    const now = await progress();
    if (now.usedBytes >= 0.75 * BUDGET_BYTES - HELD_BYTES && now.inBytes === last.inBytes) return;
    last = now;
  }
}

/** Throughput while the attack goes on against the node, or against the bare server at `perSecond`; and what was done a second. */
async function under(
  { name }: Attack,
  { pair, other, sinkPort }: Victims,
  count: number,
  bare: { readonly perSecond: number } | undefined,
): Promise<{ readonly rate: number; readonly perSecond: number }> {
  const load = { ...BULK, count };
  if (name === undefined) {
    // Its control is another node that keeps what it gets: the attacker stands still there as it does here.
    const victim = bare ? other : pair.receiver;
    const role = await start();
    await using _ = role.process;
    role.tell({ cmd: "send", port: victim.port, tensorBytes: HELD_BYTES, count: 1000, frameBytes: MiB });
    await standsStill(victim);
    return { rate: (await measure(pair, load)).bytesPerSecond, perSecond: 0 };
  }
  const role = await Role.start(Process.script("node", "test/bench/roles/attacker.ts", []));
  await using _ = role.process;
  const port = bare ? sinkPort : pair.receiver.port;
  await role.ask({ cmd: "attack", name, port, bare: bare !== undefined, ...bare }, "attacking");
  await new Promise((resolve) => setTimeout(resolve, WARM_MS));
  const { bytesPerSecond } = await measure(pair, load);
  const { perSecond } = await role.ask({ cmd: "stop" }, "stopped");
  return { rate: bytesPerSecond, perSecond: Number(perSecond) };
}

async function rowOf(
  attack: Attack,
  count: number,
  rounds: number,
  say: (text: string) => void,
): Promise<Row> {
  const limits = { memoryBudgetBytes: BUDGET_BYTES };
  const [receiver, other, sender] = await Promise.all([start({ limits }), start({ limits }), start()]);
  const closer = await Role.start(Process.script("node", "test/bench/roles/closer.ts", []));
  await using _receiver = receiver.process;
  await using _other = other.process;
  await using _sender = sender.process;
  await using _closer = closer.process;
  const ready = closer.process.events.find(({ event }) => event === "ready");
  const pair: Pair = { name: attack.says, sender, receiver };
  const victims = { pair, other, sinkPort: Number(ready?.sinkPort) };
  for (const role of [receiver, other]) role.tell({ cmd: "hold", tensorBytes: HELD_BYTES });
  const load = { ...BULK, count };
  await measure(pair, { ...BULK, count: 3 });
  const found = {
    rate: [] as number[],
    control: [] as number[],
    quiet: [] as number[],
    acts: [] as number[],
  };
  let before = (await measure(pair, load)).bytesPerSecond;
  for (let round = 1; round <= rounds; round++) {
    say(`under attack: ${attack.says}, round ${round} of ${rounds}`);
    const attacked = await under(attack, victims, count, undefined);
    receiver.tell({ cmd: "release" });
    const control = await under(attack, victims, count, { perSecond: attacked.perSecond });
    other.tell({ cmd: "release" });
    const after = (await measure(pair, load)).bytesPerSecond;
    found.rate.push(attacked.rate);
    found.control.push(control.rate);
    found.quiet.push((before + after) / 2);
    found.acts.push(attacked.perSecond);
    before = after;
  }
  const over = (list: readonly number[]) =>
    spread(found.rate.map((rate, index) => rate / (list[index] ?? rate)));
  return {
    attack: attack.says,
    throughput: spread(found.rate),
    control: spread(found.control),
    ratio: over(found.control),
    overQuiet: over(found.quiet),
    actsPerSecond: attack.name === undefined ? undefined : spread(found.acts),
  };
}

/** Node.js to Node.js, with the attacks one after another. */
export async function hostile(full: boolean, rounds: number, say: (text: string) => void): Promise<Section> {
  const rows: Row[] = [];
  for (const attack of ATTACKS) rows.push(await rowOf(attack, full ? 17 : 9, rounds, say));
  const text = ({ median, low, high }: Spread, scale = 1) =>
    `${(median / scale).toFixed(2)} (${(low / scale).toFixed(2)}-${(high / scale).toFixed(2)})`;
  return {
    name: "hostile",
    title: "Another peer's throughput under attack",
    markdown: [
      `Node.js to Node.js, 64 MiB tensors; the attackers share the ${navigator.hardwareConcurrency} processors. Control: the same stream while the same attackers say the same, as often, to a bare server that reads and throws away; the tensors that are never released go to another node there.`,
      "",
      "| meanwhile | GB/s | control, GB/s | ratio of each round | over not attacked | acts a second |",
      "|---|---:|---:|---:|---:|---:|",
      ...rows.map(
        ({ attack, throughput, control, ratio, overQuiet, actsPerSecond: acts }) =>
          `| ${attack} | ${text(throughput, 1e9)} | ${text(control, 1e9)} | ${text(ratio)} | ${text(overQuiet)} | ${acts ? acts.median.toFixed(0) : ""} |`,
      ),
    ],
    data: rows,
    missed: rows
      .filter(({ ratio }) => ratio.median < 1 - MOST_LOSS)
      .map(
        ({ attack, ratio }) =>
          `Under attack (${attack}): ${ratio.median.toFixed(2)} of the throughput beside a bare server that is attacked, the target is ${1 - MOST_LOSS}`,
      ),
  };
}
