/** Credit under any schedule: no limit is exceeded, nobody waits for ever, and no unread stream is in the way of others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CONNECTION_CREDIT_FACTOR, KiB, MiB } from "../../../src/core/limits.ts";
import type { InboundTensor } from "../../../src/core/session/inbound_tensor.ts";
import type { OutboundStream } from "../../../src/core/session/outbound.ts";
import { patternBytes, seededRandom } from "../../support/core_crypto.ts";
import { joinBytes } from "../../support/core_frames.ts";
import { TensorPair } from "../../support/tensor_pair.ts";
import type { TensorSide } from "../../support/tensor_side.ts";

/** A source whose length nobody knows; the test writes it by hand. */
const UNKNOWN: Iterable<Uint8Array> = [];

type Reading = "whole" | "into" | "chunks" | "cancel";

interface Sent {
  readonly byteCount: number;
  readonly known: boolean;
  readonly priority: number;
  readonly chunkBytes: number;
  readonly reading: Reading;
  /** When its reader comes: at once, or when all else stands still. */
  readonly late: boolean;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  byteCount: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 40_000 })),
  known: fc.boolean(),
  priority: fc.constantFrom(0, 128, 128, 255),
  chunkBytes: fc.integer({ min: 1000, max: 20_000 }),
  reading: fc.constantFrom<Reading>("whole", "into", "chunks", "cancel"),
  late: fc.boolean(),
});

/** Reads streams of one side in the ways that they are to be read in. */
class Readers {
  readonly done = new Map<number, Uint8Array>();
  readonly #side: TensorSide;
  readonly #parts = new Map<InboundTensor, Uint8Array[]>();

  constructor(side: TensorSide) {
    this.#side = side;
    side.onReadable = (stream) => this.#pull(stream);
  }

  begin(stream: InboundTensor, reading: Reading, byteCount: number): void {
    if (reading === "cancel") {
      if (!stream.ended) this.#side.session.giveUp(stream, "not wanted");
      else stream.dropMemory();
      return;
    }
    this.#parts.set(stream, []);
    if (reading === "whole") stream.readWhole();
    else if (reading === "into") stream.readInto(new Uint8Array(byteCount));
    else {
      stream.readChunks();
      stream.wantsBytes = true;
    }
    this.#pull(stream);
  }

  #pull(stream: InboundTensor): void {
    const parts = this.#parts.get(stream);
    if (!parts || stream.error) return;
    for (let piece = stream.takePiece(); piece; piece = stream.takePiece()) {
      parts.push(piece.bytes.slice());
      stream.releasePiece(piece);
    }
    if (!stream.ended || stream.hasPieces || this.done.has(stream.id)) return;
    const whole = stream.takeWhole();
    this.done.set(stream.id, joinBytes(...parts, whole.bytes.slice()));
    whole.buffer?.release();
  }
}

