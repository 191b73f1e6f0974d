/** Small frames, small tensors, round trips, and a small tensor amid bulk: each beside the bare socket doing the same. */
import { KiB, MiB } from "../../src/core/limits.ts";
import { PEERS } from "./peers/peers.ts";
import { NAMES } from "./report.ts";
import { measure, type Pair, type Rig, RUNTIMES, type RuntimeName, type Spread, spread } from "./rig.ts";
import type { Section } from "./section.ts";

const SMALL_BYTES = KiB;
const two = (value: number) => value.toFixed(2);
const text = ({ median, low, high }: Spread, show: (value: number) => string) =>
  `${show(median)} (${show(low)}-${show(high)})`;

interface Beside {
  readonly runtime: RuntimeName;
  readonly asoc: Spread;
  readonly bare: Spread;
  readonly ratio: Spread;
}

/** Measures `asoc` and the controls right before and after it, `rounds` times. */
async function beside(
  runtime: RuntimeName,
  rounds: number,
  asoc: () => Promise<number>,
  bare: () => Promise<number>,
): Promise<Beside> {
  const found = { asoc: [] as number[], bare: [] as number[], ratio: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    const before = await bare();
    const ours = await asoc();
    const after = await bare();
    found.asoc.push(ours);
    found.bare.push(before, after);
    found.ratio.push(ours / ((before + after) / 2));
  }
  return { runtime, asoc: spread(found.asoc), bare: spread(found.bare), ratio: spread(found.ratio) };
}

/** 1 KiB DATA frames of one stream over the bare socket writing 8 at a time; tensors of 1 KiB each. */
export async function smallFrames(
  rig: Rig,
  full: boolean,
  rounds: number,
  say: (text: string) => void,
): Promise<Section> {
  const load = { tensorBytes: (full ? 64 : 16) * MiB, count: 4, frameBytes: SMALL_BYTES };
  const tensors = { tensorBytes: SMALL_BYTES, count: full ? 200_000 : 50_000, frameBytes: SMALL_BYTES };
  const rows: (Beside & { readonly tensors: Spread })[] = [];
  const rate = async (pair: Pair, what: typeof load & { readonly atOnce?: number }) =>
    (await measure(pair, what)).bytesPerSecond / SMALL_BYTES / 1e6;
  for (const runtime of RUNTIMES) {
    say(`small frames: ${NAMES[runtime]}`);
    const asoc = await rig.pair("asoc", runtime, runtime);
    const bare = await rig.pair("bare", runtime, runtime);
    await measure(asoc, { ...load, count: 1, verify: true });
    await measure(bare, { ...load, count: 2 });
    const row = await beside(
      runtime,
      rounds,
      () => rate(asoc, load),
      () => rate(bare, load),
    );
    const each: number[] = [];
    for (let round = 0; round < rounds; round++) each.push(await rate(asoc, { ...tensors, atOnce: 64 }));
    rows.push({ ...row, tensors: spread(each) });
  }
  const lowest = 0.7;
  return {
    name: "smallFrames",
    title: "Small frames",
    markdown: [
      "Millions a second, each runtime with itself. The control writes 8 frames of 1 KiB at a time and reads through a staging buffer.",
      "",
      "| runtime | frames of one stream | bare socket | ratio of each round | tensors of 1 KiB each, 64 under way |",
      "|---|---:|---:|---:|---:|",
      ...rows.map(
        ({ runtime, asoc, bare, ratio, tensors: each }) =>
          `| ${NAMES[runtime]} | ${text(asoc, two)} | ${text(bare, two)} | ${text(ratio, two)} | ${text(each, two)} |`,
      ),
    ],
    data: rows,
    missed: rows
      .filter(({ ratio }) => ratio.median < lowest)
      .map(
        ({ runtime, ratio }) =>
          `1 KiB frames on ${NAMES[runtime]}: ${two(ratio.median)} of the bare socket, the target is ${lowest}`,
      ),
  };
}

interface Pings {
  readonly p50Us: number;
  readonly p99Us: number;
}

async function pings(pair: Pair, count: number): Promise<Pings> {
  await pair.receiver.ask({ cmd: "echo", bytes: SMALL_BYTES }, "armed");
  const { p50Us, p99Us } = await pair.sender.ask(
    { cmd: "ping", port: pair.receiver.port, bytes: SMALL_BYTES, count },
    "pings",
  );
  return { p50Us: Number(p50Us), p99Us: Number(p99Us) };
}

