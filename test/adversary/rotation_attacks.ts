/**
 * An authentic KEY_NEW that is played again (RFC-0102). Each time a rotation takes place first, sealed as the RFC says and
 * followed by the victim: the offer of a key, its commit, and the end of the key before. Every one of the three is recorded.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { AuditCount, KeyInfo } from "../../src/mod.ts";
import { idText } from "../support/raw_peer.ts";
import { keyIdOf, RawSealer, type Receipt } from "../support/raw_rotation.ts";
import { handshakeSecret, OP, u64, X1Peer } from "../support/raw_x1.ts";
import { exchangeKey } from "../support/raw_x25519.ts";
import type { Attack } from "./attack.ts";
import { COMMUNITY, type Scene } from "./scene.ts";

const OFFER_S = 300;
/** Longer than connections are renewed before the end of their key. */
const GRACE_S = 3600;
/** Of a KEY_NEW record: its counter, in the clear. */
const COUNTER_AT = 4;
const CODE = "ASOC_BAD_KEY_RECORD";

/** A session that can carry a rotation. */
async function exchanging(
  scene: Scene,
  key: string,
  id?: Buffer,
): Promise<{ peer: X1Peer; sealer: RawSealer }> {
  const options = { key, community: COMMUNITY, exchange: exchangeKey(), ...(id ? { id } : {}) };
  const peer = await X1Peer.join(scene.victim.port, options);
  await peer.roundTrip();
  return { peer, sealer: new RawSealer(handshakeSecret(peer.handshake)) };
}

async function answered(peer: X1Peer, sealer: RawSealer, sealed: Buffer): Promise<Receipt> {
  peer.say(0, sealed);
  return sealer.receipt(await peer.record(OP.KEY_ACK));
}

async function keysOf({ victim }: Scene): Promise<readonly KeyInfo[]> {
  const from = victim.mark;
  victim.command({ cmd: "keys", id: "keys" });
  return (await victim.event("keys", {}, 20_000, from)).keys as readonly KeyInfo[];
}

/** How many sessions the audit says to have ended with a KEY_NEW that was refused. */
async function audited({ victim }: Scene): Promise<number> {
  const counts = (await victim.stats()).audited as readonly AuditCount[];
  const ended = counts.find(({ what, reason }) => what === "session.ended" && reason === CODE);
  return ended?.count ?? 0;
}

/** A whole rotation that the victim follows, and its records as they went over the wire. */
async function rotated(scene: Scene) {
  const { peer, sealer } = await exchanging(scene, scene.key);
  const key = randomBytes(32).toString("hex");
  const known = await keysOf(scene);
  const epoch = Math.max(...known.map((each) => each.epoch)) + 1;
  const nowS = Math.floor(Date.now() / 1000);
  const grant = { key, epoch, notAfterS: nowS + OFFER_S };
  const before = { key: scene.key, epoch: 0, notAfterS: nowS + GRACE_S };
  const grants = [grant, { ...grant, notAfterS: undefined }, before];
  const recorded: Buffer[] = [];
  for (const each of grants) {
    const sealed = sealer.keyNew(each);
    recorded.push(sealed);
    assert.deepEqual(await answered(peer, sealer, sealed), { keyId: keyIdOf(each.key), epoch: each.epoch });
  }
  const keys = await keysOf(scene);
  assert.equal(keys.find(({ signs }) => signs)?.id, keyIdOf(key), "the victim has followed");
  return { peer, grant, recorded, keys };
}

/** The victim takes the new key out: the next attack finds what this one has found. */
async function revoke(scene: Scene, key: string): Promise<void> {
  const from = scene.victim.mark;
  scene.victim.command({ cmd: "revoke", keyId: keyIdOf(key) });
  await scene.says("key", { change: "revoked", keyId: keyIdOf(key) }, from);
}

/** What `peer` plays again ends its session in silence, is in the audit, and changes no key. */
async function refused(scene: Scene, peer: X1Peer, sealed: Buffer): Promise<void> {
  const from = scene.victim.mark;
  const keys = await keysOf(scene);
  const count = await audited(scene);
  peer.say(0, sealed);
  const left = await scene.says("left", { id: idText(peer.id) }, from);
  assert.equal(left.code, CODE, String(left.message ?? left.reason));
  assert.equal(await peer.error(), undefined, "it is told nothing");
  await peer.raw.ends();
  assert.deepEqual(await keysOf(scene), keys);
  assert.deepEqual(scene.victim.all("key", {}, from), []);
  assert.equal(await audited(scene), count + 1);
}

/** As it was recorded, and with the counter that a new session expects. */
function forms(sealed: Buffer): Buffer[] {
  const first = Buffer.from(sealed);
  u64(0).copy(first, COUNTER_AT);
  return first.equals(sealed) ? [sealed] : [sealed, first];
}

export const ROTATION_ATTACKS: readonly Attack<Scene>[] = [
  {
    title: "a KEY_NEW of a rotation, played again in its own session, ends that and changes no key",
    outcome: "refused",
    play: async (scene) => {
      for (const index of [0, 1, 2]) {
        const { peer, grant, recorded } = await rotated(scene);
        using _ = peer;
        await refused(scene, peer, recorded[index] as Buffer);
        await revoke(scene, grant.key);
      }
      return CODE;
    },
  },
  {
    title: "a KEY_NEW of a rotation, played again in another session of the same two, changes no key",
    outcome: "refused",
    play: async (scene) => {
      const { peer, grant, recorded } = await rotated(scene);
      peer.raw.reset();
      await scene.says("left", { id: idText(peer.id) });
      for (const key of [scene.key, grant.key]) {
        for (const sealed of recorded.flatMap(forms)) {
          const { peer: again } = await exchanging(scene, key, peer.id);
          using _ = again;
          await refused(scene, again, sealed);
        }
      }
      await revoke(scene, grant.key);
      return CODE;
    },
  },
  {
    title: "a KEY_NEW of a rotation, played again once its key is revoked, does not bring that back",
    outcome: "refused",
    play: async (scene) => {
      const { peer, grant, recorded } = await rotated(scene);
      using _ = peer;
      await revoke(scene, grant.key);
      await refused(scene, peer, recorded[0] as Buffer);
      const { peer: other } = await exchanging(scene, scene.key, peer.id);
      using _other = other;
      await refused(scene, other, recorded[0] as Buffer);
      // Whoever has it can seal it anew: that opens, and is refused.
      const { peer: knows, sealer } = await exchanging(scene, scene.key, peer.id);
      using _knows = knows;
      const keys = await keysOf(scene);
      for (const notAfterS of [grant.notAfterS, undefined]) {
        const { keyId } = await answered(knows, sealer, sealer.keyNew({ ...grant, notAfterS }));
        assert.equal(keyId, keyIdOf(scene.key), "what it holds instead");
      }
      assert.deepEqual(await keysOf(scene), keys);
      assert.equal(keys.find(({ id }) => id === keyIdOf(grant.key))?.state, "revoked");
      return `${CODE}, KEY_ACK of another key`;
    },
  },
];
