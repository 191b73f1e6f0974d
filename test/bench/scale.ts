/** A thousand streams at once over one connection, and a hub to which 64 peers come one by one. */
import { KiB, MiB } from "../../src/core/limits.ts";
import { type BenchNode, memoryOf, startNode } from "./memory.ts";
import { RUNTIMES, type RuntimeName, type Spread, spread } from "./rig.ts";
import type { Section } from "./section.ts";

const NAMES = { node: "Node.js", bun: "Bun", deno: "Deno" } as const;
const STREAMS = 1000;
/** With whole tensors in one frame they arrive in turn; in small frames all are open at once. */
const FRAMES = [MiB, 64 * KiB] as const;
/** Of so many streams one has its digest compared. */
const DIGEST_EVERY = 50;
const LEVELS = [1, 8, 16, 32, 64] as const;
const FAN_OUT_BYTES = MiB;

interface Streams {
  readonly runtime: RuntimeName;
  readonly frameBytes: number;
  readonly tensorBytes: number;
  /** Bytes a second from the first `send` to the last tensor in hand. */
  readonly together: Spread;
  readonly inTurn: Spread;
  /** Of each round: together over in turn. */
  readonly ratio: Spread;
  readonly peakOpen: number;
  readonly peakPoolBytes: number;
}

interface Pair {
  readonly sender: BenchNode;
  readonly receiver: BenchNode;
}

interface Burst {
  readonly bytesPerSecond: number;
  readonly peakOpen: number;
  readonly peakPoolBytes: number;
}

interface Digest {
  readonly streamId: number;
  readonly digest: string;
}

/** Sends STREAMS tensors once; with `digestEvery` the digests of some are compared. Lengths are checked always. */
async function burst(
  { sender, receiver }: Pair,
  tensorBytes: number,
  frameBytes: number,
  together: boolean,
  digestEvery = 0,
): Promise<Burst> {
  const load = { tensorBytes, count: STREAMS, frameBytes, digestEvery };
  await receiver.role.ask({ cmd: "take", way: "tensor", ...load }, "armed");
  const from = receiver.role.process.events.length;
  const [done, sent] = await Promise.all([
    receiver.role.process.waitFor(({ event }) => event === "done", 120_000, from),
    sender.role.ask({ cmd: "send", ...load, together }, "sent"),
  ]);
  if (digestEvery > 0) compare(sent.digests as Digest[], done.digests as Digest[]);
  const seconds = (Number(done.atUs) - Number(sent.startUs)) / 1e6;
  return {
    bytesPerSecond: (tensorBytes * STREAMS) / seconds,
    peakOpen: Number(done.peakOpen),
    peakPoolBytes: Number(done.peakPoolBytes),
  };
}

function compare(sent: readonly Digest[], received: readonly Digest[]): void {
  const expected = new Map(sent.map(({ streamId, digest }) => [streamId, digest]));
  const equal = received.filter(({ streamId, digest }) => expected.get(streamId) === digest).length;
  if (equal === 0 || equal !== received.length || equal !== expected.size) {
    throw new Error(`a thousand streams: ${equal} of ${expected.size} digests are equal`);
  }
}

async function streamsOf(
  runtime: RuntimeName,
  tensorBytes: number,
  rounds: number,
  say: (text: string) => void,
): Promise<Streams[]> {
  const [receiver, sender] = await Promise.all([startNode(runtime), startNode(runtime)]);
  await using _receiver = receiver.role.process;
  await using _sender = sender.role.process;
  const pair = { sender, receiver };
  await sender.role.ask({ cmd: "join", port: receiver.port }, "joined");
  const rows: Streams[] = [];
  for (const frameBytes of FRAMES) {
    say(`streams: ${NAMES[runtime]}, frames of ${frameBytes / KiB} KiB`);
    // A pass of its own, which also warms up.
    await burst(pair, tensorBytes, frameBytes, true, DIGEST_EVERY);
    const together: Burst[] = [];
    const inTurn: number[] = [];
    for (let round = 0; round < rounds; round++) {
      // Turns about, so that neither always comes first.
      if (round % 2 === 0) together.push(await burst(pair, tensorBytes, frameBytes, true));
      inTurn.push((await burst(pair, tensorBytes, frameBytes, false)).bytesPerSecond);
      if (round % 2 === 1) together.push(await burst(pair, tensorBytes, frameBytes, true));
    }
    rows.push({
      runtime,
      frameBytes,
      tensorBytes,
      together: spread(together.map(({ bytesPerSecond }) => bytesPerSecond)),
      inTurn: spread(inTurn),
      ratio: spread(together.map(({ bytesPerSecond }, index) => bytesPerSecond / (inTurn[index] ?? 0))),
      peakOpen: Math.max(...together.map(({ peakOpen }) => peakOpen)),
      peakPoolBytes: Math.max(...together.map(({ peakPoolBytes }) => peakPoolBytes)),
    });
  }
  return rows;
}

interface Level {
  readonly peers: number;
  /** From before `join` of one more peer until the hub lists it; over the peers since the last level. */
  readonly joinMs: Spread;
  readonly hubRssBytes: number | undefined;
}

interface Growth {
  readonly levels: readonly Level[];
  /** Between 8 peers and 64. */
  readonly bytesPerPeer: number | undefined;
  readonly fanOutMs: Spread;
  readonly fanOutBytesPerSecond: Spread;
}

interface Seen {
  readonly id: string;
  readonly atUs: number;
}

