/** A proven peer that breaks the rules of tensor streams: what it gets for it, and what it cannot cost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CONNECTION_CREDIT_FACTOR, DEFAULT_LIMITS, MiB } from "../../../src/core/limits.ts";

import { FrameType } from "../../../src/core/wire/header.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { data, end, header } from "../../support/core_frames.ts";
import { TensorPair } from "../../support/tensor_pair.ts";
import { MINIMAL_OPEN } from "../../support/x1_samples.ts";

const CREDIT_BYTES = DEFAULT_LIMITS.initialCreditBytes;

/** A pair whose dialler is spoken for by hand. */
function abused(options: ConstructorParameters<typeof TensorPair>[0] = {}) {
  const pair = new TensorPair(options);
  pair.dialler.mute = true;
  return { pair, liar: pair.dialler, victim: pair.acceptor };
}

test("a Session whose peer asks RESUME? without end and reads nothing ends the connection", () => {
  const { pair, liar, victim } = abused();
  victim.blocked = true;
  for (let asked = 0; asked < 20_000 && !victim.session.closed; asked += 100) {
    const questions = Array.from({ length: 100 }, () =>
      liar.control(0, { kind: "resume_query", transferId: new Uint8Array(8) }),
    );
    pair.inject(liar, ...questions);
    for (const event of victim.events.splice(0))
      if (event.kind === "resumeAsked") victim.session.answerResume(new Uint8Array(8), 0);
      else victim.events.push(event);
    pair.run();
  }
  assert.equal(victim.closedWith(), "ASOC_RECORD_LIMIT");
});

const ID = MINIMAL_OPEN.transferId;
const open = (fields: Partial<typeof MINIMAL_OPEN> = {}) => ({ ...MINIMAL_OPEN, ...fields });
const close = (rawBytes: number, fields: object = {}) =>
  ({
    kind: "close",
    transferId: ID,
    rawBytes,
    algorithm: 0,
    status: 0,
    digest: new Uint8Array(0),
    ...fields,
  }) as const;

/** What each of these leads to: the end of the connection with that code. */
const FATAL: readonly [string, string, (liar: ReturnType<typeof abused>["liar"]) => Uint8Array[]][] = [
  ["DATA without OPEN", "ASOC_UNEXPECTED_FRAME", () => [data(1, 0, patternBytes(10))]],
  ["END without OPEN", "ASOC_UNEXPECTED_FRAME", () => [end(1, 0)]],
  ["DATA on stream 0", "ASOC_UNEXPECTED_FRAME", () => [data(0, 0, patternBytes(10))]],
  ["OPEN on stream 0", "ASOC_UNEXPECTED_RECORD", (liar) => [liar.control(0, open())]],
  ["OPEN with the other side's parity", "ASOC_UNEXPECTED_RECORD", (liar) => [liar.control(2, open())]],
  [
    "OPEN with an id again",
    "ASOC_UNEXPECTED_RECORD",
    (liar) => [liar.control(3, open()), liar.control(3, open())],
  ],
  [
    "OPEN with ids that go down",
    "ASOC_UNEXPECTED_RECORD",
    (liar) => [liar.control(3, open()), liar.control(1, open())],
  ],
  ["CLOSE without OPEN", "ASOC_UNEXPECTED_RECORD", (liar) => [liar.control(1, close(0))]],
  [
    "RESET without OPEN",
    "ASOC_UNEXPECTED_RECORD",
    (liar) => [liar.control(1, { kind: "reset", code: 1, reason: "" })],
  ],
  [
    "END with a payload",
    "ASOC_UNEXPECTED_FRAME",
    (liar) => [liar.control(1, open()), header(FrameType.END, 1, 0, 5)],
  ],
  [
    "DATA behind END",
    "ASOC_UNEXPECTED_FRAME",
    (liar) => [liar.control(1, open({ digest: 0 }), close(0)), end(1, 0), data(1, 0, patternBytes(1))],
  ],
  [
    "more than the credit of the stream",
    "ASOC_CREDIT_EXCEEDED",
    (liar) => [
      liar.control(1, open({ totalBytes: 2 ** 50 })),
      header(FrameType.DATA, 1, 0, CREDIT_BYTES + 1),
    ],
  ],
  [
    "more than the credit of the connection",
    "ASOC_CREDIT_EXCEEDED",
    (liar) => [
      ...Array.from({ length: CONNECTION_CREDIT_FACTOR + 1 }, (_, index) => [
        liar.control(
          2 * index + 1,
          open({ totalBytes: 2 ** 50, transferId: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, index) }),
        ),
        data(2 * index + 1, 0, new Uint8Array(CREDIT_BYTES)),
      ]).flat(),
    ],
  ],
  [
    "more than the credit of a stream that was stopped",
    "ASOC_CREDIT_EXCEEDED",
    (liar) => [liar.control(1, open({ layout: 1 })), header(FrameType.DATA, 1, 0, CREDIT_BYTES + 1)],
  ],
];

for (const [what, code, frames] of FATAL) {
  test(`a Session ends the connection for ${what}`, () => {
    const { pair, liar, victim } = abused();
    victim.onStream = () => {};
    victim.onReadable = () => {};
    pair.inject(liar, ...frames(liar));
    assert.equal(victim.closedWith(), code);
    assert.ok(victim.pool.usedBytes <= MiB);
    assert.equal(victim.arrived.length, 0);
  });
}

