/**
 * What the gateway costs: downloads and uploads beside the bare HTTP server of the same runtime and library, how long an event
 * takes to a client, and what clients of events and a tap that stands still take from a stream.
 */
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { GiB, MiB } from "../../src/core/limits.ts";
import { Process } from "../support/process.ts";
import {
  CLIENTS,
  HELD_BYTES_PER_SECOND,
  type Held,
  markdown,
  missedBy,
  missedByDashboard,
  type Row,
} from "./gateway_text.ts";
import { NAMES } from "./report.ts";
import { Role, RUNTIMES, type RuntimeName, spread } from "./rig.ts";
import { sharedNowUs } from "./roles/role.ts";
import type { Section } from "./section.ts";

const BULK_BYTES = 64 * MiB;
const TOPIC = "/v1/topics/up";
/** A sender that serves HTTP, and a node that takes what it sends. */
interface Couple extends AsyncDisposable {
  readonly role: Role;
  readonly httpPort: number;
}

async function couple(runtime: RuntimeName, kind: "gateway" | "bare"): Promise<Couple> {
  const script = "test/bench/roles/gateway_node.ts";
  const far = await Role.start(Process.script(runtime, script, ["[]", "bare"]));
  const peers = JSON.stringify([`127.0.0.1:${far.port}`]);
  const sink = String(far.process.events.find(({ event }) => event === "ready")?.sinkPort);
  const role = await Role.start(Process.script(runtime, script, [peers, kind, sink]));
  const ready = role.process.events.find(({ event }) => event === "ready");
  return {
    role,
    httpPort: Number(ready?.httpPort),
    async [Symbol.asyncDispose]() {
      await Promise.all([role, far].map(({ process }) => process[Symbol.asyncDispose]()));
    },
  };
}

/** One request; resolves with bytes a second, of what came or went. */
function exchange(port: number, path: string, body?: Uint8Array, digest?: "none"): Promise<number> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const headers = body
      ? {
          "content-length": body.length,
          "asoc-dtype": "uint8",
          ...(digest ? { "asoc-digest": digest } : {}),
        }
      : {};
    const method = body ? "POST" : "GET";
    const sent = request({ host: "127.0.0.1", port, path, method, headers }, (response: IncomingMessage) => {
      let bytes = 0;
      response.on("data", (part: Uint8Array) => {
        bytes += part.length;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode !== 200) reject(new Error(`${method} ${path}: ${response.statusCode}`));
        else resolve((body?.length ?? bytes) / ((performance.now() - startMs) / 1000));
      });
    });
    sent.on("error", reject);
    const write = (from: number): void => {
      let at = from;
      while (body && at < body.length) {
        const more = sent.write(body.subarray(at, at + MiB));
        at += MiB;
        if (!more) {
          sent.once("drain", () => write(at));
          return;
        }
      }
      sent.end();
    };
    write(0);
  });
}

async function transfers(gateway: Couple, bare: Couple, rounds: number) {
  const body = new Uint8Array(BULK_BYTES).fill(7);
  const found = {
    down: [] as number[],
    downRatio: [] as number[],
    up: [] as number[],
    upRatio: [] as number[],
    relayRatio: [] as number[],
    upUnchecked: [] as number[],
    upUncheckedRatio: [] as number[],
  };
  await exchange(gateway.httpPort, TOPIC, body);
  for (let round = -1; round < rounds; round++) {
    // In one piece or in blocks: whichever the server is better at.
    const bareDown = Math.max(
      await exchange(bare.httpPort, "/data"),
      await exchange(bare.httpPort, "/blocks"),
    );
    const down = await exchange(gateway.httpPort, `${TOPIC}/latest.npy`);
    if (round < 0) continue; // it warms up
    found.down.push(down);
    found.downRatio.push(down / bareDown);
  }
  for (let round = -1; round < rounds; round++) {
    const bareUp = await exchange(bare.httpPort, "/data", body);
    const up = await exchange(gateway.httpPort, TOPIC, body);
    const relay = await exchange(bare.httpPort, "/relay", body);
    const unchecked = await exchange(gateway.httpPort, TOPIC, body, "none");
    if (round < 0) continue;
    found.up.push(up);
    found.upRatio.push(up / bareUp);
    found.relayRatio.push(up / relay);
    found.upUnchecked.push(unchecked);
    found.upUncheckedRatio.push(unchecked / bareUp);
  }
  return {
    down: spread(found.down),
    downRatio: spread(found.downRatio),
    up: spread(found.up),
    upRatio: spread(found.upRatio),
    relayRatio: spread(found.relayRatio),
    upUnchecked: spread(found.upUnchecked),
    upUncheckedRatio: spread(found.upUncheckedRatio),
  };
}

/** From the call of send() to the event that says so at a client. */
async function eventTimes({ role, httpPort }: Couple, count: number) {
  const timesMs: number[] = [];
  const stopping = new AbortController();
  const response = await fetch(`http://127.0.0.1:${httpPort}/v1/events`, { signal: stopping.signal });
  const reading = (async () => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(part, { stream: true });
      for (const match of text.matchAll(/"kind":"started".*?"metadata":\{"us":(\d+)/g))
        timesMs.push((sharedNowUs() - Number(match[1])) / 1000);
      text = text.slice(text.lastIndexOf("\n\n") + 2);
    }
  })().catch(() => {});
  await role.ask({ cmd: "tell", count: count + 20, everyMs: 5 }, "told");
  stopping.abort();
  await reading;
  const sorted = timesMs.slice(20).sort((a, b) => a - b);
  if (sorted.length < count * 0.9) throw new Error(`only ${sorted.length} of ${count} events came`);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
}

