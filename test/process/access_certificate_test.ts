/**
 * Access rules by certificate between real processes over TLS: the certificate decides, on each runtime as acceptor, and a
 * uuid that somebody else claims does not help (RFC-0103).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { content, digestOf, makeSelfSigned } from "../support/tls.ts";
import { Peer } from "./peer.ts";

const ALICE = "0a0a0a0a-0000-8000-8000-00000000000a";
const NEXT: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };

async function material() {
  const { certificatePem, keyPem } = await makeSelfSigned(content());
  return { tls: { cert: certificatePem, key: keyPem }, digest: digestOf(certificatePem) };
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: a rule by certificate lets in who shows it, and not who claims the same uuid with another`, async () => {
    const [own, alice, mallory] = await Promise.all([material(), material(), material()]);
    const access = {
      default: "deny" as const,
      rules: [{ name: "alice", match: { certificate: alice.digest }, maySend: ["kv/**"] }],
    };
    await using server = await Peer.start(runtime, { tls: own.tls, access });
    const limits = { reconnectMinMs: 60_000, reconnectMaxMs: 60_000 };
    const peers = [server.address];
    await using impostor = await Peer.start(NEXT[runtime], {
      tls: mallory.tls,
      nodeId: ALICE,
      peers,
      limits,
    });
    const refused = await server.event("refused", {});
    assert.equal(refused.code, "ASOC_FORBIDDEN", String(refused.message));
    await using good = await Peer.start(NEXT[runtime], { tls: alice.tls, nodeId: ALICE, peers });
    const joined = await server.event("joined", { id: ALICE });
    assert.equal((joined.tls as { certificateSha256?: string }).certificateSha256, alice.digest);
    const sent = await good.send(server.address, { bytes: 1000, seed: 1, options: { topic: "kv/1" } });
    await server.receives(sent, ALICE, 0);
    await good.event("joined", { dialledAs: server.address });
    assert.equal(impostor.all("joined").length, 0);
  });
}
