/**
 * Connections that break while tensors pass (RFC-0006, Resume): all nine pairs of runtimes talk through a relay that cuts at
 * bytes chosen by a seed. ASOC_CUTS says how many cuts there are in all, ASOC_CUTS_SEED where they are.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, test } from "node:test";
import { Random } from "../sim/random.ts";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { type Cut, Relay } from "../support/relay.ts";
import { MiB, Peer } from "./peer.ts";
import { type Cargo, noMemoryIsHeld, Shipment } from "./shipment.ts";

const CUTS = Number(process.env.ASOC_CUTS ?? 36);
const SEED = Number(process.env.ASOC_CUTS_SEED ?? 1);
const BIG_BYTES = Number(process.env.ASOC_BIG_MIB ?? 1024) * MiB;
const BIG_CUTS = 8;
/** What a cut may cost: what was on its way, in the kernel and in the relay. */
const LOST_BYTES = 8 * MiB;
const CUTS_PER_ROUND = 4;
const HOW: readonly Cut[] = ["reset", "fin", "reset", "still", "fin"];
const TIME_OUTS = new Set<unknown>(["ASOC_PEER_SILENT", "ASOC_SEND_STALLED"]);
const LIMITS = {
  reconnectMinMs: 20,
  reconnectMaxMs: 60,
  reconnectProvenMs: 20,
  keepaliveMs: 300,
  silenceMs: 1500,
  sendStallMs: 1500,
};

const THERE: readonly Cargo[] = [
  { bytes: 64 * MiB, priority: 0, chunks: true },
  { bytes: 32 * MiB },
  { bytes: 16 * MiB + 1, reread: true, chunks: true },
  { bytes: 8 * MiB - 1, priority: 255 },
];
const BACK: readonly Cargo[] = [
  { bytes: 24 * MiB, reread: true, priority: 1 },
  { bytes: 8 * MiB, priority: 255, chunks: true },
];

/** Three nodes that dial and three that are dialled, each pair through a relay of its own. */
const dialled = new Map<RuntimeName, Peer>();
const diallers = new Map<RuntimeName, Peer>();
const relays = new Map<string, Relay>();
let cutsSoFar = 0;

before(async () => {
  for (const runtime of RUNTIMES) dialled.set(runtime, await Peer.start(runtime, { limits: LIMITS }));
  for (const from of RUNTIMES) {
    for (const to of RUNTIMES) relays.set(`${from} ${to}`, await Relay.start(pick(dialled, to).port));
    const peers = RUNTIMES.map((to) => pick(relays, `${from} ${to}`).address);
    diallers.set(from, await Peer.start(from, { peers, limits: LIMITS }));
  }
  for (const dialler of diallers.values()) {
    for (const peer of dialled.values()) {
      await dialler.event("joined", { id: peer.id });
      await peer.event("joined", { id: dialler.id });
    }
  }
});

after(async () => {
  for (const each of [...diallers.values(), ...dialled.values(), ...relays.values()])
    await each[Symbol.asyncDispose]();
});

function pick<Key, Value>(from: ReadonlyMap<Key, Value>, key: Key): Value {
  const value = from.get(key);
  assert.ok(value, `no ${key}`);
  return value;
}

for (const [row, from] of RUNTIMES.entries()) {
  for (const [column, to] of RUNTIMES.entries()) {
    const cell = row * RUNTIMES.length + column;
    const cuts = Math.floor((CUTS * (cell + 1)) / 9) - Math.floor((CUTS * cell) / 9);

    test(`${from} and ${to}: ${cuts} cuts in mid-tensor, and each tensor is verified and delivered once (seed ${SEED})`, async (t) => {
      const dialler = pick(diallers, from);
      const peer = pick(dialled, to);
      const relay = pick(relays, `${from} ${to}`);
      const random = new Random(SEED * 9 + cell);
      for (let left = cuts; left > 0; left -= CUTS_PER_ROUND) {
        const round = Math.min(left, CUTS_PER_ROUND);
        const before = { bytes: relay.passedBytes, connections: relay.connections };
        const marks = [dialler, peer].map((each) => [each, each.mark] as const);
        const there = new Shipment(dialler, peer, peer.id, THERE);
        const back = new Shipment(peer, dialler, dialler.id, BACK);
        const bytes = there.bytes + back.bytes;
        for (const shipment of [there, back]) await shipment.begun();
        const bytesLeft = bytes - (relay.passedBytes - before.bytes);
        const apart = Math.floor((0.9 * bytesLeft) / round);
        for (let cut = 0; cut < round; cut++)
          await relay.cutAfter(random.between(1, apart), HOW[cutsSoFar++ % HOW.length] ?? "reset");
        const cutsOfEach = [...(await there.delivered()), ...(await back.delivered())];
        await noMemoryIsHeld(dialler, peer);
        const broken = relay.connections - before.connections;
        const moreBytes = relay.passedBytes - before.bytes - bytes;
        t.diagnostic(
          `${broken} broken, cuts of each tensor ${cutsOfEach}, ${(moreBytes / MiB).toFixed(2)} MiB more`,
        );
        const reasons = marks.flatMap(([each, mark]) => each.all("left", {}, mark).map(({ code }) => code));
        const timeOuts = reasons.filter((code) => TIME_OUTS.has(code)).length; // a machine may be slow by itself
        assert.ok(broken >= round && broken <= round + timeOuts, `${broken} broken: ${reasons}`);
        const most = Math.max(...cutsOfEach);
        assert.ok(most > 0 && most <= broken, `cuts of each tensor: ${cutsOfEach}`);
        assert.ok(moreBytes <= broken * LOST_BYTES, `${moreBytes} bytes more for ${broken} cuts`);
      }
      for (const each of [dialler, peer]) assert.deepEqual(each.all("streamFailed"), []);
    });
  }
}

test(`a tensor of ${BIG_BYTES / MiB} MiB with ${BIG_CUTS} cuts costs at most ${LOST_BYTES / MiB} MiB more for each`, async (t) => {
  // Each is busy with a GiB for longer than the time-outs above: when it makes it up, and when it takes its SHA-256.
  const limits = { ...LIMITS, silenceMs: 30_000, sendStallMs: 30_000 };
  await using receiver = await Peer.start("bun", { limits });
  await using relay = await Relay.start(receiver.port);
  await using sender = await Peer.start("node", { peers: [relay.address], limits });
  await sender.event("joined", { id: receiver.id });
  const big = new Shipment(sender, receiver, receiver.id, [{ bytes: BIG_BYTES }]);
  for (let cut = 0; cut < BIG_CUTS; cut++)
    await relay.cutAfter(BIG_BYTES / (BIG_CUTS + 1), HOW[cut % 2] ?? "reset");
  assert.deepEqual(await big.delivered(), [BIG_CUTS]);
  await noMemoryIsHeld(receiver, sender);
  const moreBytes = relay.passedBytes - BIG_BYTES;
  t.diagnostic(`${(moreBytes / MiB).toFixed(2)} MiB more`);
  assert.ok(moreBytes <= BIG_CUTS * LOST_BYTES, `${moreBytes} bytes more`);
});
