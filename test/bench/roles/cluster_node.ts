/**
 * A node for the measurements of memory, scale and clusters. argv[2] holds its options as JSON; commands come on stdin:
 *
 *   {"cmd":"join","port":n}     one more node of this process, which dials 127.0.0.1:n; sends start there from now on
 *   {"cmd":"leave"}             ends those nodes
 *   {"cmd":"peers","count":n}   waits for so many peers; {"cmd":"seen"} tells when each was listed
 *   {"cmd":"take","way":w,"tensorBytes":n,"count":n}   how tensors are taken from now on; "done" when count have come
 *   {"cmd":"send","tensorBytes":n,"count":n}           to the first peer, or with "all" to every one
 *   {"cmd":"offer",…}           sends until nothing has moved for a while
 *   {"cmd":"ping","bytes":n,"count":n}   stamped tensors, the next one when the last one's reply is here
 *   {"cmd":"late"} {"cmd":"stats"}       what was measured
 *
 * Nothing is taken before the first "take". An error ends the process, so that whoever waits for it learns of it at once.
 */
import { createHash } from "node:crypto";
import { type AsocNode, type IncomingStream, type JoinOptions, join } from "../../../src/mod.ts";
import { ageUs, type Command, fill, say, serveCommands, sharedNowUs, stamp } from "./role.ts";

type Way = "tensor" | "into" | "chunks" | "late" | "replies";

interface NodeCommand extends Command {
  readonly way?: Way;
  /** Of every so many streams of a connection the digest is told; 0: of none. */
  readonly digestEvery?: number;
  /** All sends are started before any is awaited. */
  readonly together?: boolean;
  readonly all?: boolean;
  /** A tensor is the memory so many times, as an iterable: larger than what its sender holds. */
  readonly repeat?: number;
  /** The receiver is not told how long such a tensor will be. */
  readonly unannounced?: boolean;
}

const base = { apiKey: "bench".repeat(8), host: "127.0.0.1", discovery: false } as const;
const PEERS_TIMEOUT_MS = 60_000;
/** An offer that has not moved for so long stands still. */
const STILL_MS = 1000;
/** Tensors of one send differ by where in the memory they begin. */
const SHIFT_BYTES = 64;
const SHIFTS = 1024;
const REPLY = new Uint8Array(8);

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** What has come since the last "take". */
class Intake {
  readonly #way: Way;
  readonly #tensorBytes: number;
  readonly #digestEvery: number;
  readonly #into: Uint8Array;
  readonly #digests: object[] = [];
  #left: number;
  #open = 0;
  #peakOpen = 0;
  #peakPoolBytes = 0;

  constructor({ way = "tensor", tensorBytes, count, digestEvery = 0 }: NodeCommand) {
    this.#way = way;
    this.#tensorBytes = tensorBytes;
    this.#digestEvery = digestEvery;
    this.#into = new Uint8Array(way === "into" ? tensorBytes : 0);
    this.#left = count;
  }

