/** Eight nodes in processes of their own that found each other by discovery: one to seven, all to all, and one-way times. */
import { randomBytes, randomInt } from "node:crypto";
import { KiB, MiB } from "../../src/core/limits.ts";
import { type BenchNode, memoryOf, startNode } from "./memory.ts";
import { type RuntimeName, type Spread, spread } from "./rig.ts";
import { sharedNowUs } from "./roles/role.ts";
import type { Section } from "./section.ts";

const ALIKE: readonly RuntimeName[] = Array.from({ length: 8 }, () => "node");
const MIXED: readonly RuntimeName[] = ["node", "node", "node", "bun", "bun", "bun", "deno", "deno"];
const LATE_SIZES = [KiB, MiB] as const;
const ROUND_TIMEOUT_MS = 120_000;

interface Sizes {
  readonly tensorBytes: number;
  readonly rounds: number;
  /** Tensors of 1 KiB and of 1 MiB whose one-way times are taken. */
  readonly lateCounts: readonly [number, number];
}

const FULL: Sizes = { tensorBytes: 64 * MiB, rounds: 7, lateCounts: [1000, 300] };
const QUICK: Sizes = { tensorBytes: 8 * MiB, rounds: 2, lateCounts: [100, 30] };
/** Before each series of one-way times, not counted. */
const WARM_PINGS = 50;

/** Bytes a second: what all receivers together took, and what each did. */
interface Traffic {
  readonly total: Spread;
  readonly perPeer: Spread;
}

interface Late {
  readonly bytes: number;
  readonly toAll: boolean;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly leastMs: number;
  readonly samples: number;
}

interface Cluster {
  readonly runtimes: readonly RuntimeName[];
  readonly setUpSeconds: number;
  readonly oneToAll: Traffic;
  readonly allToAll: Traffic;
  readonly late: readonly Late[];
  readonly idleBytes: Spread | undefined;
  readonly peakBytes: Spread | undefined;
}

interface Digest {
  readonly digest: string;
  readonly from?: string;
}

/** From `senders` to all others at once; the bytes a second of every receiver, and of all together. */
async function round(
  nodes: readonly BenchNode[],
  senders: readonly BenchNode[],
  tensorBytes: number,
  digestEvery: number,
): Promise<{ readonly total: number; readonly perPeer: readonly number[] }> {
  const expected = nodes
    .map((node) => ({ node, count: senders.filter((sender) => sender !== node).length }))
    .filter(({ count }) => count > 0);
  const load = { tensorBytes, digestEvery };
  const marks = await Promise.all(
    expected.map(async ({ node: { role }, count }) => {
      await role.ask({ cmd: "take", way: "tensor", count, ...load }, "armed");
      return role.process.events.length;
    }),
  );
  const sending = senders.map(({ role }) =>
    role.ask({ cmd: "send", all: true, count: 1, ...load }, "sent", ROUND_TIMEOUT_MS),
  );
  const taking = expected.map(({ node: { role } }, index) =>
    role.process.waitFor(({ event }) => event === "done", ROUND_TIMEOUT_MS, marks[index] ?? 0),
  );
  const [sent, done] = await Promise.all([Promise.all(sending), Promise.all(taking)]);
  if (digestEvery > 0) {
    const digests = new Map<string, string | undefined>();
    for (const [index, { digests: own }] of sent.entries()) {
      digests.set(senders[index]?.id ?? "", (own as Digest[])[0]?.digest);
    }
    for (const [index, { digests: received }] of done.entries()) {
      const equal = (received as Digest[]).filter(({ from = "", digest }) => digests.get(from) === digest);
      if (equal.length !== expected[index]?.count) {
        throw new Error(`cluster: ${equal.length} of ${expected[index]?.count} tensors arrived as sent`);
      }
    }
  }
  const startUs = Math.min(...sent.map((one) => Number(one.startUs)));
  const seconds = done.map(({ atUs }) => (Number(atUs) - startUs) / 1e6);
  const tensors = expected.reduce((sum, { count }) => sum + count, 0);
  return {
    total: (tensors * tensorBytes) / Math.max(...seconds),
    perPeer: expected.map(({ count }, index) => (count * tensorBytes) / (seconds[index] ?? 0)),
  };
}

async function traffic(
  nodes: readonly BenchNode[],
  senders: readonly BenchNode[],
  { tensorBytes, rounds }: Sizes,
): Promise<Traffic> {
  // A pass of its own: content. It also warms up.
  await round(nodes, senders, tensorBytes, 1);
  const total: number[] = [];
  const perPeer: number[] = [];
  for (let index = 0; index < rounds; index++) {
    const found = await round(nodes, senders, tensorBytes, 0);
    total.push(found.total);
    perPeer.push(...found.perPeer);
  }
  return { total: spread(total), perPeer: spread(perPeer) };
}

/** One tensor after another from the first node of an idle cluster, each sent when the last one's replies are here. */
async function oneWay(
  [pinger, ...others]: readonly BenchNode[],
  bytes: number,
  count: number,
  all: boolean,
): Promise<Late> {
  if (!pinger) throw new RangeError("nodes: expected at least one");
  const ready = { tensorBytes: bytes, count, digestEvery: 0 };
  await pinger.role.ask({ cmd: "take", way: "replies", ...ready }, "armed");
  await Promise.all(others.map(({ role }) => role.ask({ cmd: "take", way: "late", ...ready }, "armed")));
  const collect = async (pings: number) => {
    await pinger.role.ask({ cmd: "ping", bytes, count: pings, all }, "pinged");
    const found = await Promise.all(others.map(({ role }) => role.ask({ cmd: "late" }, "late")));
    return found.flatMap(({ us }) => us as number[]);
  };
  await collect(WARM_PINGS);
  const ms = (await collect(count)).map((us) => us / 1000).sort((a, b) => a - b);
  const at = (share: number) => ms[Math.min(ms.length - 1, Math.floor(ms.length * share))] ?? Number.NaN;
  return { bytes, toAll: all, p50Ms: at(0.5), p99Ms: at(0.99), leastMs: at(0), samples: ms.length };
}

