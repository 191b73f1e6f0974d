/** Attacks by number and by patience: handshakes that never end, connections, beacons. Most need no key. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { Peer } from "../process/peer.ts";
import type { Json } from "../support/process.ts";
import {
  type BeaconFields,
  beacon,
  frame,
  freshId,
  freshSource,
  hello,
  idText,
  RawDatagrams,
  RawPeer,
  RawServer,
  speakTls,
  TYPE,
} from "../support/raw_peer.ts";
import type { Attack } from "./attack.ts";
import { COMMUNITY, HANDSHAKE_MS, OTHER_KEY, type Scene } from "./scene.ts";

const MiB = 1024 * 1024;
const SLACK_BYTES = 96 * MiB;
const FLOOD_CONNECTIONS = 600;
const FLOOD_BEACONS = 3000;
const PORT_CLOSED = 1;
const REDIAL_MS = 50;

function made(scene: Scene, fields: Partial<BeaconFields> = {}): Buffer {
  return beacon({ key: scene.key, community: COMMUNITY, tcpPort: PORT_CLOSED, ...fields });
}

/** After `send`, at least `expected` more beacons are counted under `reason`. */
async function counted(
  scene: Scene,
  reason: string,
  expected: number,
  send: (from: RawDatagrams) => Promise<void>,
): Promise<string> {
  const count = (stats: Json) =>
    (stats.refusedBeacons as Record<string, { count: number } | undefined>)[reason]?.count ?? 0;
  await using socket = await RawDatagrams.bind();
  const before = count(await scene.victim.stats());
  await send(socket);
  await scene.victim.statsUntil((stats) => count(stats) - before >= expected);
  return `refusedBeacons.${reason}`;
}

/** The same of what `beacons` makes for a port that listens: nobody dials it, but a good beacon that comes after them is followed. */
async function notFollowed(
  scene: Scene,
  reason: string,
  beacons: (tcpPort: number) => readonly Buffer[],
): Promise<string> {
  let dials = 0;
  const followed = Promise.withResolvers<RawPeer>();
  const send = async (from: RawDatagrams) => {
    await using trap = await RawServer.listen(() => dials++, from.host);
    await using good = await RawServer.listen(followed.resolve, from.host);
    for (const packet of beacons(trap.port)) await from.send(packet, scene.beaconPort);
    await from.send(made(scene, { tcpPort: good.port }), scene.beaconPort);
    await followed.promise;
    assert.equal(dials, 0, "what was refused was dialled");
  };
  return counted(scene, reason, beacons(PORT_CLOSED).length, send);
}

/** As a node would: each handshake has 300 ms to itself, and until one makes way a newcomer is turned away. */
async function dialledAgain(
  scene: Scene,
  untilMs: number,
  source = freshSource(),
): Promise<Awaited<ReturnType<Scene["x1"]>>> {
  for (;;) {
    try {
      return await scene.x1({ source });
    } catch (error) {
      if (performance.now() > untilMs) throw error;
      await delay(REDIAL_MS);
    }
  }
}

