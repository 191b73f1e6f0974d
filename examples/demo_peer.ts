/**
 * One of the demo's three processes: joins, receives and checks, and sends what the demo tells it to.
 *
 * Prints one JSON object a line; takes `{"to": NODE_ID}`, `{"overtake": NODE_ID}` and `{"close": true}` as lines on stdin.
 */
import { createHash, randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { decodeNpyHeader, dtypeName, isNeedMore, join } from "../src/mod.ts";

const TENSOR_BYTES = 64 * 1024 * 1024;
const TENSORS = 4;
const URGENT_BYTES = 4096;

const [community, discoveryPort] = process.argv.slice(2);
const say = (event: object) => process.stdout.write(`${JSON.stringify(event)}\n`);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const node = await join({
  community,
  apiKey: process.env.ASOC_API_KEY,
  host: "127.0.0.1",
  discoveryPort: Number(discoveryPort),
});
const array = sine();
const bulk = randomFillSync(new Uint8Array(TENSOR_BYTES));
say({ event: "ready", id: node.id, port: node.port, array: sha256(array.data), bulk: sha256(bulk) });

/** A NumPy array, as a tensor. */
function sine() {
  const file = readFileSync(fileURLToPath(new URL("data/sine.npy", import.meta.url)));
  const header = decodeNpyHeader(file);
  if (isNeedMore(header)) throw new Error("sine.npy is cut short");
  return { data: file.subarray(header.dataOffset), dtype: dtypeName(header.dtype), shape: header.shape };
}

async function receive(): Promise<void> {
  for await (const stream of node.subscribe("demo/**")) {
    const startMs = performance.now();
    using tensor = await stream.tensor();
    const seconds = (performance.now() - startMs) / 1000;
    const { bytes, topic, dtype, shape } = tensor;
    say({
      event: "received",
      from: tensor.peer.id,
      topic,
      dtype,
      shape,
      bytes: bytes.length,
      seconds,
      sha256: sha256(bytes),
    });
  }
}

/** Bulk to `to`, and in the midst of it something small that is urgent. */
async function overtake(to: string): Promise<void> {
  const sent = new Array<number>(TENSORS).fill(0);
  const sentBytes = () => sent.reduce((sum, bytes) => sum + bytes, 0);
  let begun: () => void = () => {};
  const underWay = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const sends = sent.map((_, index) =>
    node.send(to, bulk, {
      topic: "demo/bulk",
      priority: 50,
      onProgress: (bytes) => {
        sent[index] = bytes;
        if (sentBytes() > TENSOR_BYTES / 4) begun();
      },
    }),
  );
  await underWay;
  const atBytes = sentBytes();
  const startMs = performance.now();
  const urgent = new Uint8Array(URGENT_BYTES);
  await node.send(to, urgent, { topic: "demo/urgent", priority: 200, deadlineMs: 5000 });
  const ms = performance.now() - startMs;
  const event = { event: "overtook", ms, bytes: urgent.length, atBytes, thenBytes: sentBytes() };
  await Promise.all(sends);
  say({ ...event, allBytes: sentBytes() });
}

const receiving = receive();
const peers = await node.peers.wait(2);
say({ event: "peers", protocols: peers.map((peer) => peer.protocol) });

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as { to?: string; overtake?: string; close?: boolean };
  if (command.close) break;
  if (command.overtake) await overtake(command.overtake);
  if (!command.to) continue;
  await node.send(command.to, array, { topic: "demo/sine" });
  for (let i = 0; i < TENSORS; i++) await node.send(command.to, bulk, { topic: "demo/bulk" });
  say({ event: "sent", to: command.to });
}
await node.close();
await receiving;
process.exit(0); // Node.js keeps a piped stdin open otherwise
