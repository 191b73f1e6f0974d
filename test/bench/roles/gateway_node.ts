/**
 * A node that serves HTTP: `gateway_node.ts PEERS KIND SINK`, KIND "gateway" for the gateway, "bare" for the control, which is
 * the same library and HTTP server with nothing behind it but a relay of uploads to the plain socket SINK of another one. Commands beside those of role.ts:
 *
 *   {"cmd":"stream","seconds":n,"tensorBytes":n,"bytesPerSecond":n}   tensors to the peer, held at a rate if there is one
 *   {"cmd":"tell","count":n,"everyMs":n}                             small tensors whose metadata says when they were sent
 */
import { connect, createServer, type Socket } from "node:net";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createGateway, serveGateway } from "../../../gateway/mod.ts";
import { join } from "../../../src/mod.ts";
import { fill, say, serveCommands, sharedNowUs } from "./role.ts";

const MiB = 1024 * 1024;
const BULK_BYTES = 64 * MiB;
const EVENT_EVERY_MS = 500;
const [peers = "[]", kind = "gateway", sink = ""] = process.argv.slice(2);
const node = await join({
  apiKey: "bench".repeat(8),
  host: "127.0.0.1",
  discovery: false,
  peers: JSON.parse(peers) as string[],
});
const memory = new Uint8Array(BULK_BYTES);
fill(memory, 1);

/** Many requests from one address are no attack here. */
const LIMITS = { requestsPerSecond: 1e9, requestBurst: 1e9 };

async function listen(): Promise<number> {
  if (kind === "gateway")
    return (await serveGateway(createGateway(node, { takes: true, limits: LIMITS }), { port: 0 })).port;
  void (async () => {
    for await (const stream of node.incoming) for await (const _ of stream.chunks());
  })();
  return listenBare(bareApp());
}

function bareApp(): Hono {
  const app = new Hono();
  app.get("/data", () => new Response(memory, { headers: { "content-length": String(BULK_BYTES) } }));
  app.get("/blocks", () => {
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at >= BULK_BYTES) controller.close();
        else controller.enqueue(memory.subarray(at, at + MiB));
        at += MiB;
      },
    });
    return new Response(body, { headers: { "content-length": String(BULK_BYTES) } });
  });
  app.post("/data", async (c) => {
    let bytes = 0;
    const reader = c.req.raw.body?.getReader();
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done) break;
      bytes += value?.length ?? 0;
    }
    return c.json({ bytes });
  });
  let relay: Socket | undefined;
  app.post("/relay", async (c) => {
    relay ??= connect(Number(sink), "127.0.0.1").setNoDelay();
    const socket = relay;
    const taken = new Promise((resolve) => socket.once("data", resolve));
    const reader = c.req.raw.body?.getReader();
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done) break;
      if (value && !socket.write(value)) await new Promise((resolve) => socket.once("drain", resolve));
    }
    await taken;
    return c.json({});
  });
  const clients = new Set<ReadableStreamDefaultController<Uint8Array>>();
  setInterval(() => {
    const event = new TextEncoder().encode(`event: stream\ndata: ${"x".repeat(600)}\n\n`);
    for (const client of clients) client.enqueue(event);
  }, EVENT_EVERY_MS);
  app.get("/events", () => {
    let client: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        client = controller;
        clients.add(client);
        client.enqueue(new TextEncoder().encode("event: hello\ndata: {}\n\n"));
      },
      cancel: () => void clients.delete(client),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  return app;
}

/** A plain socket that answers every 64 MiB with a byte. */
function listenSink(): Promise<number> {
  const server = createServer((socket) => {
    let bytes = 0;
    socket.on("data", (part) => {
      bytes += part.length;
      if (bytes < BULK_BYTES) return;
      bytes -= BULK_BYTES;
      socket.write("k");
    });
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const at = server.address();
      resolve(typeof at === "object" && at ? at.port : 0);
    });
  });
}

interface DenoServe {
  serve(
    options: object,
    handler: (request: Request) => Response | Promise<Response>,
  ): { addr: { port: number } };
}

function listenBare(app: Hono): Promise<number> | number {
  const at = { hostname: "127.0.0.1", port: 0 };
  if ("Deno" in globalThis) {
    const { serve: serveDeno } = (globalThis as unknown as { Deno: DenoServe }).Deno;
    return serveDeno({ ...at, onListen: () => {} }, (request) => app.fetch(request)).addr.port;
  }
  if ("Bun" in globalThis)
    return Bun.serve({ ...at, idleTimeout: 0, fetch: (request) => app.fetch(request) }).port ?? 0;
  return new Promise((resolve) => {
    serve({ ...at, fetch: app.fetch, overrideGlobalObjects: false }, ({ port }) => resolve(port));
  });
}

/** Parts of one tensor, at most so many bytes a second. */
async function* paced(totalBytes: number, bytesPerSecond: number, beganMs: number, before: number) {
  const partBytes = 8 * MiB;
  for (let sent = 0; sent < totalBytes; sent += partBytes) {
    const dueMs = beganMs + ((before + sent) / bytesPerSecond) * 1000;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    yield memory.subarray(0, Math.min(partBytes, totalBytes - sent));
  }
}

async function stream(seconds: number, tensorBytes: number, bytesPerSecond: number): Promise<void> {
  const [peer] = node.peers.list();
  if (!peer) throw new Error("nobody is there");
  const options = { topic: "bulk", digest: "none" } as const;
  await node.send(peer, memory, options);
  const cpu = process.cpuUsage();
  const beganMs = performance.now();
  let bytes = 0;
  while (performance.now() - beganMs < seconds * 1000) {
    const data =
      bytesPerSecond === 0
        ? memory.subarray(0, tensorBytes)
        : { data: paced(tensorBytes, bytesPerSecond, beganMs, bytes), totalBytes: tensorBytes };
    await node.send(peer, data, options);
    bytes += tensorBytes;
  }
  const tookSeconds = (performance.now() - beganMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  say({
    event: "streamed",
    bytesPerSecond: bytes / tookSeconds,
    cpuShare: (user + system) / 1e6 / tookSeconds,
  });
}

async function tell(count: number, everyMs: number): Promise<void> {
  const [peer] = node.peers.list();
  if (!peer) throw new Error("nobody is there");
  for (let index = 0; index < count; index++) {
    await node.send(peer, memory.subarray(0, 1024), { topic: "told", metadata: { us: sharedNowUs() } });
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  say({ event: "told" });
}

const httpPort = await listen();
if (peers !== "[]") await node.peers.wait(1);
say({ event: "ready", port: node.port, httpPort, sinkPort: await listenSink(), id: node.id });
await serveCommands(async (command) => {
  const { cmd, seconds, tensorBytes, count } = command;
  const { bytesPerSecond = 0, everyMs = 0 } = command as { bytesPerSecond?: number; everyMs?: number };
  if (cmd === "stream") await stream(seconds, tensorBytes, bytesPerSecond);
  if (cmd === "tell") await tell(count, everyMs);
});
