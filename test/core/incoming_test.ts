import assert from "node:assert/strict";
import { test } from "node:test";
import { Driver } from "../../src/core/driver.ts";
import { AsocError } from "../../src/core/errors.ts";
import { IncomingStream } from "../../src/core/incoming.ts";
import { DEFAULT_LIMITS, KiB, type Limits, type Timing } from "../../src/core/limits.ts";
import { ReadShares } from "../../src/core/read_shares.ts";
import { Session } from "../../src/core/session/session.ts";
import { BufferPool } from "../../src/core/tensor/buffer_pool.ts";
import { TestClock } from "../support/core_clock.ts";
import { settled, TestConn } from "../support/core_conn.ts";
import { patternBytes, testCrypto } from "../support/core_crypto.ts";
import { acceptFrame, DIALLER_ID, data, end, joinBytes, KEY, tensorFrames } from "../support/core_frames.ts";

const PEER = {
  id: "a",
  nodeId: "a",
  address: { host: "10.0.0.1", port: 1 },
  dialledAs: undefined,
  protocol: "v1" as const,
  takesTensors: true,
  roundTripMs: undefined,
  clockSkewMs: undefined,
};
const hasCode = (code: string) => (error: unknown) => error instanceof AsocError && error.code === code;

/** An open connection whose streams become IncomingStreams, as a node makes them. */
function setUp(limits: Partial<Limits & Timing> = {}) {
  const all = { ...DEFAULT_LIMITS, idleMemoryBytes: 0, ...limits };
  const clock = new TestClock();
  const conn = new TestConn();
  const pool = new BufferPool(all);
  const session = new Session(
    { role: "dialler", nodeId: DIALLER_ID, key: KEY, limits: all, crypto: testCrypto(), pool },
    clock.nowMs(),
  );
  const streams: IncomingStream[] = [];
  const byInner = new Map<unknown, IncomingStream>();
  const driver: Driver = new Driver(
    session,
    conn,
    clock,
    { pool, memoryWaitMs: 10_000, share: new ReadShares(1e6).open() },
    (event) => {
      if (event.kind === "stream") {
        const incoming = new IncomingStream(driver, event.stream, PEER);
        byInner.set(event.stream, incoming);
        streams.push(incoming);
      } else if (event.kind === "readable") byInner.get(event.stream)?.notify();
    },
  );
  driver.start();
  conn.receive(acceptFrame());
  const stream = (index = 0): IncomingStream => {
    const found = streams[index];
    assert.ok(found, "no such stream");
    return found;
  };
  return { clock, conn, pool, session, stream };
}

test("IncomingStream.tensor() gives the whole tensor, and releasing it gives its memory back", async () => {
  const { conn, pool, stream } = setUp();
  conn.receive(data(1, 0, patternBytes(5000)));
  const waiting = stream().tensor();
  await settled();
  conn.receive(end(1, 1));
  const tensor = await waiting;
  assert.deepEqual(tensor.bytes, patternBytes(5000));
  assert.deepEqual([tensor.peer, tensor.streamId], [PEER, 1]);
  tensor.release();
  tensor.release();
  assert.equal(pool.usedBytes, 0);
  assert.throws(() => tensor.bytes, hasCode("ASOC_RELEASED"));
});

test("IncomingStream.tensor() into the caller's memory uses no other, and refuses a tensor that is too large", async () => {
  const { conn, pool, stream } = setUp();
  conn.receive(tensorFrames(1, patternBytes(5000), 1000), tensorFrames(3, patternBytes(5000), 1000));
  const memory = new Uint8Array(6000);
  const tensor = await stream(0).tensor({ into: memory });
  assert.equal(tensor.bytes.buffer, memory.buffer);
  assert.deepEqual(tensor.bytes, patternBytes(5000));
  await assert.rejects(stream(1).tensor({ into: new Uint8Array(4999) }), hasCode("ASOC_TENSOR_TOO_LARGE"));
  assert.equal(pool.usedBytes, 0);
});

test("IncomingStream.tensor() tells its progress", async () => {
  const { conn, stream } = setUp();
  conn.receive(data(1, 0, patternBytes(1000)));
  const seen: number[] = [];
  const waiting = stream().tensor({ onProgress: (bytes) => seen.push(bytes) });
  for (const seq of [1, 2]) {
    await settled();
    conn.receive(data(1, seq, patternBytes(1000)));
  }
  await settled();
  conn.receive(end(1, 3));
  (await waiting).release();
  assert.deepEqual(seen, [2000, 3000, 3000]);
});

test("IncomingStream.tensor() rejects with the signal's reason, and throws away what still comes", async () => {
  const { conn, pool, stream } = setUp();
  const controller = new AbortController();
  conn.receive(data(1, 0, patternBytes(5000)));
  const waiting = stream().tensor({ signal: controller.signal });
  await settled();
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  conn.receive(data(1, 1, patternBytes(5000)), end(1, 2), tensorFrames(3, patternBytes(10), 10));
  assert.deepEqual((await stream(1).tensor()).bytes, patternBytes(10));
  stream(1);
  assert.ok(pool.usedBytes <= 4 * KiB, "only the second one's memory");
});

