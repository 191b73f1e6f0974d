/** The deadlines of a session, on virtual time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KiB, MiB } from "../../../src/core/limits.ts";
import { toHex } from "../../../src/core/wire/bytes.ts";
import { FrameType } from "../../../src/core/wire/header.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import {
  acceptFrame,
  data,
  end,
  FedSession,
  frame,
  header,
  helloFrame,
  tensorFrames,
} from "../../support/core_frames.ts";
import { SessionPair } from "../../support/core_session_pair.ts";

const GOOD = patternBytes(3000);
const KEEPALIVE = toHex(frame(FrameType.CONTROL, 0, 0));

/** Whoever wants to change the limit that has passed learns its name. */
function expectLimit(side: Pick<FedSession, "timedOut">, limit: string, ms: number): void {
  const timedOut = side.timedOut();
  assert.equal(timedOut.limit, limit);
  assert.ok(timedOut.message?.includes(`${ms} ms (${limit})`), String(timedOut.message));
}

test("a Session that gets no HELLO gives up after 10 s, and a HELLO that comes then is too late", () => {
  const fed = new FedSession("acceptor");
  fed.pass(9999);
  assert.equal(fed.closedWith(), undefined);
  fed.pass(1);
  assert.equal(fed.closedWith(), "ASOC_HANDSHAKE_TIMEOUT");
  expectLimit(fed, "handshakeTimeoutMs", 10_000);
  fed.feed(helloFrame());
  assert.deepEqual(fed.kinds(), ["closed"]);
  assert.equal(fed.written.length, 0);
});

test("a Session gives up after 10 s although the bytes of HELLO drip in", () => {
  const fed = new FedSession("acceptor");
  for (const byte of helloFrame()) {
    fed.feed(Uint8Array.of(byte));
    fed.pass(250);
  }
  assert.equal(fed.closedWith(), "ASOC_HANDSHAKE_TIMEOUT");
});

test("a dialling Session that gets no ACCEPT gives up after 10 s", () => {
  const fed = new FedSession("dialler", { limits: { handshakeTimeoutMs: 10_000 } });
  fed.pass(10_000);
  assert.equal(fed.closedWith(), "ASOC_HANDSHAKE_TIMEOUT");
});

test("a Session sends a CONTROL frame every 12 s while it is to be kept alive, and only then", () => {
  const fed = new FedSession("dialler");
  fed.feed(acceptFrame());
  fed.pass(60_000);
  const handshake = fed.written.length;
  fed.session.setKeepalive(true);
  fed.pass(0);
  fed.session.setKeepalive(false);
  fed.pass(60_000);
  fed.session.setKeepalive(true);
  const before = fed.written.length;
  fed.pass(36_000);
  const sent = toHex(fed.written.subarray(before));
  assert.ok(before - handshake <= 14);
  assert.ok([KEEPALIVE.repeat(3), KEEPALIVE.repeat(4)].includes(sent), sent);
  assert.equal(fed.closedWith(), undefined);
});

test("a Session with other traffic within 12 s sends no keepalive", () => {
  const pair = SessionPair.open();
  pair.dialler.session.setKeepalive(true);
  for (let i = 0; i < 10; i++) {
    pair.advance(11_000);
    pair.dialler.send(GOOD);
    pair.run();
  }
  assert.equal(pair.acceptor.session.counters.controlFrames, 0);
  assert.equal(pair.acceptor.tensors.length, 10);
});

test("two Sessions that keep each other alive idle for an hour", () => {
  const pair = SessionPair.open();
  for (const side of [pair.dialler, pair.acceptor]) side.session.setKeepalive(true);
  pair.advance(3_600_000);
  assert.equal(pair.acceptor.session.counters.controlFrames, 300);
  assert.equal(pair.dialler.session.counters.controlFrames, 300);
  assert.deepEqual([pair.dialler.closedWith(), pair.acceptor.closedWith()], [undefined, undefined]);
});

test("a Session that idles without keepalive and without a stream is never closed by itself", () => {
  const fed = FedSession.open();
  assert.equal(fed.session.pollDeadline(), undefined);
  fed.pass(86_400_000);
  assert.equal(fed.closedWith(), undefined);
});

test("a send without progress for 10 s closes the connection and fails the stream with what was sent", () => {
  const pair = SessionPair.open();
  pair.dialler.blocked = true;
  const stream = pair.dialler.send(patternBytes(3 * MiB));
  pair.advance(9999);
  assert.equal(pair.dialler.closedWith(), undefined);
  pair.advance(1);
  assert.equal(pair.dialler.closedWith(), "ASOC_SEND_STALLED");
  expectLimit(pair.dialler, "sendStallMs", 10_000);
  assert.equal(stream.error?.code, "ASOC_CONNECTION_LOST");
  assert.deepEqual(stream.error?.details, { streamId: 1, sentBytes: 0 });
  assert.equal(stream.done, true);
});

