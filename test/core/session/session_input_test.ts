/** Bad input, byte by byte: every row of RFC-0001's tables, pushed and read in place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AuthError } from "../../../src/core/errors.ts";
import { KiB, MiB } from "../../../src/core/limits.ts";
import { State } from "../../../src/core/session/transitions.ts";
import { fromHex, toHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { FrameType } from "../../../src/core/wire/header.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import {
  acceptFrame,
  DIALLER_ID,
  data,
  end,
  type FedOptions,
  FedSession,
  frame,
  header,
  helloFrame,
  joinBytes,
  tensorFrames,
} from "../../support/core_frames.ts";
import { vectors } from "../../support/core_vectors.ts";

const GOOD = patternBytes(3000);
const READ = [false, true];

/** The same test for bytes that are pushed and for bytes that are read in place. */
function both(name: string, run: (options: FedOptions) => void): void {
  for (const direct of READ) test(`${name} (${direct ? "in place" : "pushed"})`, () => run({ direct }));
}

/** A good stream goes through, so the connection lives. */
function assertLives(fed: FedSession, id = 1001): void {
  fed.feed(tensorFrames(id, GOOD, 1000));
  assert.deepEqual(fed.tensors.at(-1), { id, bytes: GOOD });
  assert.equal(fed.closedWith(), undefined);
}

both("a Session closes on a frame of another version", (options) => {
  const fed = FedSession.open(options);
  const bad = data(1, 0, GOOD);
  bad[0] = 2;
  fed.feed(bad);
  assert.equal(fed.closedWith(), "ASOC_BAD_VERSION");
});

both("a Session skips frames of unknown types, counts them, and goes on", (options) => {
  const fed = FedSession.open(options);
  const unknown = [0, 6, 9, 15, 255].map((type) => frame(type, 0, 7, patternBytes(type * 1000)));
  fed.feed(joinBytes(data(1, 0, GOOD), ...unknown, end(1, 1)));
  assert.equal(fed.session.counters.unknownFrames, 5);
  assert.deepEqual(fed.tensors, [{ id: 1, bytes: GOOD }]);
  assert.equal(fed.pool.usedBytes, 0);
});

both("a Session ignores CONTROL frames of any content, and counts them", (options) => {
  const fed = FedSession.open(options);
  fed.feed(frame(FrameType.CONTROL, 9, 9, patternBytes(500)), frame(FrameType.CONTROL, 0, 0));
  assert.equal(fed.session.counters.controlFrames, 2);
  assertLives(fed);
});

for (const type of [FrameType.DATA, FrameType.CONTROL, 9]) {
  both(
    `a Session closes on the header of an oversized frame of type ${type}, and reserves nothing`,
    (options) => {
      const fed = FedSession.open(options);
      fed.feed(header(type, 1, 0, 16 * MiB + 1));
      assert.equal(fed.closedWith(), "ASOC_FRAME_TOO_LARGE");
      assert.deepEqual(fed.pool.counters, { reused: 0, allocated: 0 });
      assert.equal(fed.session.readTarget().buffer.byteLength < MiB, true, "memory for more was reserved");
      assert.deepEqual(fed.pool.counters, { reused: 0, allocated: 0 });
    },
  );
}

both("a Session gives a closed connection none of a stream's memory", (options) => {
  const fed = FedSession.open(options);
  fed.feed(data(1, 0, GOOD), header(FrameType.DATA, 1, 1, 0xffff_ffff));
  const used = fed.pool.usedBytes;
  for (let i = 0; i < 5; i++) fed.session.handleCommit(fed.session.readTarget().length, fed.nowMs);
  assert.equal(fed.pool.usedBytes, used);
  fed.lose();
  assert.equal(fed.pool.usedBytes, 0);
});

both("a Session reserves for a frame at the limit no more than a chunk before its bytes come", (options) => {
  const fed = FedSession.open(options);
  fed.feed(header(FrameType.DATA, 1, 0, 16 * MiB));
  fed.session.readTarget();
  assert.ok(fed.pool.usedBytes <= MiB);
  assert.equal(fed.closedWith(), undefined);
});

