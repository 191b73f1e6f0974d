/** Whole nodes on virtual time: who may do what, and what the audit says of it (RFC-0103). */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AccessOptions } from "../../src/core/access/rules.ts";
import type { AuditEvent } from "../../src/core/audit/audit_event.ts";
import type { AsocError } from "../../src/core/errors.ts";
import type { SendOptions } from "../../src/core/send_plan.ts";
import { dialWithHello } from "./raw_peer.ts";
import { PORT, type SimNode, World } from "./world.ts";

const ALICE = "0a0a0a0a-0000-4000-8000-00000000000a";

/** A node with rules, and alice, who dials it. */
async function pair(
  access: AccessOptions,
  more: { readonly extension?: boolean; readonly tap?: string[] } = {},
) {
  const world = new World(7);
  const audit: AuditEvent[] = [];
  const { extension, ...options } = more;
  const server = await world.start({
    discovery: false,
    access,
    audit: (event) => audit.push(event),
    ...options,
  });
  const alice = await world.start({
    discovery: false,
    nodeId: ALICE,
    peers: [world.addressOf(server.host)],
    ...(extension === undefined ? {} : { extension }),
  });
  return { world, server, alice, audit };
}

const told = (audit: readonly AuditEvent[], what: string) => audit.filter((event) => event.what === what);
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "ok",
    (error: AsocError) => error.code,
  );

/** Takes what arrives. */
function takeAll({ node }: SimNode): string[] {
  const seen: string[] = [];
  void (async () => {
    for await (const stream of node.incoming) {
      const taken = stream.tensor().then((tensor) => {
        seen.push(tensor.topic);
        tensor.release();
      });
      taken.catch((error: AsocError) => seen.push(error.code));
    }
  })();
  return seen;
}

test("a peer whom no rule lets in is refused without a word, and the audit names it, its address and the rule", async () => {
  const { world, server, alice, audit } = await pair({
    rules: [{ name: "no alice", match: { nodeId: ALICE }, mayConnect: false }],
  });
  await world.time.run(2000);
  assert.equal(server.node.peers.size, 0);
  assert.equal(alice.node.peers.size, 0);
  const [event] = told(audit, "handshake.refused");
  assert.equal(event?.reason, "ASOC_FORBIDDEN");
  assert.equal(event?.who?.nodeId, ALICE);
  assert.match(event?.where ?? "", new RegExp(`^${alice.host.address}:`));
  assert.match(String(event?.facts?.text), /no alice/);
  assert.equal(server.node.stats.refusedConnections.blocked, undefined, "it has the key: it is not blocked");
  await world.finish();
});

test("an address that no rule lets in is turned away before a byte is read, and is not dialled", async () => {
  const { world, server, audit } = await pair({
    default: "deny",
    rules: [{ match: { address: "192.0.2.0/24" } }],
  });
  await world.time.run(1000);
  assert.equal(told(audit, "connection.refused")[0]?.reason, "ASOC_FORBIDDEN");
  assert.equal(server.node.stats.framesIn, 0);
  server.node.addPeer({ host: "10.0.0.2", port: PORT });
  await world.time.run(1000);
  assert.equal(told(audit, "dial.refused")[0]?.reason, "ASOC_FORBIDDEN");
  await world.finish();
});

test("a peer that we dial and that may not connect is refused when it has said who it is", async () => {
  const world = new World(8);
  const audit: AuditEvent[] = [];
  const alice = await world.start({ discovery: false, nodeId: ALICE });
  const dialler = await world.start({
    discovery: false,
    peers: [world.addressOf(alice.host)],
    access: { rules: [{ match: { nodeId: ALICE }, mayConnect: false }] },
    audit: (event) => audit.push(event),
  });
  await world.time.run(1000);
  assert.equal(dialler.node.peers.size, 0);
  assert.deepEqual(
    told(audit, "permission.denied").map(({ who, facts }) => [who?.nodeId, facts?.action]),
    [[ALICE, "connect"]],
  );
  await world.finish();
});

