/** Attacks from the path between two honest nodes that prove themselves to each other, without TLS. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import { Peer } from "../process/peer.ts";
import type { Json } from "../support/process.ts";
import { sha256, TYPE } from "../support/raw_peer.ts";
import { OP, record, splitRecords, u32, u64 } from "../support/raw_x1.ts";
import type { Attack } from "./attack.ts";
import { relayTo } from "./relay.ts";
import { COMMUNITY, keysOf, type Scene } from "./scene.ts";

const BYTES = 3000;

/** An honest sender that reaches the victim through `port`. */
function sender(scene: Scene, address: string): Promise<Peer> {
  return Peer.start(scene.runtime, { apiKey: scene.key, community: COMMUNITY, peers: [address] });
}

export const PATH_ATTACKS: readonly Attack<Scene>[] = [
  {
    title: "a handshake that is passed on, and a tensor that is changed afterwards: taken as verified",
    outcome: "works",
    play: async (scene) => {
      const forged = Buffer.alloc(BYTES, 0x66);
      let read: Buffer = Buffer.alloc(0);
      await using middle = await relayTo(scene.victim.port, (came) => {
        if (came.type === TYPE.DATA && came.payload.length === BYTES) {
          read = Buffer.from(came.payload);
          return { ...came, payload: forged };
        }
        if (came.type === TYPE.CONTROL) {
          for (const each of splitRecords(came.payload, came.streamId))
            if (each.op === OP.CLOSE) u32(crc32(forged)).copy(each.body, 20); // anybody can compute it
        }
        return came;
      });
      await using honest = await sender(scene, middle.address);
      await honest.event("joined", { id: scene.victim.id });
      const [sent] = await honest.send(scene.victim.id, { bytes: BYTES });
      const came = await scene.says("tensor", { peer: honest.id });
      assert.equal(came.sha256, sha256(forged), "what the one in the middle has made of it");
      assert.equal(sha256(read), sent?.sha256, "and has read");
      return "delivery: verified";
    },
  },
  {
    title: "a handshake with one changed bit in the CAPS of either side is refused",
    outcome: "refused",
    play: async (scene) => {
      // Where in a CAPS record, its head included; -1: the last one, of the X25519 key where there is one.
      const places = { frameLimit: 11, credit: 15, capabilities: 19, nonce: 51, bootEpoch: 67, last: -1 };
      const changes = (["dialler", "acceptor"] as const).flatMap((who) =>
        Object.values(places).map((at) => ({ who, at })),
      );
      await using middle = await relayTo(scene.victim.port, (came, from, connection) => {
        if (came.type !== TYPE.CONTROL || came.payload[0] !== OP.CAPS) return came;
        const change = changes[connection - 1];
        if (change?.who !== from) return came;
        const end = 4 + came.payload.readUInt16BE(2);
        const at = change.at < 0 ? end - 1 : change.at;
        came.payload.writeUInt8(came.payload.readUInt8(at) ^ 1, at);
        return came;
      });
      const limits = { reconnectMinMs: 10, reconnectMaxMs: 20, reconnectCapMs: 20 };
      await using honest = await Peer.start(scene.runtime, {
        apiKey: scene.key,
        community: COMMUNITY,
        peers: [middle.address],
        limits,
      });
      await honest.event("joined", { id: scene.victim.id });
      const failed = honest.all("dialFailed");
      assert.equal(failed.length, changes.length);
      for (const [index, { cause, message }] of failed.entries())
        assert.equal(cause, "ASOC_BAD_PROOF", `${JSON.stringify(changes[index])}: ${message}`);
      await scene.says("joined", { id: honest.id });
      assert.equal(scene.victim.all("joined", { id: honest.id }).length, 1, "what is not changed is let in");
      return "ASOC_BAD_PROOF";
    },
  },
  {
    title: "a KEY_NEW that was made up, played again or moved ends its connection, and changes no key",
    outcome: "refused",
    play: async (scene) => {
      const options = { apiKey: scene.key, community: COMMUNITY };
      await using target = await Peer.start(scene.runtime, options);
      const madeUp = record(OP.KEY_NEW, Buffer.concat([u64(0), randomBytes(64)]));
      let sealed: Buffer | undefined;
      // Each of the first three connections has its attack; the fourth one is left alone.
      let attacked = 0;
      await using middle = await relayTo(target.port, (came, from, connection) => {
        if (from !== "dialler" || came.type !== TYPE.CONTROL) return came;
        const [first] = splitRecords(came.payload, came.streamId);
        if (first?.op === OP.CAPS || first?.op === OP.PROOF || attacked >= connection) return came;
        const before = (bytes: Uint8Array) => {
          attacked = connection;
          return { ...came, payload: Buffer.concat([bytes, came.payload]) };
        };
        if (connection === 1) return before(madeUp);
        if (connection === 3 && sealed) return before(sealed);
        if (connection !== 2 || first?.op !== OP.KEY_NEW) return came;
        sealed = record(OP.KEY_NEW, first.body);
        return before(sealed);
      });
      const limits = { reconnectMinMs: 20, reconnectMaxMs: 60 };
      await using honest = await Peer.start(scene.runtime, { ...options, limits, peers: [middle.address] });
      const left = async (count: number) => {
        const all = () => target.all("left", { id: honest.id });
        await target.process.waitUntil(() => all().length >= count);
        assert.equal(all()[count - 1]?.code, "ASOC_BAD_KEY_RECORD", String(all()[count - 1]?.reason));
      };
      await left(1);
      assert.deepEqual(
        (await keysOf(target)).map(({ epoch }) => epoch),
        [0],
      );
      await honest.process.waitUntil(() => honest.all("joined").length >= 2);
      honest.command({ cmd: "rotate", id: "r" });
      await left(3);
      const { keyId, switched } = await honest.event("rotated");
      assert.equal(switched, true, "the fourth connection brings it");
      // What was sealed for the target has come to it once, and nothing else has.
      assert.deepEqual(
        (await keysOf(target)).map(({ id, epoch }) => [id, epoch]),
        (await keysOf(honest)).map(({ id, epoch }) => [id, epoch]),
      );
      const offered = target.all("key", { change: "offered" }).map((event) => event.keyId);
      assert.deepEqual([...new Set(offered)], [keyId]);
      return "ASOC_BAD_KEY_RECORD";
    },
  },
  {
    title: "CAPS taken away on the path, to bring both down to version 1: both refuse",
    outcome: "refused",
    play: async (scene) => {
      const from = scene.victim.mark;
      await using middle = await relayTo(scene.victim.port, (came, who) =>
        who === "dialler" && came.type === TYPE.CONTROL ? { ...came, payload: Buffer.alloc(0) } : came,
      );
      await using honest = await sender(scene, middle.address);
      await honest.event("dialFailed");
      assert.deepEqual(scene.victim.all("joined", { id: honest.id }), []);
      assert.deepEqual(honest.all("joined"), []);
      const refused = await scene.says("refused", { code: "ASOC_UNEXPECTED_RECORD" }, from);
      return String(refused.code);
    },
  },
  {
    title: "a tensor that is damaged on the path by who does not rewrite its digest is not handed over",
    outcome: "detected",
    play: async (scene) => {
      await using middle = await relayTo(scene.victim.port, (came) => {
        if (came.type === TYPE.DATA) came.payload.writeUInt8(came.payload.readUInt8(7) ^ 1, 7);
        return came;
      });
      await using honest = await sender(scene, middle.address);
      await honest.event("joined", { id: scene.victim.id });
      const id = honest.begin(scene.victim.id, { bytes: BYTES });
      const failed = await honest.event("sendFailed", { id });
      assert.equal(failed.code, "ASOC_DIGEST_MISMATCH");
      assert.deepEqual(scene.victim.all("tensor", { peer: honest.id }), []);
      return "ASOC_DIGEST_MISMATCH";
    },
  },
  {
    title:
      "a KEY_NEW that was recorded on the path, and is put in there in place of a later one, changes no key",
    outcome: "refused",
    play: async (scene) => {
      const code = "ASOC_BAD_KEY_RECORD";
      let recorded: Buffer | undefined;
      /** The connections in which it was put in: that of the rotation, and the next one. */
      const playedIn = new Set<number>();
      await using middle = await relayTo(scene.victim.port, (came, from, connection) => {
        if (from !== "acceptor" || came.type !== TYPE.CONTROL || came.payload[0] === OP.CAPS) return came;
        const bringsKey = came.payload[0] === OP.KEY_NEW;
        if (!recorded && bringsKey)
          recorded = Buffer.from(came.payload); // the offer, which passes
        else if (recorded && connection < 3 && !playedIn.has(connection) && (bringsKey || connection === 2)) {
          playedIn.add(connection);
          return { ...came, streamId: 0, payload: recorded };
        }
        return came;
      });
      await using honest = await sender(scene, middle.address);
      await honest.event("joined", { id: scene.victim.id });
      await scene.says("joined", { id: honest.id }); // it has read the proof, too
      scene.victim.command({ cmd: "rotate", id: "recorded" });
      /** Where in what it says: several events may have come together. */
      let at = 0;
      const says = async (kind: string, fields: Json) => {
        at = honest.process.events.indexOf(await honest.event(kind, fields, 20_000, at)) + 1;
      };
      await says("left", { code });
      await says("joined", { id: scene.victim.id });
      honest.begin(scene.victim.id, { bytes: BYTES }); // so that the victim has something to say
      await says("left", { code });
      assert.deepEqual([...playedIn], [1, 2]);
      const { switched, keyId, oldKeyId } = await scene.says("rotated", { id: "recorded" });
      assert.equal(switched, true);
      await says("joined", { id: scene.victim.id });
      await honest.send(scene.victim.id, { bytes: BYTES });
      // As far as it was told of the rotation, that has taken place, each step once; nothing else has become of any key.
      const changes = honest.all("key").map((event) => `${event.change} ${event.keyId}`);
      const steps = [`offered ${keyId}`, `current ${keyId}`, `limited ${oldKeyId}`];
      assert.deepEqual(changes, steps.slice(0, Math.max(1, changes.length)));
      for (const each of [scene.victim, scene.good]) {
        each.command({ cmd: "revoke", keyId: String(keyId) });
        await each.event("key", { change: "revoked", keyId });
      }
      return code;
    },
  },
];