for (const type of [FrameType.DATA, FrameType.END]) {
  both(`a Session closes on type ${type} on stream 0`, (options) => {
    const fed = FedSession.open(options);
    fed.feed(frame(type, 0, 0));
    assert.equal(fed.closedWith(), "ASOC_STREAM_ZERO");
  });
}

both(
  "a gap in seq fails its stream alone, with stream, expected and got; a good stream beside it goes on",
  (options) => {
    const fed = FedSession.open(options);
    fed.feed(
      data(5, 0, GOOD),
      data(3, 0, GOOD),
      data(3, 2, GOOD),
      data(5, 1, GOOD),
      data(3, 3, GOOD),
      end(3, 4),
      end(5, 2),
    );
    assert.deepEqual(fed.failures(), ["3 ASOC_SEQUENCE_GAP"]);
    const failed = fed.events.find((event) => event.kind === "streamFailed");
    assert.deepEqual(failed?.kind === "streamFailed" && failed.error.details, {
      streamId: 3,
      expected: 1,
      got: 2,
    });
    assert.match(
      failed?.kind === "streamFailed" ? failed.error.message : "",
      /[Ss]tream 3.*expected seq 1, got 2/,
    );
    assert.deepEqual(
      fed.tensors.map(({ id }) => id),
      [5],
    );
    assertLives(fed, 3);
    assert.equal(fed.pool.usedBytes, 0);
  },
);

both("a repeated frame fails its stream as a gap does", (options) => {
  const fed = FedSession.open(options);
  fed.feed(data(3, 0, GOOD), data(3, 0, GOOD), end(3, 1));
  assert.deepEqual(fed.failures(), ["3 ASOC_SEQUENCE_GAP"]);
  assertLives(fed);
});

both("a stream that begins with another seq than 0 fails, and its id is free again after END", (options) => {
  const fed = FedSession.open(options);
  fed.feed(data(3, 1, GOOD), data(3, 0, GOOD), end(3, 7));
  assert.deepEqual(fed.failures(), ["3 ASOC_SEQUENCE_GAP"]);
  assert.deepEqual(fed.tensors, []);
  assertLives(fed, 3);
});

both(
  "after END, DATA with seq 0 begins a new stream of that id, and any other seq is an error",
  (options) => {
    const fed = FedSession.open(options);
    fed.feed(tensorFrames(3, GOOD, 1000), tensorFrames(3, GOOD, 500));
    assert.equal(fed.tensors.length, 2);
    fed.feed(data(3, 3, GOOD));
    assert.deepEqual(fed.failures(), ["3 ASOC_SEQUENCE_GAP"]);
    fed.feed(end(3, 4));
    assertLives(fed, 3);
  },
);

both(
  "END with another seq than the number of DATA frames fails the stream: nothing is handed over",
  (options) => {
    for (const seq of [0, 1, 3, 0xffff_fffe]) {
      const fed = FedSession.open(options);
      fed.feed(data(3, 0, GOOD), data(3, 1, GOOD), end(3, seq));
      assert.deepEqual(fed.failures(), ["3 ASOC_SEQUENCE_GAP"], `END ${seq}`);
      assert.deepEqual(fed.tensors, []);
      assert.equal(fed.pool.usedBytes, 0);
      assertLives(fed, 3);
    }
  },
);

both("a lone END with seq 0 is an empty tensor, and one with another seq an error", (options) => {
  const fed = FedSession.open(options);
  fed.feed(end(3, 0), end(5, 1), end(3, 0));
  assert.deepEqual(
    fed.tensors.map(({ id, bytes }) => [id, bytes.length]),
    [
      [3, 0],
      [3, 0],
    ],
  );
  assert.deepEqual(fed.failures(), ["5 ASOC_SEQUENCE_GAP"]);
  assertLives(fed, 5);
});

both("empty DATA frames use up a seq and add nothing", (options) => {
  const fed = FedSession.open(options);
  fed.feed(data(3, 0, new Uint8Array(0)), data(3, 1, GOOD), data(3, 2, new Uint8Array(0)), end(3, 3));
  assert.deepEqual(fed.tensors, [{ id: 3, bytes: GOOD }]);
});

both("END with a payload closes the connection", (options) => {
  const fed = FedSession.open(options);
  fed.feed(data(3, 0, GOOD), frame(FrameType.END, 3, 1, Uint8Array.of(1)));
  assert.equal(fed.closedWith(), "ASOC_UNEXPECTED_FRAME");
});

