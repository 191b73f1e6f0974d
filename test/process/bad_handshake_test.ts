/**
 * Wrong handshakes (RFC-0001, Handshake) to a node on each runtime, as acceptor and as dialler, over real sockets, while a
 * good peer's tensors go on. Nothing is ever said on the wire to whoever has not proven the key.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { type Json, RUNTIMES } from "../support/process.ts";
import {
  accept,
  frame,
  freshId,
  freshSource,
  header,
  hello,
  idText,
  RawPeer,
  RawServer,
  sha256,
  TYPE,
  tensor,
} from "../support/raw_peer.ts";
import { KEY, Peer } from "./peer.ts";
import { type Victim, victimOn } from "./victim.ts";

const OTHER_KEY = "another key of the same length or so";
/** Short, for speed; long enough for a busy machine to read a HELLO in. */
const TIMEOUT_MS = 2500;
const LIMITS = { handshakeTimeoutMs: TIMEOUT_MS, reconnectMinMs: 60_000, reconnectMaxMs: 60_000 };

/** First bytes that close a connection, and the code that the node gives as its reason. */
const REFUSED: readonly (readonly [string, () => Uint8Array, string])[] = [
  ["HELLO of version 2", () => header(TYPE.HELLO, 0, 0, 36, 2), "ASOC_BAD_VERSION"],
  ["HTTP", () => Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "ASOC_BAD_VERSION"],
  ["CONTROL before HELLO", () => frame(TYPE.CONTROL, 0, 0), "ASOC_BAD_HANDSHAKE"],
  ["DATA before HELLO", () => header(TYPE.DATA, 1, 0, 100), "ASOC_BAD_HANDSHAKE"],
  ["END before HELLO", () => header(TYPE.END, 1, 0, 0), "ASOC_BAD_HANDSHAKE"],
  ["an unknown type before HELLO", () => frame(9, 0, 0), "ASOC_BAD_HANDSHAKE"],
  ["ACCEPT", () => frame(TYPE.ACCEPT, 0, 0, accept(KEY)), "ASOC_BAD_HANDSHAKE"],
  ["a header of HELLO with 35 bytes", () => header(TYPE.HELLO, 0, 0, 35), "ASOC_BAD_HANDSHAKE"],
  ["a header of HELLO with 37 bytes", () => header(TYPE.HELLO, 0, 0, 37), "ASOC_BAD_HANDSHAKE"],
  ["a header of HELLO with 4 GiB", () => header(TYPE.HELLO, 0, 0, 0xffff_ffff), "ASOC_BAD_HANDSHAKE"],
  ["an empty HELLO", () => header(TYPE.HELLO, 0, 0, 0), "ASOC_BAD_HANDSHAKE"],
  ["HELLO on stream 1", () => frame(TYPE.HELLO, 1, 0, hello(KEY)), "ASOC_BAD_HANDSHAKE"],
  ["HELLO with seq 1", () => frame(TYPE.HELLO, 0, 1, hello(KEY)), "ASOC_BAD_HANDSHAKE"],
  ["HELLO with another key", () => frame(TYPE.HELLO, 0, 0, hello(OTHER_KEY)), "ASOC_WRONG_KEY"],
  ["HELLO with a flipped bit", () => flipped(frame(TYPE.HELLO, 0, 0, hello(KEY)), 49), "ASOC_WRONG_KEY"],
];

/** Answers that a dialler refuses; the node closes, and the reason names that code. */
const ANSWERS: readonly (readonly [string, () => Uint8Array, string])[] = [
  ["ACCEPT with another key", () => frame(TYPE.ACCEPT, 0, 0, accept(OTHER_KEY)), "ASOC_WRONG_KEY"],
  ["ACCEPT with a flipped bit", () => flipped(frame(TYPE.ACCEPT, 0, 0, accept(KEY)), 14), "ASOC_WRONG_KEY"],
  ["a header of ACCEPT with 15 bytes", () => header(TYPE.ACCEPT, 0, 0, 15), "ASOC_BAD_HANDSHAKE"],
  ["a header of ACCEPT with 17 bytes", () => header(TYPE.ACCEPT, 0, 0, 17), "ASOC_BAD_HANDSHAKE"],
  ["ACCEPT on stream 1", () => frame(TYPE.ACCEPT, 1, 0, accept(KEY)), "ASOC_BAD_HANDSHAKE"],
  ["a HELLO back", () => frame(TYPE.HELLO, 0, 0, hello(KEY)), "ASOC_BAD_HANDSHAKE"],
  ["CONTROL before ACCEPT", () => frame(TYPE.CONTROL, 0, 0), "ASOC_BAD_HANDSHAKE"],
  ["DATA before ACCEPT", () => frame(TYPE.DATA, 1, 0, Buffer.from("a")), "ASOC_BAD_HANDSHAKE"],
  ["ACCEPT of version 2", () => header(TYPE.ACCEPT, 0, 0, 16, 2), "ASOC_BAD_VERSION"],
  ["garbage", () => Buffer.concat([Buffer.of(0xff), randomBytes(5000)]), "ASOC_BAD_VERSION"],
];