/** A hub on Node.js with the default limits; all its peers are nodes of one other process. */
async function growth(rounds: number, say: (text: string) => void): Promise<Growth> {
  const [hub, many] = await Promise.all([startNode("node"), startNode("node")]);
  await using _hub = hub.role.process;
  await using _many = many.role.process;
  const started = new Map<string, number>();
  const levels: Level[] = [];
  for (const peers of LEVELS) {
    say(`hub: ${peers} peers`);
    const before = started.size;
    while (started.size < peers) {
      const { id, startUs } = await many.role.ask({ cmd: "join", port: hub.port }, "joined");
      started.set(String(id), Number(startUs));
    }
    await hub.role.ask({ cmd: "peers", count: peers }, "peers");
    const { seen } = await hub.role.ask({ cmd: "seen" }, "seen");
    const added = (seen as Seen[]).slice(before);
    levels.push({
      peers,
      joinMs: spread(added.map(({ id, atUs }) => (atUs - (started.get(id) ?? Number.NaN)) / 1000)),
      hubRssBytes: memoryOf(hub.pid)?.rssBytes,
    });
  }
  const peers = started.size;
  say(`hub: one tensor to ${peers} peers`);
  await fanOut(hub, many, peers, 1);
  const us: number[] = [];
  for (let round = 0; round < rounds; round++) us.push(await fanOut(hub, many, peers, 0));
  const rssAt = (count: number) => levels.find((level) => level.peers === count)?.hubRssBytes;
  const [few, all] = [rssAt(8), rssAt(64)];
  return {
    levels,
    bytesPerPeer: few === undefined || all === undefined ? undefined : (all - few) / (64 - 8),
    fanOutMs: spread(us.map((one) => one / 1000)),
    fanOutBytesPerSecond: spread(us.map((one) => (peers * FAN_OUT_BYTES) / (one / 1e6))),
  };
}

/** One tensor to all peers; microseconds from `sendAll` to the last one that has it. */
async function fanOut(hub: BenchNode, many: BenchNode, peers: number, digestEvery: number): Promise<number> {
  await many.role.ask(
    { cmd: "take", way: "tensor", tensorBytes: FAN_OUT_BYTES, count: peers, digestEvery },
    "armed",
  );
  const from = many.role.process.events.length;
  const [done, sent] = await Promise.all([
    many.role.process.waitFor(({ event }) => event === "done", 60_000, from),
    hub.role.ask({ cmd: "send", all: true, tensorBytes: FAN_OUT_BYTES, count: 1, digestEvery }, "sent"),
  ]);
  if (digestEvery > 0) {
    const [expected] = sent.digests as Digest[];
    const equal = (done.digests as Digest[]).filter(({ digest }) => digest === expected?.digest).length;
    if (equal !== peers) throw new Error(`one tensor to ${peers} peers: ${equal} digests are equal`);
  }
  return Number(done.atUs) - Number(sent.startUs);
}

/** Both measurements; the streams on each runtime with itself. */
export async function scale(full: boolean, say: (text: string) => void): Promise<Section> {
  const tensorBytes = full ? MiB : 256 * KiB;
  const rounds = full ? 5 : 1;
  const streams: Streams[] = [];
  for (const runtime of RUNTIMES) streams.push(...(await streamsOf(runtime, tensorBytes, rounds, say)));
  const hub = await growth(full ? 9 : 3, say);
  return {
    name: "scale",
    title: "A thousand streams, and many peers",
    markdown: markdown(streams, hub, tensorBytes),
    data: { full, streams, hub },
    missed: [],
  };
}

const text = ({ median, low, high }: Spread, show: (value: number) => string) =>
  `${show(median)} (${show(low)}-${show(high)})`;
const two = (value: number) => value.toFixed(2);
const gb = (bytesPerSecond: number) => two(bytesPerSecond / 1e9);
const mib = (bytes: number | undefined) => (bytes === undefined ? "unknown" : (bytes / MiB).toFixed(0));

function markdown(streams: readonly Streams[], hub: Growth, tensorBytes: number): string[] {
  const top = LEVELS.at(-1);
  const perPeer = hub.bytesPerPeer === undefined ? "unknown" : `${(hub.bytesPerPeer / KiB).toFixed(0)} KiB`;
  return [
    `${STREAMS} tensors of ${tensorBytes / KiB} KiB over one connection, all \`send\`s started together, beside the same one after another; GB/s from the first \`send\` to the last tensor in hand.`,
    "Every length is checked, and some digests in a pass before. Tensors of one frame follow each other; in smaller frames all of them arrive at once.",
    "",
    "| runtime | frames | together | in turn | ratio of each round | readers at once | tensor memory, MiB |",
    "|---|---:|---:|---:|---:|---:|---:|",
    ...streams.map(
      (row) =>
        `| ${NAMES[row.runtime]} | ${row.frameBytes / KiB} KiB | ${text(row.together, gb)} | ${text(row.inTurn, gb)} | ${text(row.ratio, two)} | ${row.peakOpen} | ${mib(row.peakPoolBytes)} |`,
    ),
    "",
    `A hub on Node.js with the default limits, to which peers come one by one, all of them in one other process. The memory of the hub grows by ${perPeer} a peer between 8 and ${top}.`,
    "",
    "| peers | from `join` until the hub lists it, ms | hub, MiB |",
    "|---:|---:|---:|",
    ...hub.levels.map(
      ({ peers, joinMs, hubRssBytes }) => `| ${peers} | ${text(joinMs, two)} | ${mib(hubRssBytes)} |`,
    ),
    "",
    `One tensor of ${mib(FAN_OUT_BYTES)} MiB from the hub to all ${top}: ${text(hub.fanOutMs, two)} ms until the last one has it, ${text(hub.fanOutBytesPerSecond, gb)} GB/s in all.`,
  ];
}