for (const [name, again] of [
  ["HELLO", helloFrame()],
  ["ACCEPT", acceptFrame()],
] as const) {
  both(`a second ${name} closes the connection, of an acceptor and of a dialler`, (options) => {
    const fed = FedSession.open(options);
    fed.feed(again);
    assert.equal(fed.closedWith(), "ASOC_UNEXPECTED_FRAME");
    const dialler = new FedSession("dialler", options);
    dialler.feed(acceptFrame());
    assert.equal(dialler.session.state, State.OPEN);
    dialler.feed(again);
    assert.equal(dialler.closedWith(), "ASOC_UNEXPECTED_FRAME");
  });
}

both("anything but HELLO first closes on its header, in silence", (options) => {
  const firsts = {
    CONTROL: frame(FrameType.CONTROL, 0, 0),
    DATA: data(1, 0, GOOD),
    END: end(1, 0),
    ACCEPT: acceptFrame(),
    unknown: frame(9, 0, 0),
    "HELLO of 35 bytes": header(FrameType.HELLO, 0, 0, 35),
    "HELLO of 37 bytes": header(FrameType.HELLO, 0, 0, 37),
    "HELLO on stream 1": header(FrameType.HELLO, 1, 0, 36),
    "HELLO with seq 1": header(FrameType.HELLO, 0, 1, 36),
  };
  for (const [name, bytes] of Object.entries(firsts)) {
    const fed = new FedSession("acceptor", options);
    fed.feed(bytes.subarray(0, 14));
    assert.equal(fed.closedWith(), "ASOC_BAD_HANDSHAKE", name);
    assert.equal(fed.written.length, 0, name);
  }
});

both("anything but ACCEPT first closes a dialler on its header", (options) => {
  const firsts = [
    helloFrame(),
    frame(FrameType.CONTROL, 0, 0),
    data(1, 0, GOOD),
    frame(9, 0, 0),
    header(FrameType.ACCEPT, 0, 0, 17),
    header(FrameType.ACCEPT, 2, 0, 16),
  ];
  for (const bytes of firsts) {
    const fed = new FedSession("dialler", options);
    fed.feed(bytes.subarray(0, 14));
    assert.equal(fed.closedWith(), "ASOC_BAD_HANDSHAKE", toHex(bytes.subarray(0, 14)));
  }
});

both("a HELLO or an ACCEPT that is signed with another key closes in silence", (options) => {
  const acceptor = new FedSession("acceptor", options);
  acceptor.feed(helloFrame(utf8("another")));
  assert.equal(acceptor.closedWith(), "ASOC_WRONG_KEY");
  assert.equal(acceptor.written.length, 0);
  const dialler = new FedSession("dialler", options);
  dialler.feed(acceptFrame(utf8("another")));
  assert.equal(dialler.closedWith(), "ASOC_WRONG_KEY");
  assert.deepEqual(dialler.kinds(), ["closed"]);
});

both("the golden HELLOs are accepted or refused as recorded", (options) => {
  for (const { apiKey, frame: whole } of vectors.hello.filter(({ apiKey }) => apiKey === "test-secret-key")) {
    const fed = new FedSession("acceptor", options);
    fed.feed(fromHex(whole));
    assert.deepEqual(fed.kinds(), ["open"], apiKey);
  }
  for (const { payload, apiKey } of vectors.helloRejected.filter((v) => v.apiKey === "test-secret-key")) {
    const fed = new FedSession("acceptor", options);
    fed.feed(frame(FrameType.HELLO, 0, 0, fromHex(payload)));
    assert.deepEqual(fed.kinds(), ["closed"], `${apiKey} ${payload}`);
  }
});

both("a HELLO that the node does not admit closes with its error, in silence", (options) => {
  const asked: unknown[] = [];
  const fed = new FedSession("acceptor", {
    ...options,
    admit: (nodeId, challenge) => {
      asked.push([toHex(nodeId), challenge]);
      return new AuthError("ASOC_REPLAYED_HELLO", "seen");
    },
  });
  fed.feed(helloFrame());
  assert.equal(fed.closedWith(), "ASOC_REPLAYED_HELLO");
  assert.equal(fed.written.length, 0);
  assert.deepEqual(asked, [[toHex(DIALLER_ID), 7]]);
});

