/** Tensors over TLS between real processes: all nine pairs of runtimes, each with a certificate that nobody vouches for. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { content, digestOf, makeSelfSigned } from "../support/tls.ts";
import { MiB, Peer } from "./peer.ts";

const dialled = new Map<RuntimeName, Peer>();
const diallers = new Map<RuntimeName, Peer>();
/** Of the certificates that they show. */
const digests = new Map<Peer, string>();

async function start(runtime: RuntimeName, peers: string[]): Promise<Peer> {
  const { certificatePem, keyPem } = await makeSelfSigned(content());
  const peer = await Peer.start(runtime, { peers, tls: { cert: certificatePem, key: keyPem } });
  digests.set(peer, digestOf(certificatePem));
  return peer;
}

before(async () => {
  for (const runtime of RUNTIMES) dialled.set(runtime, await start(runtime, []));
  const peers = [...dialled.values()].map((peer) => peer.address);
  for (const runtime of RUNTIMES) diallers.set(runtime, await start(runtime, peers));
});

after(async () => {
  for (const peer of [...diallers.values(), ...dialled.values()]) await peer[Symbol.asyncDispose]();
});

function pick(peers: ReadonlyMap<RuntimeName, Peer>, runtime: RuntimeName): Peer {
  const peer = peers.get(runtime);
  assert.ok(peer, `no ${runtime} process`);
  return peer;
}

for (const from of RUNTIMES) {
  for (const to of RUNTIMES) {
    test(`${from} dials ${to} with TLS: both prove the key, and tensors arrive whole in both directions`, async () => {
      const dialler = pick(diallers, from);
      const peer = pick(dialled, to);
      const near = await dialler.event("joined", { dialledAs: peer.address });
      const far = await peer.event("joined", { id: dialler.id });
      for (const [joined, other] of [
        [near, peer],
        [far, dialler],
      ] as const) {
        const certificateSha256 = digests.get(other);
        assert.deepEqual(joined.tls, { protocol: "TLSv1.3", certificateSha256, verified: "proof" });
        assert.equal(joined.protocol, "x1");
      }
      const marks = [peer.mark, dialler.mark] as const;
      for (const bytes of [0, 1, MiB + 1, 16 * MiB]) {
        await peer.receives(
          await dialler.send(peer.address, { bytes, seed: bytes + 1 }),
          dialler.id,
          marks[0],
        );
        await dialler.receives(await peer.send(dialler.id, { bytes, seed: bytes + 2 }), peer.id, marks[1]);
      }
      const failures = ["sendFailed", "streamFailed", "tensorFailed", "unverified", "refused"];
      for (const one of [dialler, peer])
        for (const kind of failures) assert.deepEqual(one.all(kind), [], `${one.runtime}: ${kind}`);
    });
  }
}

test("close() of nodes that speak TLS ends their processes in order", async () => {
  for (const runtime of RUNTIMES) {
    const closed = await pick(diallers, runtime).close();
    assert.equal(closed.code, undefined, `${runtime}: ${closed.message}`);
    for (const peer of dialled.values()) await peer.event("left", { id: pick(diallers, runtime).id });
  }
});
