/**
 * A host that loses its address in mid-transfer and gets another one: it is found at the new one, by beacons or because it
 * dials, and what was on its way goes on (RFC-0006, Resume).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MiB, Peer } from "../process/peer.ts";
import { noMemoryIsHeld, Shipment } from "../process/shipment.ts";
import { Network, whyNoNamespaces } from "../support/netns.ts";
import { RUNTIMES } from "../support/process.ts";

const skip = whyNoNamespaces() ?? false;
const LIMITS = {
  keepaliveMs: 300,
  silenceMs: 2500,
  sendStallMs: 2500,
  dialTimeoutMs: 1000,
  beaconIntervalMs: 500,
  maxBeaconsPerSecondPerNode: 10,
  reconnectMinMs: 20,
  reconnectMaxMs: 60,
  reconnectProvenMs: 20,
  reconnectCapMs: 200,
};
/** Neither way can be over before the address changes: what lies beyond `restAt` is not given until it has. */
const CARGO = { bytes: 32 * MiB, reread: true, paceMs: 20, restAt: 16 * MiB };

for (const how of ["discovered", "static"] as const) {
  test(`a host whose address changes in mid-transfer is found again (${how}), and each tensor arrives once`, {
    skip,
    timeout: 90_000,
  }, async () => {
    using network = new Network(2 * RUNTIMES.length);
    await Promise.all(
      RUNTIMES.map(async (runtime, index) => {
        const [movingHost, stayingHost] = [2 * index, 2 * index + 1];
        const discovery = how === "discovered";
        const common = {
          community: `${how} ${runtime}`,
          host: "0.0.0.0",
          port: 9000,
          discovery,
          limits: LIMITS,
        };
        const at = (host: number) => ({ netns: network.host(host).netns });
        const otherRuntime = RUNTIMES[(index + 1) % RUNTIMES.length] ?? runtime;
        await using staying = await Peer.start(otherRuntime, common, at(stayingHost));
        const peers = discovery ? [] : [`${network.host(stayingHost).address}:9000`];
        await using moving = await Peer.start(runtime, { ...common, peers }, at(movingHost));
        await moving.event("joined", { id: staying.id });
        await staying.event("joined", { id: moving.id });
        const shipments = [
          new Shipment(moving, staying, staying.id, [CARGO]),
          new Shipment(staying, moving, moving.id, [{ ...CARGO, chunks: true }]),
        ];
        for (const peer of [moving, staying])
          await peer.statsUntil((stats) => Number(stats.payloadBytesIn) > 2 * MiB);
        const host = network.renumber(movingHost);
        for (const peer of [moving, staying]) peer.command({ cmd: "go" });
        for (const shipment of shipments) {
          const [cuts] = await shipment.delivered(60_000);
          assert.ok(Number(cuts) > 0, `${cuts} cuts`);
        }
        const mark = staying.mark;
        staying.command({ cmd: "peers" });
        const [known] = (await staying.event("peers", {}, 20_000, mark)).peers as {
          id: string;
          address: { host: string };
        }[];
        assert.deepEqual([known?.id, known?.address.host], [moving.id, host]);
        for (const peer of [moving, staying]) assert.deepEqual(peer.all("streamFailed"), []);
        await noMemoryIsHeld(moving, staying);
      }),
    );
  });
}