both("what is pipelined behind HELLO counts: CONTROL and a whole tensor", (options) => {
  const fed = new FedSession("acceptor", options);
  fed.feed(joinBytes(helloFrame(), frame(FrameType.CONTROL, 0, 0), tensorFrames(1, GOOD, 1000)));
  assert.deepEqual(fed.tensors, [{ id: 1, bytes: GOOD }]);
});

both("a header cut by the end of the connection closes with an error that says so", (options) => {
  for (let length = 1; length < 14; length++) {
    const fed = FedSession.open(options);
    fed.feed(data(1, 0, GOOD).subarray(0, length));
    fed.fin();
    assert.equal(fed.closedWith(), "ASOC_TRUNCATED_FRAME");
    const first = new FedSession("acceptor", options);
    first.feed(helloFrame().subarray(0, length));
    first.fin();
    assert.equal(first.closedWith(), "ASOC_TRUNCATED_FRAME");
  }
});

both("a connection lost before END fails the stream as incomplete, wherever it was cut", (options) => {
  const whole = tensorFrames(1, GOOD, 1000);
  for (const cut of [1014, 1500, 2028, whole.length - 14, whole.length - 1]) {
    for (const how of ["fin", "lose"] as const) {
      const fed = FedSession.open(options);
      fed.feed(whole.subarray(0, cut));
      fed[how]();
      assert.deepEqual(fed.failures(), ["1 ASOC_INCOMPLETE_STREAM"], `${how} after ${cut}`);
      assert.deepEqual(fed.tensors, []);
      assert.equal(fed.pool.usedBytes, 0);
    }
  }
});

both("too many open streams fail the newest, and the connection lives", (options) => {
  const fed = FedSession.open({ ...options, limits: { maxInboundStreams: 3 } });
  for (let id = 1; id <= 4; id++) fed.feed(data(id, 0, GOOD));
  assert.deepEqual(fed.failures(), ["4 ASOC_TOO_MANY_STREAMS"]);
  for (let id = 1; id <= 4; id++) fed.feed(end(id, 1));
  assert.deepEqual(
    fed.tensors.map(({ id }) => id),
    [1, 2, 3],
  );
  assertLives(fed);
});

both("too many failed streams without END close the connection", (options) => {
  const fed = FedSession.open({ ...options, limits: { maxInboundStreams: 3 } });
  for (let id = 1; id <= 4; id++) fed.feed(data(id, 9, GOOD));
  assert.equal(fed.closedWith(), "ASOC_TOO_MANY_STREAMS");
});

test("Session.readTarget() throws nothing when a stream fails at that very moment", () => {
  const fed = FedSession.open({ limits: { maxInboundStreams: 1, maxTensorBytes: 10 * KiB } });
  fed.feed(data(3, 9, GOOD), header(FrameType.DATA, 1, 0, 20 * KiB));
  assert.ok(fed.session.readTarget().length > 0);
  fed.poll();
  assert.equal(fed.closedWith(), "ASOC_TOO_MANY_STREAMS");
});

test("the golden streams arrive as their tensors", () => {
  for (const { streamId, tensor, wire } of vectors.streams) {
    const fed = FedSession.open();
    fed.feed(fromHex(wire));
    assert.deepEqual(fed.tensors, [{ id: streamId, bytes: fromHex(tensor) }]);
  }
});

test("a Session survives any bytes: it closes or waits, and all memory comes back", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc
      .tuple(fc.nat(6), fc.nat(3), fc.nat(2), fc.uint8Array({ maxLength: 30 }))
      .map(([type, id, seq, bytes]) => frame(type, id, seq, bytes)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.boolean(), fc.boolean(), (pieces, direct, isOpen) => {
      const fed = isOpen ? FedSession.open({ direct }) : new FedSession("acceptor", { direct });
      fed.feed(...pieces);
      fed.lose();
      assert.notEqual(fed.closedWith(), undefined);
      assert.equal(fed.pool.usedBytes, 0);
      assert.equal(fed.session.pollDeadline(), undefined);
      assert.equal(fed.session.pollTransmit([], fed.nowMs), false);
    }),
    { numRuns: 300 },
  );
});