async function measureCluster(
  runtimes: readonly RuntimeName[],
  sizes: Sizes,
  say: (text: string) => void,
): Promise<Cluster> {
  const options = {
    discovery: true,
    community: `bench-${randomBytes(4).toString("hex")}`,
    discoveryPort: randomInt(20_000, 30_000),
  };
  const count = runtimes.length;
  say(`cluster: ${count} nodes find each other`);
  await using stack = new AsyncDisposableStack();
  const startUs = sharedNowUs();
  const nodes = await Promise.all(
    runtimes.map(async (runtime) => {
      const node = await startNode(runtime, options);
      stack.use(node.role.process);
      return node;
    }),
  );
  const met = await Promise.all(
    nodes.map(({ role }) => role.ask({ cmd: "peers", count: count - 1 }, "peers")),
  );
  const setUpSeconds = (Math.max(...met.map(({ atUs }) => Number(atUs))) - startUs) / 1e6;
  const memoryNow = () => nodes.map(({ pid }) => memoryOf(pid)).filter((memory) => memory !== undefined);
  const idle = memoryNow().map(({ rssBytes }) => rssBytes);
  const late: Late[] = [];
  for (const toAll of [false, true]) {
    for (const [index, bytes] of LATE_SIZES.entries()) {
      say(`cluster: ${bytes / KiB} KiB one way, ${toAll ? "to all" : "one pair"}`);
      late.push(await oneWay(nodes, bytes, sizes.lateCounts[index] ?? 1, toAll));
    }
  }
  say(`cluster: one to ${count - 1}`);
  const oneToAll = await traffic(nodes, nodes.slice(0, 1), sizes);
  say("cluster: all to all");
  const allToAll = await traffic(nodes, nodes, sizes);
  const peak = memoryNow().map(({ peakBytes }) => peakBytes);
  return {
    runtimes,
    setUpSeconds,
    oneToAll,
    allToAll,
    late,
    idleBytes: idle.length > 0 ? spread(idle) : undefined,
    peakBytes: peak.length > 0 ? spread(peak) : undefined,
  };
}

/** Eight nodes on Node.js; with `full` also a mix of the three runtimes. */
export async function cluster(full: boolean, say: (text: string) => void): Promise<Section> {
  const sizes = full ? FULL : QUICK;
  const clusters: Cluster[] = [];
  for (const runtimes of full ? [ALIKE, MIXED] : [ALIKE]) {
    clusters.push(await measureCluster(runtimes, sizes, say));
  }
  return {
    name: "cluster",
    title: "Eight nodes",
    markdown: markdown(clusters, sizes),
    data: { full, clusters },
    missed: [],
  };
}

const text = ({ median, low, high }: Spread, show: (value: number) => string) =>
  `${show(median)} (${show(low)}-${show(high)})`;
const gb = (bytesPerSecond: number) => (bytesPerSecond / 1e9).toFixed(2);
const mib = (bytes: number) => (bytes / MiB).toFixed(0);

function markdown(clusters: readonly Cluster[], { tensorBytes, rounds, lateCounts }: Sizes): string[] {
  const row = (metric: string, show: (one: Cluster) => string) =>
    `| ${metric} | ${clusters.map(show).join(" | ")} |`;
  const memory = (metric: string, pick: (one: Cluster) => Spread | undefined) =>
    row(metric, (one) => {
      const found = pick(one);
      return found ? text(found, mib) : "unknown";
    });
  const latency = [false, true].flatMap((toAll) =>
    LATE_SIZES.map((bytes) =>
      row(`${bytes / KiB} KiB one way, ${toAll ? "to all seven" : "one pair"}, p50 / p99, ms`, ({ late }) => {
        const found = late.find((one) => one.bytes === bytes && one.toAll === toAll);
        return found ? `${found.p50Ms.toFixed(3)} / ${found.p99Ms.toFixed(3)}` : "unknown";
      }),
    ),
  );
  const heads = clusters.map(({ runtimes }) =>
    runtimes === ALIKE ? "all on Node.js" : "3 Node.js, 3 Bun, 2 Deno",
  );
  return [
    `Eight processes of one machine that find each other by beacons. Tensors of ${mib(tensorBytes)} MiB with \`sendAll()\`, ${rounds} rounds: from the first send until the tensor is in each receiver's hands; digests are compared in a round before.`,
    `One-way times: from \`send()\` to the tensor in hand on the machine's clock, in an idle cluster, ${lateCounts.join(" and ")} tensors of the two sizes.`,
    "",
    `| metric | ${heads.join(" | ")} |`,
    `|---|${heads.map(() => "---:|").join("")}`,
    row("set-up, from the start of the first process until all 8 see 7, s", (one) =>
      one.setUpSeconds.toFixed(2),
    ),
    row("one to seven: aggregate, GB/s", ({ oneToAll }) => text(oneToAll.total, gb)),
    row("one to seven: per peer, GB/s", ({ oneToAll }) => text(oneToAll.perPeer, gb)),
    row("all to all: aggregate, GB/s", ({ allToAll }) => text(allToAll.total, gb)),
    row("all to all: per peer, received, GB/s", ({ allToAll }) => text(allToAll.perPeer, gb)),
    ...latency,
    memory("memory per process, idle, MiB", ({ idleBytes }) => idleBytes),
    memory("memory per process, peak, MiB", ({ peakBytes }) => peakBytes),
  ];
}
