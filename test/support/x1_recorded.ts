/**
 * Whole sessions of x1 between two of our own nodes, frame by frame, with fixed randomness and clocks: what `npm run
 * vectors` writes, and what one side alone is fed with to see that it writes the same again (RFC-0004, section 16).
 */

import { DEFAULT_LIMITS, MiB } from "../../src/core/limits.ts";
import type { Crypto } from "../../src/core/runtime.ts";
import { SendPlan } from "../../src/core/send_plan.ts";
import type { InboundTensor } from "../../src/core/session/inbound_tensor.ts";
import type { OutboundStream } from "../../src/core/session/outbound_stream.ts";
import { Session } from "../../src/core/session/session.ts";
import type { SessionEvent } from "../../src/core/session/session_types.ts";
import type { TransferBook } from "../../src/core/session/transfer_book.ts";
import { BufferPool } from "../../src/core/tensor/buffer_pool.ts";
import { describeSource } from "../../src/core/tensor/source.ts";
import { communityHash } from "../../src/core/wire/beacon.ts";
import { fromHex, joinBytes, toHex, utf8 } from "../../src/core/wire/bytes.ts";
import { decodeHeader, FrameType, HEADER_BYTES, type Header } from "../../src/core/wire/header.ts";
import { decodeRecords } from "../../src/core/wire/records/records.ts";
import { createCrypto } from "../../src/runtime/common/crypto.ts";

export type Role = "dialler" | "acceptor";

/** The random bytes of one side on one connection, by how many are asked for. */
export interface Draws {
  readonly [bytes: number]: string;
}

/** What a side is made of; `random` is that of its first connection. */
export interface SideConfig {
  readonly nodeId: string;
  readonly bootEpoch: number;
  readonly initialCredit: number;
  readonly random: Draws;
}

/** A tensor whose byte i is (3 + 7 i) mod 256, as in the streams of v1.json. */
export interface RecordedTensor {
  readonly transferId: string;
  readonly bytes: number;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  readonly topic: string;
  readonly digest: "crc32" | "sha256" | "none";
  /** Default 128. */
  readonly priority?: number;
}

/** What a side does. */
export type Action =
  /** `available`: its source gives so many bytes for now. */
  | {
      readonly side: Role;
      readonly does: "send";
      readonly tensor: RecordedTensor;
      readonly available?: number;
    }
  /** The source of a tensor gives the rest; its user gives it up. */
  | { readonly side: Role; readonly does: "more" | "reset"; readonly transferId: string }
  /** The consumer of a tensor wants no more of it. */
  | { readonly side: Role; readonly does: "stop"; readonly transferId: string; readonly reason: string }
  | { readonly side: Role; readonly does: "ping" | "close" };

/** The connection is lost, and the dialler makes the next one, with other random bytes. */
export interface CutStep {
  readonly cut: { readonly dialler: Draws; readonly acceptor: Draws };
}

type Happening = Action | CutStep;

/** What happens, or one frame that a side writes; FIN has no bytes. Between two that happen without a frame nothing is written. */
export type Step =
  | Happening
  | {
      readonly from: Role;
      readonly comment: string;
      readonly hex: string;
      /** Where the rest of the frame's payload lies in its tensor; it is not in `hex`. */
      readonly tail?: { readonly at: number; readonly bytes: number };
    };

export interface RecordedSession {
  readonly name: string;
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

/** A tensor that this side sends, over as many connections as it takes. */
interface Sending {
  readonly plan: SendPlan;
  readonly bytes: Uint8Array;
  available: number;
  stream?: OutboundStream;
}

/** One side with what drives it: a clock of its own, consumers that take whole tensors, and what outlives a connection. */
export class RecordedSide {
  session: Session;
  /** Tensors that were handed over, in their order. */
  readonly tensors: Uint8Array[] = [];
  readonly #role: Role;
  readonly #recorded: Omit<RecordedSession, "steps">;
  #draws: Draws;
  readonly #crypto: Crypto = createCrypto((bytes) => fromHex(this.#draws[bytes] ?? ""));
  readonly #sending = new Map<string, Sending>();
  readonly #arriving = new Map<string, InboundTensor>();
  readonly #held = new Map<string, InboundTensor>();
  readonly #delivered = new Set<string>();
  readonly #book: TransferBook = {
    begin: (id) => {
      if (this.#delivered.has(id)) return "delivered";
      const known = this.#held.get(id);
      this.#held.delete(id);
      return known ?? "new";
    },
    delivered: (id) => this.#delivered.add(id),
    gaveUp: (id) => this.#held.delete(id),
  };
  #nowMs = 1000;
  #finDue = false;

