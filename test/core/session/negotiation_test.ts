/** The extension x1 at the beginning of a connection: who speaks it, and what no attack gets past (RFC-0004, RFC-0100). */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DEFAULT_LIMITS, KiB } from "../../../src/core/limits.ts";
import type { X1Config } from "../../../src/core/session/negotiation.ts";
import { Session } from "../../../src/core/session/session.ts";
import { State } from "../../../src/core/session/transitions.ts";
import { BufferPool } from "../../../src/core/tensor/buffer_pool.ts";
import { utf8 } from "../../../src/core/wire/bytes.ts";
import { FrameType, HEADER_BYTES } from "../../../src/core/wire/header.ts";
import { encodeControl } from "../../../src/core/wire/records/records.ts";
import { patternBytes, testCrypto } from "../../support/core_crypto.ts";
import {
  ACCEPTOR_ID,
  DIALLER_ID,
  data,
  frame,
  helloFrame,
  joinBytes,
  KEY,
} from "../../support/core_frames.ts";
import { type PairOptions, SessionPair, type Side } from "../../support/core_session_pair.ts";

const COMMUNITY = utf8("the same");
const says = (fields: Partial<X1Config> = {}): X1Config => ({
  communityHash: COMMUNITY,
  bootEpoch: 1,
  ...fields,
});
const BOTH: PairOptions = { x1: { dialler: says(), acceptor: says({ bootEpoch: 2 }) } };
const V8 = DIALLER_ID.map((byte, index) => (index === 6 ? 0x81 : index === 8 ? 0x91 : byte));

const opened = (side: Side) => {
  const event = side.events.find(({ kind }) => kind === "open");
  return event?.kind === "open" ? event : undefined;
};
const bytesOf = (side: Side) => side.writes.flat().reduce((sum, byteCount) => sum + byteCount, 0);

test("two Sessions that speak x1 prove themselves to each other in one round trip and at most 350 bytes", () => {
  const pair = SessionPair.open(BOTH);
  assert.deepEqual(opened(pair.dialler)?.nodeId, ACCEPTOR_ID);
  assert.deepEqual(opened(pair.acceptor)?.nodeId, DIALLER_ID);
  assert.equal(opened(pair.dialler)?.caps?.bootEpoch, 2);
  assert.equal(opened(pair.acceptor)?.caps?.bootEpoch, 1);
  assert.equal(pair.dialler.writes.length, 2, "HELLO and CAPS; PROOF");
  assert.equal(bytesOf(pair.dialler) + bytesOf(pair.acceptor), 330);
});

test("a key exchange costs two public keys, and at most 420 bytes in all", () => {
  const keyExchange = true;
  const pair = SessionPair.open({ x1: { dialler: says({ keyExchange }), acceptor: says({ keyExchange }) } });
  assert.ok(opened(pair.dialler)?.caps && opened(pair.acceptor)?.caps);
  assert.equal(bytesOf(pair.dialler) + bytesOf(pair.acceptor), 402);
});

test("a key exchange that one side does not offer is done without", () => {
  for (const x1 of [
    { dialler: says({ keyExchange: true }), acceptor: says() },
    { dialler: says(), acceptor: says({ keyExchange: true }) },
  ]) {
    const pair = SessionPair.open({ x1 });
    assert.ok(opened(pair.dialler)?.caps && opened(pair.acceptor)?.caps);
  }
});

test("tensors go both ways over a session that has begun with x1, in any cuts", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.boolean(), (cut, direct) => {
      const pair = SessionPair.open({ ...BOTH, cut: () => cut, direct: () => direct });
      pair.dialler.send(patternBytes(3000, 1));
      pair.acceptor.send(patternBytes(5000, 2));
      pair.run();
      assert.deepEqual(pair.acceptor.tensors[0]?.bytes, patternBytes(3000, 1));
      assert.deepEqual(pair.dialler.tensors[0]?.bytes, patternBytes(5000, 2));
    }),
    { numRuns: 40 },
  );
});

test("a dialler that speaks x1 knows a v0.1 acceptor by its token, and does not wait", () => {
  const pair = SessionPair.open({ x1: { dialler: says() } });
  assert.deepEqual([opened(pair.dialler)?.caps, opened(pair.dialler)?.nodeId], [undefined, undefined]);
  pair.dialler.send(patternBytes(1000));
  pair.run();
  assert.deepEqual(pair.acceptor.tensors[0]?.bytes, patternBytes(1000));
});