for (const extension of [true, false]) {
  test(`a topic that a peer may not send fails alone, with ${extension ? "x1" : "v1"}; the other way and other topics go on`, async () => {
    // Of v1 no topic is known: it may send nothing where only some topics are allowed.
    const access = {
      rules: [
        { name: "metrics only", match: { nodeId: ALICE }, maySend: ["metrics/**"], mayReceive: ["out/*"] },
      ],
    };
    const { world, server, alice, audit } = await pair(access, { extension });
    await world.meet(1, server, alice);
    const arrived = takeAll(server);
    const received = takeAll(alice);
    const serverId = alice.node.peers.list()[0]?.id ?? "";
    const send = (node: SimNode, to: string, options: SendOptions) =>
      world.time.settle(codeOf(node.node.send(to, new Uint8Array(100_000), options)));
    assert.equal(await send(alice, serverId, { topic: "weights/1" }), extension ? "ASOC_FORBIDDEN" : "ok");
    await world.time.run(50); // v1 does not wait for the other side
    if (extension) assert.equal(await send(alice, serverId, { topic: "metrics/loss" }), "ok");
    assert.equal(await send(server, ALICE, { topic: "in/1" }), "ASOC_FORBIDDEN");
    assert.equal(await send(server, ALICE, { topic: "out/1" }), "ok");
    await world.time.run(100);
    assert.deepEqual(arrived, extension ? ["metrics/loss"] : []);
    assert.deepEqual(received, extension ? ["out/1"] : [""]);
    assert.deepEqual(
      told(audit, "permission.denied").map(({ facts }) => [
        facts?.action,
        facts?.topic,
        facts?.rule,
        facts?.binding,
      ]),
      [
        ["send", extension ? "weights/1" : "", "metrics only", "advisory"],
        ["receive", "in/1", "metrics only", "advisory"],
      ],
    );
    assert.equal(server.node.peers.size, 1, "the session lives");
    await world.finish();
  });
}

test("a small tensor that is not allowed is never confirmed, although it is whole before anybody hears of it", async () => {
  const { world, server, alice, audit } = await pair({
    rules: [{ match: { nodeId: ALICE }, maySend: ["metrics/**"] }],
  });
  await world.meet(1, server, alice);
  const seen = takeAll(server);
  const sends = Array.from({ length: 50 }, (_, value) =>
    codeOf(alice.node.send(server.node.id, Uint8Array.of(value), { topic: "weights/1" })),
  );
  assert.deepEqual(new Set(await world.time.settle(Promise.all(sends))), new Set(["ASOC_FORBIDDEN"]));
  assert.deepEqual(seen, []);
  assert.equal(server.node.stats.audited.find(({ what }) => what === "permission.denied")?.count, 50);
  assert.equal(told(audit, "permission.denied").length, 5, "the rest is a count");
  await world.finish();
});

test("a tap that a rule does not allow gets nothing, where the node's own list would grant it", async () => {
  const { world, server, alice, audit } = await pair(
    { rules: [{ match: { nodeId: ALICE }, mayTap: ["kv/*"] }] },
    { tap: ["**"] },
  );
  await world.meet(1, server, alice);
  alice.node.tap(server.node.id, "kv/*");
  alice.node.tap(server.node.id, "weights/**");
  await world.time.run(100);
  assert.equal(server.node.stats.taps.taps, 1);
  assert.deepEqual(
    told(audit, "tap.granted").map(({ facts }) => facts?.topic),
    ["kv/*"],
  );
  assert.deepEqual(
    told(audit, "permission.denied").map(({ facts }) => [facts?.action, facts?.topic]),
    [["tap", "weights/**"]],
  );
  await world.finish();
});

test("a quota of bytes refuses what is too long at its beginning, and what has no length where it ends", async () => {
  const { world, server, alice, audit } = await pair({
    rules: [{ match: { nodeId: ALICE }, quota: { bytesPerHour: 1_000_000 } }],
  });
  await world.meet(1, server, alice);
  takeAll(server);
  const to = server.node.id;
  const send = (source: Uint8Array | Iterable<Uint8Array>) =>
    world.time.settle(codeOf(alice.node.send(to, source)));
  assert.equal(await send(new Uint8Array(700_000)), "ok");
  assert.equal(await send(new Uint8Array(700_000)), "ASOC_QUOTA_EXCEEDED");
  const endless = function* () {
    for (;;) yield new Uint8Array(50_000);
  };
  assert.equal(await send(endless()), "ASOC_QUOTA_EXCEEDED");
  assert.ok(told(audit, "quota.exceeded").length >= 2);
  assert.equal(server.node.peers.size, 1);
  await world.time.run(3_600_001);
  assert.equal(await send(new Uint8Array(700_000)), "ok", "the next hour is a new one");
  await world.finish();
});

test("a quota of v1 ends the stream that goes beyond it, and the connection lives", async () => {
  const { world, server, alice, audit } = await pair(
    { rules: [{ match: { nodeId: ALICE }, quota: { bytesPerDay: 100_000 } }] },
    { extension: false },
  );
  await world.meet(1, server, alice);
  const seen = takeAll(server);
  const to = alice.node.peers.list()[0]?.id ?? "";
  await world.time.settle(alice.node.send(to, new Uint8Array(150_000), { chunkBytes: 50_000 }));
  await world.time.run(100);
  assert.deepEqual(seen, ["ASOC_QUOTA_EXCEEDED"]);
  assert.equal(told(audit, "quota.exceeded")[0]?.who?.nodeId, ALICE);
  assert.equal(server.node.peers.size, 1);
  await world.finish();
});

