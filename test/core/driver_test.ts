import assert from "node:assert/strict";
import { test } from "node:test";
import { Driver } from "../../src/core/driver.ts";
import { DEFAULT_LIMITS, KiB, type Limits, type Timing } from "../../src/core/limits.ts";
import { ReadShares } from "../../src/core/read_shares.ts";
import { Session } from "../../src/core/session/session.ts";
import type { SessionEvent } from "../../src/core/session/session_types.ts";
import { BufferPool } from "../../src/core/tensor/buffer_pool.ts";
import { TestClock } from "../support/core_clock.ts";
import { settled, TestConn } from "../support/core_conn.ts";
import { patternBytes, testCrypto } from "../support/core_crypto.ts";
import { acceptFrame, DIALLER_ID, data, end, KEY } from "../support/core_frames.ts";

function surroundings(pool: BufferPool, { memoryWaitMs, sharedFramesPerSecond }: Limits & Timing) {
  return { pool, memoryWaitMs, share: new ReadShares(sharedFramesPerSecond).open() };
}

function setUp(limits: Partial<Limits & Timing> = {}) {
  const all = { ...DEFAULT_LIMITS, ...limits };
  const clock = new TestClock();
  const conn = new TestConn();
  const pool = new BufferPool(all);
  const session = new Session(
    { role: "dialler", nodeId: DIALLER_ID, key: KEY, limits: all, crypto: testCrypto(), pool },
    clock.nowMs(),
  );
  const events: SessionEvent[] = [];
  const driver = new Driver(session, conn, clock, surroundings(pool, all), (event) => events.push(event));
  driver.start();
  const kinds = () => events.map(({ kind }) => kind);
  return { clock, conn, pool, session, driver, events, kinds };
}

test("Driver starts reading, writes HELLO, and tells events in order", async () => {
  const { conn, kinds } = setUp();
  assert.deepEqual(conn.calls, ["start"]);
  assert.equal(conn.written.length, 50);
  await settled();
  conn.receive(acceptFrame(), data(1, 0, patternBytes(10)), end(1, 1));
  assert.deepEqual(kinds(), ["open", "stream", "readable"]);
});

test("Driver has one write under way at a time", async () => {
  const { conn, session, driver } = setUp();
  await settled();
  conn.receive(acceptFrame());
  conn.blocked = true;
  for (let i = 0; i < 3; i++) {
    const stream = session.openStream();
    session.write(stream, patternBytes(1000, i));
    session.endStream(stream);
    driver.pump();
  }
  const before = conn.written.length;
  assert.equal(session.outboundStreams, 3);
  await conn.flush();
  assert.ok(conn.written.length > before);
  await conn.flush();
  assert.equal(session.outboundStreams, 0);
  assert.equal(conn.writing, false);
});

test("Driver keeps one timer, for the next deadline, and none after the end", async () => {
  const { clock, conn, session, driver, kinds } = setUp();
  await settled();
  conn.receive(acceptFrame());
  session.setKeepalive(true);
  driver.pump();
  for (let i = 0; i < 20; i++) {
    assert.equal(clock.timers, 1);
    clock.advance(6000);
    await settled();
  }
  assert.equal(conn.written.length, 50 + 10 * 14);
  conn.sink?.fail(new Error("reset"));
  assert.equal(clock.timers, 0);
  assert.deepEqual(kinds(), ["open", "closed"]);
});

test("Driver aborts a connection whose handshake takes too long", () => {
  const { clock, conn, events } = setUp();
  clock.advance(10_000);
  const closed = events.at(-1);
  assert.ok(closed?.kind === "closed");
  assert.equal(closed.error?.code, "ASOC_HANDSHAKE_TIMEOUT");
  assert.deepEqual(conn.calls, ["start", "abort"]);
  assert.equal(clock.timers, 0);
});

test("Driver pauses the connection while there is no room, and resumes it when memory is released anywhere", async () => {
  const { conn, pool, session, events } = setUp({ memoryBudgetBytes: 64 * KiB, idleMemoryBytes: 0 });
  await settled();
  conn.receive(acceptFrame());
  const other = pool.acquire(60 * KiB);
  other?.delivered();
  conn.receive(data(1, 0, patternBytes(20 * KiB)), end(1, 1));
  assert.equal(conn.paused, true);
  assert.equal(session.stalled, true);
  other?.release();
  assert.equal(conn.paused, false);
  conn.receive(end(1, 1));
  const readable = events.at(-1);
  assert.ok(readable?.kind === "readable");
  const whole = readable.stream.takeWhole();
  assert.deepEqual(whole.bytes, patternBytes(20 * KiB));
  whole.buffer?.release();
  assert.equal(pool.usedBytes, 0);
  assert.deepEqual(conn.calls, ["start", "pause", "resume"]);
});

test("Driver sends FIN when the session is drained, and does not abort what ends cleanly", async () => {
  const { clock, conn, session, driver, kinds } = setUp();
  await settled();
  conn.receive(acceptFrame());
  session.close(clock.nowMs());
  driver.pump();
  conn.sink?.end();
  assert.deepEqual(kinds(), ["open", "finish", "closed"]);
  assert.deepEqual(conn.calls, ["start", "closeWrite"]);
  assert.equal(clock.timers, 0);
});

test("Driver aborts a connection that the peer has half closed when the session fails: no socket is left behind", async () => {
  const { conn, events } = setUp();
  await settled();
  conn.sink?.end(); // the handshake was refused
  const closed = events.at(-1);
  assert.ok(closed?.kind === "closed");
  assert.equal(closed.error?.code, "ASOC_HANDSHAKE_REFUSED");
  assert.deepEqual(conn.calls, ["start", "abort"]);
});

test("Driver ends the session with the cause when a write fails", async () => {
  const { conn, session, driver, events } = setUp();
  await settled();
  conn.receive(acceptFrame());
  conn.blocked = true;
  const stream = session.openStream();
  session.write(stream, patternBytes(1000));
  driver.pump();
  const cause = new Error("EPIPE");
  await conn.flush(cause);
  assert.equal(stream.error?.code, "ASOC_CONNECTION_LOST");
  const closed = events.findLast(({ kind }) => kind === "closed");
  assert.ok(closed?.kind === "closed");
  assert.equal(closed.error?.cause, cause);
});

test("a listener of Driver may give commands, and what they cause comes after", async () => {
  const all = { ...DEFAULT_LIMITS };
  const clock = new TestClock();
  const conn = new TestConn();
  const pool = new BufferPool(all);
  const session = new Session(
    { role: "dialler", nodeId: DIALLER_ID, key: KEY, limits: all, crypto: testCrypto(), pool },
    clock.nowMs(),
  );
  const kinds: string[] = [];
  const driver: Driver = new Driver(session, conn, clock, surroundings(pool, all), (event) => {
    if (event.kind === "open") {
      const stream = session.openStream();
      session.write(stream, patternBytes(10));
      session.endStream(stream);
      driver.pump();
      session.close(clock.nowMs());
      driver.pump();
    }
    kinds.push(event.kind);
  });
  driver.start();
  await settled();
  conn.receive(acceptFrame());
  await settled();
  assert.deepEqual(kinds, ["open", "sent", "finish"]);
  assert.equal(conn.written.length, 50 + 14 + 10 + 14);
});
