/** The end of a session: close drains, FIN from either side, linger, loss. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClosedError, ConnectionError } from "../../../src/core/errors.ts";
import { KiB, MiB } from "../../../src/core/limits.ts";
import { State } from "../../../src/core/session/transitions.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { data, end, FedSession, helloFrame, tensorFrames } from "../../support/core_frames.ts";
import { SessionPair } from "../../support/core_session_pair.ts";

const GOOD = patternBytes(3000);

test("close() of an idle Session ends both sides cleanly, with FIN both ways", () => {
  for (const first of ["dialler", "acceptor"] as const) {
    const pair = SessionPair.open();
    pair[first].session.close(pair.nowMs);
    pair.run();
    for (const side of [pair.dialler, pair.acceptor]) {
      assert.deepEqual(side.kinds(), ["open", "finish", "closed"]);
      assert.equal(side.closedWith(), "clean");
    }
  }
});

test("close() of both sides at once ends both cleanly", () => {
  const pair = SessionPair.open({ delayMs: () => 5 });
  pair.dialler.session.close(pair.nowMs);
  pair.acceptor.session.close(pair.nowMs);
  pair.run();
  assert.deepEqual([pair.dialler.closedWith(), pair.acceptor.closedWith()], ["clean", "clean"]);
});

test("close() lets the streams under way in both directions finish, and opens no new ones", () => {
  const pair = SessionPair.open({ delayMs: () => 3 });
  pair.dialler.send(patternBytes(3 * MiB, 1));
  pair.acceptor.send(patternBytes(5 * MiB, 2));
  pair.advance(10);
  pair.dialler.session.close(pair.nowMs);
  assert.equal(pair.dialler.session.state, State.CLOSING);
  assert.throws(
    () => pair.dialler.session.openStream(),
    (error) =>
      error instanceof ConnectionError && error.code === "ASOC_CLOSED" && /CLOSING/.test(error.message),
  );
  pair.run();
  assert.deepEqual(pair.acceptor.tensors[0]?.bytes, patternBytes(3 * MiB, 1));
  assert.deepEqual(pair.dialler.tensors[0]?.bytes, patternBytes(5 * MiB, 2));
  assert.deepEqual([pair.dialler.closedWith(), pair.acceptor.closedWith()], ["clean", "clean"]);
});

test("close() does not send FIN while a stream is open whose next bytes are not there yet", () => {
  const pair = SessionPair.open();
  const stream = pair.dialler.session.openStream();
  pair.dialler.session.write(stream, GOOD);
  pair.dialler.session.close(pair.nowMs);
  pair.run();
  assert.equal(pair.dialler.session.state, State.CLOSING);
  pair.dialler.session.endStream(stream);
  pair.run();
  assert.deepEqual(pair.acceptor.tensors, [{ id: 1, bytes: GOOD }]);
  assert.equal(pair.dialler.closedWith(), "clean");
});

test("close() twice is close() once, and after the end nothing", () => {
  const pair = SessionPair.open();
  pair.dialler.session.close(pair.nowMs);
  pair.dialler.session.close(pair.nowMs);
  pair.run();
  pair.dialler.session.close(pair.nowMs);
  pair.dialler.session.abort(new ClosedError("ASOC_CLOSED", "again"), pair.nowMs);
  pair.run();
  assert.deepEqual(pair.dialler.kinds(), ["open", "finish", "closed"]);
});

test("close() during the handshake gives it up", () => {
  for (const role of ["dialler", "acceptor"] as const) {
    const fed = new FedSession(role);
    fed.session.close(fed.nowMs);
    fed.poll();
    assert.equal(fed.closedWith(), "ASOC_CLOSED");
    assert.equal(fed.session.pollDeadline(), undefined);
  }
});

test("a stream that begins after our FIN is still read until the peer's FIN", () => {
  const fed = FedSession.open();
  fed.session.close(fed.nowMs);
  fed.poll();
  assert.equal(fed.session.state, State.FINISHED);
  fed.feed(tensorFrames(1, GOOD, 1000));
  fed.fin();
  assert.deepEqual(fed.tensors, [{ id: 1, bytes: GOOD }]);
  assert.equal(fed.closedWith(), "clean");
});

test("after our FIN the peer's FIN is awaited for 10 s of quiet", () => {
  const fed = FedSession.open();
  fed.session.close(fed.nowMs);
  fed.poll();
  fed.pass(9000);
  fed.feed(tensorFrames(1, GOOD, 1000));
  fed.pass(9999);
  assert.equal(fed.closedWith(), undefined);
  fed.pass(1);
  assert.equal(fed.closedWith(), "ASOC_CONNECTION_LOST");
  assert.deepEqual(fed.timedOut(), {
    message: "The peer did not close its side within 10000 ms (lingerMs)",
    limit: "lingerMs",
  });
});

test("the peer's FIN fails what it has not finished, and lets ours finish", () => {
  const pair = SessionPair.open({ delayMs: () => 2 });
  const fed = FedSession.open();
  const stream = fed.session.openStream(100);
  fed.session.write(stream, GOOD);
  fed.feed(data(1, 0, GOOD));
  fed.fin();
  assert.deepEqual(fed.failures(), ["1 ASOC_INCOMPLETE_STREAM"]);
  assert.equal(fed.session.state, State.PEER_DONE);
  fed.session.endStream(stream);
  fed.poll();
  assert.equal(stream.done, true);
  assert.equal(stream.error, undefined);
  assert.equal(fed.closedWith(), "clean");
  assert.equal(fed.pool.usedBytes, 0);
  pair.run();
});

test("FIN before the end of the handshake says that it was refused", () => {
  for (const role of ["dialler", "acceptor"] as const) {
    const fed = new FedSession(role);
    fed.fin();
    assert.equal(fed.closedWith(), "ASOC_HANDSHAKE_REFUSED");
  }
});

test("a reset before the end of the handshake says that it was refused, with its cause", () => {
  const cause = new Error("ECONNRESET");
  const fed = new FedSession("dialler");
  fed.lose(cause);
  const closed = fed.events.at(-1);
  assert.ok(closed?.kind === "closed");
  assert.equal(closed.error?.code, "ASOC_HANDSHAKE_REFUSED");
  assert.equal(closed.error?.cause, cause);
});

test("a broken connection fails every stream of both sides, and all memory comes back", () => {
  const pair = SessionPair.open({ delayMs: () => 5 });
  const sent = pair.dialler.send(patternBytes(8 * MiB));
  const waiting = pair.dialler.send(patternBytes(8 * MiB));
  pair.acceptor.send(patternBytes(8 * MiB));
  pair.advance(32);
  assert.ok(pair.acceptor.pool.usedBytes > 0);
  pair.breakOff();
  for (const stream of [sent, waiting]) {
    assert.equal(stream.error?.code, "ASOC_CONNECTION_LOST");
    assert.match(
      stream.error?.message ?? "",
      new RegExp(`Stream ${stream.id} was not sent whole \\(\\d+ bytes`),
    );
  }
  assert.deepEqual(pair.acceptor.failures().sort(), ["1 ASOC_INCOMPLETE_STREAM", "3 ASOC_INCOMPLETE_STREAM"]);
  assert.deepEqual(pair.dialler.failures(), ["2 ASOC_INCOMPLETE_STREAM"]);
  for (const side of [pair.dialler, pair.acceptor]) {
    assert.equal(side.pool.usedBytes, 0);
    assert.deepEqual(side.tensors, []);
    assert.equal(side.session.pollDeadline(), undefined);
  }
});

test("abort() ends a Session at once with its error", () => {
  const pair = SessionPair.open();
  pair.dialler.send(patternBytes(MiB));
  pair.dialler.session.abort(new ClosedError("ASOC_CLOSED", "the node was closed"), pair.nowMs);
  pair.run();
  assert.equal(pair.dialler.closedWith(), "ASOC_CLOSED");
  assert.equal(pair.acceptor.closedWith(), "ASOC_CONNECTION_LOST");
});

test("a FIN that comes while the reader pauses the connection waits for what was spilled", () => {
  const fed = FedSession.open({ limits: { maxChunkAheadBytes: 64 * KiB } });
  fed.onStream = (stream) => stream.readChunks();
  fed.feed(data(1, 0, patternBytes(64 * KiB)), data(1, 1, patternBytes(64 * KiB, 1)), end(1, 2));
  assert.equal(fed.session.stalled, true);
  fed.fin();
  assert.equal(fed.closedWith(), undefined);
  const started = fed.events.find((event) => event.kind === "stream");
  assert.ok(started?.kind === "stream");
  const { stream } = started;
  let bytes = 0;
  for (let turns = 0; turns < 10; turns++) {
    for (let piece = stream.takePiece(); piece; piece = stream.takePiece()) {
      bytes += piece.bytes.length;
      stream.releasePiece(piece);
    }
    fed.session.handleRoom(fed.nowMs);
    fed.poll();
  }
  assert.equal(bytes, 128 * KiB);
  assert.equal(stream.error, undefined);
  assert.equal(fed.closedWith(), "clean");
  assert.equal(fed.pool.usedBytes, 0);
});

test("a Session takes no input after its end", () => {
  const fed = FedSession.open();
  fed.lose();
  const { length } = fed.events;
  fed.feed(helloFrame(), data(1, 0, GOOD));
  fed.fin();
  fed.lose();
  fed.session.handleTimeout(fed.nowMs + 1e9);
  fed.session.handleRoom(fed.nowMs);
  fed.poll();
  assert.equal(fed.events.length, length);
});
