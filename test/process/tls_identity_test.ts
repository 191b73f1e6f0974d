/** Node ids that certificates name, between real processes: nobody has another one's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { content, issueCertificate, makeAuthority, NODE_ID } from "../support/tls.ts";
import { Peer, type PeerOptions } from "./peer.ts";

const OTHER_ID = "0e7c8d8a-1111-8222-8333-000000000002";
const NEXT: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };
const authority = await makeAuthority(content());
const ca = authority.certificatePem;

/** Options of a node that shows a certificate with `nodeId` and takes nobody without one. */
async function certified(nodeId: string): Promise<NonNullable<PeerOptions["tls"]> & object> {
  const { certificatePem, keyPem } = await issueCertificate(authority, content({ nodeId }));
  return { verify: "ca", ca, cert: certificatePem, key: keyPem, requireClientCertificate: true };
}

for (const runtime of RUNTIMES) {
  test(`a node of the community that claims another's id is refused on ${runtime}, in either role`, async () => {
    const own = await certified(NODE_ID);
    await using honest = await Peer.start(runtime, { tls: own });
    assert.equal(honest.id, NODE_ID);
    // It knows the key and has a certificate of the same authority, for the id ending in 2, and says that it is 3.
    const { cert, key } = await certified(OTHER_ID);
    const claim = { nodeId: OTHER_ID.replace(/2$/, "3"), tls: { verify: "none", cert, key } } as const;
    await using thief = await Peer.start(NEXT[runtime], { ...claim, peers: [honest.address] });
    const refused = await honest.event("refused");
    assert.equal(refused.code, "ASOC_WRONG_IDENTITY");
    honest.command({ cmd: "addPeer", address: thief.address });
    const failed = await honest.event("dialFailed");
    assert.equal(failed.cause, "ASOC_WRONG_IDENTITY", String(failed.message));
    assert.deepEqual(honest.all("joined"), []);

    await using other = await Peer.start(NEXT[runtime], {
      tls: await certified(OTHER_ID),
      peers: [honest.address],
    });
    const joined = await honest.event("joined", { id: OTHER_ID });
    assert.equal((joined.tls as { verified: string }).verified, "certificate");
    await honest.receives(await other.send(honest.address, { bytes: 1000 }), OTHER_ID, 0);
  });
}
