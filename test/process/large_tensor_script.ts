/**
 * Two nodes in one process: thousands of small tensors first, so that everything is compiled for those, and then one of
 * `argv[2]` bytes in each way. Prints `{ way, bytes, delivery }` for each that came, as one JSON object a line.
 */
import process from "node:process";
import { type IncomingStream, join, type TensorBytes } from "../../src/mod.ts";

const bytes = Number(process.argv[2]);
const SMALL = 2000;
const PART_BYTES = 32 * 1024 * 1024;
const FILL = 7;

const options = {
  host: "127.0.0.1",
  discovery: false,
  apiKey: "a key for tests, of more than 128 bits",
  // A tensor of unknown length grows: old and new memory are held at once.
  limits: { memoryBudgetBytes: 4 * bytes },
};
await using receiver = await join(options);
const address = `127.0.0.1:${receiver.port}`;
await using sender = await join({ ...options, peers: [address] });
await sender.peers.wait(1);

/** Resolves with the length of the next tensor; its last byte is looked at, and all others are in its digest. */
const incoming = receiver.incoming[Symbol.asyncIterator]();
async function next(read: (stream: IncomingStream) => Promise<number>): Promise<number> {
  const { value } = await incoming.next();
  return read(value as IncomingStream); // the node is open
}

async function whole(stream: IncomingStream, into?: Uint8Array): Promise<number> {
  using tensor = await stream.tensor(into ? { into } : {});
  const { byteLength } = tensor.bytes;
  if (tensor.bytes[byteLength - 1] !== FILL) throw new Error("another byte was sent");
  return byteLength;
}

async function chunks(stream: IncomingStream): Promise<number> {
  let sum = 0;
  for await (const chunk of stream.chunks()) sum += chunk.byteLength;
  return sum;
}

function* parts(total: number): Generator<Uint8Array> {
  const part = new Uint8Array(Math.min(PART_BYTES, total)).fill(FILL);
  for (let left = total; left > 0; left -= part.byteLength) yield part.subarray(0, left);
}

const send = (source: TensorBytes, read: (stream: IncomingStream) => Promise<number>) =>
  Promise.all([sender.send(address, source), next(read)]);

for (let each = 0; each < SMALL; each++) {
  const source = each % 2 === 0 ? parts(1000 + each) : new Uint8Array(1000 + each).fill(FILL);
  await send(source, each % 4 < 2 ? whole : chunks);
}
const tell = async (way: string, source: TensorBytes, read: (stream: IncomingStream) => Promise<number>) => {
  const [{ delivery }, came] = await send(source, read);
  process.stdout.write(`${JSON.stringify({ way, bytes: came, delivery })}\n`);
};
await tell("unknown length", parts(bytes), whole);
await tell("unknown length, chunks", parts(bytes), chunks);
const memory = new Uint8Array(bytes).fill(FILL);
await tell("known length", memory, whole);
await tell("known length, chunks", memory, chunks);
await tell("into", memory, (stream) => whole(stream, new Uint8Array(bytes)));
