/**
 * One whole session of x1 between two of our own sessions, frame by frame, with fixed randomness and clocks: what
 * `npm run vectors` writes, and what a single session is fed with to see that it writes the same again.
 */

import { DEFAULT_LIMITS, MiB } from "../../src/core/limits.ts";
import type { Crypto } from "../../src/core/runtime.ts";
import { SendPlan } from "../../src/core/send_plan.ts";
import { Session } from "../../src/core/session/session.ts";
import { BufferPool } from "../../src/core/tensor/buffer_pool.ts";
import { describeSource } from "../../src/core/tensor/source.ts";
import { communityHash } from "../../src/core/wire/beacon.ts";
import { fromHex, joinBytes, toHex, utf8 } from "../../src/core/wire/bytes.ts";
import { decodeHeader, FrameType, HEADER_BYTES, type Header } from "../../src/core/wire/header.ts";
import { decodeRecords } from "../../src/core/wire/records/records.ts";
import { createCrypto } from "../../src/runtime/common/crypto.ts";

export type Role = "dialler" | "acceptor";

/** What a side is made of; `random` has the bytes for each length that is asked for. */
export interface SideConfig {
  readonly nodeId: string;
  readonly bootEpoch: number;
  readonly initialCredit: number;
  readonly random: { readonly [bytes: number]: string };
}

/** A tensor whose byte i is (3 + 7 i) mod 256, as in the streams of v1.json. */
export interface RecordedTensor {
  readonly transferId: string;
  readonly bytes: number;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  readonly topic: string;
  readonly digest: "crc32" | "sha256";
}

/** A side does something, or one frame is written by it. FIN has no bytes. */
export type Step =
  | { readonly side: Role; readonly does: "send"; readonly tensor: RecordedTensor }
  | { readonly side: Role; readonly does: "ping" | "close" }
  | {
      readonly from: Role;
      readonly comment: string;
      readonly hex: string;
      /** Where the rest of the frame's payload lies in its tensor; it is not in `hex`. */
      readonly tail?: { readonly at: number; readonly bytes: number };
    };

export interface RecordedSession {
  readonly key: string;
  readonly community: string;
  readonly unixMs: number;
  readonly dialler: SideConfig;
  readonly acceptor: SideConfig;
  readonly steps: readonly Step[];
}

/** Payloads up to this length stand in the file. */
const WHOLE_BYTES = 64;
/** Sooner than a node does, so that the session shows it. */
const RECORDED_ACK_BYTES = 8 * MiB;

export function patternOf(at: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, index) => 3 + 7 * (at + index));
}

/** The frame of a step, all of it; FIN is empty. */
export function frameOf(step: Extract<Step, { from: Role }>): Uint8Array {
  return joinBytes([
    fromHex(step.hex),
    step.tail ? patternOf(step.tail.at, step.tail.bytes) : new Uint8Array(0),
  ]);
}

/** One session with what drives it: a clock of its own, and consumers that take whole tensors. */
export class RecordedSide {
  readonly session: Session;
  /** Tensors that were handed over, in their order. */
  readonly tensors: Uint8Array[] = [];
  readonly #crypto: Crypto;
  #nowMs = 1000;
  #finDue = false;