test("an acceptor that speaks x1 knows a v0.1 dialler by its first frame", () => {
  const pair = SessionPair.open({ x1: { acceptor: says() } });
  assert.equal(opened(pair.acceptor), undefined, "CAPS could still come");
  pair.dialler.send(patternBytes(1000));
  pair.run();
  assert.deepEqual([opened(pair.acceptor)?.caps, opened(pair.acceptor)?.nodeId], [undefined, DIALLER_ID]);
  assert.deepEqual(pair.acceptor.tensors[0]?.bytes, patternBytes(1000));
});

test("an acceptor lists a v0.1 dialler that says nothing after 500 ms, or when it closes", () => {
  const silent = SessionPair.open({ x1: { acceptor: says() } });
  silent.advance(499);
  assert.equal(opened(silent.acceptor), undefined);
  silent.advance(1);
  assert.deepEqual(opened(silent.acceptor)?.nodeId, DIALLER_ID);
  const short = SessionPair.open({ x1: { acceptor: says() } });
  short.dialler.session.close(short.nowMs);
  short.run();
  assert.deepEqual(short.acceptor.kinds(), ["open", "finish", "closed"]);
  assert.equal(short.acceptor.closedWith(), "clean");
});

test("an acceptor takes a CONTROL frame without CAPS for a v0.1 peer's", () => {
  for (const payload of [new Uint8Array(0), patternBytes(100).fill(9, 0, 1)]) {
    const acceptor = fed();
    acceptor.feed(helloFrame(), frame(FrameType.CONTROL, 4, 77, payload));
    assert.equal(acceptor.session.state, State.OPEN);
    acceptor.feed(data(1, 0, patternBytes(10)));
    assert.equal(acceptor.error(), undefined);
  }
});

test("a node id of version 8 has to prove itself: no frame and no silence makes it a v0.1 peer", () => {
  const acceptor = fed();
  acceptor.feed(helloFrame(KEY, 7, V8), data(1, 0, patternBytes(10)));
  assert.equal(acceptor.error(), "ASOC_DOWNGRADE");
  const silent = SessionPair.open({ x1: { acceptor: says() }, diallerId: V8 });
  silent.advance(9999);
  assert.equal(silent.acceptor.closedWith(), undefined);
  silent.advance(1);
  assert.equal(silent.acceptor.closedWith(), "ASOC_HANDSHAKE_TIMEOUT");
});

test("whoever must prove itself, because it has before or because legacy is denied, is refused without", () => {
  const inbound = SessionPair.open({ x1: { acceptor: says() }, mustProve: true });
  inbound.dialler.send(patternBytes(10));
  inbound.run();
  assert.equal(inbound.acceptor.closedWith(), "ASOC_DOWNGRADE");
  const outbound = SessionPair.open({ x1: { dialler: says() }, mustProve: true });
  assert.equal(outbound.dialler.closedWith(), "ASOC_DOWNGRADE");
  const proven = SessionPair.open({ ...BOTH, mustProve: true });
  assert.ok(opened(proven.dialler)?.caps);
});

test("another community with the same key is refused", () => {
  const pair = SessionPair.open({
    x1: { dialler: says(), acceptor: says({ communityHash: utf8("another!") }) },
  });
  assert.equal(pair.acceptor.closedWith(), "ASOC_WRONG_COMMUNITY");
  assert.equal(opened(pair.dialler), undefined);
});

test("DATA before the proof ends the connection and never falls back", () => {
  const taped = tape();
  for (const known of [taped.hello, joinBytes(taped.hello, taped.caps)]) {
    const acceptor = fed(V8);
    acceptor.feed(known, data(1, 0, patternBytes(10)));
    assert.match(String(acceptor.error()), /ASOC_(DOWNGRADE|BAD_HANDSHAKE)/);
    assert.equal(acceptor.opened, undefined);
  }
});

test("a recorded handshake that is played again proves nothing, because the acceptor's nonce is another", () => {
  const taped = tape();
  const acceptor = fed(V8, 99);
  acceptor.feed(taped.hello, taped.caps);
  assert.equal(acceptor.session.state, State.PROOF_AWAITED);
  acceptor.feed(taped.proof);
  assert.equal(acceptor.error(), "ASOC_BAD_PROOF");
  assert.equal(acceptor.opened, undefined);
});

test("what a dialler says, said back to it, proves nothing", () => {
  const taped = tape();
  const dialler = fed(V8, 5, "dialler");
  const [, caps = new Uint8Array(0)] = dialler.sent();
  dialler.feed(taped.accept, caps);
  assert.equal(dialler.error(), "ASOC_DUPLICATE_NODE_ID");
  assert.equal(dialler.opened, undefined);
});

test("CAPS that comes when its time is over ends the connection, so that it is made again with x1", () => {
  const taped = tape(DIALLER_ID);
  const acceptor = fed();
  acceptor.feed(taped.hello);
  acceptor.session.handleTimeout(acceptor.nowMs + 500);
  assert.equal(acceptor.session.state, State.OPEN);
  acceptor.feed(taped.caps);
  assert.equal(acceptor.error(), "ASOC_UNEXPECTED_RECORD");
});