/** These fail one stream, with that code of STOP; the connection lives. */
const STOPPED: readonly [string, number, (liar: ReturnType<typeof abused>["liar"]) => Uint8Array[]][] = [
  ["another layout", 3, (liar) => [liar.control(1, open({ layout: 1 }))]],
  ["a codec", 3, (liar) => [liar.control(1, open({ codec: 1 }))]],
  ["an unknown digest", 3, (liar) => [liar.control(1, open({ digest: 9 }))]],
  [
    "an unknown dtype",
    3,
    (liar) => [liar.control(1, open({ dtype: { code: 99, bits: 8, lanes: 1 }, totalBytes: 1 }))],
  ],
  [
    "a dtype without a length",
    6,
    (liar) => [liar.control(1, open({ dtype: { code: 2, bits: 32, lanes: 1 } }))],
  ],
  [
    "a length that does not fit the shape",
    6,
    (liar) => [liar.control(1, open({ dtype: { code: 2, bits: 32, lanes: 1 }, shape: [3], totalBytes: 11 }))],
  ],
  ["a gap in seq", 6, (liar) => [liar.control(1, open()), data(1, 1, patternBytes(5))]],
  [
    "more than OPEN said",
    6,
    (liar) => [liar.control(1, open({ totalBytes: 4 })), data(1, 0, patternBytes(5))],
  ],
  ["END without CLOSE", 6, (liar) => [liar.control(1, open()), end(1, 0)]],
  ["CLOSE with another length", 6, (liar) => [liar.control(1, open({ digest: 0 }), close(1))]],
  [
    "CLOSE of another transfer",
    6,
    (liar) => [liar.control(1, open({ digest: 0 }), close(0, { transferId: new Uint8Array(8) }))],
  ],
  ["CLOSE with another algorithm", 6, (liar) => [liar.control(1, open(), close(0))]],
  [
    "CLOSE that says it is not complete",
    6,
    (liar) => [liar.control(1, open({ digest: 0 }), close(0, { status: 1 }))],
  ],
  ["CLOSE twice", 6, (liar) => [liar.control(1, open({ digest: 0 }), close(0), close(0))]],
  [
    "DATA behind CLOSE",
    6,
    (liar) => [liar.control(1, open({ digest: 0 }), close(0)), data(1, 0, patternBytes(1)), end(1, 1)],
  ],
  [
    "a digest that differs",
    4,
    (liar) => [
      liar.control(1, open(), close(0, { algorithm: 1, digest: Uint8Array.of(1, 2, 3, 4) })),
      end(1, 0),
    ],
  ],
];

for (const [what, code, frames] of STOPPED) {
  test(`a Session stops a stream for ${what}, hands nothing over, and takes the next one`, () => {
    const { pair, liar, victim } = abused();
    pair.inject(liar, ...frames(liar));
    assert.deepEqual(
      victim.said("stop").map((stop) => [stop.streamId, stop.code]),
      [[1, code]],
    );
    assert.deepEqual([victim.arrived.length, victim.closedWith(), victim.pool.usedBytes], [0, undefined, 0]);
    pair.inject(liar, liar.control(3, open({ digest: 0 }), close(0)), end(3, 0));
    assert.equal(victim.arrived.length, 1);
  });
}

test("a Session reserves no more than its budget, whatever lengths its peer claims", () => {
  const memoryBudgetBytes = 8 * MiB;
  const { pair, liar, victim } = abused({ limits: { memoryBudgetBytes } });
  victim.onStream = () => {};
  for (let index = 0; index < 2000; index++) {
    const transferId = Uint8Array.of(1, 0, 0, 0, 0, 0, index >> 8, index);
    const totalBytes = [3 * MiB, 2 ** 50, undefined][index % 3];
    pair.inject(liar, liar.control(2 * index + 1, open({ totalBytes, transferId })));
  }
  assert.ok(victim.pool.usedBytes <= memoryBudgetBytes);
  assert.equal(victim.closedWith(), undefined);
});

test("a Session whose peer opens without end and reads nothing ends the connection", () => {
  const { pair, liar, victim } = abused();
  victim.blocked = true;
  for (let index = 0; index < 20_000 && !victim.session.closed; index++)
    pair.inject(liar, liar.control(2 * index + 1, open({ layout: 1 })));
  assert.equal(victim.closedWith(), "ASOC_TOO_MANY_STREAMS");
});

test("a Session passes over STOP, CREDIT and ACK about streams that it does not have", () => {
  const { pair, liar, victim } = abused();
  for (const id of [2, 1, 0xffff_fffe])
    pair.inject(
      liar,
      liar.control(id, { kind: "stop", code: 1, reason: "" }),
      liar.control(id, { kind: "credit", limitBytes: 2 ** 40 }),
      liar.control(id, { kind: "ack", transferId: ID, contiguousBytes: 2 ** 40, level: "verified" }),
      liar.control(id, { kind: "blocked", limitBytes: 1 }),
    );
  assert.equal(victim.closedWith(), undefined);
});
