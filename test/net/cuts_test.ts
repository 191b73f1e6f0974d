/**
 * Hosts that cannot hear each other for a while in mid-transfer, in both directions or in one: for less than the time-outs,
 * which nobody notices, and for longer, after which the transfer goes on over the next connection (RFC-0006, Resume). On all
 * nine pairs of runtimes, three pairs at a time; more often with ASOC_CUTS.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { MiB, Peer, type PeerOptions } from "../process/peer.ts";
import { type Cargo, noMemoryIsHeld, Shipment } from "../process/shipment.ts";
import { Network, whyNoFilters } from "../support/netns.ts";
import { RUNTIMES } from "../support/process.ts";

const skip = whyNoFilters() ?? false;
const PORT = 9000;
/** How often each pair is cut off in each of the three ways. */
const ROUNDS = Math.max(1, Math.floor(Number(process.env.ASOC_CUTS ?? 36) / 36));
const LIMITS = {
  keepaliveMs: 300,
  silenceMs: 2500,
  sendStallMs: 2500,
  dialTimeoutMs: 1000,
  reconnectMinMs: 20,
  reconnectMaxMs: 60,
  reconnectProvenMs: 20,
  reconnectCapMs: 200,
};
/** Slow enough to be under way when packets begin to be dropped. */
const CARGO = { bytes: 32 * MiB, reread: true, paceMs: 20 };
/** The same although several pairs are seen to one after another, on a machine that is busy. */
const SLOW_CARGO = { ...CARGO, paceMs: 60 };

/** One host that dials, and one that listens. */
interface Couple {
  readonly diallerHost: number;
  readonly listenerHost: number;
  readonly dialler: Peer;
  readonly listener: Peer;
}

let network: Network;

/** Each runtime dials the one `step` places behind it, each from a host of its own: three steps make nine pairs. */
async function startCouples(
  port: number,
  listenerLimits: PeerOptions["limits"],
  step: number,
): Promise<Couple[]> {
  const started = RUNTIMES.map(async (runtime, index) => {
    const [diallerHost, listenerHost] = [2 * index, 2 * index + 1];
    const common = { community: "cuts", host: "0.0.0.0", port };
    const listenerRuntime = RUNTIMES[(index + step) % RUNTIMES.length] ?? runtime;
    const at = (host: number) => ({ netns: network.host(host).netns });
    const listener = await Peer.start(
      listenerRuntime,
      { ...common, limits: listenerLimits },
      at(listenerHost),
    );
    const peers = [`${network.host(listenerHost).address}:${port}`];
    const dialler = await Peer.start(runtime, { ...common, limits: LIMITS, peers }, at(diallerHost));
    await dialler.event("joined", { id: listener.id });
    await listener.event("joined", { id: dialler.id });
    return { diallerHost, listenerHost, dialler, listener };
  });
  return Promise.all(started);
}

async function stopCouples(couples: readonly Couple[]): Promise<void> {
  for (const { dialler, listener } of couples)
    for (const peer of [dialler, listener]) await peer[Symbol.asyncDispose]();
}

/** A tensor in each direction, well under way. */
async function shipBothWays({ dialler, listener }: Couple, cargo: Cargo): Promise<Shipment[]> {
  const before = await Promise.all([dialler.stats(), listener.stats()]);
  const shipments = [
    new Shipment(dialler, listener, listener.id, [cargo]),
    new Shipment(listener, dialler, dialler.id, [{ ...cargo, chunks: true }]),
  ];
  for (const [index, peer] of [dialler, listener].entries()) {
    const fromBytes = Number(before[index]?.payloadBytesIn);
    await peer.statsUntil((now) => Number(now.payloadBytesIn) > fromBytes + 2 * MiB);
  }
  return shipments;
}

/** Until TCP of one of the hosts has sent something again in vain. */
async function backOff(hosts: readonly number[]): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!hosts.some((host) => network.backsOff(host))) {
    assert.ok(performance.now() < deadlineMs, "TCP has not noticed that nobody answers");
    await turn();
  }
}

