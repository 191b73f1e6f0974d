/**
 * A process that stands still in mid-transfer (SIGSTOP) and goes on: for less than the time-outs nobody notices, after longer
 * the transfer goes on over the next connection; either way each tensor arrives once. ASOC_SUSPEND_S=60 stops it for a minute,
 * with the time-outs that users have.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { MiB, Peer, type PeerOptions } from "./peer.ts";
import { noMemoryIsHeld, Shipment } from "./shipment.ts";

const NEXT: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };
const LONG_S = Number(process.env.ASOC_SUSPEND_S ?? 0);
const SHORT_MS = 600;
/** Longer than silence takes to be noticed. */
const LONG_MS = LONG_S > 0 ? LONG_S * 1000 : 3500;
const LIMITS: PeerOptions["limits"] =
  LONG_S > 0
    ? {}
    : {
        keepaliveMs: 300,
        silenceMs: 2000,
        sendStallMs: 2000,
        reconnectMinMs: 20,
        reconnectMaxMs: 60,
        reconnectCapMs: 200,
        dialTimeoutMs: 1000,
        handshakeTimeoutMs: 1500,
      };
const CARGO = { bytes: 32 * MiB, reread: true, paceMs: 20 };

for (const who of ["dialler", "listener"] as const) {
  for (const [what, stopMs] of [
    ["less", SHORT_MS],
    ["more", LONG_MS],
  ] as const) {
    test(`the ${who} is suspended for ${what} than the time-outs: what passes in both directions arrives once`, {
      timeout: 60_000 + 3 * LONG_MS,
    }, async () => {
      await Promise.all(RUNTIMES.map((runtime) => suspend(runtime, who, stopMs, what === "more")));
    });
  }
}

/** `runtime` is the one that stands still. */
async function suspend(
  runtime: RuntimeName,
  who: "dialler" | "listener",
  stopMs: number,
  isNoticed: boolean,
): Promise<void> {
  const [dials, listens] = who === "dialler" ? [runtime, NEXT[runtime]] : [NEXT[runtime], runtime];
  await using listener = await Peer.start(listens, { limits: LIMITS });
  await using dialler = await Peer.start(dials, { limits: LIMITS, peers: [listener.address] });
  await dialler.event("joined", { id: listener.id });
  await listener.event("joined", { id: dialler.id });
  const [still, awake] = who === "dialler" ? [dialler, listener] : [listener, dialler];
  const shipments = [
    new Shipment(dialler, listener, listener.id, [CARGO]),
    new Shipment(listener, dialler, dialler.id, [{ ...CARGO, chunks: true }]),
  ];
  for (const peer of [dialler, listener])
    await peer.statsUntil((stats) => Number(stats.payloadBytesIn) > 2 * MiB);
  const mark = awake.mark;
  still.process.kill("SIGSTOP");
  await delay(stopMs); // time itself is what is tested
  const left = awake.all("left", {}, mark);
  still.process.kill("SIGCONT");
  if (isNoticed) {
    assert.equal(left.length, 1, `${awake.runtime} did not notice that ${still.runtime} stood still`);
    assert.match(String(left[0]?.code), /^ASOC_(PEER_SILENT|SEND_STALLED)$/);
  }
  for (const shipment of shipments) {
    const [cuts] = await shipment.delivered(60_000);
    assert.ok(isNoticed ? Number(cuts) > 0 : cuts === 0, `${cuts} cuts`);
  }
  if (!isNoticed) for (const peer of [still, awake]) assert.deepEqual(peer.all("left"), []);
  for (const peer of [still, awake]) assert.deepEqual(peer.all("streamFailed"), []);
  await noMemoryIsHeld(dialler, listener);
}
