/** The whole node, through its public API: what users run. argv[2] holds further options as JSON. */
import { type AsocNode, type IncomingStream, type JoinOptions, join, type Tensor } from "../../../src/mod.ts";
import {
  ageUs,
  type Command,
  fill,
  Meter,
  STAMP_EVERY_MS,
  STAMPED_BYTES,
  say,
  serveCommands,
  stamp,
  Times,
  timePings,
  Verifier,
} from "./role.ts";

const further = JSON.parse(process.argv[2] ?? "{}") as Partial<JoinOptions>;
const options = { host: "127.0.0.1", discovery: false, ...further, apiKey: "bench".repeat(8) };
const BULK_BYTES = 64 * 1024 * 1024;
const node = await join(options);
say({ event: "ready", port: node.port });

let memory = new Uint8Array(0);
let meter: Meter | undefined;
let verifier: Verifier | undefined;
let mixed = new Times();
let job: "receive" | "echo" | "mixed" = "receive";

async function receiveAll(): Promise<void> {
  for await (const stream of node.incoming) {
    if (job === "echo") await echo(stream);
    else if (job === "mixed") void takeMixed(stream);
    else if (holdBytes === undefined) await take(stream);
    else take(stream).catch(failed);
  }
}
void receiveAll();

/** An attacker's tensor may fail, nobody else's. */
function failed(error: Error & { readonly code?: string }): void {
  if (error.code !== "ASOC_INCOMPLETE_STREAM") say({ event: "tensorFailed", message: error.message });
}

/** Tensors of so many bytes are kept until "release". */
let holdBytes: number | undefined;
const held: Tensor[] = [];

async function take(stream: IncomingStream): Promise<void> {
  const tensor = await stream.tensor();
  if (tensor.bytes.length === holdBytes) {
    held.push(tensor);
    return;
  }
  verifier?.check(tensor.bytes);
  meter?.add(tensor.bytes.length);
  tensor.release();
}

async function echo(stream: IncomingStream): Promise<void> {
  using tensor = await stream.tensor();
  await node.send(stream.peer, tensor.bytes, { digest: "none" });
}

async function takeMixed(stream: IncomingStream): Promise<void> {
  using tensor = await stream.tensor();
  if (tensor.bytes.length === STAMPED_BYTES) mixed.add(ageUs(tensor.bytes));
}

function tensorOf(byteCount: number): Uint8Array {
  if (memory.length !== byteCount) {
    memory = new Uint8Array(byteCount);
    fill(memory, 0);
  }
  return memory;
}

interface Sender {
  readonly node: AsocNode;
  /** The receiver, as this node knows it. */
  readonly id: string;
  readonly incoming: AsyncIterator<IncomingStream>;
}

const senders = new Map<number, Sender>();

async function senderTo(port: number): Promise<Sender> {
  let sender = senders.get(port);
  if (!sender) {
    const id = `127.0.0.1:${port}`;
    const made = await join({ ...options, peers: [id] });
    await made.peers.wait(1);
    sender = { node: made, id, incoming: made.incoming[Symbol.asyncIterator]() };
    senders.set(port, sender);
    void tellLosses(made);
  }
  return sender;
}

/** A connection that is lost in the midst of a measurement is part of its result. */
async function tellLosses(sender: AsocNode): Promise<void> {
  for await (const event of sender.events()) {
    if (event.kind === "left") say({ event: "left", reason: event.reason, code: event.error?.code });
    else if (event.kind === "dialFailed") say({ event: "dialFailed", message: event.error.message });
  }
}

async function send({
  port,
  tensorBytes,
  count,
  frameBytes,
  atOnce = 1,
  digest = "none",
  bytesPerSecond,
  verify = false,
  first = 0,
}: Command): Promise<void> {
  const bytes = tensorOf(tensorBytes);
  const { node: from, id } = await senderTo(port);
  const options = { chunkBytes: frameBytes, digest };
  if (verify) {
    for (let number = first; number < first + count; number++) {
      fill(bytes, number);
      await from.send(id, bytes, options);
    }
    return;
  }
  let left = count;
  const lane = async () => {
    while (left-- > 0) await from.send(id, bytes, options);
  };
  // One after another unless told otherwise, as the bare sender does: two at once interleave, and want memory for both there.
  if (atOnce > 1) await Promise.all(Array.from({ length: atOnce }, lane));
  else await sendInTurn(from, id, bytes, count, options, bytesPerSecond);
}

/** The next one begins when the last is in the kernel, and not only when its receiver has confirmed it. */
async function sendInTurn(
  from: AsocNode,
  id: string,
  bytes: Uint8Array,
  count: number,
  options: { readonly chunkBytes: number; readonly digest: "none" | "crc32" | "sha256" },
  bytesPerSecond?: number,
): Promise<void> {
  const confirmed: Promise<unknown>[] = [];
  const startMs = performance.now();
  for (let i = 0; i < count; i++) {
    if (bytesPerSecond !== undefined) {
      const dueMs = startMs + ((i * bytes.length) / bytesPerSecond) * 1000;
      const waitMs = dueMs - performance.now();
      if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
    await new Promise<void>((inKernel, reject) => {
      const onProgress = (sentBytes: number) => {
        if (sentBytes === bytes.length) inKernel();
      };
      const sent = from.send(id, bytes, { ...options, onProgress });
      sent.then(() => inKernel(), reject);
      confirmed.push(sent);
    });
  }
  await Promise.all(confirmed);
}

async function ping({ port, bytes, count }: Command): Promise<void> {
  const message = tensorOf(bytes);
  const { node: from, id, incoming } = await senderTo(port);
  await timePings(count, async () => {
    await from.send(id, message, { digest: "none" });
    const next = await incoming.next();
    if (next.done) throw new Error("the node was closed");
    (await next.value.tensor()).release();
  });
}

async function sendMixed({ port, seconds, priority = 128 }: Command): Promise<void> {
  const bulk = tensorOf(BULK_BYTES);
  const { node: from, id } = await senderTo(port);
  const untilMs = performance.now() + seconds * 1000;
  const small = new Uint8Array(STAMPED_BYTES);
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    stamp(small);
    void from.send(id, small, { priority }).finally(() => {
      busy = false;
    });
  }, STAMP_EVERY_MS);
  while (performance.now() < untilMs)
    await sendInTurn(from, id, bulk, 4, { chunkBytes: 2 ** 20, digest: "none" });
  clearInterval(timer);
  say({ event: "sent" });
}

await serveCommands(async (command) => {
  switch (command.cmd) {
    case "receive":
      job = "receive";
      meter = new Meter(command.tensorBytes, command.count);
      verifier = command.verify ? new Verifier(command.first ?? 0) : undefined;
      say({ event: "armed" });
      break;
    case "echo":
      job = "echo";
      say({ event: "armed" });
      break;
    case "receiveMixed":
      job = "mixed";
      mixed = new Times();
      say({ event: "armed" });
      break;
    case "hold":
      holdBytes = command.tensorBytes;
      break;
    case "release":
      for (const tensor of held) tensor.release();
      held.length = 0;
      break;
    case "mixedTimes":
      mixed.say("mixed");
      break;
    case "stats":
      say({ event: "stats", ...node.stats, refusedBeacons: 0 });
      break;
    case "ping":
      await ping(command);
      break;
    case "sendMixed":
      await sendMixed(command);
      break;
    case "send":
      await send(command);
      break;
  }
});
