/** What the extension x1 costs and brings: tensor streams beside those of v1, digests, priorities, and how fast sessions open. */
import { KiB, MiB } from "../../src/core/limits.ts";
import { NAMES } from "./report.ts";
import {
  type Load,
  measure,
  type Pair,
  type Rig,
  RUNTIMES,
  type RuntimeName,
  type Spread,
  spread,
} from "./rig.ts";
import type { Section } from "./section.ts";
import { sessionsPerSecond } from "./sessions.ts";

const DIGESTS = ["none", "crc32", "sha256"] as const;
type Digest = (typeof DIGESTS)[number];
const two = (value: number) => value.toFixed(2);
const text = ({ median, low, high }: Spread, show: (value: number) => string) =>
  `${show(median)} (${show(low)}-${show(high)})`;

interface Row {
  readonly runtime: RuntimeName;
  readonly v1: Spread;
  /** Of each round, over v1 right before and after. */
  readonly bulk: Readonly<Record<Digest, Spread>>;
  /** The same of v1 in processes of their own: what a ratio of 1 looks like here. */
  readonly again: Spread;
  readonly small: Spread;
  readonly smallRatio: Spread;
  /** p99 of 1 KiB amid bulk, in ms: of the same priority, and urgent. */
  readonly equalMs: Spread;
  readonly urgentMs: Spread;
  readonly urgentRatio: Spread;
}

const rate = async (pair: Pair, load: Load) => (await measure(pair, load)).bytesPerSecond;

async function p99Ms({ sender, receiver }: Pair, seconds: number, priority: number): Promise<number> {
  await receiver.ask({ cmd: "receiveMixed" }, "armed");
  await sender.ask({ cmd: "sendMixed", port: receiver.port, seconds, priority }, "sent");
  const { p99Us, count } = await receiver.ask({ cmd: "mixedTimes" }, "mixed");
  if (Number(count) < seconds * 20) throw new Error(`amid bulk: only ${count} small tensors came`);
  return Number(p99Us) / 1000;
}

async function rowOf(rig: Rig, runtime: RuntimeName, full: boolean, rounds: number): Promise<Row> {
  const x1 = await rig.pair("asoc", runtime, runtime);
  const v1 = await rig.pair("v1", runtime, runtime);
  const again = await rig.pair("v1 again", runtime, runtime);
  const bulk = { tensorBytes: 64 * MiB, count: full ? 17 : 9, frameBytes: MiB };
  const small = { tensorBytes: KiB, count: full ? 100_000 : 30_000, frameBytes: KiB, atOnce: 64 };
  for (const pair of [x1, v1, again])
    await measure(pair, { ...bulk, count: 2, digest: "crc32", verify: true });
  const found = {
    v1: [] as number[],
    again: [] as number[],
    none: [] as number[],
    crc32: [] as number[],
    sha256: [] as number[],
  };
  const smalls = { x1: [] as number[], ratio: [] as number[] };
  const mixed = { equal: [] as number[], urgent: [] as number[], ratio: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    let before = await rate(v1, bulk);
    for (const other of ["again", ...DIGESTS] as const) {
      const rateOfIt = await (other === "again" ? rate(again, bulk) : rate(x1, { ...bulk, digest: other }));
      const after = await rate(v1, bulk);
      found[other].push(rateOfIt / ((before + after) / 2));
      found.v1.push(before);
      before = after;
    }
    const plain = await rate(v1, small);
    const ours = await rate(x1, small);
    smalls.x1.push(ours / KiB / 1e6);
    smalls.ratio.push(ours / plain);
    const seconds = full ? 2 : 0.7;
    const equal = await p99Ms(x1, seconds, 128);
    const urgent = await p99Ms(x1, seconds, 255);
    mixed.equal.push(equal);
    mixed.urgent.push(urgent);
    mixed.ratio.push(urgent / equal);
  }
  return {
    runtime,
    v1: spread(found.v1),
    again: spread(found.again),
    bulk: { none: spread(found.none), crc32: spread(found.crc32), sha256: spread(found.sha256) },
    small: spread(smalls.x1),
    smallRatio: spread(smalls.ratio),
    equalMs: spread(mixed.equal),
    urgentMs: spread(mixed.urgent),
    urgentRatio: spread(mixed.ratio),
  };
}