test("IncomingStream.tensor() rejects with why its stream failed", async () => {
  const { conn, pool, stream } = setUp();
  conn.receive(data(1, 0, patternBytes(100)), data(3, 0, patternBytes(100)));
  const [gap, lost] = [stream(0).tensor(), stream(1).tensor()];
  await settled();
  conn.receive(data(1, 2, patternBytes(100)));
  await assert.rejects(gap, hasCode("ASOC_SEQUENCE_GAP"));
  conn.sink?.fail(new Error("reset"));
  await assert.rejects(lost, hasCode("ASOC_INCOMPLETE_STREAM"));
  await assert.rejects(async () => stream(0).tensor(), TypeError, "it has one reader");
  assert.equal(pool.usedBytes, 0);
});

test("IncomingStream.chunks() gives the bytes in order as they come, and all memory back", async () => {
  const { conn, pool, stream } = setUp();
  const bytes = patternBytes(300_000);
  const frames = tensorFrames(1, bytes, 50_000);
  conn.receive(frames.slice(0, 120_000));
  const parts: Uint8Array[] = [];
  const reading = (async () => {
    for await (const part of stream().chunks()) parts.push(part.slice());
  })();
  for (let at = 120_000; at < frames.length; at += 30_000) {
    await settled();
    conn.receive(frames.slice(at, at + 30_000));
  }
  await reading;
  assert.deepEqual(joinBytes(...parts), bytes);
  assert.equal(pool.usedBytes, 0);
});

test("IncomingStream.chunks() that is broken off throws away the rest, and the connection goes on", async () => {
  const { conn, pool, stream } = setUp();
  conn.receive(data(1, 0, patternBytes(100_000)), data(1, 1, patternBytes(100_000)));
  for await (const part of stream().chunks()) {
    assert.ok(part.length > 0);
    break;
  }
  conn.receive(data(1, 2, patternBytes(100_000)), end(1, 3), tensorFrames(3, patternBytes(10), 10));
  (await stream(1).tensor()).release();
  assert.equal(pool.usedBytes, 0);
});

test("IncomingStream.chunks() frees a connection that waits for memory which the assembled stream itself holds", async () => {
  const { conn, pool, session, stream } = setUp({ memoryBudgetBytes: 512 * KiB });
  const other = pool.acquire(4 * KiB);
  other?.delivered(); // somebody holds a little, so the stream waits instead of failing
  const bytes = patternBytes(600 * KiB);
  const frames = tensorFrames(1, bytes, 64 * KiB);
  let at = 0;
  for (; !conn.paused; at += 20_000) conn.receive(frames.slice(at, at + 20_000));
  assert.equal(session.stalled, true);
  const parts: Uint8Array[] = [];
  const reading = (async () => {
    for await (const part of stream().chunks()) parts.push(part.slice());
  })();
  for (let turns = 0; turns < 2000 && at < frames.length; turns++) {
    await settled();
    at += conn.receive(frames.slice(at, at + 20_000));
  }
  await reading;
  assert.deepEqual(joinBytes(...parts), bytes);
  other?.release();
  assert.equal(pool.usedBytes, 0);
});

test("IncomingStream.tensor() into the caller's memory frees a connection that waits for pooled memory", async () => {
  const { conn, pool, stream } = setUp({ memoryBudgetBytes: 64 * KiB });
  const other = pool.acquire(62 * KiB);
  other?.delivered();
  conn.receive(data(1, 0, patternBytes(20_000)));
  assert.equal(conn.paused, true);
  const waiting = stream().tensor({ into: new Uint8Array(20_000) });
  assert.equal(conn.paused, false);
  conn.receive(end(1, 1));
  assert.deepEqual((await waiting).bytes, patternBytes(20_000));
  other?.release();
});

test("IncomingStream.cancel() rejects whoever reads, and gives the memory back", async () => {
  const { conn, pool, stream } = setUp();
  conn.receive(data(1, 0, patternBytes(5000)));
  const waiting = stream().tensor();
  await settled();
  stream().cancel();
  stream().cancel();
  await assert.rejects(waiting, hasCode("ASOC_CANCELLED"));
  conn.receive(end(1, 1));
  assert.equal(pool.usedBytes, 0);
});

test("IncomingStream.cancel() of a stream that has come whole, and that nobody reads, gives its memory back", () => {
  const { conn, pool, stream } = setUp();
  conn.receive(tensorFrames(1, patternBytes(5000), 1000));
  assert.notEqual(pool.usedBytes, 0);
  stream().cancel();
  assert.equal(pool.usedBytes, 0);
});
