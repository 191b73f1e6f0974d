/**
 * ONE connection, sans-IO: streams, keepalive and deadlines of RFC-0001, and the records of RFC-0004 once the
 * handshake (`handshake.ts`) has shown that both sides speak x1.
 *
 * No sockets, no clock, no timers: bytes and times come in through `handle*`, wishes
 * through commands, and all that results is polled: `pollTransmit`, then `pollEvent`
 * until undefined, then `pollDeadline`. After `closed` only the fates of streams still come out.
 *
 * Whoever drives it calls, after each `handle*` or command: pollTransmit → write,
 * pollEvent, pollDeadline, and pauses the connection while `stalled`.
 */
import { AsocError, ConnectionError, LimitError, ProtocolError } from "../errors.ts";
import {
  CHUNK_BYTES,
  KiB,
  MAX_CONTROL_BYTES,
  MAX_HANDSHAKE_CONTROL_BYTES,
  MAX_WAITING_ANSWERS,
  MAX_WAITING_CONTROL,
  MIN_STREAM_IDS,
} from "../limits.ts";
import type { TensorMemory } from "../tensor/memory_account.ts";
import { ACCEPT_BYTES } from "../wire/accept.ts";
import { equalBytes, toHex } from "../wire/bytes.ts";
import { type FrameConsumer, FrameReader } from "../wire/frame_reader.ts";
import { FrameType, type Header } from "../wire/header.ts";
import { HELLO_BYTES } from "../wire/hello.ts";
import type { AckRecord } from "../wire/records/ack.ts";
import { Capability, type CapsRecord } from "../wire/records/caps.ts";
import { type RawRecord, splitRecords } from "../wire/records/framing.ts";
import { GoawayCode } from "../wire/records/goaway.ts";
import { RecordOp } from "../wire/records/ops.ts";
import { decodeRecord, encodeControl, unknownCritical, type X1Record } from "../wire/records/records.ts";
import { StreamCode } from "../wire/records/reset.ts";
import type { TapRecord, UntapRecord } from "../wire/records/tap.ts";
import { ControlFrames } from "./control_frames.ts";
import { farewell } from "./farewell.ts";
import {
  connectionLost,
  controlUnread,
  givenUp,
  handshakeRefused,
  incomplete,
  isHandshaking,
  lateCaps,
  leaving,
  notSentWhole,
  payloadTooLarge,
  stoppedBy,
  timedOut,
  tooLate,
  tooSlow,
  truncatedFrame,
  unexpectedFrame,
  unexpectedRecord,
} from "./faults.ts";
import { Handshake } from "./handshake.ts";
import { Inbound } from "./inbound.ts";
import type { InboundContext } from "./inbound_context.ts";
import { InboundTensor } from "./inbound_tensor.ts";
import { InboundTensors } from "./inbound_tensors.ts";
import { Outbound, type OutboundStream, type TensorSending } from "./outbound.ts";
import { Pings } from "./pings.ts";
import { clippedReason } from "./reasons.ts";
import type { ArrivingStream, SessionConfig, SessionCounters, SessionEvent } from "./session_types.ts";
import { NO_BOOK } from "./transfer_book.ts";
import { Action, frameInput, Input, State, stateName, transition } from "./transitions.ts";

/** Where bytes go that nobody reads: the session is closed. */
const TRASH = new Uint8Array(16 * KiB);

interface Deadlines {
  handshake: number;
  sendStall: number;
  /** Our own reader has paused the connection for too long. */
  reader: number;
  silence: number;
  linger: number;
  keepalive: number;
  /** CAPS has not come: the other side is taken for a v0.1 peer. */
  caps: number;
  /** A tensor is too late, or a held one may go on. */
  streams: number;
}

