import assert from "node:assert/strict";
import { test } from "node:test";
import { Access } from "../../src/core/access/access.ts";
import type { AccessOptions } from "../../src/core/access/rules.ts";
import type { AuditEvent } from "../../src/core/audit/audit_event.ts";
import { AuditTrail } from "../../src/core/audit/audit_trail.ts";
import { Doorkeeper } from "../../src/core/doorkeeper.ts";
import { AuthError, ConnectionError } from "../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import type { NodeEvent } from "../../src/core/node_events.ts";
import type { ConnTls } from "../../src/core/runtime.ts";
import { VirtualTime } from "../sim/clock.ts";

const ALICE = "0a0a0a0a-0000-8000-8000-00000000000a";
const OWN = new Uint8Array(32).fill(0xaa);
const THEIRS = new Uint8Array(32).fill(0xbb);
const remote = { host: "192.0.2.7", port: 4000 };

function doorkeeper(options?: AccessOptions) {
  const time = new VirtualTime();
  const audit: AuditEvent[] = [];
  const events: NodeEvent[] = [];
  const clock = { nowMs: () => time.nowMs(), unixMs: () => 0, after: time.after.bind(time) };
  const trail = new AuditTrail(clock, DEFAULT_LIMITS, (event) => audit.push(event));
  const door = new Doorkeeper(new Access(options, 10, () => 0), trail, (event) => events.push(event));
  return { door, audit, events };
}

const tls = (peer?: Uint8Array): ConnTls => ({
  certificateSha256: OWN,
  protocol: "TLSv1.3",
  ...(peer ? { peerCertificateSha256: peer } : {}),
});
const byCertificate = (bytes: Uint8Array): AccessOptions => ({
  default: "deny",
  rules: [{ match: { certificate: Buffer.from(bytes).toString("hex") } }],
});

test("Doorkeeper goes by the certificate that the other side showed: of who dialled us, or of whom we dialled", () => {
  const { door } = doorkeeper(byCertificate(THEIRS));
  const refusal = (conn: Parameters<Doorkeeper["peer"]>[0], dials: boolean) =>
    door.refusal({ access: door.peer(conn, dials, () => ALICE) });
  assert.equal(refusal({ remote, tls: tls(THEIRS) }, false), undefined);
  assert.equal(refusal({ remote, tls: tls() }, false)?.code, "ASOC_FORBIDDEN");
  assert.equal(refusal({ remote }, false)?.code, "ASOC_FORBIDDEN");
  const own = doorkeeper(byCertificate(OWN)).door;
  const acceptorsOwn = own.peer({ remote, tls: tls() }, false, () => ALICE);
  assert.equal(
    own.refusal({ access: acceptorsOwn })?.code,
    "ASOC_FORBIDDEN",
    "our own certificate let a stranger in",
  );
  const dialled = own.peer({ remote, tls: tls() }, true, () => ALICE);
  assert.equal(
    own.refusal({ access: dialled }),
    undefined,
    "the acceptor's certificate is that of whom we dialled",
  );
});

test("Doorkeeper notes certificate, uuid, rule and binding of a session", () => {
  const { door, audit } = doorkeeper(byCertificate(THEIRS));
  const access = door.peer({ remote, tls: tls(THEIRS) }, false, () => ALICE);
  door.opened({ access, remote, direction: "inbound" }, true);
  assert.deepEqual(audit[0]?.who, { nodeId: ALICE, certificate: "bb".repeat(32) });
  assert.deepEqual(audit[0]?.facts, {
    direction: "inbound",
    protocol: "x1",
    rule: "rule 1",
    binding: "certificate",
  });
});

test("Doorkeeper counts refusals by code, or by reason, and tells programs and the audit", () => {
  const { door, audit, events } = doorkeeper();
  door.turnedAway(remote, "too many attempts");
  door.turnedAway(remote, "failed handshake, address blocked", new AuthError("ASOC_WRONG_KEY", "why"));
  assert.deepEqual(door.refused, { "too many attempts": 1, ASOC_WRONG_KEY: 1 });
  assert.deepEqual(
    audit.map(({ what, reason, where }) => [what, reason, where]),
    [
      ["connection.refused", "attempts", "192.0.2.7:4000"],
      ["handshake.refused", "ASOC_WRONG_KEY", "192.0.2.7:4000"],
      ["address.blocked", "ASOC_WRONG_KEY", "192.0.2.7"],
    ],
  );
  assert.equal(events.length, 2);
});

test("Doorkeeper tells of dials that were refused, and not of networks that are gone", () => {
  const { door, audit } = doorkeeper();
  door.dialRefused(remote, new ConnectionError("ASOC_UNREACHABLE", "no route"));
  door.dialRefused(remote, new AuthError("ASOC_WRONG_KEY", "ACCEPT refused"));
  assert.deepEqual(
    audit.map(({ what, reason }) => [what, reason]),
    [["dial.refused", "ASOC_WRONG_KEY"]],
  );
});

test("Doorkeeper leaves out beacons of other communities, which are no news", () => {
  const { door, audit } = doorkeeper();
  for (const reason of ["community", "length", "signature", "replay"] as const)
    door.beaconRefused(reason, remote, reason === "replay" ? ALICE : undefined);
  assert.deepEqual(
    audit.map(({ reason, who }) => [reason, who?.nodeId]),
    [
      ["signature", undefined],
      ["replay", ALICE],
    ],
  );
});