test("a quota of memory refuses a tensor that it can never hold, while others use theirs", async () => {
  const { world, server, alice } = await pair({
    rules: [{ match: { nodeId: ALICE }, quota: { memoryBytes: 200_000 } }],
  });
  const bob = await world.start({ discovery: false, peers: [world.addressOf(server.host)] });
  await world.meet(2, server);
  takeAll(server);
  const to = server.node.id;
  assert.equal(await world.time.settle(codeOf(alice.node.send(to, new Uint8Array(100_000)))), "ok");
  assert.equal(await world.time.settle(codeOf(bob.node.send(to, new Uint8Array(1_000_000)))), "ok");
  assert.equal(
    await world.time.settle(codeOf(alice.node.send(to, new Uint8Array(1_000_000)))),
    "ASOC_STOPPED",
  );
  await world.finish();
});

test("setAccess() ends sessions that are not allowed any more, and wrong rules leave the old ones", async () => {
  const { world, server, alice, audit } = await pair({ rules: [{ match: { nodeId: ALICE } }] });
  await world.meet(1, server, alice);
  assert.throws(() => server.node.setAccess({ rules: [{ match: { address: "nowhere" } }] }), RangeError);
  assert.equal(server.node.permissionsOf(ALICE).rule, "rule 1");
  server.node.setAccess({ rules: [{ name: "out", match: { nodeId: ALICE }, mayConnect: false }] });
  await world.time.until(() => server.node.peers.size === 0);
  assert.equal(told(audit, "session.ended")[0]?.reason, "ASOC_FORBIDDEN");
  assert.equal(told(audit, "access.loaded").length, 2);
  await world.time.run(5000);
  assert.equal(server.node.peers.size, 0, "it came in again");
  server.node.setAccess({});
  await world.meet(1, server, alice);
  await world.finish();
});

test("a transfer that broke does not go on where the rules have come not to allow it", async () => {
  const world = new World(3, { bytesPerMs: 1000, windowBytes: 256 * 1024 });
  const server = await world.start({ discovery: false, access: {} });
  const limits = { reconnectProvenMs: 10_000 };
  const peers = [world.addressOf(server.host)];
  const alice = await world.start({ discovery: false, nodeId: ALICE, peers, limits });
  await world.meet(1, server, alice);
  const seen = takeAll(server);
  const [connection] = world.network.connections;
  const sent = codeOf(alice.node.send(server.node.id, world.random.bytes(3_000_000), { topic: "weights/1" }));
  await world.time.run(1000);
  server.node.setAccess({ rules: [{ match: { nodeId: ALICE }, maySend: ["metrics/**"] }] });
  await connection?.dialled.closeWrite();
  assert.equal(await world.time.settle(sent), "ASOC_FORBIDDEN");
  assert.deepEqual(seen, ["ASOC_FORBIDDEN"]);
  await world.finish();
});

test("the audit tells of a session from its handshake to its end, and warns of one without proof", async () => {
  const { world, server, alice, audit } = await pair({}, { extension: false });
  await world.meet(1, server, alice);
  await world.time.settle(alice.node.close());
  await world.time.settle(server.node.close());
  assert.deepEqual(
    audit.map(({ what, outcome }) => `${what} ${outcome}`),
    [
      "node.started noted",
      "access.loaded noted",
      "handshake.accepted accepted",
      "session.legacy noted",
      "session.ended noted",
      "node.stopped noted",
    ],
  );
  assert.equal(audit[2]?.facts?.protocol, "v1");
  await world.finish();
});

test("a flood of failed handshakes is some events, a block and a count", async () => {
  const { world, server, audit } = await pair({});
  const stranger = world.host();
  for (let i = 0; i < 60; i++) {
    const to = { host: server.host.address, port: PORT };
    await dialWithHello(stranger, to, world.random.bytes(16), i, "another key").catch(() => {});
    await world.time.run(20);
  }
  await world.time.run(11_000);
  const refused = audit.filter(({ outcome }) => outcome === "refused");
  assert.ok(refused.length <= 12, `${refused.length} events`);
  assert.equal(told(audit, "address.blocked").length, 1);
  const sum = told(audit, "connection.refused").reduce((count, { more = 1 }) => count + more, 0);
  assert.equal(sum, 55);
  assert.equal(server.node.stats.audited.find(({ reason }) => reason === "blocked")?.count, 55);
  await world.finish();
});
