/**
 * What the frames of the other side do: HELLO, ACCEPT and the first CONTROL go to the handshake, DATA and END to the streams
 * that arrive, CONTROL to the records' dispatch. What may come when is in `transitions.ts`.
 */
import { MAX_CONTROL_BYTES, MAX_HANDSHAKE_CONTROL_BYTES } from "../limits.ts";
import { ACCEPT_BYTES } from "../wire/accept.ts";
import type { FrameConsumer } from "../wire/frame_reader.ts";
import { FrameType, type Header } from "../wire/header.ts";
import { HELLO_BYTES } from "../wire/hello.ts";
import type { CapsRecord } from "../wire/records/caps.ts";
import { splitRecords } from "../wire/records/framing.ts";
import { RecordOp } from "../wire/records/ops.ts";
import type { Arrivals } from "./arrivals.ts";
import type { ControlFrames } from "./control_frames.ts";
import { lateCaps, payloadTooLarge, unexpectedFrame } from "./faults.ts";
import type { Handshake } from "./handshake.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { RecordDispatch } from "./record_dispatch.ts";
import type { SessionConfig } from "./session_types.ts";
import { Action, frameInput, State, transition } from "./transitions.ts";

export interface IntakeEvents {
  /** The handshake is over; `peer` is what the other side said in CAPS, and its proof has held. */
  opened(nodeId: Uint8Array | undefined, peer: CapsRecord | undefined): void;
}

/** What the header of a frame says of where it belongs. */
export interface FramePlace {
  readonly streamId: number;
  readonly seq: number;
}

export class FrameIntake implements FrameConsumer {
  readonly #config: SessionConfig;
  readonly #lifecycle: Lifecycle;
  readonly #handshake: Handshake;
  readonly #control: ControlFrames;
  readonly #arrivals: Arrivals;
  readonly #records: RecordDispatch;
  readonly #events: IntakeEvents;
  #action: Action = Action.SKIP;
  #peer: CapsRecord | undefined;
  /** When HELLO was answered. */
  #answeredMs = 0;
  /** No CAPS came in time: one that comes now is late, and the connection has to be made again. */
  #capsMissed = false;
  /** Of the header that came last. */
  #streamId = 0;
  #seq = 0;
  #inFrame = false;
  #frames = 0;
  #unknownFrames = 0;
  #controlFrames = 0;

  constructor(
    config: SessionConfig,
    lifecycle: Lifecycle,
    handshake: Handshake,
    control: ControlFrames,
    arrivals: Arrivals,
    records: RecordDispatch,
    events: IntakeEvents,
  ) {
    this.#config = config;
    this.#lifecycle = lifecycle;
    this.#handshake = handshake;
    this.#control = control;
    this.#arrivals = arrivals;
    this.#records = records;
    this.#events = events;
  }

  /** What the other side said in CAPS; undefined before its proof, and for a v0.1 peer. */
  get peer(): CapsRecord | undefined {
    return this.#peer;
  }
  get frames(): number {
    return this.#frames;
  }
  /** The frame that has begun and is not yet through: what is wrong now is wrong with it. Undefined: there is none. */
  get frame(): FramePlace | undefined {
    return this.#inFrame ? { streamId: this.#streamId, seq: this.#seq } : undefined;
  }
  get unknownFrames(): number {
    return this.#unknownFrames;
  }
  get controlFrames(): number {
    return this.#controlFrames;
  }
  /** Whether the other side may turn out not to speak x1, because its CAPS has not come. */
  get mayFallBack(): boolean {
    return this.#lifecycle.state === State.CAPS_AWAITED && this.#handshake.mayFallBack;
  }
  /** Since when that is so; Infinity: it is not. */
  get capsAwaitedSinceMs(): number {
    return this.mayFallBack ? this.#answeredMs : Number.POSITIVE_INFINITY;
  }

  /** The other side does not speak x1. Throws ASOC_DOWNGRADE where it must. */
  fallBack(): void {
    this.#handshake.fallBack();
    this.#advance(State.OPEN);
  }

  /** CAPS has not come in time. */
  handleNoCaps(): void {
    this.#capsMissed = true;
    this.fallBack();
  }

  // --- FrameConsumer: what the reader finds

