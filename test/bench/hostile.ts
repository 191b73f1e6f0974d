/** What one bad peer costs another's throughput: the same node is attacked, and not, in turns. */
import { MiB } from "../../src/core/limits.ts";
import { Process } from "../support/process.ts";
import { frame, freshId, header, RawPeer, TYPE } from "../support/raw_peer.ts";
import { BULK } from "./matrix.ts";
import { measure, type Pair, Role, type Spread, spread } from "./rig.ts";
import type { Section } from "./section.ts";

/** As asoc_node.ts has it. */
const KEY = "bench".repeat(8);
const MOST_LOSS = 0.1;
const HELD_BYTES = 32 * MiB;
/** Small, so that a consumer that never releases has used its share up within a second. */
const BUDGET_BYTES = 512 * MiB;

interface Attack {
  readonly name: string;
  /** Begins it; what comes back ends it. */
  begin(port: number, receiver: Role): Promise<() => Promise<void>>;
}

const join = (port: number) => RawPeer.join(port, KEY, freshId(), "127.0.0.1");

function every(ms: number, act: () => void): () => void {
  const timer = setInterval(act, ms);
  return () => clearInterval(timer);
}

const ATTACKS: readonly Attack[] = [
  {
    name: "32 peers announce 16 MiB and send a byte 20 times a second",
    async begin(port) {
      const peers = await Promise.all(Array.from({ length: 32 }, () => join(port)));
      for (const peer of peers) peer.send(header(TYPE.DATA, 1, 0, 16 * MiB));
      const stop = every(50, () => {
        for (const peer of peers) peer.send(Uint8Array.of(1));
      });
      return async () => {
        stop();
        for (const peer of peers) peer.reset();
      };
    },
  },
  {
    name: "a peer opens 10,000 streams, is thrown out, and comes again every second",
    async begin(port) {
      const streams = Buffer.concat(
        Array.from({ length: 10_000 }, (_each, index) => frame(TYPE.DATA, index + 1, 0, Buffer.from("a"))),
      );
      const peers: RawPeer[] = [];
      const attack = async () => {
        const peer = await join(port);
        peers.push(peer);
        peer.send(streams);
      };
      await attack();
      const stop = every(1000, () => void attack().catch(() => {}));
      return async () => {
        stop();
        for (const peer of peers) peer.reset();
      };
    },
  },
  {
    name: "a peer sends a tensor in parts of one byte, 1,000 a second",
    async begin(port) {
      const peer = await join(port);
      peer.send(header(TYPE.DATA, 1, 0, 16 * MiB));
      const stop = every(10, () => {
        for (let i = 0; i < 10; i++) peer.send(Uint8Array.of(1));
      });
      return async () => {
        stop();
        peer.reset();
      };
    },
  },
  {
    name: "a peer's tensors are never released, and it goes on sending",
    async begin(port, receiver) {
      const role = await start();
      role.tell({ cmd: "send", port, tensorBytes: HELD_BYTES, count: 1000, frameBytes: MiB });
      // Until its share is used up it is a peer like others, and has its part of the throughput.
      let usedBytes = 0;
      while (usedBytes < 0.75 * BUDGET_BYTES - HELD_BYTES)
        usedBytes = Number((await receiver.ask({ cmd: "stats" }, "stats")).memoryUsedBytes);
      return async () => {
        await role.process[Symbol.asyncDispose]();
      };
    },
  },
];

function start(options: object = {}): Promise<Role> {
  return Role.start(Process.script("node", "test/bench/roles/asoc_node.ts", [JSON.stringify(options)]));
}

interface Row {
  readonly attack: string;
  readonly throughput: Spread;
  /** Attacked over not attacked, of each round. */
  readonly ratio: Spread;
}

/** Node.js to Node.js, with the attacks one after another. */
export async function hostile(full: boolean, rounds: number, say: (text: string) => void): Promise<Section> {
  const load = { ...BULK, count: full ? 17 : 9 };
  const rows: Row[] = [];
  for (const attack of ATTACKS) {
    const receiver = await start({ limits: { memoryBudgetBytes: BUDGET_BYTES } });
    const sender = await start();
    await using _receiver = receiver.process;
    await using _sender = sender.process;
    const pair: Pair = { name: attack.name, sender, receiver };
    receiver.tell({ cmd: "hold", tensorBytes: HELD_BYTES });
    await measure(pair, { ...BULK, count: 3 });
    const rates: number[] = [];
    const ratios: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      say(`under attack: ${attack.name}, round ${round} of ${rounds}`);
      const before = (await measure(pair, load)).bytesPerSecond;
      const end = await attack.begin(receiver.port, receiver);
      const during = (await measure(pair, load)).bytesPerSecond;
      await end();
      receiver.tell({ cmd: "release" });
      const after = (await measure(pair, load)).bytesPerSecond;
      rates.push(during);
      ratios.push(during / ((before + after) / 2));
    }
    rows.push({ attack: attack.name, throughput: spread(rates), ratio: spread(ratios) });
  }
  const text = ({ median, low, high }: Spread, scale = 1) =>
    `${(median / scale).toFixed(2)} (${(low / scale).toFixed(2)}-${(high / scale).toFixed(2)})`;
  return {
    name: "hostile",
    title: "Another peer's throughput under attack",
    markdown: [
      `Node.js to Node.js, 64 MiB tensors; the attacker runs on the same ${navigator.hardwareConcurrency} processors.`,
      "",
      "| meanwhile | GB/s | over not attacked, of each round |",
      "|---|---:|---:|",
      ...rows.map(
        ({ attack, throughput, ratio }) => `| ${attack} | ${text(throughput, 1e9)} | ${text(ratio)} |`,
      ),
    ],
    data: rows,
    missed: rows
      .filter(({ ratio }) => ratio.median < 1 - MOST_LOSS)
      .map(
        ({ attack, ratio }) =>
          `Under attack (${attack}): ${ratio.median.toFixed(2)} of the throughput without, the target is ${1 - MOST_LOSS}`,
      ),
  };
}