const LEAST: Readonly<Partial<Record<Digest, number>>> = { none: 0.98, crc32: 0.6 };
const MOST_URGENT = 0.5;
const LEAST_SESSIONS = 2000;

/** Each runtime with itself, and sessions in one process. */
export async function extension(
  rig: Rig,
  full: boolean,
  rounds: number,
  say: (text: string) => void,
): Promise<Section> {
  const rows: Row[] = [];
  for (const runtime of RUNTIMES) {
    say(`x1: ${NAMES[runtime]}`);
    rows.push(await rowOf(rig, runtime, full, rounds));
  }
  say("x1: sessions");
  const handshakes = full ? 3000 : 500;
  const sessions = sessionsPerSecond(handshakes, true);
  const sessionsWithout = sessionsPerSecond(handshakes, false);
  const missed: string[] = [];
  for (const { runtime, bulk, urgentRatio } of rows) {
    for (const digest of DIGESTS) {
      const least = LEAST[digest];
      if (least !== undefined && bulk[digest].median < least)
        missed.push(
          `x1 bulk with digest ${digest} on ${NAMES[runtime]}: ${two(bulk[digest].median)} of v1, the target is ${least}`,
        );
    }
    if (urgentRatio.median > MOST_URGENT)
      missed.push(
        `p99 of an urgent 1 KiB tensor on ${NAMES[runtime]}: ${two(urgentRatio.median)} of one without priority, the target is at most ${MOST_URGENT}`,
      );
  }
  if (sessions < LEAST_SESSIONS)
    missed.push(`sessions with X25519: ${sessions.toFixed(0)} a second, the target is ${LEAST_SESSIONS}`);
  return {
    name: "x1",
    title: "The extension x1 beside version 1",
    markdown: [
      "64 MiB tensors, each runtime with itself: GB/s without x1, and with x1 as a share of that, beside the share of v1 itself in other processes, which shows what such a number is worth here. The digest is taken by both sides, on the thread that moves the bytes.",
      "",
      "| runtime | v1, GB/s | v1 again | x1, no digest | CRC-32 | SHA-256 | 1 KiB tensors, M/s | share of v1 |",
      "|---|---:|---:|---:|---:|---:|---:|---:|",
      ...rows.map(
        ({ runtime, v1, again, bulk, small, smallRatio }) =>
          `| ${NAMES[runtime]} | ${text(v1, (value) => two(value / 1e9))} | ${text(again, two)} | ${DIGESTS.map((digest) => text(bulk[digest], two)).join(" | ")} | ${text(small, two)} | ${text(smallRatio, two)} |`,
      ),
      "",
      "p99 in ms of a 1 KiB tensor while 64 MiB tensors saturate its connection, of the same priority and of a higher one.",
      "",
      "| runtime | same priority | urgent | ratio of each round |",
      "|---|---:|---:|---:|",
      ...rows.map(
        ({ runtime, equalMs, urgentMs, urgentRatio }) =>
          `| ${NAMES[runtime]} | ${text(equalMs, two)} | ${text(urgentMs, two)} | ${text(urgentRatio, two)} |`,
      ),
      "",
      `Sessions that one core opens with mutual proof, both sides counted (Node.js, in memory): ${sessions.toFixed(0)} a second with X25519, as nodes open them; ${sessionsWithout.toFixed(0)} without.`,
    ],
    data: { rows, sessionsPerSecond: sessions, sessionsPerSecondWithoutX25519: sessionsWithout },
    missed,
  };
}
