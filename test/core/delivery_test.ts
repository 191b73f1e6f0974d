/** One tensor over as many connections as it takes: whole, once, and no more sent than is missing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { deliver } from "../../src/core/delivery.ts";
import { type SendOptions, SendPlan, type SendReport } from "../../src/core/send_plan.ts";
import { describeSource, type Rereadable } from "../../src/core/tensor/source.ts";
import { settled } from "../support/core_conn.ts";
import { patternBytes, testCrypto } from "../support/core_crypto.ts";
import { PEER_ID, TensorRoads } from "../support/tensor_roads.ts";

const BYTES = patternBytes(600);
/** The same bytes from wherever they are wanted, in parts. */
const reader = (from: number) => [BYTES.subarray(from, from + 150), BYTES.subarray(from + 150)];

function send(roads: TensorRoads, source: Rereadable, options: SendOptions = {}): Promise<SendReport> {
  if (roads.pairs.length === 0) roads.connect();
  const plan = new SendPlan(describeSource(source), options, testCrypto(), roads.clock.nowMs());
  return deliver(roads, roads.clock, roads.limits, PEER_ID, source, plan, options);
}

/** DATA bytes that were written on all connections. */
const sentBytes = (roads: TensorRoads) =>
  roads.pairs
    .flatMap(({ dialler }) => dialler.dataFrames())
    .reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);

for (const [name, source] of [
  ["memory", BYTES],
  ["a reader", reader],
] as const) {
  for (const digest of ["crc32", "sha256"] as const) {
    test(`deliver() of ${name} with ${digest}: a cut at any byte loses nothing and doubles nothing`, async () => {
      let uncut = 0;
      for (let breakAt = 1; breakAt < 5000; breakAt += digest === "crc32" ? 1 : 7) {
        const roads = new TensorRoads();
        roads.breaks = [breakAt];
        const report = await send(roads, source, { chunkBytes: 200, digest });
        assert.deepEqual(roads.delivered, [BYTES], `cut at ${breakAt}`);
        assert.equal(report.delivery, "verified");
        assert.ok(sentBytes(roads) <= BYTES.length, `${sentBytes(roads)} bytes, cut at ${breakAt}`);
        if (report.cuts === 0) {
          uncut++;
          break;
        }
      }
      assert.equal(uncut, 1, "the last byte was not reached");
    });
  }
}

test("deliver() goes on after many cuts in a row, also where only the sender notices them", async () => {
  for (const halfOpen of [false, true]) {
    const roads = new TensorRoads();
    roads.halfOpen = halfOpen;
    roads.breaks = [300, 250, 150, 150, 100, 200, 90, 300];
    const report = await send(roads, BYTES, { chunkBytes: 40 });
    assert.deepEqual(roads.delivered, [BYTES], `half-open: ${halfOpen}`);
    assert.ok(report.cuts >= 4);
  }
});

const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;

test("deliver() over a connection that breaks with nothing but ACK missing learns that it was delivered", async () => {
  const roads = new TensorRoads();
  roads.connect();
  roads.pair.acceptor.mute = true; // its ACK is lost
  const sending = send(roads, BYTES);
  await settled();
  assert.equal(roads.delivered.length, 1);
  roads.pair.breakOff();
  const report = await sending;
  assert.deepEqual([report.delivery, report.cuts, roads.delivered.length], ["verified", 1, 1]);
});

test("deliver() to a receiver that was started again: unknown when END was out, from byte 0 when it was not", async () => {
  for (const [bytes, whole] of [
    [patternBytes(500_000), true], // more than there is credit for
    [BYTES, false],
  ] as const) {
    const roads = new TensorRoads({ initialCreditBytes: 256_000 });
    roads.connect();
    roads.pair.acceptor.mute = true;
    const sending = send(roads, bytes);
    roads.restart();
    roads.pair.breakOff();
    if (whole) {
      assert.equal((await sending).delivery, "verified");
      assert.deepEqual(roads.delivered, [bytes]);
    } else await assert.rejects(sending, hasCode("ASOC_OUTCOME_UNKNOWN"));
  }
});

