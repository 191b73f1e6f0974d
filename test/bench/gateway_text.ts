/** The gateway's figures as Markdown, and the targets that they miss. */
import { NAMES } from "./report.ts";
import type { RuntimeName, Spread } from "./rig.ts";

/** The rate of the stream that clients of events are measured beside, and how many they are. */
export const HELD_BYTES_PER_SECOND = 500e6;
export const CLIENTS = 500;
/** At least, of the bare server. */
const LEAST_RATIO = 0.8;
const MOST_EVENT_MS = 20;
/** A tap may take so much of a stream, and clients of events so much more than on a bare server. */
const MOST_TAP_LOSS = 0.02;
const MOST_CLIENTS_LOSS = 0.02;
/** And so much more of one processor, which is less than two runs of the same differ by. */
const MOST_CLIENTS_CPU = 0.02;
const MOST_DASHBOARD_BYTES = 150_000;

export interface Row {
  readonly runtime: RuntimeName;
  readonly down: Spread;
  readonly downRatio: Spread;
  readonly up: Spread;
  readonly upRatio: Spread;
  /** Over the bare server that sends the upload on to a plain socket: as many processes, as many copies. */
  readonly relayRatio: Spread;
  /** The same, and nobody checks what came. */
  readonly upUnchecked: Spread;
  readonly upUncheckedRatio: Spread;
  readonly eventMs: { readonly p50: number; readonly p99: number };
  readonly held: {
    readonly gateway: Held;
    readonly bare: Held;
    readonly ratio: Spread;
    /** Of one processor, what the clients cost the gateway more than the bare server, of each round. */
    readonly moreCpu: Spread;
  };
  readonly stream: Spread;
  /** The same without a gateway. */
  readonly alone: Spread;
  readonly tapRatio: Spread;
}

export interface Held {
  readonly rate: Spread;
  /** Of one processor, with clients and without. */
  readonly cpuShare: Spread;
  readonly quietCpuShare: Spread;
  /** The difference: what the clients cost. */
  readonly clientsCpu: Spread;
  readonly eventsPerSecond: Spread;
}

const two = (value: number) => value.toFixed(2);
const text = ({ median, low, high }: Spread, show: (value: number) => string) =>
  `${show(median)} (${show(low)}-${show(high)})`;
const gb = (bytesPerSecond: number) => (bytesPerSecond / 1e9).toFixed(2);
const mb = (bytesPerSecond: number) => (bytesPerSecond / 1e6).toFixed(0);

const kb = (bytes: number) => (bytes / 1000).toFixed(0);

export function missedByDashboard(bytes: number): string[] {
  if (bytes < MOST_DASHBOARD_BYTES) return [];
  return [`The dashboard: ${kb(bytes)} kB compressed, the target is under ${kb(MOST_DASHBOARD_BYTES)}.`];
}

export function markdown(rows: readonly Row[], dashboard: number): string[] {
  return [
    "64 MiB down and up by HTTP over loopback, beside the bare HTTP server of the same runtime and library; up, the gateway's goes on to another node and is acknowledged: beside that server once more, sending it on to a plain socket. The receiver checks a CRC-32 of what is sent up, as by default, except where it says so. GB/s.",
    "",
    "| runtime | down | of the bare server | up | of the bare server | of a bare relay | up, no digest | of the bare server | event to client, p50 | p99 |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ...rows.map(
      ({ runtime, down, downRatio, up, upRatio, relayRatio, upUnchecked, upUncheckedRatio, eventMs }) =>
        `| ${NAMES[runtime]} | ${text(down, gb)} | ${text(downRatio, two)} | ${text(up, gb)} | ${text(upRatio, two)} | ${text(relayRatio, two)} | ${text(upUnchecked, gb)} | ${text(upUncheckedRatio, two)} | ${two(eventMs.p50)} ms | ${two(eventMs.p99)} ms |`,
    ),
    "",
    `A stream held at ${mb(HELD_BYTES_PER_SECOND)} MB/s beside ${CLIENTS} clients of events at 2 a second each, on the gateway and on a bare server, with the share of one processor that the clients cost each (over the same stream without them); and a stream as fast as it goes with a tap that reads nothing, over the same without:`,
    "",
    "| runtime | gateway, MB/s | bare, MB/s | ratio | clients' CPU, gateway | clients' CPU, bare | free stream, GB/s | without a gateway | with a stalled tap |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ...rows.map(
      ({ runtime, held: { gateway: ours, bare, ratio }, stream, alone, tapRatio }) =>
        `| ${NAMES[runtime]} | ${text(ours.rate, mb)} | ${text(bare.rate, mb)} | ${text(ratio, two)} | ${text(ours.clientsCpu, two)} at ${two(ours.eventsPerSecond.median)} events/s | ${text(bare.clientsCpu, two)} at ${two(bare.eventsPerSecond.median)} | ${text(stream, gb)} | ${text(alone, gb)} | ${text(tapRatio, two)} |`,
    ),
    "",
    `The dashboard, with all that its page asks for: ${kb(dashboard)} kB compressed (gzip).`,
  ];
}

export function missedBy({
  runtime,
  downRatio,
  upRatio,
  eventMs,
  held: { ratio, moreCpu },
  tapRatio,
}: Row): string[] {
  const missed: string[] = [];
  const name = NAMES[runtime];
  for (const [what, { median }] of [
    ["Download", downRatio],
    ["Injection", upRatio],
  ] as const) {
    if (median < LEAST_RATIO)
      missed.push(
        `${what} of 64 MiB through the gateway on ${name}: ${two(median)} of the bare HTTP server, the target is ${LEAST_RATIO}.`,
      );
  }
  if (eventMs.p99 > MOST_EVENT_MS)
    missed.push(
      `Event to client on ${name}: ${two(eventMs.p99)} ms at p99, the target is under ${MOST_EVENT_MS} ms.`,
    );
  if (ratio.median < 1 - MOST_CLIENTS_LOSS)
    missed.push(
      `${CLIENTS} clients of events on ${name}: the stream has ${two(ratio.median)} of what it has beside a bare server, the target is ${1 - MOST_CLIENTS_LOSS}.`,
    );
  if (moreCpu.median > MOST_CLIENTS_CPU)
    missed.push(
      `${CLIENTS} clients of events on ${name}: they cost ${two(moreCpu.median)} of a processor more than on a bare server, the target is at most ${MOST_CLIENTS_CPU}.`,
    );
  if (tapRatio.median < 1 - MOST_TAP_LOSS)
    missed.push(
      `A stalled tap on ${name}: the stream has ${two(tapRatio.median)} of what it has without, the target is ${1 - MOST_TAP_LOSS}.`,
    );
  return missed;
}
