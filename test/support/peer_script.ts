/**
 * One node as a process, on any runtime: joins with the options of its JSON argument, prints one JSON object a line,
 * and takes commands as JSON lines on stdin. Tests of real processes drive it.
 *
 * Argument: `{ options: JoinOptions }`. Commands, each with `cmd`:
 *   send { id, to, bytes, seed, count, parallel, paceMs, restAt, endless, reread, dtype, shape, options }
 *                                                            prints sent or sendFailed for each tensor, then sendDone
 *   stop                                                     ends the sends with a count after the tensor under way
 *   go                                                       lets sends go on that rest at their `restAt`
 *   hold { peer }                                            tensors of that peer are never released from now on
 *   release                                                  what was held is released, and nothing is held any more
 *   rotate { id, options }   revoke { keyId }   keys { id }  prints rotated; keys
 *   endKey { keyId, inMs }                                   sets the end of a key
 *   addPeer { address }   peers   stats { id }   close   abort
 * A tensor whose topic begins with "chunks/" is read chunk by chunk, any other one is assembled.
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import {
  AsocError,
  type IncomingStream,
  type JoinOptions,
  join,
  parseAddress,
  type RotateOptions,
  type SendOptions,
  type SendReport,
  type Tensor,
  type TensorBytes,
} from "../../src/mod.ts";

import { collectGarbage } from "./collect_garbage.ts";
/** What `send` takes; the tensor's content follows from `seed` and `bytes`. */
export interface SendCommand {
  readonly cmd: "send";
  /** Repeated in every event about it. */
  readonly id: string;
  /** A peer's id, or "all". */
  readonly to: string;
  readonly bytes?: number;
  readonly seed?: number;
  readonly count?: number;
  /** All at once instead of one by one. */
  readonly parallel?: boolean;
  /** In parts of 1 MiB with a rest after each, so that it is always in mid-stream and leaves the processors to others. */
  readonly paceMs?: number;
  /** With `paceMs`: it gives no byte from this one on until `go` is said, so that it is in mid-stream however long others take. */
  readonly restAt?: number;
  /** One tensor that never ends. */
  readonly endless?: boolean;
  /** Its source is a function that reads it from any byte on, in parts, instead of memory: it can be resumed. */
  readonly reread?: boolean;
  /** What its bytes are; default: bytes without a type. */
  readonly dtype?: string;
  readonly shape?: readonly number[];
  /** Topic, metadata, digest, and all else that goes through JSON. */
  readonly options?: Omit<SendOptions, "signal" | "onProgress">;
}

export type Command =
  | SendCommand
  | { readonly cmd: "stop" | "go" | "release" | "peers" | "close" | "abort" }
  | { readonly cmd: "hold"; readonly peer: string }
  | { readonly cmd: "stats" | "keys" | "collect"; readonly id: string }
  | { readonly cmd: "rotate"; readonly id: string; readonly options?: RotateOptions }
  | { readonly cmd: "revoke"; readonly keyId: string }
  | { readonly cmd: "endKey"; readonly keyId: string; readonly inMs: number }
  | { readonly cmd: "addPeer"; readonly address: string };

const MiB = 1024 * 1024;
/** A `progress` event comes once a stream has brought so much. */
const PROGRESS_BYTES = 32 * MiB;
/** Different contents among the tensors of one `send`; few, so that long series keep little memory. */
const CONTENTS = 4;