  onHeader(header: Header): void {
    this.#frames++;
    this.#streamId = header.streamId;
    this.#seq = header.seq;
    this.#inFrame = true;
    const input = frameInput(header.type);
    let { action, next } = transition(this.#lifecycle.state, input);
    const tooLong = action === Action.RECORDS && header.payloadBytes > MAX_HANDSHAKE_CONTROL_BYTES;
    if (action === Action.FALL_BACK || (tooLong && this.mayFallBack)) {
      this.fallBack();
      ({ action, next } = transition(this.#lifecycle.state, input));
    }
    if (action === Action.SKIP && header.type === FrameType.CONTROL && this.#readsControl(header))
      action = Action.RECORDS;
    this.#action = action;
    switch (action) {
      case Action.CHECK_HELLO:
        this.#expectHandshake(header, HELLO_BYTES);
        break;
      case Action.CHECK_ACCEPT:
        this.#expectHandshake(header, ACCEPT_BYTES);
        break;
      case Action.RECORDS:
        this.#beginControl(header);
        break;
      case Action.STREAM:
      case Action.SKIP:
        this.#beginPayload(header, action === Action.STREAM);
        this.#lifecycle.state = next;
        break;
      default:
        throw unexpectedFrame(this.#lifecycle.state, header);
    }
  }

  payloadTarget(remainingBytes: number, spareBytes: number): Uint8Array | undefined {
    if (this.#action === Action.CHECK_HELLO || this.#action === Action.CHECK_ACCEPT)
      return this.#handshake.target(remainingBytes);
    if (this.#action === Action.RECORDS) return this.#control.target(remainingBytes);
    return this.#arrivals.streams.payloadTarget(remainingBytes, spareBytes);
  }

  get targetMoved(): boolean {
    return this.#action === Action.STREAM && this.#arrivals.streams.targetMoved;
  }

  onPayload(byteCount: number): void {
    if (this.#action === Action.STREAM) this.#arrivals.streams.onPayload(byteCount);
    else if (this.#action === Action.RECORDS) this.#control.filled(byteCount);
    else if (this.#action !== Action.SKIP) this.#handshake.filled(byteCount);
  }

  onFrameEnd(): void {
    if (this.#action === Action.CHECK_HELLO) {
      this.#answeredMs = this.#lifecycle.nowMs;
      const next = this.#handshake.handleHello();
      this.#capsMissed = next === State.OPEN && this.#config.x1 !== undefined;
      this.#advance(next);
    } else if (this.#action === Action.CHECK_ACCEPT) this.#advance(this.#handshake.handleAccept());
    else if (this.#action === Action.RECORDS) this.#handleControl(this.#control.payload);
    this.#inFrame = false;
  }

  // --- inside

  #expectHandshake(header: Header, byteCount: number): void {
    if (header.payloadBytes !== byteCount || header.streamId !== 0 || header.seq !== 0) {
      throw unexpectedFrame(this.#lifecycle.state, header);
    }
  }

  /** The handshake has got that far. */
  #advance(state: State): void {
    this.#lifecycle.state = state;
    if (state !== State.OPEN) return;
    const { nodeId, caps } = this.#handshake.opened;
    this.#peer = caps;
    this.#events.opened(nodeId, caps);
  }

  /** Of a stream, or of nobody. */
  #beginPayload(header: Header, ofStream: boolean): void {
    const { maxPayloadBytes } = this.#config.limits;
    if (header.payloadBytes > maxPayloadBytes) throw payloadTooLarge(header, maxPayloadBytes);
    if (ofStream) {
      this.#arrivals.streams.onHeader(header);
      return;
    }
    this.#arrivals.streams.skip();
    if (header.type === FrameType.CONTROL) this.#controlFrames++;
    else this.#unknownFrames++;
  }

  /** Whether records are looked for in a CONTROL frame of an open session. */
  #readsControl(header: Header): boolean {
    return (
      this.#peer !== undefined || (this.#capsMissed && header.payloadBytes <= MAX_HANDSHAKE_CONTROL_BYTES)
    );
  }

  #beginControl(header: Header): void {
    const { state, handshaking } = this.#lifecycle;
    const counted = !this.#handshake.mayFallBack;
    if (header.streamId !== 0 && handshaking && counted) throw unexpectedFrame(state, header);
    this.#control.begin(header, handshaking ? MAX_HANDSHAKE_CONTROL_BYTES : MAX_CONTROL_BYTES, counted);
    this.#arrivals.streams.skip();
    this.#controlFrames++;
  }

  #handleControl(payload: Uint8Array): void {
    const { streamId, onZero } = this.#control;
    const { state } = this.#lifecycle;
    if (!this.#lifecycle.handshaking) {
      if (this.#peer) this.#records.handle(splitRecords(payload), streamId);
      else if (payload[0] === RecordOp.CAPS) throw lateCaps(this.#config.limits);
      return;
    }
    const step = this.#handshake.handleControl(state, payload, onZero);
    if (!step) {
      this.fallBack();
      return;
    }
    if (step.next !== state) this.#advance(step.next);
    if (step.rest.length > 0) this.#records.handle(step.rest, streamId);
  }
}
