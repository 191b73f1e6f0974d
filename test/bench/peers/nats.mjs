/**
 * nats-server with @nats-io/transport-node: core NATS, publisher and subscriber in two processes and the server, which
 * the receiver starts on a free loopback port, as a third.
 *
 * Its fair best: tensors cut into 1 MiB messages (max_payload is 8 MB, larger ones were not faster), a subscription
 * with a callback, which copies each message into the one reused tensor. NATS has no flow control from subscriber to
 * publisher and drops a subscriber that is too slow, so the receiver acknowledges every 4 MiB and the publisher keeps
 * at most 16 MiB on their way. The server's own limits are lifted beyond that.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { parts, Reply, servePeer, Window } from "./common.ts";

const WINDOW_BYTES = 16 << 20;
const ACK_BYTES = 4 << 20;

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Starts a server that ends with this process, however that ends: the shell between ends it when its stdin closes. */
async function startServer() {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "asoc-bench-nats-"));
  const config = join(folder, "server.conf");
  writeFileSync(
    config,
    `listen: "127.0.0.1:${port}"\nmax_payload: 8388608\nmax_pending: 268435456\nwrite_deadline: "60s"\n`,
  );
  const script = 'nats-server -c "$1" >&2 & server=$!; read -r _; kill "$server"';
  const shell = spawn("sh", ["-c", script, "sh", config], {
    stdio: ["pipe", "ignore", "pipe"],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  let output = "";
  await new Promise((resolve, reject) => {
    shell.on("exit", () => reject(new Error(`nats-server ended: ${output}`)));
    shell.stderr.on("data", (text) => {
      output += text;
      if (/Server is ready/.test(output)) resolve(undefined);
    });
  });
  rmSync(folder, { recursive: true });
  return port;
}

async function makeReceiver() {
  const port = await startServer();
  const client = await connect({ servers: `127.0.0.1:${port}`, noEcho: true, reconnect: false });
  /** @type {import("./common.ts").TensorSink | undefined} */
  let sink;
  let unacknowledged = 0;
  client.subscribe("tensor", {
    callback: (_, message) => {
      sink?.copy(message.data);
      unacknowledged += message.data.length;
      if (unacknowledged < ACK_BYTES) return;
      client.publish("acknowledged", String(unacknowledged));
      unacknowledged = 0;
    },
  });
  client.subscribe("echo", { callback: (_, message) => client.publish("echoed", message.data) });
  await client.flush();
  return {
    address: { port },
    receive: (next) => {
      sink = next;
      unacknowledged = 0;
    },
    echo: () => {},
  };
}

async function makeSender() {
  const clients = new Map();
  let window = new Window(WINDOW_BYTES);
  const reply = new Reply();
  const connected = async (port) => {
    const known = clients.get(port);
    if (known) return known;
    const client = await connect({ servers: `127.0.0.1:${port}`, noEcho: true, reconnect: false });
    client.subscribe("acknowledged", { callback: (_, message) => window.give(Number(message.string())) });
    client.subscribe("echoed", { callback: (_, message) => reply.add(message.data.length) });
    await client.flush();
    clients.set(port, client);
    return client;
  };
  return {
    async send({ port, count, frameBytes }, memory) {
      const client = await connected(port);
      window = new Window(WINDOW_BYTES);
      for (let i = 0; i < count; i++) {
        for (const part of parts(memory, frameBytes)) {
          const wait = window.take(part.length);
          if (wait) await wait;
          client.publish("tensor", part);
        }
      }
      await client.flush();
    },
    async pinger({ port }, message) {
      const client = await connected(port);
      return () => {
        const answered = reply.next(message.length);
        client.publish("echo", message);
        return answered;
      };
    },
  };
}

await servePeer(makeReceiver, makeSender);