test("no changed bit of the handshake leads to a proven session", () => {
  const length = 330;
  // The flags of both PROOF records say nothing: they are the only bytes that may change.
  const flags = [50 + 82 + 30 + 14 + 68 + 1, length - 36 + 1];
  const byte = fc.integer({ min: 0, max: length - 1 }).filter((index) => !flags.includes(index));
  fc.assert(
    fc.property(byte, fc.integer({ min: 0, max: 7 }), (index, lower) => {
      const bit = index * 8 + lower;
      let at = 0;
      const pair = new SessionPair({ ...BOTH, diallerId: V8, cut: () => 1 << 20 });
      pair.corrupt = (bytes) => {
        const index = (bit >> 3) - at;
        if (index >= 0 && index < bytes.length) bytes[index] = (bytes[index] ?? 0) ^ (1 << (bit & 7));
        at += bytes.length;
      };
      pair.run();
      pair.advance(20_000);
      const both = opened(pair.dialler)?.caps && opened(pair.acceptor)?.caps;
      assert.equal(both, undefined, `bit ${bit}`);
    }),
    { numRuns: 600 },
  );
});

test("an unknown record is skipped; an unknown critical one ends the connection, and the other side hears why", () => {
  const unknown = Uint8Array.of(0x7f, 0, 0, 1, 42);
  const critical = Uint8Array.of(0x7f, 1, 0, 1, 42);
  const pair = SessionPair.open(BOTH);
  pair.inject(pair.dialler, frame(FrameType.CONTROL, 0, 2, unknown));
  pair.run();
  assert.equal(pair.acceptor.closedWith(), undefined);
  pair.inject(pair.dialler, frame(FrameType.CONTROL, 0, 3, critical));
  pair.run();
  assert.equal(pair.acceptor.closedWith(), "ASOC_UNKNOWN_CRITICAL_RECORD");
  assert.equal(pair.dialler.closedWith(), "ASOC_PEER_ERROR");
});

test("CONTROL frames of a session with x1 are counted, and a gap or one that is too long ends it", () => {
  const gap = SessionPair.open(BOTH);
  gap.inject(gap.dialler, frame(FrameType.CONTROL, 0, 7));
  gap.run();
  assert.equal(gap.acceptor.closedWith(), "ASOC_UNEXPECTED_RECORD");
  const long = SessionPair.open(BOTH);
  long.inject(long.dialler, frame(FrameType.CONTROL, 0, 2, new Uint8Array(16 * KiB + 1)));
  long.run();
  assert.equal(long.acceptor.closedWith(), "ASOC_FRAME_TOO_LARGE");
});

test("PING measures the round trip; who asks and does not read gets few answers", () => {
  const pair = SessionPair.open({ ...BOTH, delayMs: () => 7 });
  pair.dialler.session.setKeepalive(true);
  pair.advance(13_000);
  assert.ok((pair.dialler.session.roundTripMs ?? 0) >= 14);
  const acceptor = provenAcceptor();
  for (let i = 0; i < 1000; i++) {
    const ping = encodeControl([{ kind: "ping", opaque: new Uint8Array(8), unixMs: 0 }]);
    acceptor.feed(frame(FrameType.CONTROL, 0, 2 + i, ping));
  }
  assert.equal(acceptor.error(), undefined);
  assert.ok(acceptor.sent().length <= 70, "one batch is with the socket, 64 answers wait");
});

test("frames and streams stay within what the other side takes", () => {
  const pair = SessionPair.open({ ...BOTH, limits: { maxPayloadBytes: 8 * KiB, maxInboundStreams: 3 } });
  const streams = [0, 1, 2].map(() => pair.dialler.session.openStream());
  assert.deepEqual(new Set(streams.map(({ chunkBytes }) => chunkBytes)), new Set([8 * KiB]));
  assert.throws(() => pair.dialler.session.openStream(), { code: "ASOC_TOO_MANY_STREAMS" });
  for (const stream of streams) pair.dialler.session.abandonStream(stream);
  pair.dialler.send(patternBytes(100 * KiB));
  pair.run();
  assert.deepEqual(pair.acceptor.tensors[0]?.bytes, patternBytes(100 * KiB));
});

test("a side that takes no tensors says so with max_streams 0, and the other opens none", () => {
  const pair = SessionPair.open({
    x1: { dialler: says({ takesTensors: false }), acceptor: says({ bootEpoch: 2 }) },
  });
  assert.equal(opened(pair.acceptor)?.caps?.maxStreams, 0);
  assert.throws(() => pair.acceptor.session.openStream(), { code: "ASOC_STOPPED" });
  pair.dialler.send(patternBytes(KiB));
  pair.run();
  assert.deepEqual(pair.acceptor.tensors[0]?.bytes, patternBytes(KiB));
});

