/** Two processes in mid-transfer, both ways, of which one stands still (SIGSTOP) and goes on: and what must come of that. */
import assert from "node:assert/strict";
import type { Json, RuntimeName } from "../support/process.ts";
import { MiB, Peer, type PeerOptions } from "./peer.ts";
import { noMemoryIsHeld, Shipment } from "./shipment.ts";

const NEXT: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };
/** Neither way can be over before one process stands still: what lies beyond `restAt` is not given until it does. */
const CARGO = { bytes: 32 * MiB, reread: true, paceMs: 20, restAt: 16 * MiB };
const UNDER_WAY_BYTES = 4 * MiB;
/** Many processes may start at once, and nothing is measured until all are under way. */
const START_MS = 60_000;

export interface Suspension {
  /** Of the one that stands still; the other one runs on the next runtime. */
  readonly runtime: RuntimeName;
  readonly who: "dialler" | "listener";
  readonly limits: PeerOptions["limits"];
  /** Resolves when it shall go on; `awake` is the other one, with its events from `mark` on. */
  readonly until: (awake: Peer, mark: number) => Promise<void>;
  /** Whether the other one gives the connection up meanwhile. */
  readonly isNoticed: boolean;
}

/** Each tensor arrives once. Gives what the one that was awake said of the connection that it gave up. */
export async function suspend({ runtime, who, limits, until, isNoticed }: Suspension): Promise<Json> {
  const [dials, listens] = who === "dialler" ? [runtime, NEXT[runtime]] : [NEXT[runtime], runtime];
  await using listener = await Peer.start(listens, { limits });
  await using dialler = await Peer.start(dials, { limits, peers: [listener.address] });
  await dialler.event("joined", { id: listener.id });
  await listener.event("joined", { id: dialler.id });
  const [still, awake] = who === "dialler" ? [dialler, listener] : [listener, dialler];
  const peers = [still, awake];
  const shipments = [
    new Shipment(dialler, listener, listener.id, [CARGO]),
    new Shipment(listener, dialler, dialler.id, [{ ...CARGO, chunks: true }]),
  ];
  for (const peer of peers)
    await peer.statsUntil((stats) => Number(stats.payloadBytesIn) >= UNDER_WAY_BYTES, START_MS);
  const marks = peers.map((peer) => peer.mark);
  still.process.kill("SIGSTOP");
  for (const peer of peers) peer.command({ cmd: "go" }); // who stands still reads it afterwards
  await until(awake, marks[1] ?? 0);
  still.process.kill("SIGCONT");
  for (const shipment of shipments) {
    const [cuts] = await shipment.delivered(60_000);
    assert.ok(isNoticed ? Number(cuts) > 0 : cuts === 0, `${still.runtime} stood still: ${cuts} cuts`);
  }
  for (const [index, peer] of peers.entries()) {
    const times = (kind: string) => peer.all(kind, {}, marks[index]).length;
    const told = { left: times("left"), joined: times("joined") };
    const most = isNoticed ? 1 : 0;
    // Who stood still may know of the new connection before it knows that the old one has ended: then nobody has left.
    const least = peer === still ? 0 : most;
    assert.ok(told.left === told.joined && told.left >= least && told.left <= most, JSON.stringify(told));
    assert.deepEqual(peer.all("streamFailed"), []);
    // From the start it would be more: what had come was not sent again.
    const { payloadBytesIn } = await peer.stats();
    assert.ok(
      Number(payloadBytesIn) < CARGO.bytes + UNDER_WAY_BYTES,
      `${peer.runtime} read ${payloadBytesIn} bytes`,
    );
  }
  await noMemoryIsHeld(dialler, listener);
  return awake.all("left", {}, marks[1])[0] ?? {};
}