/** 1 KiB there and back, one after another. */
export async function roundTrips(
  rig: Rig,
  full: boolean,
  rounds: number,
  withPeers: boolean,
  say: (text: string) => void,
): Promise<Section> {
  const count = full ? 5000 : 1500;
  const rows: (Beside & { readonly asocP99: Spread; readonly bareP99: Spread })[] = [];
  for (const runtime of RUNTIMES) {
    say(`round trips: ${NAMES[runtime]}`);
    const asoc = await rig.pair("asoc", runtime, runtime);
    const bare = await rig.pair("bare", runtime, runtime);
    // A runtime compiles what it does often: who sends tensors all day does not wait for that.
    for (const pair of [asoc, bare]) await pings(pair, full ? 30_000 : 8000);
    const p99 = { asoc: [] as number[], bare: [] as number[] };
    const one = async (pair: Pair, list: number[]) => {
      const { p50Us, p99Us } = await pings(pair, count);
      list.push(p99Us);
      return p50Us;
    };
    const row = await beside(
      runtime,
      rounds,
      () => one(asoc, p99.asoc),
      () => one(bare, p99.bare),
    );
    rows.push({ ...row, asocP99: spread(p99.asoc), bareP99: spread(p99.bare) });
  }
  const peers: { readonly name: string; readonly p50Us: Spread; readonly p99Us: Spread }[] = [];
  for (const peer of withPeers ? PEERS : []) {
    if (!peer.canPing || (await peer.missing())) continue;
    say(`round trips: ${peer.name}`);
    const found: Pings[] = [];
    try {
      const pair = await rig.peerPair(peer);
      for (let round = 0; round < (full ? 3 : 1); round++) found.push(await pings(pair, count));
      peers.push({
        name: peer.name,
        p50Us: spread(found.map(({ p50Us }) => p50Us)),
        p99Us: spread(found.map(({ p99Us }) => p99Us)),
      });
    } finally {
      await rig.stop(peer.name);
    }
  }
  const most = 1.15;
  const whole = (us: number) => us.toFixed(0);
  return {
    name: "roundTrips",
    title: "Round trips of 1 KiB",
    markdown: [
      "Microseconds. A node sends a tensor, the other sends it back; the bare socket echoes as many bytes.",
      "",
      "| runtime | p50 | bare socket p50 | ratio of each round | p99 | bare socket p99 |",
      "|---|---:|---:|---:|---:|---:|",
      ...rows.map(
        (row) =>
          `| ${NAMES[row.runtime]} | ${text(row.asoc, whole)} | ${text(row.bare, whole)} | ${text(row.ratio, two)} | ${text(row.asocP99, whole)} | ${text(row.bareP99, whole)} |`,
      ),
      ...peers.map(
        ({ name, p50Us, p99Us }) => `| ${name} | ${text(p50Us, whole)} | | | ${text(p99Us, whole)} | |`,
      ),
    ],
    data: { rows, peers },
    missed: rows
      .filter(({ ratio }) => ratio.median > most)
      .map(
        ({ runtime, ratio }) =>
          `1 KiB round trip on ${NAMES[runtime]}: ${two(ratio.median)} of the bare socket's p50, the target is at most ${most}`,
      ),
  };
}

/** How long a 1 KiB tensor takes while 64 MiB tensors saturate its connection. */
export async function amidBulk(
  rig: Rig,
  full: boolean,
  rounds: number,
  say: (text: string) => void,
): Promise<Section> {
  const seconds = full ? 2 : 0.7;
  const rows: (Beside & { readonly asocP50: Spread; readonly bareP50: Spread })[] = [];
  for (const runtime of RUNTIMES) {
    const asoc = await rig.pair("asoc", runtime, runtime);
    const bare = await rig.pair("bare", runtime, runtime);
    const p50 = { asoc: [] as number[], bare: [] as number[] };
    const one = async ({ sender, receiver }: Pair, list: number[]) => {
      await receiver.ask({ cmd: "receiveMixed" }, "armed");
      await sender.ask({ cmd: "sendMixed", port: receiver.port, seconds }, "sent");
      const { p50Us, p99Us, count } = await receiver.ask({ cmd: "mixedTimes" }, "mixed");
      if (Number(count) < seconds * 20) throw new Error(`amid bulk: only ${count} small tensors came`);
      list.push(Number(p50Us) / 1000);
      return Number(p99Us) / 1000;
    };
    say(`amid bulk: ${NAMES[runtime]}`);
    await one(asoc, []); // the first tensors pay for memory
    const row = await beside(
      runtime,
      rounds,
      () => one(asoc, p50.asoc),
      () => one(bare, p50.bare),
    );
    rows.push({ ...row, asocP50: spread(p50.asoc), bareP50: spread(p50.bare) });
  }
  const most = 1.5;
  return {
    name: "amidBulk",
    title: "A 1 KiB tensor while 64 MiB tensors saturate its connection",
    markdown: [
      "Milliseconds from `send()` to the tensor in the receiver's hands; the control puts its small frame before the next bulk frame.",
      "",
      "| runtime | p99 | bare socket p99 | ratio of each round | p50 | bare socket p50 |",
      "|---|---:|---:|---:|---:|---:|",
      ...rows.map(
        (row) =>
          `| ${NAMES[row.runtime]} | ${text(row.asoc, two)} | ${text(row.bare, two)} | ${text(row.ratio, two)} | ${text(row.asocP50, two)} | ${text(row.bareP50, two)} |`,
      ),
    ],
    data: rows,
    missed: rows
      .filter(({ ratio }) => ratio.median > most)
      .map(
        ({ runtime, ratio }) =>
          `p99 of a 1 KiB tensor amid bulk on ${NAMES[runtime]}: ${two(ratio.median)} of the bare socket's, the target is at most ${most}`,
      ),
  };
}
