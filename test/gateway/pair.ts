/** Two real nodes with gateways, and what tests say to them. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { GatewayOptions } from "../../gateway/mod.ts";
import { Process, type RuntimeName } from "../support/process.ts";

export interface Served {
  readonly process: Process;
  readonly id: string;
  readonly address: string;
  readonly url: string;
  readonly port: number;
  readonly pid: number;
}

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly goneAt?: string | null;
}

export class GatewayPair implements AsyncDisposable {
  readonly near: Served;
  readonly far: Served;
  /** Of both nodes. */
  readonly key: string;

  private constructor(near: Served, far: Served, key: string) {
    this.key = key;
    this.near = near;
    this.far = far;
  }

  /** `token`: what the near gateway wants, if it wants one. */
  static async start(
    runtime: RuntimeName,
    options: GatewayOptions = {},
    token?: string,
  ): Promise<GatewayPair> {
    const key = randomBytes(32).toString("hex");
    const far = await start(runtime, key, [], {});
    const near = await start(runtime, key, [far.address], options);
    const pair = new GatewayPair(near, far, key);
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    for (const { url } of [near, far]) {
      for (;;) {
        const { peers } = (await getJson(`${url}/v1/peers`, { headers })) as { peers: unknown[] };
        if (peers.length > 0) break;
      }
    }
    return pair;
  }

  /** Sends through the near gateway to the far node. */
  async send(topic: string, body: Uint8Array | string, headers: Record<string, string> = {}, query = "") {
    const response = await fetch(`${this.near.url}/v1/topics/${encodeURIComponent(topic)}${query}`, {
      method: "POST",
      body: body as Uint8Array<ArrayBuffer>,
      headers,
    });
    assert.equal(response.status, 200, await response.clone().text());
    return ((await response.json()) as { results: { ok: boolean; streamId: number; digest: string }[] })
      .results;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process } of [this.near, this.far]) process.child.stdin?.end();
    await Promise.all(
      [this.near, this.far].map(async ({ process }) => {
        await process.exitWithin(10_000).catch(() => {});
        await process[Symbol.asyncDispose]();
      }),
    );
  }
}

async function start(
  runtime: RuntimeName,
  key: string,
  peers: string[],
  options: GatewayOptions,
): Promise<Served> {
  const args = [key, JSON.stringify(peers), JSON.stringify(options)];
  const process = Process.script(runtime, "test/gateway/gateway_peer.ts", args);
  const ready = await process.waitFor(({ event }) => event === "ready", 60_000);
  const { id, address, url, port, pid } = ready as unknown as Omit<Served, "process">;
  return { process, id, address, url, port, pid };
}

export async function getJson(url: string, init?: RequestInit): Promise<unknown> {
  const response = await fetch(url, init);
  assert.equal(response.status, 200, `${url}: ${await response.clone().text()}`);
  return response.json();
}