  async take(node: AsocNode, stream: IncomingStream): Promise<void> {
    this.#peakOpen = Math.max(this.#peakOpen, ++this.#open);
    if (this.#way === "late" || this.#way === "replies") await this.#answer(node, stream);
    else if (this.#way === "chunks") await this.#takeChunks(node, stream);
    else {
      const tensor = await stream.tensor(this.#way === "into" ? { into: this.#into } : {});
      this.#count(node, stream, tensor.bytes.length, tensor.bytes);
      tensor.release();
    }
    this.#open--;
  }

  async #takeChunks(node: AsocNode, stream: IncomingStream): Promise<void> {
    let byteCount = 0;
    for await (const part of stream.chunks()) {
      byteCount += part.length;
      this.#samplePool(node);
    }
    this.#count(node, stream, byteCount, undefined);
  }

  async #answer(node: AsocNode, stream: IncomingStream): Promise<void> {
    const tensor = await stream.tensor();
    if (this.#way === "late") late.push(ageUs(tensor.bytes));
    tensor.release();
    if (this.#way === "late") await node.send(stream.peer, REPLY);
    else replied();
  }

  /** Before its memory is released: the pool is at its highest then. */
  #samplePool(node: AsocNode): void {
    this.#peakPoolBytes = Math.max(this.#peakPoolBytes, node.stats.memoryUsedBytes);
  }

  #count(node: AsocNode, stream: IncomingStream, byteCount: number, bytes: Uint8Array | undefined): void {
    const atUs = sharedNowUs();
    if (byteCount !== this.#tensorBytes) {
      throw new Error(`stream ${stream.streamId}: ${byteCount} bytes came, expected ${this.#tensorBytes}`);
    }
    this.#samplePool(node);
    const { streamId, peer } = stream;
    if (bytes && this.#digestEvery > 0 && (streamId >> 1) % this.#digestEvery === 0) {
      this.#digests.push({ from: peer.id, streamId, digest: sha256(bytes) });
    }
    if (--this.#left > 0) return;
    const [peakOpen, peakPoolBytes] = [this.#peakOpen, this.#peakPoolBytes];
    say({ event: "done", atUs, peakOpen, peakPoolBytes, digests: this.#digests });
  }
}

const first = await join({ ...base, ...(JSON.parse(process.argv[2] ?? "{}") as Partial<JoinOptions>) });
const nodes = [first];
const taken = new Set<AsocNode>();
const seen: { readonly id: string; readonly atUs: number }[] = [];
let intake: Intake | undefined;
let memory = new Uint8Array(0);
let late: number[] = [];
let repliesLeft = 0;
let onReplies = () => {};

void (async () => {
  for await (const event of first.peers.events()) {
    if (event.kind === "joined") seen.push({ id: event.peer.id, atUs: sharedNowUs() });
  }
})();
say({ event: "ready", port: first.port, pid: process.pid, id: first.id });

async function takeAll(node: AsocNode): Promise<void> {
  for await (const stream of node.incoming) void intake?.take(node, stream);
}

function replied(): void {
  if (--repliesLeft === 0) onReplies();
}

function replies(count: number): Promise<void> {
  repliesLeft = count;
  return new Promise((resolve) => {
    onReplies = resolve;
  });
}

/** The node that sends. */
function sender(): AsocNode {
  return nodes.at(-1) ?? first;
}

function firstPeer(node: AsocNode): string {
  const [peer] = node.peers;
  if (!peer) throw new Error("nobody to send to");
  return peer.id;
}

async function sendAll(node: AsocNode, bytes: Uint8Array, frameBytes?: number): Promise<void> {
  const options = frameBytes === undefined ? {} : { chunkBytes: frameBytes };
  for (const { error } of await node.sendAll(bytes, options)) if (error !== undefined) throw error;
}

function prepare(byteCount: number): void {
  if (memory.length === byteCount + SHIFT_BYTES * SHIFTS) return;
  memory = new Uint8Array(byteCount + SHIFT_BYTES * SHIFTS);
  fill(memory, process.pid);
}

const tensorAt = (index: number, byteCount: number) =>
  memory.subarray((index % SHIFTS) * SHIFT_BYTES).subarray(0, byteCount);

async function send(command: NodeCommand): Promise<void> {
  const { tensorBytes, count, frameBytes, together, all, repeat = 1, unannounced, digestEvery = 0 } = command;
  prepare(tensorBytes);
  const node = sender();
  const to = all ? "" : firstPeer(node);
  const digests: object[] = [];
  const one = async (index: number) => {
    const bytes = tensorAt(index, tensorBytes);
    if (all) {
      await sendAll(node, bytes, frameBytes);
      if (digestEvery > 0) digests.push({ digest: sha256(bytes) });
      return;
    }
    const parts = Array.from({ length: repeat }, () => bytes);
    const announced = { data: parts, totalBytes: repeat * tensorBytes };
    const source = repeat === 1 ? bytes : unannounced ? parts : announced;
    const { streamId } = await node.send(to, source, { chunkBytes: frameBytes });
    if (digestEvery > 0 && (streamId >> 1) % digestEvery === 0)
      digests.push({ streamId, digest: sha256(bytes) });
  };
  const startUs = sharedNowUs();
  if (together) await Promise.all(Array.from({ length: count }, (_, index) => one(index)));
  else for (let index = 0; index < count; index++) await one(index);
  say({ event: "sent", startUs, digests });
}

/** Sends until all is out, or nothing has moved for STILL_MS. */
async function offer({ tensorBytes, count }: NodeCommand): Promise<void> {
  prepare(tensorBytes);
  const node = sender();
  const to = firstPeer(node);
  let sentBytes = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  await new Promise<void>((resolve, reject) => {
    const moved = () => {
      clearTimeout(timer);
      timer = setTimeout(resolve, STILL_MS);
    };
    const sendOn = async () => {
      for (let index = 0; index < count; index++) {
        const before = sentBytes;
        const onProgress = (bytes: number) => {
          sentBytes = before + bytes;
          moved();
        };
        await node.send(to, tensorAt(index, tensorBytes), { onProgress });
      }
    };
    moved();
    sendOn().then(resolve, reject);
  });
  clearTimeout(timer);
  say({ event: "still", sentBytes });
}

async function ping({ bytes: byteCount, count, all }: NodeCommand): Promise<void> {
  const node = sender();
  const bytes = new Uint8Array(byteCount);
  const to = all ? "" : firstPeer(node);
  for (let index = 0; index < count; index++) {
    const answered = replies(all ? node.peers.size : 1);
    stamp(bytes);
    await (all ? sendAll(node, bytes) : node.send(to, bytes));
    await answered;
  }
  say({ event: "pinged" });
}

await serveCommands(async (command: NodeCommand) => {
  switch (command.cmd) {
    case "join": {
      const startUs = sharedNowUs();
      const node = await join({ ...base, peers: [`127.0.0.1:${command.port}`] });
      nodes.push(node);
      await node.peers.wait(1, { timeoutMs: PEERS_TIMEOUT_MS });
      say({ event: "joined", id: node.id, startUs });
      break;
    }
    case "leave":
      await Promise.all(nodes.splice(1).map((node) => node.abort()));
      say({ event: "left" });
      break;
    case "peers":
      await first.peers.wait(command.count, { timeoutMs: PEERS_TIMEOUT_MS });
      say({ event: "peers", atUs: sharedNowUs() });
      break;
    case "seen":
      say({ event: "seen", seen });
      break;
    case "take":
      intake = new Intake(command);
      for (const node of nodes) {
        if (taken.has(node)) continue;
        taken.add(node);
        void takeAll(node);
      }
      say({ event: "armed" });
      break;
    case "late":
      say({ event: "late", us: late });
      late = [];
      break;
    case "stats":
      say({ event: "stats", ...first.stats, refusedBeacons: 0 });
      break;
    case "send":
      await send(command);
      break;
    case "offer":
      await offer(command);
      break;
    case "ping":
      await ping(command);
      break;
  }
});
