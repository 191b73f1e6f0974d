/**
 * Peers that hold the key and mean no good. With "bare" they say the same to a server that reads and throws away, waiting for
 * no answer: what their own work takes from the machine.
 *
 *   {"cmd":"attack","name":n,"port":n,"bare":bool,"perSecond":n}   prints "attacking" when it has begun
 *   {"cmd":"stop"}                                                 prints "stopped" with what was done
 */
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { frame, freshId, freshSource, header, hello, RawPeer, TYPE } from "../../support/raw_peer.ts";
import { caps, freshX1Id, OP, open, record, X1Peer } from "../../support/raw_x1.ts";
import { say } from "./role.ts";

interface AttackCommand {
  readonly cmd: "attack" | "stop";
  readonly name: AttackName;
  readonly port: number;
  readonly bare: boolean;
  /** How many acts a second where nothing else says when the next one may be. */
  readonly perSecond: number;
}

export type AttackName = "slow v1" | "streams" | "parts" | "slow x1" | "frames";
type Target = Pick<AttackCommand, "port" | "bare" | "perSecond">;

const MiB = 2 ** 20;
/** As asoc_node.ts has them. */
const KEY = "bench".repeat(8);
const COMMUNITY = "default";
const SLOW_PEERS = 32;
const SLOW_EVERY_MS = 50;
const PARTS_PER_SECOND = 5000;
const STREAM = 1;
/** Less than what any connection may bring at once. */
const ANNOUNCED_BYTES = 256 * 1024;
/** Frames of one write. */
const BLOCK = 2048;
const AGAIN_MS = 1000;

const opened: RawPeer[] = [];
const timers = new Set<NodeJS.Timeout>();
let stopped = false;
let acts = 0;
let startMs = 0;

function every(ms: number, act: () => void): void {
  timers.add(setInterval(act, ms));
}

async function joinV1({ port, bare }: Target): Promise<RawPeer> {
  const peer = bare ? await RawPeer.connect(port) : await RawPeer.join(port, KEY, freshId());
  if (bare) peer.send(frame(TYPE.HELLO, 0, 0, hello(KEY)));
  opened.push(peer);
  return peer;
}

/** A connection of x1 with an open stream; without a peer where nobody answers. */
async function openX1({ port, bare }: Target, totalBytes: number): Promise<{ raw: RawPeer; peer?: X1Peer }> {
  const opening = record(OP.OPEN, open({ transferId: randomBytes(8), totalBytes }));
  if (!bare) {
    const peer = await X1Peer.join(port, { key: KEY, community: COMMUNITY, source: freshSource() });
    opened.push(peer.raw);
    peer.say(STREAM, opening);
    return { raw: peer.raw, peer };
  }
  const raw = await RawPeer.connect(port);
  opened.push(raw);
  const id = freshX1Id();
  raw.send(frame(TYPE.HELLO, 0, 0, hello(KEY, id)));
  raw.send(frame(TYPE.CONTROL, 0, 0, caps({ id, key: KEY, community: COMMUNITY })));
  raw.send(frame(TYPE.CONTROL, 0, 1, record(OP.PROOF, randomBytes(32))));
  raw.send(frame(TYPE.CONTROL, STREAM, 2, opening));
  return { raw };
}

/** A byte of each now and then, of frames that were announced whole. */
function drip(peers: readonly RawPeer[], frameBytes: number): void {
  for (const peer of peers) peer.send(header(TYPE.DATA, STREAM, 0, frameBytes));
  every(SLOW_EVERY_MS, () => {
    for (const peer of peers) peer.send(Uint8Array.of(1));
    acts += peers.length;
  });
}

const slowPeers = <T>(make: () => Promise<T>) => Promise.all(Array.from({ length: SLOW_PEERS }, make));

