/**
 * undici 8 to a node:http server: HTTP/1.1.
 *
 * Its fair best: one PUT for each tensor with the tensor itself as body (Content-Length, no chunked coding, no copy),
 * two requests pipelined on one connection of a `Client` so that none waits for an answer (64 for small tensors). The
 * server copies each chunk of the body into the one reused tensor; no timeouts. A stream as body, or GET with undici
 * receiving, was no faster.
 */
import { createServer } from "node:http";
import { Client } from "undici";
import { servePeer } from "./common.ts";

async function makeReceiver() {
  /** @type {import("./common.ts").TensorSink | undefined} */
  let sink;
  const server = createServer({
    keepAlive: true,
    noDelay: true,
    requestTimeout: 0,
    headersTimeout: 0,
    highWaterMark: 1 << 20,
  });
  server.keepAliveTimeout = 0;
  server.on("request", (request, response) => {
    const echoed = [];
    request.on("data", (chunk) => (sink ? sink.copy(chunk) : echoed.push(chunk)));
    request.on("end", () => {
      if (sink) response.writeHead(204).end();
      else response.end(echoed.length === 1 ? echoed[0] : Buffer.concat(echoed));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: { port: server.address().port },
    receive: (next) => {
      sink = next;
    },
    echo: () => {
      sink = undefined;
    },
  };
}

async function makeSender() {
  const clients = new Map();
  const connect = (port, pipelining) => {
    const key = `${port} ${pipelining}`;
    const known = clients.get(key);
    if (known) return known;
    const client = new Client(`http://127.0.0.1:${port}`, {
      pipelining,
      bodyTimeout: 0,
      headersTimeout: 0,
      keepAliveTimeout: 600_000,
    });
    clients.set(key, client);
    return client;
  };
  const put = async (client, body) => {
    const answer = await client.request({ method: "PUT", path: "/tensor", body, idempotent: true });
    await answer.body.dump();
  };
  return {
    async send({ port, count, tensorBytes }, memory) {
      const pipelining = tensorBytes >= 1 << 20 ? 2 : 64;
      const client = connect(port, pipelining);
      const waiting = new Set();
      for (let i = 0; i < count; i++) {
        const one = put(client, memory).finally(() => waiting.delete(one));
        waiting.add(one);
        if (waiting.size >= pipelining) await Promise.race(waiting);
      }
      await Promise.all(waiting);
    },
    async pinger({ port }, message) {
      const client = connect(port, 1);
      return () => put(client, message);
    },
  };
}

await servePeer(makeReceiver, makeSender);