function print(event: string, fields: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

function failure(error: unknown): Record<string, unknown> {
  if (!(error instanceof AsocError)) return { code: undefined, message: String(error) };
  const cause = error.cause instanceof AsocError ? error.cause.code : undefined;
  return { code: error.code, message: error.message, details: error.details, cause };
}

const contents = new Map<string, { data: Uint8Array; sha256: string }>();

/** `bytes` pseudo-random bytes (xorshift32) and their digest. */
function content(bytes: number, seed: number): { data: Uint8Array; sha256: string } {
  const key = `${bytes}/${seed}`;
  const known = contents.get(key);
  if (known) return known;
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let word = (seed * 2654435761 + 88675123) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    words[i] = word;
  }
  const data = new Uint8Array(words.buffer, 0, bytes);
  const made = { data, sha256: createHash("sha256").update(data).digest("hex") };
  if (contents.size >= 2 * CONTENTS) contents.delete(contents.keys().next().value ?? "");
  contents.set(key, made);
  return made;
}

async function* endless(): AsyncGenerator<Uint8Array> {
  const { data } = content(MiB, 1);
  for (;;) yield data;
}

/** Settled by the command `go`. */
const going = Promise.withResolvers<void>();

async function* paced(data: Uint8Array, paceMs: number, restAt: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += MiB) {
    if (at + MiB > restAt) await going.promise;
    yield data.subarray(at, at + MiB);
    await delay(paceMs);
  }
}

function* inParts(data: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < data.length; at += MiB) yield data.subarray(at, at + MiB);
}

function sourceOf(command: SendCommand, data: Uint8Array): TensorBytes {
  const { paceMs, restAt = Number.POSITIVE_INFINITY } = command;
  if (command.endless) return endless();
  if (command.reread) {
    return (fromByte) => {
      const rest = data.subarray(fromByte);
      return paceMs === undefined ? inParts(rest) : paced(rest, paceMs, restAt - fromByte);
    };
  }
  return paceMs === undefined ? data : paced(data, paceMs, restAt);
}

const { options } = JSON.parse(process.argv[2] ?? "{}") as { options: JoinOptions };
const node = await join(options);
let stopped = false;
/** The peer whose tensors are kept, and those. */
let holding: string | undefined;
let held: Tensor[] = [];

/** What the sender has said of it; nothing where it speaks only v1. */
function said({ description }: IncomingStream): Record<string, unknown> {
  if (!description) return {};
  const { topic, dtype, shape, metadata, step, priority } = description;
  return { topic, dtype, shape, metadata, step, priority };
}

async function receiveChunks(stream: IncomingStream): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of stream.chunks()) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

async function receive(stream: IncomingStream): Promise<void> {
  const { streamId } = stream;
  const peer = stream.peer.id;
  let told = false;
  const onProgress = (bytes: number) => {
    if (told || bytes < PROGRESS_BYTES) return;
    told = true;
    print("progress", { peer, streamId, bytes });
  };
  try {
    if (stream.topic.startsWith("chunks/")) {
      print("tensor", { peer, streamId, ...(await receiveChunks(stream)), ...said(stream) });
      return;
    }
    const tensor = await stream.tensor({ onProgress });
    const sha256 = createHash("sha256").update(tensor.bytes).digest("hex");
    print("tensor", { peer, streamId, bytes: tensor.bytes.length, sha256, ...said(stream) });
    if (peer === holding) held.push(tensor);
    else tensor.release();
  } catch (error) {
    print("tensorFailed", { peer, streamId, topic: stream.topic, ...failure(error) });
  }
}

/** Under way. */
const sends = new Set<Promise<void>>();

async function send(command: SendCommand): Promise<void> {
  const { id, to, bytes = 0, seed = 1, count = 1, parallel = false, dtype, shape, options } = command;
  const one = async (index: number) => {
    try {
      const { data, sha256 } = content(bytes, seed + (index % CONTENTS));
      const raw = sourceOf(command, data);
      const source = dtype === undefined ? raw : { data: raw, dtype, shape };
      const sent = (peer: string, { streamId, bytes, delivery, digest, cuts }: SendReport) =>
        print("sent", { id, to: peer, streamId, bytes, sha256, delivery, digest, cuts });
      if (to === "all") {
        for (const { peer, report, error } of await node.sendAll(source, options)) {
          if (report) sent(peer.id, report);
          else print("sendFailed", { id, to: peer.id, ...failure(error) });
        }
      } else sent(to, await node.send(to, source, options));
    } catch (error) {
      print("sendFailed", { id, to, ...failure(error) });
    }
  };
  if (parallel) await Promise.all(Array.from({ length: count }, (_, index) => one(index)));
  else for (let index = 0; index < count && !stopped; index++) await one(index);
  print("sendDone", { id });
}