export class Session implements FrameConsumer {
  readonly #config: SessionConfig;
  readonly #reader: FrameReader;
  readonly #inbound: Inbound;
  readonly #outbound: Outbound;
  readonly #context: InboundContext;
  #state: State;
  #events: SessionEvent[] = [];
  #eventsHead = 0;
  #nowMs: number;
  #startedMs: number;
  #lastReadMs: number;
  #lastKeepaliveMs: number;
  #stalledSinceMs: number | undefined;
  #lastStallMs = 0;
  #lastStallEndMs = 0;
  /** When a reader last made room for something that had come. */
  #lastRoomMs = 0;
  #finishedMs = 0;
  #finPending = false;
  #keepalive = false;
  readonly #handshake: Handshake;
  /** When HELLO was answered. */
  #answeredMs = 0;
  /** The other side's CAPS, once its proof has held. */
  #peer: CapsRecord | undefined;
  /** Arriving streams where both sides have tensor streams; `#inbound` is not used then. */
  #tensors: InboundTensors | undefined;
  /** We have said GOAWAY and wait for a PONG: the other side knows then. */
  #goawayUnheard = false;
  /** The other side has said GOAWAY. */
  #leaving = false;
  /** No CAPS came in time: one that comes now is late, and the connection has to be made again. */
  #capsMissed = false;
  readonly #control = new ControlFrames();
  readonly #pings = new Pings();
  /** Said before the connection is cut. */
  #lastWords: Uint8Array | undefined;
  #action: Action = Action.SKIP;
  #framesIn = 0;
  #unknownFrames = 0;
  #controlFrames = 0;
  #error: AsocError | undefined;
  readonly #at: Deadlines = {
    handshake: 0,
    sendStall: 0,
    reader: 0,
    silence: 0,
    linger: 0,
    keepalive: 0,
    caps: 0,
    streams: 0,
  };

  constructor(config: SessionConfig, nowMs: number) {
    this.#config = config;
    this.#state = config.role === "dialler" ? State.HELLO_SENT : State.HELLO_AWAITED;
    this.#nowMs = this.#startedMs = this.#lastReadMs = this.#lastKeepaliveMs = nowMs;
    this.#reader = new FrameReader(this);
    this.#context = { pool: config.pool, limits: config.limits, copiedBytes: 0 };
    this.#inbound = new Inbound(this.#context, config.limits, {
      started: (stream) => this.#emit({ kind: "stream", stream }),
      changed: (stream) => this.#signal(stream),
      failed: (streamId, error) => this.#emit({ kind: "streamFailed", streamId, error }),
    });
    this.#outbound = new Outbound(config.role === "dialler" ? 1 : 2, () => this.#control.number());
    this.#handshake = new Handshake(config, (type, payload) => this.#send(type, payload));
  }

  // --- what it is now

  get state(): State {
    return this.#state;
  }
  get open(): boolean {
    return this.#state === State.OPEN;
  }
  get closed(): boolean {
    return this.#state === State.CLOSED;
  }
  /** What the other side said in CAPS; undefined before its proof, and for a v0.1 peer. */
  get peer(): CapsRecord | undefined {
    return this.#peer;
  }
  /** Round trip of the last PING that was answered, in ms. */
  get roundTripMs(): number | undefined {
    return this.#pings.roundTripMs;
  }
  /** How far the other side's wall clock is ahead of ours, in ms, as of the last PING. */
  get clockSkewMs(): number | undefined {
    return this.#pings.clockSkewMs;
  }
  /** One frame to send before the connection is cut: why. */
  get lastWords(): Uint8Array | undefined {
    return this.#lastWords;
  }
  /** Nothing should be read: memory is used up, or a reader is behind. */
  get stalled(): boolean {
    return this.#reader.stalled;
  }
  /** Nothing to tell, to send or to wait for has come of the last read: most reads are in the middle of a payload. */
  get quiet(): boolean {
    return this.#eventsHead === this.#events.length && !this.#reader.stalled && !this.#outbound.waiting;
  }
  /** Streams are those of RFC-0005. */
  get tensors(): boolean {
    return this.#tensors !== undefined;
  }
  /** The other side wants no new streams. */
  get leaving(): boolean {
    return this.#leaving;
  }
  /** Ids for further streams run out: another connection has to take its place. */
  get wornOut(): boolean {
    return this.#tensors !== undefined && this.#outbound.idsLeft < MIN_STREAM_IDS;
  }
  /** Readers have done something that `handleRoom` carries out. */
  get wantsRoom(): boolean {
    return this.#reader.stalled || this.#tensors?.dirty === true;
  }
  /** `handleMemory` wants to be called when memory was released. */
  get wantsMemory(): boolean {
    return this.#reader.stalled || this.#tensors?.wantsMemory === true;
  }
  /** When bytes last came. */
  get lastReadMs(): number {
    return this.#lastReadMs;
  }
  get outboundStreams(): number {
    return this.#outbound.openStreams;
  }
  get inboundStreams(): number {
    return this.#arriving.openStreams;
  }
  get counters(): SessionCounters {
    return {
      framesIn: this.#framesIn,
      framesOut: this.#outbound.counters.frames,
      payloadBytesIn: this.#arriving.payloadBytes,
      payloadBytesOut: this.#outbound.counters.payloadBytes,
      unknownFrames: this.#unknownFrames,
      controlFrames: this.#controlFrames,
      copiedBytes: this.#reader.copiedBytes,
      grownBytes: this.#context.copiedBytes,
      coalescedBytes: this.#outbound.counters.coalescedBytes,
    };
  }

  // --- inputs

  /** See `Sink.next`. */
  readTarget(): Uint8Array {
    if (this.closed) return TRASH;
    try {
      return this.#reader.next();
    } catch (error) {
      this.#readFailed(error);
      return TRASH;
    }
  }

  handleCommit(byteCount: number, nowMs: number): void {
    if (!this.#beginRead(nowMs)) return;
    try {
      this.#reader.commit(byteCount);
    } catch (error) {
      this.#readFailed(error);
      return;
    }
    this.#endRead(nowMs);
  }

  handlePart(part: Uint8Array, nowMs: number): void {
    if (!this.#beginRead(nowMs)) return;
    try {
      this.#reader.push(part);
    } catch (error) {
      this.#readFailed(error);
      return;
    }
    this.#endRead(nowMs);
  }

  /** Memory was released. */
  handleMemory(nowMs: number): void {
    this.#tensors?.wake();
    this.handleRoom(nowMs);
  }

  /** There may be room again. */
  handleRoom(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#flush();
    if (!this.#reader.stalled || !this.#beginRead(nowMs)) return;
    const before = this.#framesIn + this.#inbound.payloadBytes;
    try {
      this.#reader.retry();
    } catch (error) {
      this.#readFailed(error);
      return;
    }
    if (this.#framesIn + this.#inbound.payloadBytes > before) this.#lastRoomMs = nowMs;
    this.#endRead(nowMs);
    if (this.#finPending && !this.#reader.stalled) this.handleFin(nowMs);
  }

  /** The peer's FIN; the socket has let go of its buffer. */
  handleFin(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.closed) {
      this.#letGo(); // it has read why it was cut, and closes
      return;
    }
    this.#finPending = this.#reader.stalled;
    if (this.#finPending) return; // what was spilled comes first
    if (this.#state === State.CAPS_AWAITED && this.#handshake.mayFallBack && this.#reader.atBoundary)
      this.#fallBack();
    const { action, next } = transition(this.#state, Input.FIN);
    if (!this.#reader.atBoundary) {
      this.#fail(truncatedFrame());
    } else if (action === Action.LOST || action === Action.FALL_BACK) {
      this.#fail(handshakeRefused("closed"));
    } else if (
      this.#tensors &&
      this.#tensors.openStreams + this.#outbound.openStreams + this.#outbound.unsettled > 0
    ) {
      this.#fail(connectionLost(undefined)); // nobody is there to confirm or to go on
    } else {
      this.#failArriving();
      this.#state = next;
      if (next === State.CLOSED) this.#emit({ kind: "closed", error: undefined });
      else this.#checkDrained();
    }
    this.#letGo();
  }

  /** The connection is gone; the socket has let go of its buffer. */
  handleLost(cause: unknown, nowMs: number): void {
    this.#nowMs = nowMs;
    if (!this.closed) {
      this.#fail(isHandshaking(this.#state) ? handshakeRefused("reset", cause) : connectionLost(cause));
    }
    this.#letGo();
  }

  /** The batch that pollTransmit gave is in the kernel. */
  handleWritten(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#outbound.handleWritten(nowMs, (stream) => this.#emit({ kind: "sent", stream }));
    if (this.closed) return;
    this.#checkDrained();
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.closed) return;
    const { limits } = this.#config;
    const due = (atMs: number) => nowMs >= atMs;
    const at = this.#deadlines();
    if (due(at.handshake)) this.#fail(timedOut("handshake", this.#state, limits));
    else if (due(at.sendStall)) this.#fail(timedOut("sendStall", this.#state, limits));
    else if (due(at.reader)) this.#fail(this.#tooSlow());
    else if (due(at.silence)) this.#fail(timedOut("silence", this.#state, limits));
    else if (due(at.linger)) this.#fail(timedOut("linger", this.#state, limits));
    else if (due(at.streams)) {
      this.#outbound.handleTimeout(nowMs, (stream) => this.#tooLate(stream));
      this.#withTensors((tensors) => tensors.handleTimeout(nowMs));
    } else if (due(at.caps)) {
      this.#capsMissed = true;
      this.#fallBack();
    } else if (due(at.keepalive)) {
      this.#lastKeepaliveMs = nowMs;
      if (this.#peer) this.#sendRecords(this.#pings.ping(this.#config, nowMs));
      else this.#send(FrameType.CONTROL, new Uint8Array(0));
    }
  }

  // --- commands

  /**
   * A new stream to the peer; where streams are tensor streams, `tensor` says what it carries. Throws ASOC_CLOSED unless
   * open, ASOC_TOO_MANY_STREAMS.
   */
  openStream(chunkBytes?: number, tensor?: TensorSending): OutboundStream {
    if (!this.open || this.#leaving) {
      const state = this.#leaving ? "left by the other side (GOAWAY)" : stateName(this.#state);
      throw new ConnectionError("ASOC_CLOSED", `Cannot open a stream: session is ${state}`);
    }
    const peer = this.#peer;
    if (peer && this.#outbound.openStreams >= peer.maxStreams) {
      const details = { limit: "max_streams", expected: peer.maxStreams, got: peer.maxStreams + 1 };
      throw new LimitError(
        "ASOC_TOO_MANY_STREAMS",
        `Cannot open a stream: the peer takes ${peer.maxStreams} at once`,
        { details },
      );
    }
    const mostBytes = peer?.maxFrameBytes ?? Number.POSITIVE_INFINITY;
    return this.#outbound.open(Math.min(chunkBytes ?? CHUNK_BYTES, mostBytes), tensor);
  }

  write(stream: OutboundStream, bytes: Uint8Array): void {
    if (!stream.done) this.#outbound.write(stream, bytes);
  }

  endStream(stream: OutboundStream): void {
    this.#outbound.end(stream);
  }

  abandonStream(stream: OutboundStream): void {
    // CLOSE and END are out: it may come whole all the same, but nobody here waits for that any more.
    if (stream.tensor && stream.endSent) this.#refuseOutbound(stream, givenUp(stream), StreamCode.CANCELLED);
    else this.#outbound.abandon(stream, () => this.#emit({ kind: "sent", stream }));
    this.#checkDrained();
  }

  /** An arriving stream that nobody wants any more: x1 tells its sender, with `reason`. */
  giveUp(stream: ArrivingStream, reason: string): void {
    if (stream instanceof InboundTensor) this.#withTensors((tensors) => tensors.cancel(stream, reason));
    else stream.discard();
  }

  /** An arriving stream that cannot be taken: its sender, and its reader, get `error`. For streams of x1. */
  refuse(stream: InboundTensor, error: AsocError): void {
    this.#withTensors((tensors) => tensors.refuse(stream, error));
  }

  /** RESUME?: how much of a transfer that broke does the other side have? */
  askResume(transferId: Uint8Array): void {
    this.#sendRecords({ kind: "resume_query", transferId });
  }

  /** RESUME!: so much is here; undefined: it was delivered. */
  answerResume(transferId: Uint8Array, offset: number | undefined): void {
    // Who asks and does not read is cut off.
    this.#withTensors(() => this.#say(0, { kind: "resume_answer", transferId, offset }));
  }

  /** PING: a `heard` event follows its answer. Only for a peer that speaks x1. */
  probe(nowMs: number): void {
    this.#lastKeepaliveMs = nowMs;
    this.#sendRecords(this.#pings.ping(this.#config, nowMs));
  }

  /** TAP or UNTAP. */
  ask(record: TapRecord | UntapRecord): void {
    this.#sendRecords(record);
  }

  /** Where tensors lie from now on: the account of the peer, known when the session opens. */
  useMemory(memory: TensorMemory): void {
    this.#context.pool = memory;
  }

  /** Whether this connection is one that keepalives must hold. */
  setKeepalive(on: boolean): void {
    this.#keepalive = on;
  }

  /** Closes when all streams under way are done; `code` of `GoawayCode` tells a peer of x1 why. */
  close(nowMs: number, code: number = GoawayCode.SHUTDOWN): void {
    this.#nowMs = nowMs;
    const { action, next } = transition(this.#state, Input.CLOSE);
    if (action === Action.IGNORE) return;
    if (this.#tensors && next === State.CLOSING) {
      // A PONG shows that it was read: no stream is begun by the other side after that.
      this.#goawayUnheard = true;
      const goaway = { kind: "goaway", lastStream: 0xffff_ffff, drainMs: 0, code } as const;
      this.#sendRecords(goaway, this.#pings.ping(this.#config, nowMs));
    }
    this.#state = next;
    if (next === State.CLOSED) {
      this.#error = new ConnectionError("ASOC_CLOSED", "The handshake was given up: the node is closing");
      this.#emit({ kind: "closed", error: this.#error });
    } else this.#checkDrained();
  }

  /** Ends it at once with `error`. */
  abort(error: AsocError, nowMs: number): void {
    this.#nowMs = nowMs;
    if (!this.closed) this.#fail(error);
  }

  // --- outputs

  /** The next batch of parts, in order, or false. The parts stay untouched until `handleWritten`. */
  pollTransmit(parts: Uint8Array[], nowMs: number): boolean {
    this.#nowMs = nowMs;
    if (this.closed && this.#error) return false;
    const any = this.#outbound.pollTransmit(parts, nowMs);
    if (any) this.#lastKeepaliveMs = nowMs;
    return any;
  }

  pollEvent(): SessionEvent | undefined {
    const event = this.#events[this.#eventsHead];
    if (event === undefined) return undefined;
    this.#eventsHead++;
    if (this.#eventsHead === this.#events.length) {
      this.#events.length = 0;
      this.#eventsHead = 0;
    }
    if (event.kind === "readable") event.stream.signalled = false;
    return event;
  }

  /** When `handleTimeout` wants to be called next; undefined: never. Called after every read: it allocates nothing. */
  pollDeadline(): number | undefined {
    if (this.closed) return undefined;
    const at = this.#deadlines();
    const earliest = Math.min(
      Math.min(at.handshake, at.sendStall, at.reader, at.silence),
      Math.min(at.linger, at.keepalive, Math.min(at.caps, at.streams)),
    );
    return earliest === Number.POSITIVE_INFINITY ? undefined : earliest;
  }

  /** The named deadlines of this moment; Infinity: none. */
  #deadlines(): Readonly<Deadlines> {
    const { limits } = this.#config;
    const at = this.#at;
    const never = Number.POSITIVE_INFINITY;
    const state = this.#state;
    const handshaking = isHandshaking(state);
    const stalledMs = this.#stalledSinceMs;
    const reading = stalledMs === undefined;
    const kept =
      (this.#keepalive || this.#peer !== undefined) && (state === State.OPEN || state === State.CLOSING);
    // With PING and PONG silence means that nobody is there; without, only an open stream tells that something should come.
    const expecting = this.#arriving.openStreams > 0 || (kept && this.#peer !== undefined);
    const waiting = reading && !handshaking && expecting;
    const lingering = reading && state === State.FINISHED;
    at.handshake = handshaking ? this.#startedMs + limits.handshakeTimeoutMs : never;
    at.sendStall = this.#outbound.inFlight ? this.#outbound.inFlightSinceMs + limits.sendStallMs : never;
    at.reader = reading ? never : Math.max(stalledMs, this.#lastRoomMs) + limits.silenceMs;
    const silenceMs = this.#peer ? Math.max(limits.silenceMs, 2 * limits.keepaliveMs) : limits.silenceMs;
    at.silence = waiting ? this.#lastReadMs + silenceMs : never;
    at.linger = lingering ? Math.max(this.#finishedMs, this.#lastReadMs) + limits.lingerMs : never;
    const capsAwaited = state === State.CAPS_AWAITED && this.#handshake.mayFallBack;
    at.caps = capsAwaited ? this.#answeredMs + limits.capsWaitMs : never;
    at.streams = Math.min(this.#outbound.deadlineMs, this.#tensors?.deadlineMs ?? never);
    at.keepalive = kept ? this.#lastKeepaliveMs + limits.keepaliveMs : never;
    return at;
  }

  // --- FrameConsumer: what the reader finds

  /** @internal */
  onHeader(header: Header): void {
    this.#framesIn++;
    const { limits } = this.#config;
    const input = frameInput(header.type);
    let { action, next } = transition(this.#state, input);
    const tooLong = action === Action.RECORDS && header.payloadBytes > MAX_HANDSHAKE_CONTROL_BYTES;
    if (
      action === Action.FALL_BACK ||
      (tooLong && this.#state === State.CAPS_AWAITED && this.#handshake.mayFallBack)
    ) {
      this.#fallBack();
      ({ action, next } = transition(this.#state, input));
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
        if (header.payloadBytes > limits.maxPayloadBytes) {
          throw payloadTooLarge(header, limits.maxPayloadBytes);
        }
        if (action === Action.STREAM) this.#arriving.onHeader(header);
        else {
          this.#arriving.skip();
          if (header.type === FrameType.CONTROL) this.#controlFrames++;
          else this.#unknownFrames++;
        }
        this.#state = next;
        break;
      default:
        throw unexpectedFrame(this.#state, header);
    }
  }

  /** @internal */
  payloadTarget(remainingBytes: number): Uint8Array | undefined {
    if (this.#action === Action.CHECK_HELLO || this.#action === Action.CHECK_ACCEPT)
      return this.#handshake.target(remainingBytes);
    if (this.#action === Action.RECORDS) return this.#control.target(remainingBytes);
    return this.#arriving.payloadTarget(remainingBytes);
  }

  /** @internal */
  get targetMoved(): boolean {
    return this.#action === Action.STREAM && this.#arriving.targetMoved;
  }

  /** @internal */
  onPayload(byteCount: number): void {
    if (this.#action === Action.STREAM) this.#arriving.onPayload(byteCount);
    else if (this.#action === Action.RECORDS) this.#control.filled(byteCount);
    else if (this.#action !== Action.SKIP) this.#handshake.filled(byteCount);
  }

  /** @internal */
  onFrameEnd(): void {
    if (this.#action === Action.CHECK_HELLO) {
      this.#answeredMs = this.#nowMs;
      const next = this.#handshake.handleHello();
      this.#capsMissed = next === State.OPEN && this.#config.x1 !== undefined;
      this.#advance(next);
    } else if (this.#action === Action.CHECK_ACCEPT) this.#advance(this.#handshake.handleAccept());
    else if (this.#action === Action.RECORDS) this.#handleControl(this.#control.payload);
  }

  // --- inside

  get #arriving(): Inbound | InboundTensors {
    return this.#tensors ?? this.#inbound;
  }

  #expectHandshake(header: Header, byteCount: number): void {
    if (header.payloadBytes !== byteCount || header.streamId !== 0 || header.seq !== 0) {
      throw unexpectedFrame(this.#state, header);
    }
  }

  /** The handshake has got that far. */
  #advance(state: State): void {
    this.#state = state;
    if (state !== State.OPEN) return;
    const { nodeId, caps } = this.#handshake.opened;
    this.#peer = caps;
    if (caps && this.#config.x1?.tensors && (caps.capabilities & Capability.TENSORS) !== 0)
      this.#useTensors(caps);
    this.#emit({ kind: "open", nodeId, caps });
  }

  /** Runs what may find that the connection has to end. */
  #withTensors(run: (tensors: InboundTensors) => void): void {
    if (!this.#tensors || this.closed) return;
    try {
      run(this.#tensors);
    } catch (error) {
      this.#readFailed(error);
    }
  }

  /** As `#withTensors`, and nothing is made for it: it follows every read. */
  #flush(): void {
    if (!this.#tensors || this.closed) return;
    try {
      this.#tensors.flush(this.#nowMs);
    } catch (error) {
      this.#readFailed(error);
    }
  }

  #useTensors(peer: CapsRecord): void {
    const { role, limits, crypto, bookOf } = this.#config;
    this.#outbound.useCredit(peer.initialCreditBytes);
    this.#tensors = new InboundTensors(role, this.#context, limits, crypto, bookOf?.(peer.uuid) ?? NO_BOOK, {
      started: (stream) => this.#emit({ kind: "stream", stream }),
      resumed: (stream) => this.#emit({ kind: "resumed", stream }),
      changed: (stream) => this.#signal(stream),
      failed: (streamId, error) => this.#emit({ kind: "streamFailed", streamId, error }),
      say: (streamId, record) => this.#say(streamId, record),
    });
  }

  #fallBack(): void {
    this.#handshake.fallBack();
    this.#advance(State.OPEN);
  }

  /** Whether records are looked for in a CONTROL frame of an open session. */
  #readsControl(header: Header): boolean {
    return (
      this.#peer !== undefined || (this.#capsMissed && header.payloadBytes <= MAX_HANDSHAKE_CONTROL_BYTES)
    );
  }

  #beginControl(header: Header): void {
    const handshaking = isHandshaking(this.#state);
    const counted = !this.#handshake.mayFallBack;
    if (header.streamId !== 0 && handshaking && counted) throw unexpectedFrame(this.#state, header);
    this.#control.begin(header, handshaking ? MAX_HANDSHAKE_CONTROL_BYTES : MAX_CONTROL_BYTES, counted);
    this.#arriving.skip();
    this.#controlFrames++;
  }

  #handleControl(payload: Uint8Array): void {
    if (!isHandshaking(this.#state)) {
      if (this.#peer) this.#handleRecords(splitRecords(payload));
      else if (payload[0] === RecordOp.CAPS) throw lateCaps(this.#config.limits);
      return;
    }
    const step = this.#handshake.handleControl(this.#state, payload, this.#control.onZero);
    if (!step) {
      this.#fallBack();
      return;
    }
    if (step.next !== this.#state) this.#advance(step.next);
    if (step.rest.length > 0) this.#handleRecords(step.rest);
  }

  #handleRecords(raws: readonly RawRecord[]): void {
    for (const raw of raws) {
      const record = decodeRecord(raw);
      if (record && !this.#handleTensorRecord(record)) this.#handleRecord(record, raw);
    }
  }

  /** False for a record that is not about tensor streams, or where there are none. */
  #handleTensorRecord(record: X1Record): boolean {
    const tensors = this.#tensors;
    if (!tensors) return false;
    const { streamId } = this.#control;
    switch (record.kind) {
      case "open":
        tensors.handleOpen(streamId, record, this.#nowMs);
        return true;
      case "close":
        tensors.handleClose(streamId, record);
        return true;
      case "reset":
        tensors.handleReset(streamId, record);
        return true;
      case "blocked":
        return true; // for people who look at the wire
      case "stop": {
        const stream = this.#outbound.tensorStream(streamId);
        if (stream) this.#refuseOutbound(stream, stoppedBy(stream, record), StreamCode.CANCELLED);
        return true;
      }
      case "credit":
        this.#outbound.handleCredit(streamId, record.limitBytes);
        return true;
      case "ack":
        this.#handleAck(streamId, record);
        return true;
      case "resume_query":
        this.#emit({ kind: "resumeAsked", transferId: toHex(record.transferId) });
        return true;
      case "resume_answer":
        this.#emit({ kind: "resumeAnswered", transferId: toHex(record.transferId), offset: record.offset });
        return true;
      case "goaway":
        this.#leaving = true;
        this.#outbound.failUnopened(leaving(record.code), (stream) => this.#emit({ kind: "sent", stream }));
        this.#emit({ kind: "goaway", code: record.code });
        return true;
      case "tap":
      case "untap":
        this.#emit({ kind: "tapAsked", record });
        return true;
      default:
        return false;
    }
  }

  #handleAck(streamId: number, { transferId, contiguousBytes, level }: AckRecord): void {
    const stream = this.#outbound.tensorStream(streamId);
    if (!stream?.tensor || !equalBytes(stream.tensor.transferId, transferId)) return; // it is settled
    const ackedBytes = contiguousBytes - stream.tensor.baseOffset;
    const all = stream.promisedBytes;
    if (ackedBytes > all || (level !== "received" && stream.endSent && ackedBytes !== all)) {
      const details = { streamId, expected: stream.tensor.baseOffset + all, got: contiguousBytes };
      const message = `Cannot read ACK: ${details.expected} bytes of stream ${streamId} were sent, ${contiguousBytes} are said to have come`;
      throw new ProtocolError("ASOC_UNEXPECTED_RECORD", message, { details });
    }
    this.#outbound.handleAck(stream, ackedBytes, level !== "received", () =>
      this.#emit({ kind: "sent", stream }),
    );
  }

  #tooLate(stream: OutboundStream): void {
    this.#refuseOutbound(stream, tooLate(stream), StreamCode.DEADLINE);
  }

  #refuseOutbound(stream: OutboundStream, error: AsocError, code: number): void {
    const reset = { code, reason: clippedReason(error.message), error };
    this.#outbound.refuse(stream, reset, () => this.#emit({ kind: "sent", stream }));
  }

  #handleRecord(record: X1Record, raw: RawRecord): void {
    switch (record.kind) {
      case "ping":
        // Who asks and does not read gets no more answers than this; the latest ones are not worth memory.
        if (this.#outbound.waitingControl >= MAX_WAITING_ANSWERS) break;
        this.#sendRecords(this.#pings.answer(record, this.#config));
        break;
      case "pong":
        if (!this.#pings.handlePong(record, this.#config, this.#nowMs)) break;
        this.#goawayUnheard = false;
        this.#emit({ kind: "heard" });
        break;
      case "error":
        throw new ConnectionError("ASOC_PEER_ERROR", `The other side ended the connection: ${record.text}`, {
          details: { code: record.code, streamId: record.stream, seq: record.frameSeq },
        });
      case "caps":
      case "proof":
        throw unexpectedRecord("a record of an open session", raw.op);
      default:
        // Laid out in RFC-0004 and not used by this side: as if it were not known.
        if (raw.critical) throw unknownCritical(raw.op);
    }
  }

  #sendRecords(...records: X1Record[]): void {
    if (this.#state === State.FINISHED) return; // our FIN is out
    this.#send(FrameType.CONTROL, encodeControl(records));
  }

  #say(streamId: number, record: X1Record): void {
    if (this.#state === State.FINISHED || this.closed) return;
    if (this.#outbound.waitingControl >= MAX_WAITING_CONTROL) throw controlUnread();
    this.#outbound.sendControl(FrameType.CONTROL, encodeControl([record]), true, streamId);
  }

  #send(type: number, payload: Uint8Array): void {
    const counted = type === FrameType.CONTROL && this.#config.x1 !== undefined;
    this.#outbound.sendControl(type, payload, counted);
  }

  #beginRead(nowMs: number): boolean {
    this.#nowMs = nowMs;
    this.#lastReadMs = nowMs;
    return !this.closed;
  }

  #readFailed(error: unknown): void {
    if (!(error instanceof AsocError)) throw error;
    this.#fail(error);
  }

  #endRead(nowMs: number): void {
    if (this.#reader.stalled) this.#stalledSinceMs ??= nowMs;
    else if (this.#stalledSinceMs !== undefined) {
      this.#lastStallMs = nowMs - this.#stalledSinceMs;
      this.#lastStallEndMs = nowMs;
      this.#stalledSinceMs = undefined;
    }
    this.#flush();
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (this.#state !== State.CLOSING && this.#state !== State.PEER_DONE) return;
    if (!this.#outbound.idle || this.#arriving.openStreams > 0) return;
    // What was refused is answered with RESET: the other side has streams open until then.
    if (this.#state === State.CLOSING && (this.#goawayUnheard || (this.#tensors?.skippedStreams ?? 0) > 0))
      return;
    const { action, next } = transition(this.#state, Input.DRAINED);
    this.#state = next;
    this.#finishedMs = this.#nowMs;
    if (action === Action.SEND_FIN) this.#emit({ kind: "finish" });
    if (next === State.CLOSED) this.#emit({ kind: "closed", error: undefined });
  }

  #fail(error: AsocError): void {
    this.#error = error;
    if (this.#peer && this.#outbound.atBoundary) {
      this.#lastWords = farewell(error, this.#control.numbered);
    }
    this.#state = State.CLOSED;
    this.#outbound.fail(
      (stream) => notSentWhole(stream, error),
      (stream) => this.#emit({ kind: "sent", stream }),
    );
    this.#emit({ kind: "closed", error });
  }

  /** After the end of reading: memory goes back, open streams fail. */
  #letGo(): void {
    this.#arriving.skip(); // a stream that was given up in the middle of a payload still has its memory
    if (this.#arriving.openStreams > 0) this.#failArriving();
  }

  /** Tensors may come whole on another connection, unless it is this side that does not go on. */
  #cutArriving(tensors: InboundTensors): void {
    const error = this.#error ?? connectionLost(undefined);
    // A FIN in mid-frame is what the kernel, or a relay, makes of a sender that died.
    const broken = error instanceof ConnectionError || error.code === "ASOC_TRUNCATED_FRAME";
    for (const stream of tensors.takeOpen()) {
      if (broken) this.#emit({ kind: "cut", stream, error });
      else tensors.settleFailed(stream, incomplete(stream, error));
    }
  }

  #failArriving(): void {
    if (this.#tensors) {
      this.#cutArriving(this.#tensors);
      return;
    }
    // After so long a pause the peer's own send has stalled: it closes, and its FIN is found soon after.
    const { sendStallMs } = this.#config.limits;
    const afterStall = this.#lastStallMs >= sendStallMs && this.#nowMs - this.#lastStallEndMs < sendStallMs;
    const pausedMs = this.#stalledSinceMs === undefined ? 0 : this.#nowMs - this.#stalledSinceMs;
    const slow = afterStall || pausedMs >= sendStallMs / 2; // a peer gives up after sendStallMs of its own clock
    const error = this.#error;
    this.#inbound.failAll((stream) =>
      slow && error?.code !== "ASOC_CONSUMER_TOO_SLOW" ? this.#tooSlow(stream.id) : incomplete(stream, error),
    );
  }

  #tooSlow(streamId?: number): LimitError {
    const { pool } = this.#context;
    return tooSlow(this.#context.readerBehind === true, this.#config.limits, pool, streamId);
  }

  #signal(stream: ArrivingStream): void {
    if (stream.signalled) return;
    stream.signalled = true;
    this.#emit({ kind: "readable", stream });
  }

  #emit(event: SessionEvent): void {
    this.#events.push(event);
  }
}