/** A counter or gauge of a gateway. */
export async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^asoc_${name} (\\S+)$`, "m").exec(text)?.[1]);
}

export async function getBytes(url: string, init?: RequestInit): Promise<Uint8Array> {
  const response = await fetch(url, init);
  assert.equal(response.status, 200, url);
  return new Uint8Array(await response.arrayBuffer());
}

/** The problem document of a response, which must be one. */
export async function problemOf(response: Response): Promise<Problem> {
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  const document = (await response.json()) as Problem;
  assert.equal(document.status, response.status);
  assert.match(document.code, /^(ASOC|GATEWAY)_/);
  assert.ok(!/\n|\.ts:|node_modules/.test(document.detail), document.detail);
  return document;
}

/** Faster on large ones than a comparison that can show the difference. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what = "bytes"): void {
  assert.equal(actual.length, expected.length, what);
  assert.ok(Buffer.compare(actual, expected) === 0, `${what} differ`);
}

export interface SseEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: Record<string, unknown>;
}

/** Server-sent events of a URL. */
export class EventReader implements AsyncDisposable {
  readonly #aborting = new AbortController();
  #events: AsyncGenerator<SseEvent, void, undefined> | undefined;
  /** Node.js ends the body of a response that nobody holds. */
  response: Response | undefined;

  static async open(url: string, headers: Record<string, string> = {}): Promise<EventReader> {
    const reader = new EventReader();
    const response = await fetch(url, { headers, signal: reader.#aborting.signal });
    assert.equal(response.status, 200, url);
    assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
    reader.response = response;
    reader.#events = eventsOf(response.body as ReadableStream<Uint8Array>);
    return reader;
  }

  /** The next event that `accept` takes. */
  async next(accept: (event: SseEvent) => boolean = () => true): Promise<SseEvent> {
    for (;;) {
      const step = await this.#events?.next();
      assert.ok(step && !step.done, "the events ended");
      if (accept(step.value)) return step.value;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#aborting.abort();
    this.response = undefined;
    await this.#events?.return().catch(() => {});
  }
}

async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<SseEvent, void, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(part, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const fields = new Map(
        block
          .split("\n")
          .filter((line) => line !== "" && !line.startsWith(":"))
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)] as const),
      );
      const event = fields.get("event");
      if (event !== undefined)
        yield { event, id: fields.get("id"), data: JSON.parse(fields.get("data") ?? "null") };
    }
  }
}

export interface Tapped {
  readonly header: {
    readonly stream: number;
    readonly topic: string;
    readonly bytes: number;
    readonly dropped: number;
  };
  readonly bytes: Uint8Array;
}

/** The tensor that `bytes` begins with, as the tap writes it, and where it ends; undefined: not all of it is there. */
export function parseTapped(bytes: Uint8Array): (Tapped & { readonly end: number }) | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4) return undefined;
  if (view.getUint32(0) === 0) {
    const rest = parseTapped(bytes.subarray(4)); // it stands for no tensor
    return rest && { ...rest, end: rest.end + 4 };
  }
  const at = 4 + view.getUint32(0);
  if (bytes.length < at + 8) return undefined;
  const length = Number(view.getBigUint64(at));
  if (bytes.length < at + 8 + length) return undefined;
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, at)));
  return { header, bytes: new Uint8Array(bytes.subarray(at + 8, at + 8 + length)), end: at + 8 + length };
}

/** A connection that speaks HTTP by hand, from any address of the loopback. */
export function rawSocket(port: number, localAddress = "127.0.0.1"): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress }, () => resolve(socket));
    socket.on("error", reject);
  });
}

/** A connection that has asked for `path`, and takes nothing of the answer until it is resumed. */
export async function unreadGet(port: number, path: string): Promise<Socket> {
  const socket = await rawSocket(port);
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  return socket;
}

/** Resolves when a connection has come to its end, by whatever way. One that is paused may not come to it. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
}

/** Between two questions: answers take processor time, too, and a gateway counts its requests. */
const ASK_AGAIN_MS = 5;

/** Asks again until `accept` takes the answer; rejects after `timeoutMs`. */
export async function until<T>(
  ask: () => Promise<T>,
  accept: (value: T) => boolean,
  timeoutMs = 20_000,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await ask();
    if (accept(value)) return value;
    assert.ok(performance.now() < endMs, `${timeoutMs} ms passed: ${JSON.stringify(value)?.slice(0, 500)}`);
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

/** Open files and sockets of a process, once they are at most so many, or after a while. */
export async function handlesOf(pid: number, most: number): Promise<number> {
  const endMs = performance.now() + 10_000;
  for (;;) {
    const count = readdirSync(`/proc/${pid}/fd`).length;
    if (count <= most || performance.now() > endMs) return count;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Resident memory of a process without its garbage, from the kernel. */
export async function heldBytes({ process, pid }: Served): Promise<number> {
  const from = process.events.length;
  process.child.stdin?.write("collect\n");
  await process.waitFor(({ event }) => event === "collected", 20_000, from);
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}