  constructor(role: Role, recorded: Omit<RecordedSession, "steps">) {
    this.#role = role;
    this.#recorded = recorded;
    this.#draws = recorded[role].random;
    this.session = this.#connect();
  }

  #connect(): Session {
    const recorded = this.#recorded;
    const { nodeId, bootEpoch, initialCredit } = recorded[this.#role];
    const limits = { ...DEFAULT_LIMITS, initialCreditBytes: initialCredit, ackBytes: RECORDED_ACK_BYTES };
    const challenge = new DataView(fromHex(this.#draws[4] ?? "").buffer).getUint32(0);
    return new Session(
      {
        role: this.#role,
        nodeId: fromHex(nodeId),
        key: utf8(recorded.key),
        challenge,
        limits,
        crypto: this.#crypto,
        pool: new BufferPool(limits),
        unixMs: () => recorded.unixMs,
        bookOf: () => this.#book,
        x1: { communityHash: communityHash(recorded.community, this.#crypto), bootEpoch, tensors: true },
      },
      this.#nowMs,
    );
  }

  act(step: Action): void {
    switch (step.does) {
      case "send":
        this.#begin(step.tensor, step.available);
        break;
      case "more":
        this.#more(step.transferId);
        break;
      case "reset": {
        const { stream } = this.#sending.get(step.transferId) ?? {};
        this.#sending.delete(step.transferId);
        if (stream) this.session.abandonStream(stream);
        break;
      }
      case "stop": {
        const stream = this.#arriving.get(step.transferId);
        if (stream) this.session.giveUp(stream, step.reason);
        break;
      }
      case "close":
        this.session.close(this.#nowMs);
        break;
      case "ping":
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

  /** The connection is lost; from here on it is about the next one. */
  cut({ cut }: CutStep): void {
    this.session.handleLost(new Error("cut"), this.#nowMs);
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent())
      if (event.kind === "cut") this.#held.set(event.stream.description.transferId, event.stream);
    this.#draws = cut[this.#role];
    this.session = this.#connect();
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

  #begin(
    { transferId, bytes: length, topic, digest, dtype, shape, priority }: RecordedTensor,
    available = length,
  ): void {
    const bytes = patternOf(0, length);
    const described = describeSource({ data: bytes, dtype, shape });
    const options = { transferId, topic, digest, ...(priority === undefined ? {} : { priority }) };
    const plan = new SendPlan(described, options, this.#crypto, this.#nowMs);
    const sending = { plan, bytes, available };
    this.#sending.set(transferId, sending);
    this.#open(sending, 0);
  }

  #open(sending: Sending, offset: number): void {
    const { plan, bytes, available } = sending;
    sending.stream = this.session.openStream(undefined, plan.at(offset, this.#nowMs));
    this.session.write(sending.stream, bytes.subarray(offset, available));
    if (available === bytes.length) this.session.endStream(sending.stream);
  }

  #more(transferId: string): void {
    const sending = this.#sending.get(transferId);
    if (!sending) return;
    const { available, bytes, stream } = sending;
    sending.available = bytes.length;
    if (!stream || stream.done) return; // it goes on when the other side has said where
    this.session.write(stream, bytes.subarray(available));
    this.session.endStream(stream);
  }

  #take(): void {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) this.#handle(event);
  }

  #handle(event: SessionEvent): void {
    switch (event.kind) {
      case "finish":
        this.#finDue = true;
        break;
      case "open":
        for (const { plan } of this.#sending.values()) this.session.askResume(plan.transferId);
        break;
      case "stream":
        event.stream.readWhole();
        if ("transferId" in event.stream) this.#arriving.set(toHex(event.stream.transferId), event.stream);
        break;
      case "readable":
        if (event.stream.ended && !event.stream.error) {
          const whole = event.stream.takeWhole();
          this.tensors.push(whole.bytes.slice());
          whole.buffer?.release();
        }
        break;
      case "sent":
        if (event.stream.settled && event.stream.tensor)
          this.#sending.delete(toHex(event.stream.tensor.transferId));
        break;
      case "resumeAsked": {
        const { transferId } = event;
        const offset = this.#delivered.has(transferId)
          ? undefined
          : (this.#held.get(transferId)?.receivedBytes ?? 0);
        this.session.answerResume(fromHex(transferId), offset);
        break;
      }
      case "resumeAnswered": {
        const sending = this.#sending.get(event.transferId);
        if (sending && event.offset !== undefined) this.#open(sending, event.offset);
        break;
      }
      case "closed":
        if (event.error) throw event.error;
    }
  }
}

/** Runs both sides through what happens, each when nothing of the one before is on its way; what stands in a list happens at once. */
export function record(
  recorded: Omit<RecordedSession, "steps">,
  script: readonly (Happening | readonly Happening[])[],
): RecordedSession {
  const sides = {
    dialler: new RecordedSide("dialler", recorded),
    acceptor: new RecordedSide("acceptor", recorded),
  };
  let cutters = { dialler: new Cutter(), acceptor: new Cutter() };
  const steps: Step[] = [];
  const offsets = new Offsets();
  const settle = () => {
    for (let quiet = false; !quiet; ) {
      quiet = true;
      for (const from of ["dialler", "acceptor"] as const) {
        const other = sides[from === "dialler" ? "acceptor" : "dialler"];
        for (const written of sides[from].written()) {
          quiet = false;
          for (const frame of cutters[from].cut(written)) {
            steps.push(frameStep(from, frame, offsets));
            other.hear(frame);
          }
        }
      }
    }
  };
  settle();
  for (const entry of script) {
    for (const step of Array.isArray(entry) ? (entry as readonly Happening[]) : [entry as Happening]) {
      steps.push(step);
      if ("cut" in step) {
        sides.dialler.cut(step);
        sides.acceptor.cut(step);
        cutters = { dialler: new Cutter(), acceptor: new Cutter() };
      } else sides[step.side].act(step);
    }
    settle();
  }
  return { ...recorded, steps };
}

/** Where in its tensor the next byte of each stream lies. */
class Offsets {
  readonly #at = new Map<number, number>();

  opened(payload: Uint8Array, streamId: number): void {
    for (const record of decodeRecords(payload))
      if (record.kind === "open") this.#at.set(streamId, record.baseOffset);
  }

  /** The place of the next `byteCount` bytes. */
  take(streamId: number, byteCount: number): number {
    const at = this.#at.get(streamId) ?? 0;
    this.#at.set(streamId, at + byteCount);
    return at;
  }
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

function frameStep(from: Role, frame: Uint8Array, offsets: Offsets): Step {
  if (frame.length === 0) return { from, comment: "FIN", hex: "" };
  const { type, streamId, seq, payloadBytes } = headerOf(frame);
  const of = streamId === 0 ? "" : ` of stream ${streamId}`;
  if (type === FrameType.DATA) {
    const at = offsets.take(streamId, payloadBytes);
    const comment = `DATA ${seq}${of}: bytes ${at} to ${at + payloadBytes - 1}`;
    if (payloadBytes <= WHOLE_BYTES) return { from, comment, hex: toHex(frame) };
    return { from, comment, hex: toHex(frame.subarray(0, HEADER_BYTES)), tail: { at, bytes: payloadBytes } };
  }
  const names: Record<number, string> = { [FrameType.HELLO]: "HELLO", [FrameType.ACCEPT]: "ACCEPT" };
  if (type === FrameType.END) names[FrameType.END] = `END ${seq}${of}`;
  if (type === FrameType.CONTROL) offsets.opened(frame.subarray(HEADER_BYTES), streamId);
  const comment = names[type] ?? `CONTROL ${seq}${of}: ${spoken(frame.subarray(HEADER_BYTES))}`;
  return { from, comment, hex: toHex(frame) };
}

/** The records of a payload in words. */
function spoken(payload: Uint8Array): string {
  const words = decodeRecords(payload).map((record) => {
    switch (record.kind) {
      case "open":
        return `OPEN "${record.topic}", ${record.totalBytes} bytes${record.baseOffset > 0 ? ` from ${record.baseOffset}` : ""}, shape [${record.shape}], priority ${record.priority}`;
      case "close":
        return `CLOSE, ${record.rawBytes} bytes, digest ${record.algorithm}`;
      case "credit":
        return `CREDIT ${record.limitBytes}`;
      case "ack":
        return `ACK ${record.level}, ${record.contiguousBytes}`;
      case "resume_query":
        return "RESUME?";
      case "resume_answer":
        return `RESUME! ${record.offset ?? "delivered"}`;
      case "reset":
      case "stop":
        return `${record.kind.toUpperCase()} ${record.code}`;
      case "goaway":
        return `GOAWAY ${record.code}`;
      default:
        return record.kind.toUpperCase();
    }
  });
  return words.join(", ");
}
