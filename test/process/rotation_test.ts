/** Rotations by real processes on each runtime, with tensors on their way all the while (RFC-0102). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { KeyInfo, RotationReport } from "../../src/mod.ts";
import { type Json, RUNTIMES, type RuntimeName } from "../support/process.ts";
import { content, makeSelfSigned } from "../support/tls.ts";
import { KEY, MiB, Peer, type PeerOptions } from "./peer.ts";

/** Three nodes, one on each runtime, that all know each other; the first is `first`. */
async function three(first: RuntimeName, options: PeerOptions = {}): Promise<[Peer, Peer, Peer]> {
  const [second, third] = RUNTIMES.filter((runtime) => runtime !== first) as [RuntimeName, RuntimeName];
  const a = await Peer.start(first, options);
  const b = await Peer.start(second, { ...options, peers: [a.address] });
  const c = await Peer.start(third, { ...options, peers: [a.address, b.address] });
  for (const [one, other] of [
    [a, b],
    [a, c],
    [b, a],
    [b, c],
    [c, a],
    [c, b],
  ] as const)
    await one.event("joined", { nodeId: other.id });
  return [a, b, c];
}

async function keysOf(peer: Peer): Promise<readonly KeyInfo[]> {
  const from = peer.mark;
  peer.command({ cmd: "keys", id: "k" });
  return (await peer.event("keys", {}, 20_000, from)).keys as readonly KeyInfo[];
}

/** Source ports of those who have dialled this one: other ones tell that they have dialled again. */
async function inboundPorts(peer: Peer): Promise<string[]> {
  const from = peer.mark;
  peer.command({ cmd: "peers" });
  const { peers } = await peer.event("peers", {}, 20_000, from);
  return (peers as { id: string; dialledAs?: string; address: { port: number } }[])
    .filter(({ dialledAs }) => dialledAs === undefined)
    .map(({ id, address }) => `${id} ${address.port}`);
}

async function remade(peer: Peer, before: readonly string[]): Promise<void> {
  const untilMs = performance.now() + 20_000;
  while ((await inboundPorts(peer)).some((port) => before.includes(port))) {
    assert.ok(performance.now() < untilMs, "a connection was not made anew");
    await delay(20); // each answer is kept, and looked through
  }
}

const reportOf = (event: Json) => event as unknown as RotationReport;

const { certificatePem: cert, keyPem: key } = await makeSelfSigned(content());
/** Over TLS all three runtimes take part in one ring, too. */
const RINGS = [
  ...RUNTIMES.map((runtime) => ({ runtime, how: "", options: {} })),
  { runtime: "deno", how: " over TLS", options: { tls: { cert, key } } },
] as const;

for (const { runtime, how, options } of RINGS) {
  test(`${runtime}: three nodes rotate twice${how} while tensors run in a ring, and every one of them comes once`, {
    timeout: 60_000,
  }, async () => {
    const peers = await three(runtime, options);
    const [a, b, c] = peers;
    await using _a = a;
    await using _b = b;
    await using _c = c;
    const pairs = [
      [a, b],
      [b, c],
      [c, a],
    ] as const;
    const marks = pairs.map(([, to]) => to.mark);
    const sends = pairs.map(([from, to]) => ({
      from,
      mark: from.mark,
      id: from.begin(to.id, { bytes: 3 * MiB, count: 100_000, paceMs: 20, reread: true }),
    }));
    for (const { from, id, mark } of sends) await from.event("sent", { id }, 20_000, mark);
    const firstKey = (await keysOf(a))[0]?.id;
    for (const [round, rotator] of [a, b].entries()) {
      const mark = rotator.mark;
      const before = new Map<Peer, string[]>();
      for (const peer of peers) before.set(peer, await inboundPorts(peer));
      rotator.command({ cmd: "rotate", id: `r${round}`, options: { graceMs: 1000 } });
      const report = reportOf(await rotator.event("rotated", { id: `r${round}` }, 20_000, mark));
      assert.equal(report.switched, true, JSON.stringify(report));
      assert.deepEqual(
        report.peers.map(({ result }) => result),
        ["switched", "switched"],
      );
      for (const peer of peers) {
        const signing = (await keysOf(peer)).find(({ signs }) => signs);
        assert.equal(signing?.id, report.keyId);
        assert.equal(signing?.epoch, round + 1);
      }
      // Every connection is made anew with the new key, in mid-tensor, before the old one ends for good.
      for (const peer of peers) await remade(peer, before.get(peer) ?? []);
      for (const { from, id } of sends) await from.event("sent", { id }, 20_000, from.mark);
    }
    for (const { from } of sends) from.command({ cmd: "stop" });
    for (const [index, { from, id, mark }] of sends.entries()) {
      await from.event("sendDone", { id }, 30_000, mark);
      assert.deepEqual(from.all("sendFailed", { id }, mark), []);
      const sent = from.all("sent", { id }, mark);
      assert.ok(sent.length > 3);
      assert.ok(sent.every(({ delivery }) => delivery === "verified"));
      const to = pairs[index]?.[1] as Peer;
      const all = () => to.all("tensor", { peer: from.id }, marks[index]);
      await to.process.waitUntil(() => all().length >= sent.length);
      const came = all();
      assert.equal(came.length, sent.length);
      assert.deepEqual(new Set(came.map(({ sha256 }) => sha256)), new Set(sent.map(({ sha256 }) => sha256)));
    }
    for (const peer of peers) {
      const keys = await keysOf(peer);
      assert.ok(
        keys.every(({ id, valid }) => id !== firstKey || !valid),
        "the first key is believed still",
      );
      assert.deepEqual(peer.all("refused"), []);
    }
  });
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: a revoked key ends its connection at once, and says why`, {
    timeout: 30_000,
  }, async () => {
    const keys = [{ key: "the next key of these tests", state: "current" as const, epoch: 1 }, { key: KEY }];
    await using old = await Peer.start(runtime);
    await using both = await Peer.start(runtime, {
      keys,
      peers: [old.address],
    });
    await both.event("joined", { nodeId: old.id });
    const keyId = (await keysOf(both)).find(({ state }) => state === "accepted")?.id ?? "";
    both.command({ cmd: "revoke", keyId });
    const left = await old.event("left", { nodeId: both.id });
    assert.match(String(left.reason), /key of this connection was revoked/);
    await both.event("left", { code: "ASOC_KEY_REVOKED" });
    await old.event("refused", { code: "ASOC_WRONG_KEY" });
  });
}
