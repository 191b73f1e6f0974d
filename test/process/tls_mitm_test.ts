/** A man in the middle who ends TLS on the way, with a certificate of his own, between real processes. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { note } from "../adversary/attack.ts";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { content, digestOf, makeAuthority, makeSelfSigned } from "../support/tls.ts";
import { TlsRelay } from "../support/tls_relay.ts";
import { Peer, type PeerOptions } from "./peer.ts";

const NEXT: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };
const own = await makeSelfSigned(content());
const his = await makeSelfSigned(content());
const identity = { cert: own.certificatePem, key: own.keyPem };

/** A listener, the man before it, and a node that dials him in its stead. */
async function meet(
  runtime: RuntimeName,
  listening: PeerOptions,
  dialling: PeerOptions,
  run: (dialler: Peer, listener: Peer, relay: TlsRelay) => Promise<void>,
): Promise<void> {
  await using listener = await Peer.start(NEXT[runtime], listening);
  await using relay = await TlsRelay.start(listener.port, his);
  await using dialler = await Peer.start(runtime, { ...dialling, peers: [relay.address] });
  await run(dialler, listener, relay);
}

/** He has passed something on, and no session came of it. */
function assertApart(dialler: Peer, listener: Peer, relay: TlsRelay): void {
  for (const peer of [dialler, listener]) assert.deepEqual(peer.all("joined"), [], peer.runtime);
  assert.deepEqual(relay.seenTensors(), []);
}

/** For `npm run test:adversary`. */
function told(runtime: RuntimeName, title: string, outcome: string, named: string): void {
  note(runtime, { title, outcome }, named);
}

for (const runtime of RUNTIMES) {
  test(`with the proof the man in the middle fails: ${runtime} says that PROOF is bound to another certificate`, async () => {
    const tls = { tls: identity };
    await meet(runtime, tls, tls, async (dialler, listener, relay) => {
      const failed = await dialler.event("dialFailed");
      assert.equal(failed.code, "ASOC_HANDSHAKE_REFUSED");
      assert.equal(failed.cause, "ASOC_BAD_PROOF");
      assert.match(String(failed.message), /somebody in the middle ends TLS/);
      assert.ok(relay.connections > 0);
      assertApart(dialler, listener, relay);
      told(runtime, "a man in the middle who ends TLS, against the proof", "refused", "ASOC_BAD_PROOF");
    });
  });

  test(`without the proof he reads every byte, and ${runtime} has warned that he can`, async () => {
    const open = { tls: { ...identity, verify: "none" }, extension: false } as const;
    await meet(runtime, open, open, async (dialler, listener, relay) => {
      const joined = await dialler.event("joined");
      assert.equal((joined.tls as { verified: string }).verified, "nothing");
      await dialler.event("unverified", { peer: joined.id });
      await listener.event("unverified", { peer: dialler.id });
      const sent = await dialler.send(relay.address, { bytes: 100_000, seed: 5 });
      await listener.receives(sent, dialler.id, 0);
      const [stolen] = relay.seenTensors();
      assert.ok(stolen);
      assert.equal(createHash("sha256").update(stolen).digest("hex"), sent[0]?.sha256);
      told(
        runtime,
        'a man in the middle who ends TLS, with verify "none" and no proof',
        "works",
        "unverified",
      );
    });
  });

  test(`verify "none" on ${runtime} does not help him against nodes that prove themselves`, async () => {
    const unverified = { tls: { ...identity, verify: "none" } } as const;
    await meet(runtime, unverified, unverified, async (dialler, listener, relay) => {
      assert.equal((await dialler.event("dialFailed")).cause, "ASOC_BAD_PROOF");
      assertApart(dialler, listener, relay);
    });
  });

  test(`a pin, or an authority, ends it on ${runtime} before a byte of the handshake has passed`, async () => {
    const authority = await makeAuthority(content());
    const pinned = { tls: { ...identity, verify: "pin", pins: [digestOf(own.certificatePem)] } } as const;
    const certified = { tls: { ...identity, verify: "ca", ca: authority.certificatePem } } as const;
    for (const dialling of [pinned, certified]) {
      await meet(runtime, { tls: identity }, dialling, async (dialler, listener, relay) => {
        const failed = await dialler.event("dialFailed");
        assert.equal(failed.code, "ASOC_TLS_UNTRUSTED", String(failed.message));
        assertApart(dialler, listener, relay);
      });
    }
    told(
      runtime,
      "a man in the middle who ends TLS, against a pin or an authority",
      "refused",
      "ASOC_TLS_UNTRUSTED",
    );
  });
}