/** A stream that is held at a rate, beside clients of events. */
async function held(gateway: Couple, bare: Couple, rounds: number, seconds: number) {
  const lists = () => ({
    rate: [] as number[],
    cpuShare: [] as number[],
    quiet: [] as number[],
    cost: [] as number[],
    events: [] as number[],
  });
  const found = { gateway: lists(), bare: lists() };
  const ratios: number[] = [];
  const more: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [kind, { role, httpPort }, path] of [
      ["bare", bare, "/events"],
      ["gateway", gateway, "/v1/events"],
    ] as const) {
      // A tensor every two seconds, so that its two events and the rates of each second make two a second.
      const load = { seconds, tensorBytes: GiB, bytesPerSecond: HELD_BYTES_PER_SECOND };
      const quiet = Number((await role.ask({ cmd: "stream", ...load }, "streamed")).cpuShare);
      const args = [String(httpPort), path, String(CLIENTS)];
      const clients = await Role.start(Process.script("node", "test/bench/roles/event_clients.ts", args));
      await using _ = clients.process;
      const before = await clients.ask({ cmd: "heard" }, "heard");
      const startMs = performance.now();
      const { bytesPerSecond, cpuShare } = await role.ask({ cmd: "stream", ...load }, "streamed");
      const after = await clients.ask({ cmd: "heard" }, "heard");
      const tookSeconds = (performance.now() - startMs) / 1000;
      found[kind].rate.push(Number(bytesPerSecond));
      found[kind].cpuShare.push(Number(cpuShare));
      found[kind].quiet.push(quiet);
      found[kind].cost.push(Number(cpuShare) - quiet);
      found[kind].events.push((Number(after.events) - Number(before.events)) / CLIENTS / tookSeconds);
    }
    ratios.push((found.gateway.rate.at(-1) ?? 0) / (found.bare.rate.at(-1) ?? 1));
    more.push((found.gateway.cost.at(-1) ?? 0) - (found.bare.cost.at(-1) ?? 0));
  }
  const spreads = ({ rate, cpuShare, quiet, cost, events }: (typeof found)["bare"]): Held => ({
    rate: spread(rate),
    cpuShare: spread(cpuShare),
    quietCpuShare: spread(quiet),
    clientsCpu: spread(cost),
    eventsPerSecond: spread(events),
  });
  const { gateway: ours, bare: theirs } = found;
  return { gateway: spreads(ours), bare: spreads(theirs), ratio: spread(ratios), moreCpu: spread(more) };
}

/** The page at / with all that it asks for, as a server that compresses would send it. */
async function dashboardBytes({ httpPort }: Couple): Promise<number> {
  const origin = `http://127.0.0.1:${httpPort}`;
  const page = await (await fetch(`${origin}/`)).text();
  let bytes = gzipSync(page).length;
  for (const [, path = ""] of page.matchAll(/(?:src|href)="([^"#:]+)"/g)) {
    const response = await fetch(new URL(path, `${origin}/`));
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    bytes += gzipSync(new Uint8Array(await response.arrayBuffer())).length;
  }
  return bytes;
}

/** As fast as it goes, with and without a tap that reads nothing. */
async function tapped({ role, httpPort }: Couple, bare: Couple, rounds: number, seconds: number) {
  const load = { cmd: "stream", seconds, tensorBytes: BULK_BYTES };
  const rateOf = async (one: Role) => Number((await one.ask(load, "streamed")).bytesPerSecond);
  const rate = () => rateOf(role);
  const rates: number[] = [];
  const alone: number[] = [];
  const ratios: number[] = [];
  let before = await rate();
  for (let round = 0; round < rounds; round++) {
    const socket = connect(httpPort, "127.0.0.1");
    socket.write("GET /v1/topics/bulk/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await new Promise((resolve) => socket.once("readable", resolve));
    const withTap = await rate();
    socket.destroy();
    const after = await rate();
    rates.push(after);
    ratios.push(withTap / ((before + after) / 2));
    before = after;
    alone.push(await rateOf(bare.role));
  }
  return { stream: spread(rates), alone: spread(alone), tapRatio: spread(ratios) };
}

/** Each runtime with itself. */
export async function gateway(full: boolean, rounds: number, say: (text: string) => void): Promise<Section> {
  const rows: Row[] = [];
  let dashboard = 0;
  for (const runtime of RUNTIMES) {
    const tell = (what: string) => say(`gateway: ${NAMES[runtime]}, ${what}`);
    await using served = await couple(runtime, "gateway");
    await using bare = await couple(runtime, "bare");
    dashboard = Math.max(dashboard, await dashboardBytes(served));
    tell("events");
    const eventMs = await eventTimes(served, full ? 1000 : 200);
    tell("transfers");
    const moved = await transfers(served, bare, full ? Math.max(5, rounds) : rounds);
    tell("clients of events");
    const heldRates = await held(served, bare, rounds, full ? 4 : 2);
    tell("a tap");
    const tap = await tapped(served, bare, Math.max(2, rounds), full ? 3 : 1);
    rows.push({ runtime, ...moved, eventMs, held: heldRates, ...tap });
  }
  return {
    name: "gateway",
    title: "The gateway",
    markdown: markdown(rows, dashboard),
    data: { full, rounds, rows, dashboardBytes: dashboard },
    missed: [...rows.flatMap(missedBy), ...missedByDashboard(dashboard)],
  };
}