function flipped(bytes: Buffer, at: number): Buffer {
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  return bytes;
}

/** Sends `bytes` first: the node closes without a word, and tells why as an event. */
async function refused(victim: Victim, bytes: Uint8Array, code: string): Promise<Json> {
  const source = freshSource();
  using raw = await RawPeer.connect(victim.port, source);
  raw.send(bytes);
  assert.equal((await raw.ends()).length, 0, "nothing may be said on the wire");
  const event = await victim.peer.event("refused", { host: source });
  assert.equal(event.code, code, String(event.message));
  return event;
}

// One node with the default of 10 s; its test is the last, so that the others run meanwhile.
const slowRuntime = "bun";
const slow = startSlow();
slow.catch(() => {}); // the test below tells

async function startSlow(): Promise<{
  peer: Peer;
  raw: RawPeer;
  startedMs: number;
  closedMs: Promise<number>;
}> {
  const peer = await Peer.start(slowRuntime);
  const raw = await RawPeer.connect(peer.port);
  const startedMs = performance.now();
  return { peer, raw, startedMs, closedMs: raw.ends().then(() => performance.now()) };
}

for (const runtime of RUNTIMES) {
  const victimAtHand = victimOn(runtime, { limits: LIMITS });
  const row = (name: string, run: (victim: Victim) => Promise<void>) =>
    test(`${runtime}: ${name}`, { timeout: 30_000 }, async () => {
      const victim = await victimAtHand();
      await run(victim);
    });

  for (const [name, bytes, code] of REFUSED) {
    row(`${name} closes the connection without a word`, async (victim) => {
      await refused(victim, bytes(), code);
    });
  }

  row("a HELLO in parts of one byte, and frames right behind a HELLO, are taken", async (victim) => {
    const id = freshId();
    using raw = await RawPeer.connect(victim.port);
    await raw.trickle(frame(TYPE.HELLO, 0, 0, hello(KEY, id)));
    await raw.take(30);
    const quick = freshId();
    using pipelined = await RawPeer.connect(victim.port);
    const content = randomBytes(100);
    pipelined.send(
      Buffer.concat([
        frame(TYPE.HELLO, 0, 0, hello(KEY, quick)),
        frame(TYPE.CONTROL, 0, 0),
        tensor(1, content),
      ]),
    );
    const came = await victim.peer.event("tensor", { peer: idText(quick) });
    assert.equal(came.sha256, sha256(content));
    await victim.peer.event("joined", { nodeId: idText(id) });
  });

  row("a HELLO that is cut by the end of the connection is refused", async (victim) => {
    const source = freshSource();
    using raw = await RawPeer.connect(victim.port, source);
    raw.send(frame(TYPE.HELLO, 0, 0, hello(KEY)).subarray(0, 40));
    raw.finish();
    assert.equal((await raw.ends()).length, 0);
    const event = await victim.peer.event("refused", { host: source });
    assert.equal(event.code, "ASOC_TRUNCATED_FRAME");
  });

  row("a repeated HELLO is refused while the first one's connection lives, and after", async (victim) => {
    const bytes = frame(TYPE.HELLO, 0, 0, hello(KEY));
    using first = await RawPeer.connect(victim.port);
    first.send(bytes);
    await first.take(30);
    await refused(victim, bytes, "ASOC_REPLAYED_HELLO");
    assert.equal(first.ended, false);
    first.finish();
    await first.ends();
    await refused(victim, bytes, "ASOC_REPLAYED_HELLO");
  });

  row("a HELLO with the node's own id is refused", async (victim) => {
    const own = Buffer.from(victim.peer.id.replaceAll("-", ""), "hex");
    await refused(victim, frame(TYPE.HELLO, 0, 0, hello(KEY, own)), "ASOC_DUPLICATE_NODE_ID");
  });

  row(
    "silence and half a word, of a dialler or an acceptor, end when the handshake's time is over",
    async (victim) => {
      const source = freshSource();
      using silent = await RawPeer.connect(victim.port, source);
      using drip = await RawPeer.connect(victim.port, source);
      const timer = setInterval(() => drip.send(Buffer.of(1)), 500);
      drip.send(frame(TYPE.HELLO, 0, 0, hello(KEY)).subarray(0, 30));
      await using mute = await RawServer.listen(() => {});
      const half = frame(TYPE.ACCEPT, 0, 0, accept(KEY)).subarray(0, 20);
      await using halting = await RawServer.listen((raw) => raw.send(half));
      const failed = await Promise.all([dialFails(victim, mute), dialFails(victim, halting)]);
      assert.deepEqual(
        failed.map((event) => event.cause),
        ["ASOC_HANDSHAKE_TIMEOUT", "ASOC_HANDSHAKE_TIMEOUT"],
      );
      const all = await Promise.all([silent.ends(), drip.ends()]);
      clearInterval(timer);
      assert.deepEqual(
        all.map((received) => received.length),
        [0, 0],
      );
      const late = () =>
        victim.peer.all("refused", { host: source, code: "ASOC_HANDSHAKE_TIMEOUT" }).length === 2;
      await victim.peer.process.waitFor(late);
      silent.send(frame(TYPE.HELLO, 0, 0, hello(KEY))); // too late
      await victim.goesOn();
      assert.equal(silent.received.length, 0);
    },
  );

  for (const [name, bytes, code] of ANSWERS) {
    row(`as dialler, ${name} instead of ACCEPT ends the connection`, async (victim) => {
      await using server = await RawServer.listen((raw) => raw.send(bytes()));
      const failed = await dialFails(victim, server);
      assert.deepEqual([failed.code, failed.cause], ["ASOC_HANDSHAKE_REFUSED", code], String(failed.message));
    });
  }

  row("as dialler, a close or a reset instead of ACCEPT is a refused handshake", async (victim) => {
    for (const how of ["finish", "reset"] as const) {
      await using server = await RawServer.listen((raw) => void raw.take(50).then(() => raw[how]()));
      const failed = await dialFails(victim, server);
      assert.equal(failed.code, "ASOC_HANDSHAKE_REFUSED", String(failed.message));
    }
  });

  row(
    "as dialler, it says HELLO and CAPS and nothing else until it has an ACCEPT, and takes frames right behind that",
    async (victim) => {
      const dialled = Promise.withResolvers<RawPeer>();
      await using server = await RawServer.listen(dialled.resolve);
      victim.peer.command({ cmd: "addPeer", address: server.address });
      const raw = await dialled.promise;
      const said = await raw.take(50);
      const id = Buffer.from(victim.peer.id.replaceAll("-", ""), "hex");
      assert.ok(said.equals(frame(TYPE.HELLO, 0, 0, hello(KEY, id, said.subarray(46)))));
      const caps = await raw.take(14 + 104);
      assert.deepEqual(
        [caps.readUInt8(1), caps.readUInt32BE(10), caps.readUInt8(14)],
        [TYPE.CONTROL, 104, 1],
      );
      assert.equal(raw.received.length, 0);
      const content = randomBytes(5000);
      raw.send(
        Buffer.concat([frame(TYPE.ACCEPT, 0, 0, accept(KEY)), frame(TYPE.CONTROL, 0, 0), tensor(1, content)]),
      );
      const came = await victim.peer.event("tensor", { peer: server.address });
      assert.equal(came.sha256, sha256(content));
      raw.send(frame(TYPE.ACCEPT, 0, 0, accept(KEY)));
      await raw.ends();
      await victim.left(server.address, "ASOC_UNEXPECTED_FRAME");
    },
  );

  test(`${runtime}: the good peer's tensors all arrived whole during all wrong handshakes`, async () => {
    const victim = await victimAtHand();
    assert.ok((await victim.finish()) > 1);
  });
}

test(`${slowRuntime}: by default the handshake has 10 s`, async () => {
  const { peer, raw, startedMs, closedMs } = await slow;
  await using _ = peer;
  using __ = raw;
  const took = (await closedMs) - startedMs;
  assert.ok(took > 9500 && took < 12_000, `${took} ms`);
  assert.equal(raw.received.length, 0);
  await peer.event("refused", { code: "ASOC_HANDSHAKE_TIMEOUT" });
});

/** Lets the node dial that server, and awaits its failure. */
async function dialFails(victim: Victim, server: RawServer): Promise<Json> {
  victim.peer.command({ cmd: "addPeer", address: server.address });
  const failed = (event: Json) =>
    event.event === "dialFailed" && (event.address as { host?: string }).host === server.host;
  return victim.peer.process.waitFor(failed);
}
