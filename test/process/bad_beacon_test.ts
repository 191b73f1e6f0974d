/**
 * Beacons that must be refused (RFC-0001, Discovery), over a real UDP socket to a node on each runtime, while a good peer's
 * tensors go on. Each refusal is silent and counted by its reason.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Json, RUNTIMES } from "../support/process.ts";
import {
  type BeaconFields,
  beacon,
  freshId,
  RawDatagrams,
  type RawPeer,
  RawServer,
  TYPE,
} from "../support/raw_peer.ts";
import { KEY } from "./peer.ts";
import { type Victim, victimOn } from "./victim.ts";

const COMMUNITY = "beacons";
const PORT_CLOSED = 1;

function make(fields: Partial<BeaconFields> = {}): Buffer {
  return beacon({ key: KEY, community: COMMUNITY, tcpPort: PORT_CLOSED, ...fields });
}

for (const [index, runtime] of RUNTIMES.entries()) {
  const port = 19_310 + index;
  const victimAtHand = victimOn(runtime, { community: COMMUNITY, discovery: true, discoveryPort: port });

  const count = (stats: Json, reason: string): number =>
    (stats.refusedBeacons as Record<string, { count: number } | undefined>)[reason]?.count ?? 0;

  /** After `send`, exactly `expected` more beacons are counted under `reason`, and none under any other. */
  async function counts(
    victim: Victim,
    reason: string,
    expected: number,
    send: (from: RawDatagrams) => Promise<void>,
  ) {
    await using socket = await RawDatagrams.bind();
    const before = await victim.peer.stats();
    await send(socket);
    const after = await victim.peer.statsUntil(
      (stats) => count(stats, reason) - count(before, reason) >= expected,
    );
    const reasons = Object.keys(after.refusedBeacons as object);
    const changes = reasons.map((name) => [name, count(after, name) - count(before, name)] as const);
    assert.deepEqual(
      changes.filter(([, more]) => more > 0),
      [[reason, expected]],
    );
    const last = (after.refusedBeacons as Record<string, { lastAddress: string }>)[reason];
    assert.equal(last?.lastAddress, socket.host);
    await victim.goesOn();
  }

  const row = (name: string, run: (victim: Victim) => Promise<void>) =>
    test(`${runtime}: ${name}`, { timeout: 30_000 }, async () => run(await victimAtHand()));

  /** A beacon with those fields is good: the node dials the datagram's source at the beacon's port. */
  async function isDialled(fields: Partial<BeaconFields> = {}): Promise<void> {
    await using socket = await RawDatagrams.bind();
    const dialled = Promise.withResolvers<RawPeer>();
    await using server = await RawServer.listen(dialled.resolve, socket.host);
    await socket.send(make({ ...fields, tcpPort: server.port }), port);
    const raw = await dialled.promise;
    assert.equal((await raw.take(50)).readUInt8(1), TYPE.HELLO);
  }

  row("a good beacon makes the node dial the datagram's source at the beacon's port", async () => {
    await isDialled();
  });

  row("beacons of another length are counted", async (victim) => {
    await counts(victim, "length", 4, async (from) => {
      for (const packet of [
        make().subarray(0, 49),
        Buffer.concat([make(), Buffer.of(0)]),
        Buffer.of(1),
        randomBytes(1400),
      ]) {
        await from.send(packet, port);
      }
    });
  });

  row("a beacon of another community is counted, whatever its key", async (victim) => {
    await counts(victim, "community", 2, async (from) => {
      await from.send(make({ community: "elsewhere" }), port);
      await from.send(make({ community: "elsewhere", key: "another key" }), port);
    });
  });

  row("a beacon with another key or a flipped bit is counted", async (victim) => {
    await counts(victim, "signature", 3, async (from) => {
      await from.send(make({ key: "another key" }), port);
      for (const at of [25, 49]) {
        const packet = make();
        packet.writeUInt8(packet.readUInt8(at) ^ 0x80, at);
        await from.send(packet, port);
      }
    });
  });

  row("a clock more than 60 s off is counted, in both directions", async (victim) => {
    await counts(victim, "clock", 2, async (from) => {
      await from.send(make({ skewS: 70 }), port);
      await from.send(make({ skewS: -94 }), port);
    });
    const { refusedBeacons } = await victim.peer.stats();
    const { skewS } = (refusedBeacons as { clock: { skewS: number } }).clock;
    assert.ok(skewS === -94 || skewS === -95, `${skewS}`); // our clocks may tick in between
    await isDialled({ skewS: 55 });
    await isDialled({ skewS: -55 });
  });

  row("a repeated beacon is counted; a copy within a second is not", async (victim) => {
    const packet = make({ id: freshId() });
    await counts(victim, "replay", 1, async (from) => {
      await from.send(packet, port);
      await from.send(packet, port);
      await delay(2000); // the rule itself is about real time; the node may take the first one late
      await from.send(packet, port);
    });
  });

  row("more than one new beacon a second from one node is counted", async (victim) => {
    const id = freshId();
    await counts(victim, "nodeRate", 2, async (from) => {
      for (let each = 0; each < 3; each++) await from.send(make({ id }), port);
    });
  });

  row(
    "more than ten beacons a second from one address are counted, and other addresses are heard",
    async (victim) => {
      await counts(victim, "addressRate", 5, async (from) => {
        for (let each = 0; each < 15; each++) await from.send(make(), port);
      });
      await isDialled();
    },
  );

  row("a beacon with port 0 is counted", async (victim) => {
    await counts(victim, "port", 1, (from) => from.send(make({ tcpPort: 0 }), port));
  });

  test(`${runtime}: the good peer's tensors all arrived whole during all wrong beacons`, async () => {
    const victim = await victimAtHand();
    assert.ok((await victim.finish()) > 1);
  });
}