test("any streams, read in any way at any time, end as they should, within all credit and with no memory left", () => {
  fc.assert(
    fc.property(
      fc.array(sent, { minLength: 1, maxLength: 30 }),
      fc.integer(),
      fc.constantFrom(0, 256, 4 * KiB),
      fc.constantFrom(64 * KiB, 256 * KiB),
      (all, seed, initialCreditBytes, memoryBudgetBytes) => {
        const random = seededRandom(seed);
        const pair = new TensorPair({
          limits: {
            initialCreditBytes,
            memoryBudgetBytes,
            maxTensorBytes: 48 * KiB,
            maxChunkAheadBytes: 16 * KiB,
          },
          cut: () => Math.ceil(random() * 5000),
          delayMs: () => Math.floor(random() * 5),
          direct: () => random() < 0.7,
        });
        const { dialler, acceptor } = pair;
        const readers = new Readers(acceptor);
        const plan = (stream: InboundTensor) => all[stream.description.step ?? 0];
        const begin = (stream: InboundTensor, late: boolean) => {
          const {
            reading,
            byteCount,
            late: isLate,
          } = plan(stream) ?? { reading: "whole", byteCount: 0, late: false };
          if (isLate === late) readers.begin(stream, reading, byteCount);
        };
        acceptor.onStream = (stream) => begin(stream, false);
        const streams = all.map(({ byteCount, known, priority, chunkBytes }, step): OutboundStream => {
          const bytes = patternBytes(byteCount, step);
          const options = { priority, chunkBytes, step };
          if (known) return dialler.send(bytes, options);
          const stream = dialler.send(UNKNOWN, options);
          dialler.session.write(stream, bytes);
          dialler.session.endStream(stream);
          return stream;
        });
        // 10 s at a time: the sender's bounds for lower priorities pass, and late readers come one after the other.
        pair.advance(10_000);
        for (const stream of [...acceptor.streams].sort(() => random() - 0.5)) {
          begin(stream, true);
          pair.advance(2000);
        }
        // One that was waiting for the late ones may have begun meanwhile.
        for (const stream of acceptor.streams) if (!stream.claimed && plan(stream)?.late) begin(stream, true);
        pair.advance(10_000);
        assert.equal(acceptor.closedWith() ?? dialler.closedWith(), undefined);
        for (const [step, stream] of streams.entries()) {
          const { reading, byteCount, known } = all[step] as Sent;
          assert.ok(stream.settled, `stream ${stream.id} (${JSON.stringify(all[step])}) has not ended`);
          if (stream.error) {
            // Of unknown length it may find the memory held by others of which none is whole.
            const { code } = stream.error;
            assert.equal(code, "ASOC_STOPPED");
            assert.ok(reading === "cancel" || !known, `stream ${stream.id}: ${stream.error.message}`);
          } else if (reading !== "cancel") {
            assert.deepEqual(readers.done.get(stream.id), patternBytes(byteCount, step));
          }
        }
        assert.equal(acceptor.pool.usedBytes, 0);
      },
    ),
    { numRuns: 60 },
  );
});

test("streams that nobody reads stand at their credit, and others pass them", () => {
  const initialCreditBytes = 4 * KiB;
  // Longer than may be assembled, and not read: they get no memory but that of the window.
  const pair = new TensorPair({ limits: { initialCreditBytes, maxTensorBytes: MiB } });
  const { dialler, acceptor } = pair;
  acceptor.onStream = (stream) => {
    if (stream.description.topic === "read") stream.readWhole();
  };
  const unread = Array.from({ length: CONNECTION_CREDIT_FACTOR - 1 }, () =>
    dialler.send(new Uint8Array(2 * MiB)),
  );
  pair.run();
  for (const { promisedBytes } of unread) assert.equal(promisedBytes, initialCreditBytes);
  for (let index = 0; index < 20; index++) {
    const stream = dialler.send(patternBytes(100_000, index), { topic: "read", priority: index });
    pair.run();
    assert.equal(stream.verified, true);
  }
  assert.equal(acceptor.closedWith(), undefined);
});

test("a sender that has one window for all does not go over it, and goes on when it is granted more", () => {
  const initialCreditBytes = 4 * KiB;
  const pair = new TensorPair({ limits: { initialCreditBytes, maxTensorBytes: MiB } });
  const { dialler, acceptor } = pair;
  acceptor.onStream = () => {};
  const streams = Array.from({ length: 40 }, () => dialler.send(new Uint8Array(2 * MiB)));
  const promised = () => streams.reduce((sum, { promisedBytes }) => sum + promisedBytes, 0);
  pair.run();
  assert.equal(promised(), CONNECTION_CREDIT_FACTOR * initialCreditBytes);
  for (const stream of acceptor.streams.slice(0, 3)) acceptor.session.giveUp(stream, "not wanted");
  pair.run();
  assert.equal(promised(), (CONNECTION_CREDIT_FACTOR + 3) * initialCreditBytes);
  assert.equal(acceptor.closedWith(), undefined);
});