  constructor(role: Role, recorded: Omit<RecordedSession, "steps">) {
    const { nodeId, bootEpoch, initialCredit, random } = recorded[role];
    this.#crypto = createCrypto((bytes) => fromHex(random[bytes] ?? ""));
    const limits = { ...DEFAULT_LIMITS, initialCreditBytes: initialCredit, ackBytes: RECORDED_ACK_BYTES };
    const challenge = new DataView(fromHex(random[4] ?? "").buffer).getUint32(0);
    this.session = new Session(
      {
        role,
        nodeId: fromHex(nodeId),
        key: utf8(recorded.key),
        challenge,
        limits,
        crypto: this.#crypto,
        pool: new BufferPool(limits),
        unixMs: () => recorded.unixMs,
        x1: { communityHash: communityHash(recorded.community, this.#crypto), bootEpoch, tensors: true },
      },
      this.#nowMs,
    );
  }

  act(step: Extract<Step, { side: Role }>): void {
    if (step.does === "send") this.#send(step.tensor);
    else if (step.does === "close") this.session.close(this.#nowMs);
    else {
      this.session.setKeepalive(true);
      this.#nowMs += DEFAULT_LIMITS.keepaliveMs;
      this.session.handleTimeout(this.#nowMs);
    }
  }

  /** One frame of the other side, or its FIN. */
  hear(frame: Uint8Array): void {
    if (frame.length > 0) this.session.handlePart(frame, this.#nowMs);
    else this.session.handleFin(this.#nowMs);
  }

  /** All that it has to write now, in one piece; FIN is an empty one behind it. */
  *written(): Generator<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (;;) {
      this.#take();
      if (!this.session.pollTransmit(parts, this.#nowMs)) break;
      const written = joinBytes(parts);
      this.session.handleWritten(this.#nowMs);
      yield written;
    }
    if (this.#finDue) yield new Uint8Array(0);
    this.#finDue = false;
  }

  #send({ transferId, bytes, topic, digest, dtype, shape }: RecordedTensor): void {
    const described = describeSource({ data: patternOf(0, bytes), dtype, shape });
    const plan = new SendPlan(described, { transferId, topic, digest }, this.#crypto, this.#nowMs);
    const stream = this.session.openStream(undefined, plan.at(0, this.#nowMs));
    if (described.memory && bytes > 0) this.session.write(stream, described.memory);
    this.session.endStream(stream);
  }

  #take(): void {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
      if (event.kind === "finish") this.#finDue = true;
      else if (event.kind === "stream") event.stream.readWhole();
      else if (event.kind === "readable" && event.stream.ended && !event.stream.error) {
        const whole = event.stream.takeWhole();
        this.tensors.push(whole.bytes.slice());
        whole.buffer?.release();
      } else if (event.kind === "closed" && event.error) throw event.error;
    }
  }
}

/** Runs both sides through the actions, each when nothing of the one before is on its way any more. */
export function record(
  recorded: Omit<RecordedSession, "steps">,
  actions: readonly Extract<Step, { side: Role }>[],
): RecordedSession {
  const sides = {
    dialler: new RecordedSide("dialler", recorded),
    acceptor: new RecordedSide("acceptor", recorded),
  };
  const cutters = { dialler: new Cutter(), acceptor: new Cutter() };
  const steps: Step[] = [];
  const sentBytes = new Map<number, number>();
  const settle = () => {
    for (let quiet = false; !quiet; ) {
      quiet = true;
      for (const from of ["dialler", "acceptor"] as const) {
        const other = sides[from === "dialler" ? "acceptor" : "dialler"];
        for (const written of sides[from].written()) {
          quiet = false;
          for (const frame of cutters[from].cut(written)) {
            steps.push(frameStep(from, frame, sentBytes));
            other.hear(frame);
          }
        }
      }
    }
  };
  settle();
  for (const action of actions) {
    steps.push(action);
    sides[action.side].act(action);
    settle();
  }
  return { ...recorded, steps };
}

/** Cuts writes into frames; a write may end inside of one. */
class Cutter {
  #rest: Uint8Array = new Uint8Array(0);

  *cut(written: Uint8Array): Generator<Uint8Array> {
    if (written.length === 0) yield written; // FIN
    this.#rest = joinBytes([this.#rest, written]);
    while (this.#rest.length >= HEADER_BYTES) {
      const frameBytes = HEADER_BYTES + headerOf(this.#rest).payloadBytes;
      if (this.#rest.length < frameBytes) return;
      yield this.#rest.slice(0, frameBytes);
      this.#rest = this.#rest.slice(frameBytes);
    }
  }
}

function headerOf(frame: Uint8Array): Header {
  const header = { type: 0, streamId: 0, seq: 0, payloadBytes: 0 };
  decodeHeader(frame, 0, header);
  return header;
}

function frameStep(from: Role, frame: Uint8Array, sentBytes: Map<number, number>): Step {
  if (frame.length === 0) return { from, comment: "FIN", hex: "" };
  const { type, streamId, seq, payloadBytes } = headerOf(frame);
  const of = streamId === 0 ? "" : ` of stream ${streamId}`;
  if (type === FrameType.DATA) {
    const at = sentBytes.get(streamId) ?? 0;
    sentBytes.set(streamId, at + payloadBytes);
    const comment = `DATA ${seq}${of}: bytes ${at} to ${at + payloadBytes - 1}`;
    if (payloadBytes <= WHOLE_BYTES) return { from, comment, hex: toHex(frame) };
    return { from, comment, hex: toHex(frame.subarray(0, HEADER_BYTES)), tail: { at, bytes: payloadBytes } };
  }
  const names: Record<number, string> = { [FrameType.HELLO]: "HELLO", [FrameType.ACCEPT]: "ACCEPT" };
  if (type === FrameType.END) names[FrameType.END] = `END ${seq}${of}`;
  const comment = names[type] ?? `CONTROL ${seq}${of}: ${spoken(frame.subarray(HEADER_BYTES))}`;
  return { from, comment, hex: toHex(frame) };
}

/** The records of a payload in words. */
function spoken(payload: Uint8Array): string {
  const words = decodeRecords(payload).map((record) => {
    switch (record.kind) {
      case "open":
        return `OPEN "${record.topic}", ${record.totalBytes} bytes, shape [${record.shape}]`;
      case "close":
        return `CLOSE, ${record.rawBytes} bytes, digest ${record.algorithm}`;
      case "credit":
        return `CREDIT ${record.limitBytes}`;
      case "ack":
        return `ACK ${record.level}, ${record.contiguousBytes}`;
      case "goaway":
        return `GOAWAY ${record.code}`;
      default:
        return record.kind.toUpperCase();
    }
  });
  return words.join(", ");
}