test("a write that takes long is no stall while some of it goes: somebody looks four times in 10 s", () => {
  const pair = SessionPair.open();
  pair.dialler.blocked = true;
  pair.dialler.send(patternBytes(3 * MiB));
  for (let look = 1; look <= 20; look++) {
    pair.advance(2500);
    pair.dialler.session.handleProgress(pair.nowMs);
  }
  assert.equal(pair.dialler.closedWith(), undefined);
  pair.advance(9999);
  assert.equal(pair.dialler.closedWith(), undefined);
  pair.advance(1);
  assert.equal(pair.dialler.closedWith(), "ASOC_SEND_STALLED");
});

test("silence of 30 s on an open stream closes the connection; a byte in between does not count as silence", () => {
  const fed = FedSession.open();
  fed.feed(data(1, 0, GOOD), header(FrameType.DATA, 1, 1, 100));
  for (let i = 0; i < 10; i++) {
    fed.pass(29_999);
    fed.feed(Uint8Array.of(i));
  }
  assert.equal(fed.closedWith(), undefined);
  fed.pass(30_000);
  assert.equal(fed.closedWith(), "ASOC_PEER_SILENT");
  expectLimit(fed, "silenceMs", 30_000);
  fed.lose();
  assert.deepEqual(fed.failures(), ["1 ASOC_INCOMPLETE_STREAM"]);
  assert.equal(fed.pool.usedBytes, 0);
});

test("after its END a stream makes silence no fault", () => {
  const fed = FedSession.open();
  fed.feed(data(1, 0, GOOD), end(1, 1));
  fed.pass(100_000);
  assert.equal(fed.closedWith(), undefined);
});

/** A session whose one reader of chunks takes nothing, and so stalls it. */
function stalled(): FedSession {
  const fed = FedSession.open({ limits: { maxChunkAheadBytes: 64 * KiB } });
  fed.onStream = (stream) => stream.readChunks();
  for (let seq = 0; seq < 8 && !fed.session.stalled; seq++)
    fed.feed(data(1, seq, patternBytes(64 * KiB, seq)));
  assert.equal(fed.session.stalled, true);
  return fed;
}

test("a reader that pauses its connection for 30 s loses the stream, with an error that says so", () => {
  const fed = stalled();
  fed.pass(29_999);
  assert.equal(fed.closedWith(), undefined);
  fed.pass(1);
  assert.equal(fed.closedWith(), "ASOC_CONSUMER_TOO_SLOW");
  fed.lose();
  assert.deepEqual(fed.failures(), ["1 ASOC_CONSUMER_TOO_SLOW"]);
});

test("a reader whose pause made the sender give up is told that it was too slow", () => {
  const fed = stalled();
  fed.pass(11_000);
  fed.lose();
  assert.deepEqual(fed.failures(), ["1 ASOC_CONSUMER_TOO_SLOW"]);
});

/** Takes all that waits, until the session has room. */
function drain(fed: FedSession): void {
  const started = fed.events.find((event) => event.kind === "stream");
  assert.ok(started?.kind === "stream");
  for (let piece = started.stream.takePiece(); piece; piece = started.stream.takePiece())
    started.stream.releasePiece(piece);
  fed.session.handleRoom(fed.nowMs);
  fed.poll();
}

test("a pause of the reader that is long over is not blamed for a loss", () => {
  const fed = stalled();
  fed.pass(11_000);
  drain(fed);
  assert.equal(fed.session.stalled, false);
  for (let i = 0; i < 10; i++) {
    fed.pass(20_000);
    fed.feed(frame(FrameType.CONTROL, 0, 0));
  }
  fed.lose();
  assert.deepEqual(fed.failures(), ["1 ASOC_INCOMPLETE_STREAM"]);
});

test("a pause of the reader that has just ended is blamed for a loss", () => {
  const fed = stalled();
  fed.pass(11_000);
  drain(fed);
  fed.pass(100);
  fed.lose();
  assert.deepEqual(fed.failures(), ["1 ASOC_CONSUMER_TOO_SLOW"]);
});

test("a reader that makes room again and again, each time for a little of what has come, is not too slow", () => {
  const fed = FedSession.open({ limits: { memoryBudgetBytes: 8 * KiB, idleMemoryBytes: 0 } });
  const held: (() => void)[] = [];
  const tensors = Array.from({ length: 16 }, (_, i) =>
    tensorFrames(2 * i + 1, patternBytes(4 * KiB, i), 4 * KiB),
  );
  fed.poll = function () {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
      this.events.push(event);
      if (event.kind !== "readable" || !event.stream.ended || event.stream.error) continue;
      const { bytes, buffer } = event.stream.takeWhole();
      this.tensors.push({ id: event.stream.id, bytes: bytes.slice() });
      held.push(() => buffer?.release());
    }
  };
  const all = new Uint8Array(tensors.reduce((sum, bytes) => sum + bytes.length, 0));
  let at = 0;
  for (const bytes of tensors) {
    all.set(bytes, at);
    at += bytes.length;
  }
  fed.feed(all); // all in one part: the rest is spilled
  for (let i = 0; i < 20; i++) {
    fed.pass(5000);
    held.shift()?.();
    fed.session.handleRoom(fed.nowMs);
    fed.poll();
  }
  assert.equal(fed.closedWith(), undefined);
  assert.equal(fed.tensors.length, 16);
});
