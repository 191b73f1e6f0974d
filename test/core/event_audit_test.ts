import assert from "node:assert/strict";
import { test } from "node:test";
import { AuthError } from "../../src/core/errors.ts";
import { auditEntryOf } from "../../src/core/event_audit.ts";
import type { NodeEvent } from "../../src/core/node_events.ts";

type Peer = Extract<NodeEvent, { kind: "unverified" }>["peer"];
const peer = {
  id: "p",
  nodeId: "0a0a0a0a-0000-8000-8000-00000000000a",
  address: { host: "192.0.2.7", port: 9000 },
  tls: { protocol: "TLSv1.3", certificateSha256: "ab".repeat(32), verified: "nothing" },
} as Peer;

test("auditEntryOf() notes changes of keys by id, and who brought them, and never a key", () => {
  const change = { kind: "key", keyId: "0a1b2c3d", epoch: 2, kept: true } as const;
  assert.deepEqual(auditEntryOf({ ...change, change: "added", peer: undefined, error: undefined }), {
    what: "key.added",
    outcome: "noted",
    reason: undefined,
    who: undefined,
    where: undefined,
    facts: { keyId: "0a1b2c3d", epoch: 2, kept: true },
  });
  const error = new AuthError("ASOC_WRONG_KEY", "not that one");
  const refused = auditEntryOf({ ...change, change: "refused", peer, error });
  assert.deepEqual(
    [refused?.what, refused?.outcome, refused?.reason, refused?.who, refused?.where],
    ["key.refused", "refused", "ASOC_WRONG_KEY", { nodeId: peer.nodeId }, "192.0.2.7:9000"],
  );
});

test("auditEntryOf() notes a session over TLS that nobody vouches for, with its certificate", () => {
  const entry = auditEntryOf({ kind: "unverified", peer });
  assert.equal(entry?.what, "tls.unverified");
  assert.equal(entry?.who?.certificate, "ab".repeat(32));
  assert.equal(auditEntryOf({ kind: "joined", peer }), undefined, "that is told by the handshake");
});