test("a peer whose frames would be too small to be worth it is refused", () => {
  const pair = SessionPair.open({ ...BOTH, limits: { maxPayloadBytes: KiB - 1 } });
  assert.equal(pair.acceptor.closedWith(), "ASOC_RECORD_LIMIT");
});

test("a dialler that has come without CAPS before is not waited for; CAPS from it then is late", () => {
  const taped = tape(DIALLER_ID);
  const acceptor = fed(DIALLER_ID, 3, "acceptor", () => true);
  acceptor.feed(taped.hello);
  assert.equal(acceptor.session.state, State.OPEN);
  acceptor.feed(taped.caps);
  assert.equal(acceptor.error(), "ASOC_UNEXPECTED_RECORD");
  const proving = fed(V8, 3, "acceptor", () => true);
  proving.feed(tape().hello);
  assert.equal(proving.session.state, State.CAPS_AWAITED, "its id says that it can prove itself");
});

test("the last words take the place of answers that were still waiting, so that they are in order", () => {
  const acceptor = provenAcceptor();
  acceptor.sent(); // what it has said so far is with the socket
  acceptor.session.handleWritten(0);
  const ping = encodeControl([{ kind: "ping", opaque: new Uint8Array(8), unixMs: 0 }]);
  acceptor.feed(frame(FrameType.CONTROL, 0, 2, ping), frame(FrameType.CONTROL, 0, 3, ping));
  acceptor.feed(frame(FrameType.CONTROL, 0, 4, Uint8Array.of(0x7f, 1, 0, 0)));
  assert.equal(acceptor.error(), "ASOC_UNKNOWN_CRITICAL_RECORD");
  const words = acceptor.session.lastWords;
  assert.ok(words);
  // One CONTROL frame has gone out before: CAPS and PROOF.
  assert.equal(new DataView(words.buffer).getUint32(6), 1);
});

// --- one side, fed with bytes

interface Fed {
  readonly session: Session;
  readonly nowMs: number;
  readonly opened: unknown;
  feed(...parts: readonly Uint8Array[]): void;
  /** Frames that it has sent; the socket takes nothing after the first look. */
  sent(): Uint8Array[];
  error(): string | undefined;
}

function fed(
  nodeId = DIALLER_ID,
  seed = 3,
  role: "dialler" | "acceptor" = "acceptor",
  isLegacy: (nodeId: Uint8Array) => boolean = () => false,
): Fed {
  const limits = DEFAULT_LIMITS;
  const own = role === "dialler" ? nodeId : ACCEPTOR_ID;
  const session = new Session(
    {
      role,
      nodeId: own,
      key: KEY,
      limits,
      crypto: testCrypto(seed),
      pool: new BufferPool(limits),
      x1: says(),
      isLegacy,
    },
    0,
  );
  let error: string | undefined;
  let opening: unknown;
  const look = () => {
    for (let event = session.pollEvent(); event; event = session.pollEvent()) {
      if (event.kind === "open") opening = event;
      if (event.kind === "closed") error = event.error?.code;
    }
  };
  return {
    session,
    nowMs: 0,
    get opened() {
      return opening;
    },
    feed(...parts) {
      for (const part of parts) session.handlePart(part, 0);
      look();
    },
    sent() {
      const parts: Uint8Array[] = [];
      session.pollTransmit(parts, 0);
      return parts.map((part) => part.slice());
    },
    error: () => error,
  };
}

/** What two sides say to each other, frame by frame. */
function tape(diallerId = V8): Record<"hello" | "caps" | "accept" | "answer" | "proof", Uint8Array> {
  const dialler = fed(diallerId, 11, "dialler");
  const acceptor = fed(diallerId, 12);
  const [hello = none, caps = none] = dialler.sent();
  dialler.session.handleWritten(0);
  acceptor.feed(hello, caps);
  const [accept = none, answer = none] = acceptor.sent();
  dialler.feed(accept, answer);
  const [proof = none] = dialler.sent();
  assert.equal(proof.length, HEADER_BYTES + 36);
  return { hello, caps, accept, answer, proof };
}
const none = new Uint8Array(0);

/** An acceptor whose dialler has proven itself. */
function provenAcceptor(): Fed {
  const taped = tape();
  const acceptor = fed(V8, 12); // draws what the tape's acceptor drew
  acceptor.feed(taped.hello, taped.caps, taped.proof);
  assert.equal(acceptor.session.state, State.OPEN);
  return acceptor;
}