test("deliver() gives up a transfer that never gets further after one resume time, and one without a connection", async () => {
  const roads = new TensorRoads({ resumeMs: 5000 });
  roads.breaks = [300];
  roads.down = true;
  const sending = send(roads, BYTES, { chunkBytes: 100 });
  const outcome = assert.rejects(sending, hasCode("ASOC_OUTCOME_UNKNOWN"));
  await settled();
  roads.clock.advance(5000);
  await outcome;
  assert.equal(roads.failed.length, 1, "the receiver waits as long");
});

test("deliver() gives up at its deadline without a connection and without an answer, and not what was sent whole", async () => {
  const tooLarge = patternBytes(500_000); // more than there is credit for: END is not out
  for (const [lack, bytes, code, afterMs] of [
    ["down", tooLarge, "ASOC_DEADLINE", 2000],
    ["silent", tooLarge, "ASOC_DEADLINE", 2000],
    ["down", BYTES, "ASOC_OUTCOME_UNKNOWN", 5000],
  ] as const) {
    const roads = new TensorRoads({ resumeMs: 5000, initialCreditBytes: 256_000 });
    roads.breaks = [300];
    roads[lack] = true;
    let outcome = "";
    send(roads, bytes, { deadlineMs: 2000 }).catch((error) => {
      outcome = error.code;
    });
    await settled();
    roads.clock.advance(afterMs - 1);
    await settled();
    assert.equal(outcome, "");
    roads.clock.advance(1);
    await settled();
    assert.equal(outcome, code);
  }
});

test("deliver() does not wait for ever for an answer to RESUME? that never comes, and a signal ends the wait", async () => {
  for (const aborted of [false, true]) {
    const roads = new TensorRoads({ resumeMs: 5000 });
    roads.breaks = [300];
    roads.silent = true;
    const controller = new AbortController();
    const sending = send(roads, BYTES, { chunkBytes: 100, signal: controller.signal });
    const outcome = aborted
      ? assert.rejects(sending, /enough/)
      : assert.rejects(sending, hasCode("ASOC_OUTCOME_UNKNOWN"));
    await settled();
    if (aborted) controller.abort(new Error("enough"));
    else roads.clock.advance(5000);
    await outcome;
  }
});

test("deliver() of a transfer id asks first, and sends what is missing", async () => {
  const roads = new TensorRoads({ resumeMs: 5000 });
  roads.breaks = [400];
  roads.down = true;
  const transferId = "0123456789abcdef";
  const first = assert.rejects(send(roads, reader, { transferId, chunkBytes: 100 }), /./);
  await settled();
  roads.clock.advance(4000);
  roads.down = false;
  const before = sentBytes(roads);
  const report = await send(roads, reader, { transferId, chunkBytes: 100 });
  assert.deepEqual(roads.delivered, [BYTES]);
  assert.equal(report.bytes, BYTES.length);
  assert.ok(sentBytes(roads) < before + BYTES.length, "all of it was sent again");
  const again = await send(roads, reader, { transferId });
  assert.deepEqual([again.delivery, roads.delivered.length], ["verified", 1]);
  roads.clock.advance(5000);
  await first;
});

test("deliver() of one plan to two peers that have different parts of it takes one digest of the whole", async () => {
  const held = [200, 400] as const;
  const all = held.map(() => new TensorRoads());
  const transferId = "0123456789abcdef";
  for (const [index, roads] of all.entries()) {
    // A sender that is gone has left that much of it there.
    roads.connect();
    const { pair } = roads;
    const plan = new SendPlan(describeSource(BYTES), { transferId }, testCrypto(), 0);
    const stream = pair.dialler.session.openStream(100, plan.at(0, 0));
    pair.dialler.session.write(stream, BYTES.subarray(0, held[index]));
    pair.run();
    pair.breakOff();
  }
  const plan = new SendPlan(
    describeSource({ data: reader, totalBytes: BYTES.length }),
    { transferId },
    testCrypto(),
    0,
  );
  await Promise.all(
    all.map((roads) => deliver(roads, roads.clock, roads.limits, PEER_ID, reader, plan, { transferId })),
  );
  for (const roads of all) assert.deepEqual(roads.delivered, [BYTES]);
});

test("deliver() of a reader that gives memory instead of parts fails: it is not an empty tensor", async () => {
  const roads = new TensorRoads();
  const wrong = (from: number) => BYTES.subarray(from) as unknown as Iterable<Uint8Array>;
  await assert.rejects(send(roads, wrong), TypeError);
  assert.deepEqual(roads.delivered, []);
});
