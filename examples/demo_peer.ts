/**
 * One of the demo's three processes: joins, receives and checks, and sends what the demo tells it to.
 *
 * Prints one JSON object a line; takes `{"to": NODE_ID}` and `{"close": true}` as lines on stdin.
 */
import { createHash, randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { join } from "../src/mod.ts";

const TENSOR_BYTES = 64 * 1024 * 1024;
const TENSORS = 4;

const [community, discoveryPort] = process.argv.slice(2);
const say = (event: object) => process.stdout.write(`${JSON.stringify(event)}\n`);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const node = await join({
  community,
  apiKey: process.env.ASOC_API_KEY,
  host: "127.0.0.1",
  discoveryPort: Number(discoveryPort),
});
const array = readFileSync(fileURLToPath(new URL("data/sine.npy", import.meta.url)));
const bulk = randomFillSync(new Uint8Array(TENSOR_BYTES));
say({ event: "ready", id: node.id, runtime: node.runtime, array: sha256(array), bulk: sha256(bulk) });

async function receive(): Promise<void> {
  for await (const stream of node.incoming) {
    const startMs = performance.now();
    const tensor = await stream.tensor();
    const seconds = (performance.now() - startMs) / 1000;
    const { bytes } = tensor;
    say({ event: "received", from: tensor.peer.id, bytes: bytes.length, seconds, sha256: sha256(bytes) });
    tensor.release();
  }
}
const receiving = receive();
say({ event: "peers", ids: (await node.peers.wait(2)).map((peer) => peer.id) });

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as { to?: string; close?: boolean };
  if (command.close) break;
  if (!command.to) continue;
  await node.send(command.to, array);
  for (let i = 0; i < TENSORS; i++) await node.send(command.to, bulk);
  say({ event: "sent", to: command.to });
}
await node.close();
await receiving;
process.exit(0); // Node.js keeps a piped stdin open otherwise