async function openStreams(target: Target): Promise<void> {
  const streams = Buffer.concat(
    Array.from({ length: 10_000 }, (_each, index) => frame(TYPE.DATA, index + 1, 0, Buffer.from("a"))),
  );
  const once = async () => {
    (await joinV1(target)).send(streams);
    acts++;
  };
  await once();
  every(AGAIN_MS, () => void once().catch(() => {}));
}

async function sendParts(target: Target): Promise<void> {
  const peer = await joinV1(target);
  peer.send(header(TYPE.DATA, STREAM, 0, 16 * MiB));
  pace(PARTS_PER_SECOND, () => peer.send(Uint8Array.of(1)));
}

/** Calls `act` so often on average; what was missed while the machine was busy is not made up for at once. */
function pace(perSecond: number, act: () => void): void {
  const beganMs = performance.now();
  let done = 0;
  every(5, () => {
    const due = ((performance.now() - beganMs) / 1000) * perSecond;
    for (done = Math.max(done, due - perSecond / 20); done < due; done++) {
      act();
      acts++;
    }
  });
}

/** DATA frames of one byte: as many as the credit allows, or where there is none, as many a second as it is told. */
async function sendFrames(target: Target): Promise<void> {
  const { raw, peer } = await openX1(target, 64 * MiB);
  let sent = 0;
  const block = Buffer.alloc(BLOCK * 15, frame(TYPE.DATA, STREAM, 0, Buffer.from("a")));
  const write = (count: number): boolean => {
    for (let index = 0; index < count; index++) block.writeUInt32BE(sent + index, index * 15 + 6);
    sent += count;
    acts += count;
    return raw.socket.write(Uint8Array.prototype.slice.call(block, 0, count * 15));
  };
  if (!peer) {
    const beganMs = performance.now();
    every(1, () => {
      const due = ((performance.now() - beganMs) / 1000) * target.perSecond;
      while (due - sent >= 1) if (!write(Math.min(BLOCK, Math.floor(due - sent)))) return;
    });
    return;
  }
  let limit = ANNOUNCED_BYTES;
  let wake = () => {};
  void (async () => {
    for (;;) {
      const { body } = await peer.record(OP.CREDIT, ({ streamId }) => streamId === STREAM);
      limit = Math.max(limit, Number(body.readBigUInt64BE(0)));
      wake();
    }
  })().catch(() => {});
  void (async () => {
    while (!stopped && !raw.ended) {
      const room = Math.min(BLOCK, limit - sent);
      const next = new Promise<void>((resolve) => {
        wake = resolve;
      });
      if (room <= 0) await next;
      else if (!write(room)) await new Promise((resolve) => raw.socket.once("drain", resolve));
      else await new Promise((resolve) => setImmediate(resolve)); // credit may have come
    }
  })();
}

async function attack(name: AttackName, target: Target): Promise<void> {
  switch (name) {
    case "slow v1":
      return drip(await slowPeers(() => joinV1(target)), 16 * MiB);
    case "streams":
      return openStreams(target);
    case "parts":
      return sendParts(target);
    case "slow x1": {
      const peers = await slowPeers(() => openX1(target, 1024 * MiB));
      return drip(
        peers.map(({ raw }) => raw),
        ANNOUNCED_BYTES,
      );
    }
    case "frames":
      return sendFrames(target);
  }
}

function stop(): void {
  stopped = true;
  for (const timer of timers) clearInterval(timer);
  const ended = opened.filter((peer) => peer.ended).length;
  for (const peer of opened) peer.reset();
  const seconds = (performance.now() - startMs) / 1000;
  say({ event: "stopped", acts, perSecond: acts / seconds, connections: opened.length, thrownOut: ended });
}

if (import.meta.main) {
  say({ event: "ready" });
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      const command = JSON.parse(line) as AttackCommand;
      if (command.cmd === "stop") return stop();
      startMs = performance.now();
      void attack(command.name, command).then(() => say({ event: "attacking" }));
    })
    .on("close", () => process.exit(0));
}
