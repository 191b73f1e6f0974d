/**
 * Who is let in (RFC-0001, Abuse), by a node on each runtime with its default limits, over real sockets from loopback
 * addresses of the test's own, while a good peer's tensors go on.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RUNTIMES } from "../support/process.ts";
import { frame, freshId, freshSource, hello, idText, RawPeer, TYPE } from "../support/raw_peer.ts";
import { KEY } from "./peer.ts";
import { type Victim, victimOn } from "./victim.ts";

const BAD = () => frame(TYPE.HELLO, 0, 0, hello("another key"));

/** Refused before a byte is read: closed at once, although the HELLO is right. */
async function shutOut(victim: Victim, source: string): Promise<void> {
  using raw = await RawPeer.connect(victim.port, source).catch(() => undefined);
  if (!raw) return; // the reset was quicker than connect()
  raw.send(frame(TYPE.HELLO, 0, 0, hello(KEY)));
  assert.equal((await raw.ends()).length, 0);
}

async function served(victim: Victim, source: string): Promise<RawPeer> {
  const id = freshId();
  const raw = await RawPeer.join(victim.port, KEY, id, source);
  await victim.peer.event("joined", { id: idText(id) });
  return raw;
}

for (const runtime of RUNTIMES) {
  const victimAtHand = victimOn(runtime, {});
  const row = (name: string, run: (victim: Victim) => Promise<void>) =>
    test(`${runtime}: ${name}`, { timeout: 30_000 }, async () => {
      const victim = await victimAtHand();
      await run(victim);
      await victim.goesOn();
    });

  row("five wrong keys from one address block it, and no other", async (victim) => {
    const source = "127.0.0.2";
    using early = await served(victim, source);
    for (let each = 1; each <= 5; each++) {
      using raw = await RawPeer.connect(victim.port, source);
      raw.send(BAD());
      assert.equal((await raw.ends()).length, 0);
      const reason = each < 5 ? "failed handshake" : "failed handshake, address blocked";
      const matches = () =>
        victim.peer.all("refused", { host: source, code: "ASOC_WRONG_KEY" }).length === each;
      await victim.peer.process.waitFor(matches);
      assert.equal(victim.peer.all("refused", { host: source })[each - 1]?.reason, reason);
    }
    await shutOut(victim, source);
    await victim.peer.event("refused", { host: source, reason: "blocked" });
    assert.equal(early.ended, false, "a block concerns new connections only");
    for (const other of ["127.0.0.3", "127.0.0.1"]) (await served(victim, other))[Symbol.dispose]();
    const { refusedConnections } = await victim.peer.stats();
    const counts = refusedConnections as Record<string, number>;
    assert.deepEqual([counts.ASOC_WRONG_KEY, counts.blocked], [5, 1]);
  });

  row("idle sockets in all 64 places do not keep a real peer out: the oldest makes way", async (victim) => {
    using all = new DisposableStack();
    const idle: RawPeer[] = [];
    // No more than there are places: one that comes within 300 ms of a full house is refused, and is not what is tested here.
    for (let address = 0; address < 4; address++) {
      const source = freshSource();
      for (let each = 0; each < 16; each++) {
        idle.push(all.use(await RawPeer.connect(victim.port, source)));
      }
    }
    await delay(500); // a handshake has 300 ms to itself: time is what is tested
    const startedMs = performance.now();
    (await served(victim, freshSource()))[Symbol.dispose]();
    assert.ok(performance.now() - startedMs < 5000, "before any handshake has run out of time");
    await victim.peer.event("refused", { code: "ASOC_ADMISSION" });
    assert.equal((await idle[0]?.ends())?.length, 0);
    assert.ok(idle.filter((raw) => raw.ended).length < idle.length / 2);
    all.dispose();
    await victim.peer.statsUntil((stats) => Number(stats.connections) <= 2);
  });

  row("an address that never authenticates has 100 attempts an hour", async (victim) => {
    const source = freshSource();
    for (let each = 0; each < 100; each++) {
      using raw = await RawPeer.connect(victim.port, source);
      raw.finish();
      await raw.ends();
    }
    await shutOut(victim, source);
    await victim.peer.event("refused", { host: source, reason: "too many attempts" });
    (await served(victim, freshSource()))[Symbol.dispose]();
  });

  row("100 connections at once is the limit; one that leaves makes room", async (victim) => {
    const peers: RawPeer[] = [];
    const from = victim.peer.mark;
    for (;;) {
      const raw = await RawPeer.join(victim.port, KEY, freshId()).catch(() => undefined);
      if (!raw) break;
      raw.send(frame(TYPE.CONTROL, 0, 0)); // no CAPS: its handshake is over
      peers.push(raw);
      assert.ok(peers.length <= 100);
    }
    await victim.peer.event("refused", { reason: "too many connections" }, 20_000, from);
    assert.equal((await victim.peer.stats()).connections, 100);
    for (const raw of peers) raw[Symbol.dispose]();
    await victim.peer.statsUntil((stats) => Number(stats.connections) <= 2);
    (await served(victim, freshSource()))[Symbol.dispose]();
  });

  test(`${runtime}: the good peer's tensors all arrived whole meanwhile`, async () => {
    const victim = await victimAtHand();
    assert.ok((await victim.finish()) > 1);
  });
}