async function close(how: "close" | "abort"): Promise<void> {
  let closed: Record<string, unknown> = {};
  try {
    await node[how]();
  } catch (error) {
    closed = failure(error);
  }
  // What was drained is told of before the end.
  stopped = true;
  await Promise.allSettled(sends);
  print("closed", closed);
  process.exit(0);
}

async function run(command: Command): Promise<void> {
  switch (command.cmd) {
    case "send": {
      const sent = send(command);
      sends.add(sent);
      return sent.finally(() => sends.delete(sent));
    }
    case "stop":
      stopped = true;
      return;
    case "go":
      return going.resolve();
    case "hold":
      holding = command.peer;
      return;
    case "release":
      holding = undefined;
      for (const tensor of held) tensor.release();
      held = [];
      return;
    case "addPeer":
      return node.addPeer(parseAddress(command.address));
    case "rotate":
      return node.keys.rotate(command.options).then(
        (report) => print("rotated", { id: command.id, ...report }),
        (error: unknown) => print("rotated", { id: command.id, ...failure(error) }),
      );
    case "revoke":
      return node.keys.revoke(command.keyId);
    case "endKey":
      return node.keys.setEnd(command.keyId, Date.now() + command.inMs);
    case "keys":
      return print("keys", { id: command.id, keys: node.keys.list() });
    case "peers":
      return print("peers", { peers: node.peers.list() });
    case "stats": {
      const refusedBeacons = Object.fromEntries(node.stats.refusedBeacons);
      return print("stats", { ...node.stats, refusedBeacons, id: command.id });
    }
    case "collect":
      collectGarbage();
      return print("collected", { id: command.id });
    default:
      return close(command.cmd);
  }
}

async function watch(): Promise<void> {
  for await (const event of node.events()) {
    if (event.kind === "joined") print("joined", { ...event.peer });
    else if (event.kind === "named") print("named", { ...event.peer, was: event.was });
    else if (event.kind === "left") {
      print("left", { ...event.peer, reason: event.reason, ...(event.error ? failure(event.error) : {}) });
    } else if (event.kind === "dialFailed")
      print("dialFailed", { address: event.address, ...failure(event.error) });
    else if (event.kind === "refused") {
      const { address, reason, nodeId, error } = event;
      print("refused", {
        host: address.host,
        port: address.port,
        reason,
        nodeId,
        ...(error ? failure(error) : {}),
      });
    } else if (event.kind === "streamFailed") {
      print("streamFailed", { peer: event.peer.id, ...failure(event.error), streamId: event.streamId });
    } else if (event.kind === "starved") {
      print("starved", { peer: event.peer.id, ...failure(event.error) });
    } else if (event.kind === "unverified") {
      print("unverified", { peer: event.peer.id });
    } else if (event.kind === "key") {
      const { change, keyId, epoch, peer, kept, error } = event;
      print("key", { change, keyId, epoch, peer: peer?.id, kept, ...(error ? failure(error) : {}) });
    } else print("streamStarted", { peer: event.peer.id, streamId: event.streamId });
  }
}

async function take(): Promise<void> {
  for await (const stream of node.incoming) void receive(stream);
}

void watch();
void take();
for (const peer of node.peers) print("joined", { ...peer }); // those that were quicker than the line above
createInterface({ input: process.stdin })
  .on("line", (line) => void run(JSON.parse(line) as Command))
  .on("close", () => void close("abort"));
print("ready", { nodeId: node.id, port: node.port, runtime: node.runtime });
