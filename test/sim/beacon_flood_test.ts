import assert from "node:assert/strict";
import { test } from "node:test";
import type { SimNode } from "./world.ts";
import { World } from "./world.ts";

const DISCOVERY_PORT = 9999;

/** Sends `perSecond` datagrams a second to everybody for so long. */
async function flood(world: World, perSecond: number, seconds: number): Promise<void> {
  const from = world.host();
  const socket = await from.transport.bindDatagram(
    { host: "0.0.0.0", port: DISCOVERY_PORT },
    { shared: true, receive: () => {} },
  );
  for (let second = 0; second < seconds; second++) {
    for (let part = 0; part < 10; part++) {
      for (let count = 0; count < perSecond / 10; count++)
        await socket.send(new Uint8Array(50), { host: "255.255.255.255", port: DISCOVERY_PORT });
      await world.time.run(100);
    }
  }
  await socket.close();
}

const refused = ({ node }: SimNode, reason: "overload" | "community") =>
  node.stats.refusedBeacons.get(reason)?.count ?? 0;

test("a flood of datagrams is read up to its limit each second, and nodes find each other all the same", async () => {
  const world = new World(3);
  const limits = { maxDatagramsPerSecond: 50 };
  const victim = await world.start({ limits });
  await flood(world, 200, 5);
  const pauses = refused(victim, "overload");
  assert.ok(pauses >= 4 && pauses <= 6, `${pauses} pauses in 5 s`);
  const judged = refused(victim, "community");
  assert.ok(judged >= 200 && judged <= 300, `${judged} were judged`);
  const other = await world.start({ limits });
  const flooding = flood(world, 200, 30);
  await world.meet(1, victim, other);
  await flooding;
  assert.ok(refused(other, "overload") > 0);
  await world.finish();
});

test("a node that closes while it passes over a flood leaves nothing open", async () => {
  const world = new World(4);
  const victim = await world.start({ limits: { maxDatagramsPerSecond: 5 } });
  await flood(world, 100, 1);
  assert.ok(refused(victim, "overload") > 0);
  await flood(world, 100, 0.1);
  await world.finish();
});