export const FLOOD_ATTACKS: readonly Attack<Scene>[] = [
  {
    title: "half-open handshakes in every place do not keep a real peer out",
    outcome: "bounded",
    play: async (scene) => {
      const idle: RawPeer[] = [];
      for (let each = 0; each < 80; each++) {
        const raw = await RawPeer.connect(scene.victim.port).catch(() => undefined); // cut off already
        if (raw) idle.push(raw);
      }
      const startedMs = performance.now();
      using peer = await dialledAgain(scene, startedMs + HANDSHAKE_MS);
      assert.ok(performance.now() - startedMs < HANDSHAKE_MS, "before their time was over");
      assert.equal(peer.raw.ended, false);
      const refused = await scene.says("refused", { code: "ASOC_ADMISSION" });
      for (const raw of idle) raw[Symbol.dispose]();
      return String(refused.code);
    },
  },
  {
    title: "connections that never begin TLS keep nobody out, and who made room is not blamed",
    outcome: "bounded",
    onlyOverTls: true,
    play: async (scene) => {
      const first = freshSource();
      const idle: RawPeer[] = [];
      for (let each = 0; each < 80; each++) {
        const source = each === 0 ? first : freshSource();
        const raw = await RawPeer.connectPlain(scene.victim.port, source).catch(() => undefined); // cut off already
        if (raw) idle.push(raw);
      }
      const startedMs = performance.now();
      using peer = await dialledAgain(scene, startedMs + HANDSHAKE_MS);
      assert.ok(performance.now() - startedMs < HANDSHAKE_MS, "before their time was over");
      assert.equal(peer.raw.ended, false);
      const refused = await scene.says("refused", { host: first });
      for (const raw of idle) raw[Symbol.dispose]();
      (await scene.x1({ source: first }))[Symbol.dispose]();
      assert.equal(refused.code, "ASOC_ADMISSION");
      return String(refused.code);
    },
  },
  {
    title: "TLS handshakes beyond so many a second are closed before anything is computed",
    outcome: "bounded",
    onlyOverTls: true,
    play: async (scene) => {
      const limits = { maxTlsHandshakesPerSecond: 5 };
      await using victim = await Peer.start(scene.runtime, { apiKey: scene.key, tls: scene.tls, limits });
      speakTls(victim.port);
      const startedMs = performance.now();
      let begun = 0;
      for (let each = 0; each < 40; each++) {
        using raw = await RawPeer.connect(victim.port).catch(() => undefined);
        if (raw) begun++;
      }
      const windows = 1 + Math.ceil((performance.now() - startedMs) / 1000);
      assert.ok(begun >= 5 && begun <= 5 * windows, `${begun} handshakes`);
      await victim.statsUntil(
        ({ refusedConnections }) =>
          (refusedConnections as Record<string, number>)["too many TLS handshakes"] === 40 - begun,
      );
      return "too many TLS handshakes";
    },
  },
  {
    title: "a handshake that comes byte by byte ends when its time is over",
    outcome: "bounded",
    play: async (scene) => {
      const source = freshSource();
      using slow = await RawPeer.connect(scene.victim.port, source);
      const bytes = frame(TYPE.HELLO, 0, 0, hello(scene.key));
      const startedMs = performance.now();
      for (let at = 0; at < bytes.length - 1 && !slow.ended; at++) {
        slow.send(bytes.subarray(at, at + 1));
        await delay(HANDSHAKE_MS / 20); // the rule itself is about real time
      }
      await slow.ends();
      const tookMs = performance.now() - startedMs;
      assert.ok(tookMs < 2 * HANDSHAKE_MS, `${tookMs} ms`);
      const event = await scene.says("refused", { host: source });
      assert.equal(event.code, "ASOC_HANDSHAKE_TIMEOUT");
      return String(event.code);
    },
  },
  {
    title: "a flood of connections is turned away, and costs bounded memory",
    outcome: "bounded",
    play: async (scene) => {
      const before = await scene.heldBytes();
      const open: RawPeer[] = [];
      let turnedAway = 0;
      for (let each = 0; each < FLOOD_CONNECTIONS; each++) {
        const raw = await RawPeer.connect(scene.victim.port).catch(() => undefined);
        if (raw) open.push(raw);
        else turnedAway++;
      }
      const { connections } = await scene.victim.stats();
      assert.ok(Number(connections) <= 100, `${connections} connections`);
      await scene.goesOn();
      const { refusedConnections } = await scene.victim.statsUntil(
        (stats) => refusals(stats) + turnedAway >= FLOOD_CONNECTIONS - 100,
      );
      assert.ok((await scene.heldBytes()) - before < SLACK_BYTES);
      for (const raw of open) raw[Symbol.dispose]();
      await scene.victim.statsUntil((stats) => Number(stats.connections) <= 2);
      return Object.keys(refusedConnections as Json).join(", ");
    },
  },
  {
    title: "an address that keeps failing is shut out, and no other",
    outcome: "bounded",
    play: async (scene) => {
      const source = freshSource();
      for (let each = 0; each < 5; each++) {
        using raw = await RawPeer.connect(scene.victim.port, source);
        raw.send(frame(TYPE.HELLO, 0, 0, hello(OTHER_KEY)));
        await raw.ends();
      }
      const shut = await RawPeer.connect(scene.victim.port, source).catch(() => undefined);
      if (shut) assert.equal((await shut.ends()).length, 0); // undefined: the reset was quicker than connect()
      const event = await scene.says("refused", { host: source, reason: "blocked" });
      (await scene.x1())[Symbol.dispose]();
      return String(event.reason);
    },
  },
  {
    title: "a forged beacon is counted and not followed",
    outcome: "refused",
    notOverTls: "beacons are outside of it",
    play: (scene) =>
      notFollowed(scene, "signature", (tcpPort) => {
        const changed = made(scene);
        changed.writeUInt16BE(tcpPort, 24); // another port than the one that was signed
        return [made(scene, { key: OTHER_KEY, tcpPort }), changed];
      }),
  },
  {
    title: "a beacon that is played again is counted and not followed",
    outcome: "refused",
    notOverTls: "beacons are outside of it",
    play: (scene) =>
      counted(scene, "replay", 1, async (from) => {
        let dials = 0;
        const first = Promise.withResolvers<void>();
        const serve = () => {
          dials++;
          first.resolve();
        };
        await using server = await RawServer.listen(serve, from.host);
        const packet = made(scene, { tcpPort: server.port });
        await from.send(packet, scene.beaconPort);
        await first.promise;
        await delay(1100); // a copy within a second is one of another interface
        await from.send(packet, scene.beaconPort);
        await scene.goesOn();
        assert.equal(dials, 1, "it was dialled again");
      }),
  },
  {
    title: "a beacon that is old is counted and not followed",
    outcome: "refused",
    notOverTls: "beacons are outside of it",
    play: (scene) =>
      notFollowed(scene, "clock", (tcpPort) => [-90, 90].map((skewS) => made(scene, { tcpPort, skewS }))),
  },
  {
    title: "a beacon of another community is counted and not followed",
    outcome: "refused",
    notOverTls: "beacons are outside of it",
    play: (scene) =>
      notFollowed(scene, "community", (tcpPort) => [made(scene, { tcpPort, community: "elsewhere" })]),
  },
  {
    title: "a fresh beacon that is passed on from another address makes the node dial there, and no more",
    outcome: "works",
    notOverTls: "beacons are outside of it",
    play: async (scene) => {
      await using socket = await RawDatagrams.bind();
      const dialled = Promise.withResolvers<RawPeer>();
      await using server = await RawServer.listen(dialled.resolve, socket.host);
      // Signed by somebody who holds the key; its source address is not part of what is signed.
      await socket.send(made(scene, { tcpPort: server.port }), scene.beaconPort);
      const raw = await dialled.promise;
      assert.equal((await raw.take(50)).readUInt8(1), TYPE.HELLO);
      raw.send(frame(TYPE.ACCEPT, 0, 0, Buffer.alloc(16)));
      const failed = await scene.victim.process.waitFor(
        (event) => event.event === "dialFailed" && (event.address as { host?: string }).host === socket.host,
      );
      assert.equal(failed.cause, "ASOC_WRONG_KEY");
      return "HELLO, then ASOC_WRONG_KEY";
    },
  },
  {
    title: "a flood of beacons from many uuids is cut to ten a second from one address",
    outcome: "bounded",
    notOverTls: "beacons are outside of it",
    play: async (scene) => {
      const before = await scene.heldBytes();
      const named = await counted(scene, "addressRate", 100, async (from) => {
        for (let each = 0; each < FLOOD_BEACONS; each++) await from.send(made(scene), scene.beaconPort);
      });
      assert.ok((await scene.heldBytes()) - before < SLACK_BYTES);
      return named;
    },
  },
  {
    title: "a flood of beacons without the key is counted, and costs bounded memory",
    outcome: "bounded",
    notOverTls: "beacons are outside of it",
    play: async (scene) => {
      const before = await scene.heldBytes();
      const named = await counted(scene, "signature", 100, async (from) => {
        for (let each = 0; each < FLOOD_BEACONS; each++)
          await from.send(made(scene, { key: OTHER_KEY }), scene.beaconPort);
      });
      assert.ok((await scene.heldBytes()) - before < SLACK_BYTES);
      return named;
    },
  },
  {
    title: "a HELLO with the node's own id is refused",
    outcome: "refused",
    play: async (scene) => {
      const source = freshSource();
      using raw = await RawPeer.connect(scene.victim.port, source);
      const own = Buffer.from(scene.victim.id.replaceAll("-", ""), "hex");
      raw.send(frame(TYPE.HELLO, 0, 0, hello(scene.key, own)));
      await raw.ends();
      const event = await scene.says("refused", { host: source });
      assert.equal(event.code, "ASOC_DUPLICATE_NODE_ID");
      return String(event.code);
    },
  },
  {
    title: "v0.1 connections in the good peer's name do not displace its proven session",
    outcome: "refused",
    play: async (scene) => {
      const source = freshSource();
      using raw = await RawPeer.connect(scene.victim.port, source);
      const id = Buffer.from(scene.good.id.replaceAll("-", ""), "hex");
      raw.send(
        Buffer.concat([frame(TYPE.HELLO, 0, 0, hello(scene.key, id)), frame(TYPE.DATA, 1, 0, freshId())]),
      );
      await raw.ends();
      const event = await scene.says("refused", { host: source });
      assert.equal(event.code, "ASOC_DOWNGRADE");
      assert.deepEqual(scene.victim.all("left", { id: idText(id) }), []);
      return String(event.code);
    },
  },
];

function refusals({ refusedConnections }: Json): number {
  return Object.values(refusedConnections as Record<string, number>).reduce((sum, count) => sum + count, 0);
}
