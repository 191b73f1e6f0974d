/**
 * Whole sessions, fed with what the other side of a recorded one wrote, mutated frame by frame (RFC-0004 to RFC-0006): whatever
 * comes, the session ends with an error of ours or goes on, and when it is over no memory is left of it.
 */
import { AsocError, LimitError } from "../../../src/core/errors.ts";
import { DEFAULT_LIMITS, MiB } from "../../../src/core/limits.ts";
import { SendPlan } from "../../../src/core/send_plan.ts";
import { InboundTensor } from "../../../src/core/session/inbound_tensor.ts";
import { Session } from "../../../src/core/session/session.ts";
import type { ArrivingStream, SessionEvent } from "../../../src/core/session/session_types.ts";
import { BufferPool } from "../../../src/core/tensor/buffer_pool.ts";
import { describeSource } from "../../../src/core/tensor/source.ts";
import { communityHash } from "../../../src/core/wire/beacon.ts";
import { fromHex, toHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { createCrypto } from "../../../src/runtime/common/crypto.ts";
import { frameOf, patternOf, type RecordedSession, type Role, record } from "../../support/x1_recorded.ts";
import { counting } from "../../support/x1_samples.ts";
import { joined, mutated } from "../mutate.ts";
import type { FuzzRandom } from "../random.ts";
import { FuzzFault, type FuzzTarget, must, type Outcome } from "../target.ts";

const SENT_BYTES = 600;
/** What CAPS says of limits is as in the recorded session, or its proofs would not hold. */
const LIMITS = {
  ...DEFAULT_LIMITS,
  initialCreditBytes: 256,
  ackBytes: 512,
  maxTensorBytes: MiB,
  memoryBudgetBytes: 2 * MiB,
};
const TRANSFER = { dialler: toHex(counting(0xa0, 8)), acceptor: toHex(counting(0xb0, 8)) };

function recorded(): RecordedSession {
  const random = (first: string, nonce: number) => ({
    4: first,
    8: toHex(counting(0xd0, 8)),
    16: toHex(counting(nonce, 16)),
    32: toHex(counting(nonce, 32)),
  });
  const base: Omit<RecordedSession, "steps"> = {
    name: "for mutation",
    key: "test-secret-key",
    community: "test-cluster",
    unixMs: 1_735_689_600_123,
    dialler: {
      nodeId: "112233445566878899aab0b1b2b3b4b5",
      bootEpoch: 1,
      initialCredit: LIMITS.initialCreditBytes,
      random: random("12345678", 0x10),
    },
    acceptor: {
      nodeId: "00112233445566778899aabbccddeeff",
      bootEpoch: 2,
      initialCredit: LIMITS.initialCreditBytes,
      random: random("c0c1c2c3", 0xe0),
    },
  };
  const tensor = (side: Role, transferId: string, bytes: number, topic: string) =>
    ({ side, does: "send", tensor: { transferId, bytes, topic, digest: "crc32" } }) as const;
  return record(base, [
    tensor("dialler", TRANSFER.dialler, SENT_BYTES, "train/w"),
    tensor("acceptor", TRANSFER.acceptor, SENT_BYTES, "loss"),
    tensor("dialler", toHex(counting(0x30, 8)), 0, ""),
    tensor("acceptor", toHex(counting(0x40, 8)), 40, "b"),
    { side: "dialler", does: "ping" },
  ]);
}

const SESSION = recorded();

/** In the first byte of an input: what comes is handed over frame by frame, and not in cuts that follow from that byte. */
const BY_FRAMES = 2;

/** What `of` heard, behind a byte that says who it is. */
function heardBy(of: Role): Uint8Array {
  const frames = SESSION.steps.filter((step) => "from" in step && step.from !== of);
  return joined(
    Uint8Array.of((of === "dialler" ? 0 : 1) | BY_FRAMES),
    ...frames.map((step) => frameOf(step as Parameters<typeof frameOf>[0])),
  );
}

class Fed {
  readonly pool = new BufferPool(LIMITS);
  readonly session: Session;
  readonly labels: string[] = [];
  readonly delivered: string[] = [];
  readonly #role: Role;
  readonly #inChunks = new Set<ArrivingStream>();
  readonly #crypto;
  #nowMs = 1000;
  #over = false;
  #lost = false;

  constructor(role: Role) {
    this.#role = role;
    const { nodeId, bootEpoch, random } = SESSION[role];
    this.#crypto = createCrypto((bytes) => fromHex(random[bytes] ?? "00".repeat(bytes)));
    this.session = new Session(
      {
        role,
        nodeId: fromHex(nodeId),
        key: utf8(SESSION.key),
        challenge: 0x1234_5678,
        limits: LIMITS,
        crypto: this.#crypto,
        pool: this.pool,
        unixMs: () => SESSION.unixMs,
        x1: { communityHash: communityHash(SESSION.community, this.#crypto), bootEpoch, tensors: true },
      },
      this.#nowMs,
    );
    this.#turn();
  }

  get over(): boolean {
    return this.#over;
  }

  hear(part: Uint8Array): void {
    this.#nowMs += 5;
    this.session.handlePart(part, this.#nowMs);
    this.#turn();
  }

  /** The connection breaks; nothing may be left then. */
  end(): void {
    this.#lost = true;
    this.session.handleTimeout(this.#nowMs + 60_000);
    this.#turn();
    this.session.handleLost(new Error("cut"), this.#nowMs);
    this.#turn();
    must(this.pool.usedBytes === 0, `${this.pool.usedBytes} bytes of tensor memory are left`);
    must(this.session.closed, "it is not closed after the end of its connection");
  }

  #turn(): void {
    const parts: Uint8Array[] = [];
    for (let rounds = 0; ; rounds++) {
      must(rounds < 10_000, "it writes for ever");
      this.#listen();
      if (!this.session.pollTransmit(parts, this.#nowMs)) break;
      this.session.handleWritten(this.#nowMs);
    }
  }

  #listen(): void {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) this.#on(event);
  }

  #on(event: SessionEvent): void {
    switch (event.kind) {
      case "open":
        this.#send();
        return;
      case "stream":
        this.#read(event.stream);
        return;
      case "readable": {
        const { stream } = event;
        for (let piece = stream.hasPieces ? stream.takePiece() : undefined; piece; piece = stream.takePiece())
          stream.releasePiece(piece);
        if (!stream.ended || stream.error || stream.discarded || this.#inChunks.has(stream)) return;
        const whole = stream.takeWhole();
        this.delivered.push(`${stream.id}:${whole.bytes.length}`);
        whole.buffer?.release();
        return;
      }
      case "cut": // as a node that waits for no rest
        event.stream.fail(event.error);
        event.stream.dropMemory();
        return;
      case "closed":
        must(!this.#over, "it closes twice");
        this.#over = true;
        if (event.error && !(event.error instanceof AsocError)) throw event.error;
        if (!this.#lost) this.labels.push(event.error?.code ?? "clean");
        return;
      case "streamFailed":
        if (!this.#lost) this.labels.push(`stream ${event.error.code}`);
        return;
      default:
        if (event.kind !== "sent" && event.kind !== "heard") this.labels.push(event.kind);
    }
  }

  /** Some whole, and some chunk by chunk; what may not be assembled is refused, as a node does it. */
  #read(stream: ArrivingStream): void {
    if (stream.id % 4 >= 2) {
      stream.readChunks();
      this.#inChunks.add(stream);
      return;
    }
    try {
      stream.readWhole();
    } catch (error) {
      if (!(error instanceof LimitError && stream instanceof InboundTensor)) throw error;
      if (stream.ended) stream.dropMemory();
      else this.session.refuse(stream, error);
    }
  }

  /** A tensor of this side's own, which confirmations and credit are about. */
  #send(): void {
    if (!this.session.tensors || this.session.closed) return;
    const described = describeSource({ data: patternOf(0, SENT_BYTES) });
    const options = { transferId: TRANSFER[this.#role], topic: "own", digest: "crc32" } as const;
    const plan = new SendPlan(described, options, this.#crypto, this.#nowMs);
    const stream = this.session.openStream(undefined, plan.at(0, this.#nowMs));
    if (described.memory) this.session.write(stream, described.memory);
    this.session.endStream(stream);
  }
}

function run(input: Uint8Array): Outcome {
  const role: Role = (input[0] ?? 0) % 2 === 0 ? "dialler" : "acceptor";
  const fed = new Fed(role);
  const first = input[0] ?? 0;
  for (let at = 1, turn = 0; at < input.length && !fed.over; turn++) {
    const byFrames = (first & BY_FRAMES) !== 0 && at + 14 <= input.length;
    const size = byFrames ? 14 + lengthAt(input, at) : 1 + ((turn * 131 + first) % 400);
    fed.hear(input.slice(at, at + size));
    at += size;
  }
  fed.end();
  const text = [...fed.labels, ...fed.delivered].join(" ");
  const kinds = [...new Set(fed.labels)].slice(0, 6).join(" ");
  return { label: `${role} ${kinds} ${fed.delivered.length > 0}`, detail: () => text };
}

/** The length that a header at that place announces. */
function lengthAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 14).getUint32(10);
}

interface Cut {
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}

/** The frames of a seed; what is no frame at its end is left out. */
function framesOf(bytes: Uint8Array): Cut[] {
  const frames: Cut[] = [];
  for (let at = 1; at + 14 <= bytes.length; ) {
    const end = at + 14 + lengthAt(bytes, at);
    if (end > bytes.length) break;
    frames.push({ header: bytes.slice(at, at + 14), payload: bytes.slice(at + 14, end) });
    at = end;
  }
  return frames;
}

/** Frames behind the handshake are changed, left out, repeated and moved; lengths and the counter of CONTROL are kept right. */
function make(random: FuzzRandom, pick: () => Uint8Array): Uint8Array {
  const seed = pick();
  const other = framesOf(pick());
  const frames = framesOf(seed);
  const first = random.oneIn(5) ? 0 : Math.min(frames.length, 3);
  for (let left = 1 + random.below(4); left > 0 && frames.length > first; left--) {
    const at = first + random.below(frames.length - first);
    const frame = frames[at] as Cut; // below its length
    const kind = random.below(6);
    if (kind === 0) frames.splice(at, 1);
    else if (kind === 1) frames.splice(at, 0, frame);
    else if (kind === 2 && other.length > 0) frames.splice(at, 0, random.pick(other));
    else if (kind === 3) {
      const header = frame.header.slice();
      header[random.pick([1, 5, 9])] = random.below(8);
      frames[at] = { ...frame, header };
    } else frames[at] = { ...frame, payload: mutated(frame.payload, seed, random) };
  }
  const counts = random.oneIn(8);
  let seq = 0;
  const parts = frames.map(({ header, payload }) => {
    const fixed = header.slice();
    const view = new DataView(fixed.buffer);
    view.setUint32(10, payload.length);
    if (fixed[1] === 3 && !counts) view.setUint32(6, seq++);
    return joined(fixed, payload);
  });
  return joined(Uint8Array.of((seed[0] ?? 0) ^ (random.oneIn(4) ? BY_FRAMES : 0)), ...parts);
}

export const SESSIONS: FuzzTarget = {
  name: "sessions",
  share: 10,
  seeds: [heardBy("dialler"), heardBy("acceptor")],
  make,
  run(input) {
    try {
      return run(input);
    } catch (error) {
      if (error instanceof AsocError)
        throw new FuzzFault(`${error.code} was thrown instead of told: ${error.stack}`);
      throw error;
    }
  },
};
