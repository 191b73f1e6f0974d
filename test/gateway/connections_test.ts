/** Connections that ask for nothing: those that never end their headers, and more of them than there may be. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { closed, GatewayPair, rawSocket, until } from "./pair.ts";

const HEADERS_MS = 1000;
const PER_ADDRESS = 20;
const CONNECTIONS = 30;
const LIMITS = {
  headersTimeoutMs: HEADERS_MS,
  maxClientConnections: CONNECTIONS,
  maxClientConnectionsPerAddress: PER_ADDRESS,
};
/** Bun's own time for the first headers, and how late it looks. */
const BUN_MS = 16_000;
/** Another of the loopback. */
const ELSEWHERE = "127.0.0.2";
const EVENTS = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/** The whole answer to a client at another address. */
async function answerTo(port: number, path: string): Promise<string> {
  const socket = await rawSocket(port, ELSEWHERE);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  let text = "";
  for await (const part of socket.setEncoding("utf8")) text += part as string;
  return text;
}

for (const runtime of RUNTIMES) {
  describe(`connections to a gateway on ${runtime}`, () => {
    let pair: GatewayPair;
    before(async () => {
      pair = await GatewayPair.start(runtime, { limits: LIMITS });
    });
    after(() => pair[Symbol.asyncDispose]());

    test("end when headers do not come, come by single bytes, or no further request comes", async () => {
      const { port } = pair.near;
      const [silent, half, slow, idle, quiet] = await Promise.all(
        Array.from({ length: 5 }, () => rawSocket(port)),
      );
      assert.ok(silent && half && slow && idle && quiet);
      let wasQuiet = true;
      const quietEnds = closed(quiet.resume()).then(() => {
        wasQuiet = false;
      });
      quiet.write(EVENTS);
      half.write("GET /v1/health HTTP/1.1\r\nHost: loc");
      slow.write("GET /v1/health HTTP/1.1\r\nX-Slow: ");
      idle.write("GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
      const timer = setInterval(() => slow.writable && slow.write("a"), HEADERS_MS / 4);
      const startMs = performance.now();
      await Promise.all([silent, half, slow, idle].map((socket) => closed(socket.resume())));
      clearInterval(timer);
      const tookMs = performance.now() - startMs;
      assert.ok(tookMs < (runtime === "bun" ? BUN_MS : 10 * HEADERS_MS), `${tookMs} ms`);
      assert.ok(wasQuiet, "events go on");
      quiet.destroy();
      await quietEnds;
    });

    if (runtime === "bun") return; // its server tells nobody of its connections
    test("are closed above the limit of their address", async () => {
      const { port } = pair.near;
      const sockets: Socket[] = [];
      for (let index = 0; index < PER_ADDRESS; index++) {
        const socket = await rawSocket(port);
        socket.on("error", () => {});
        socket.write(EVENTS);
        sockets.push(socket);
      }
      const above = await Promise.all(
        Array.from({ length: 10 }, async () => closed((await rawSocket(port)).resume())),
      );
      assert.equal(above.length, 10);
      assert.match(await answerTo(port, "/v1/health"), /^HTTP\/1\.1 200 /);
      for (const socket of sockets) socket.destroy();
      const metrics = await until(
        () => answerTo(port, "/metrics"),
        (text) => /^asoc_gateway_event_clients 0$/m.test(text),
      );
      assert.ok(Number(/^asoc_gateway_connections_refused_total (\d+)$/m.exec(metrics)?.[1]) >= 10);
    });
  });
}