const DEAF: readonly (readonly [string, (couple: Couple) => readonly number[]])[] = [
  ["both", ({ diallerHost, listenerHost }) => [diallerHost, listenerHost]],
  ["the one that dials", ({ diallerHost }) => [diallerHost]],
  ["the one that listens", ({ listenerHost }) => [listenerHost]],
];

if (!skip) {
  before(() => {
    network = new Network(2 * RUNTIMES.length);
  });
  after(() => network[Symbol.dispose]());
}

/** Shorter than the time-outs. */
async function pause(couple: Couple, deaf: readonly number[]): Promise<void> {
  const { dialler, listener, diallerHost, listenerHost } = couple;
  const marks = [dialler, listener].map((peer) => [peer, peer.mark] as const);
  const shipments = await shipBothWays(couple, CARGO);
  for (const host of deaf) network.deafen(host);
  await backOff([diallerHost, listenerHost]);
  for (const host of deaf) network.heal(host);
  for (const shipment of shipments) assert.deepEqual(await shipment.delivered(), [0]);
  for (const [peer, mark] of marks) assert.deepEqual(peer.all("left", {}, mark), []);
  await noMemoryIsHeld(dialler, listener);
}

/** Longer than the time-outs. */
async function cut(couple: Couple, deaf: readonly number[]): Promise<void> {
  const { dialler, listener } = couple;
  const marks = [dialler, listener].map((peer) => [peer, peer.mark] as const);
  const shipments = await shipBothWays(couple, SLOW_CARGO);
  for (const host of deaf) network.deafen(host);
  try {
    for (const [peer, mark] of marks) await peer.event("left", {}, 20_000, mark);
    await dialler.event("dialFailed", {}, 20_000, marks[0]?.[1]);
  } finally {
    for (const host of deaf) network.heal(host);
  }
  for (const shipment of shipments) {
    const [cuts] = await shipment.delivered();
    assert.ok(Number(cuts) > 0, `${cuts} cuts`);
  }
  for (const peer of [dialler, listener]) assert.deepEqual(peer.all("streamFailed"), []);
  await noMemoryIsHeld(dialler, listener);
}

for (const step of RUNTIMES.keys()) {
  const pairs = RUNTIMES.map((one, index) => `${one} and ${RUNTIMES[(index + step) % RUNTIMES.length]}`);

  describe(pairs.join(", "), { skip }, () => {
    let couples: Couple[] = [];
    before(async () => {
      couples = await startCouples(PORT + step, LIMITS, step);
    });
    after(() => stopCouples(couples));

    for (const [who, hostsOf] of DEAF) {
      // Nothing breaks: three pairs, with each runtime on both sides, are enough.
      if (step === 1) {
        test(`${who} cannot hear for less than the time-outs: the same connection goes on`, async () => {
          await Promise.all(couples.map((couple) => pause(couple, hostsOf(couple))));
        });
      }

      test(`${who} cannot hear for longer than the time-outs: each transfer goes on, and is delivered once`, async () => {
        for (let round = 0; round < ROUNDS; round++)
          await Promise.all(couples.map((couple) => cut(couple, hostsOf(couple))));
      });
    }
  });
}

test("a receiver that has not noticed ends the old connection when its peer is back on a new one", {
  skip,
}, async () => {
  const patient = await startCouples(
    PORT + RUNTIMES.length,
    { keepaliveMs: 60_000, silenceMs: 120_000, sendStallMs: 120_000 },
    1,
  );
  try {
    await Promise.all(
      patient.map(async ({ dialler, listener, diallerHost, listenerHost }) => {
        const mark = dialler.mark;
        const tensor = new Shipment(dialler, listener, listener.id, [{ ...CARGO, restAt: 16 * MiB }]);
        await listener.statsUntil((now) => Number(now.payloadBytesIn) > 2 * MiB);
        for (const host of [diallerHost, listenerHost]) network.deafen(host);
        dialler.command({ cmd: "go" });
        await dialler.event("left", {}, 20_000, mark);
        for (const host of [diallerHost, listenerHost]) network.heal(host);
        assert.deepEqual(await tensor.delivered(), [1]);
        await listener.statsUntil((now) => now.connections === 1);
        await noMemoryIsHeld(dialler, listener);
      }),
    );
  } finally {
    await stopCouples(patient);
  }
});
