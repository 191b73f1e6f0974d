/**
 * ONE connection, sans-IO: handshake, streams, keepalive and deadlines of RFC-0001.
 *
 * No sockets, no clock, no timers: bytes and times come in through `handle*`, wishes
 * through commands, and all that results is polled: `pollTransmit`, then `pollEvent`
 * until undefined, then `pollDeadline`. After `closed` only the fates of streams still come out.
 *
 * Whoever drives it calls, after each `handle*` or command: pollTransmit → write,
 * pollEvent, pollDeadline, and pauses the connection while `stalled`.
 */
import { AsocError, AuthError, ConnectionError, type LimitError } from "../errors.ts";
import { KiB } from "../limits.ts";
import type { TensorMemory } from "../tensor/memory_account.ts";
import { ACCEPT_BYTES, decodeAccept, encodeAccept, makeToken } from "../wire/accept.ts";
import { type FrameConsumer, FrameReader } from "../wire/frame_reader.ts";
import { FrameType, type Header } from "../wire/header.ts";
import { decodeHello, encodeHello, HELLO_BYTES } from "../wire/hello.ts";
import {
  connectionLost,
  handshakeRefused,
  incomplete,
  isHandshaking,
  notSentWhole,
  payloadTooLarge,
  timedOut,
  tooSlow,
  truncatedFrame,
  unexpectedFrame,
} from "./faults.ts";
import { Inbound } from "./inbound.ts";
import type { InboundContext, InboundStream } from "./inbound_stream.ts";
import { Outbound, type OutboundStream } from "./outbound.ts";
import type { SessionConfig, SessionCounters, SessionEvent } from "./session_types.ts";
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
  #handshakeBytes = new Uint8Array(HELLO_BYTES);
  #handshakeFilled = 0;
  #action: Action = Action.SKIP;
  #framesIn = 0;
  #unknownFrames = 0;
  #controlFrames = 0;
  #error: AsocError | undefined;
  readonly #at: Deadlines = { handshake: 0, sendStall: 0, reader: 0, silence: 0, linger: 0, keepalive: 0 };

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
    this.#outbound = new Outbound(config.role === "dialler" ? 1 : 2);
    if (config.role === "dialler") {
      const hello = { nodeId: config.nodeId, challenge: config.challenge ?? 0 };
      this.#outbound.sendControl(FrameType.HELLO, encodeHello(hello, config.key, config.crypto));
    }
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
  /** Nothing should be read: memory is used up, or a reader is behind. */
  get stalled(): boolean {
    return this.#reader.stalled;
  }
  /** Nothing to tell, to send or to wait for has come of the last read: most reads are in the middle of a payload. */
  get quiet(): boolean {
    return this.#eventsHead === this.#events.length && !this.#reader.stalled && !this.#outbound.waiting;
  }
  /** When bytes last came. */
  get lastReadMs(): number {
    return this.#lastReadMs;
  }
  get outboundStreams(): number {
    return this.#outbound.openStreams;
  }
  get inboundStreams(): number {
    return this.#inbound.openStreams;
  }
  get counters(): SessionCounters {
    return {
      framesIn: this.#framesIn,
      framesOut: this.#outbound.counters.frames,
      payloadBytesIn: this.#inbound.payloadBytes,
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

  /** There may be room again. */
  handleRoom(nowMs: number): void {
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
    if (this.closed) return;
    this.#finPending = this.#reader.stalled;
    if (this.#finPending) return; // what was spilled comes first
    const { action, next } = transition(this.#state, Input.FIN);
    if (!this.#reader.atBoundary) {
      this.#fail(truncatedFrame());
    } else if (action === Action.LOST) {
      this.#fail(handshakeRefused("closed"));
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
    else if (due(at.keepalive)) {
      this.#lastKeepaliveMs = nowMs;
      this.#outbound.sendControl(FrameType.CONTROL, new Uint8Array(0));
    }
  }

  // --- commands

  /** A new stream to the peer. Throws ASOC_CLOSED unless open. */
  openStream(chunkBytes?: number): OutboundStream {
    if (!this.open) {
      throw new ConnectionError("ASOC_CLOSED", `Cannot open a stream: session is ${stateName(this.#state)}`);
    }
    return this.#outbound.open(chunkBytes);
  }

  write(stream: OutboundStream, bytes: Uint8Array): void {
    if (!stream.done) this.#outbound.write(stream, bytes);
  }

  endStream(stream: OutboundStream): void {
    this.#outbound.end(stream);
  }

  abandonStream(stream: OutboundStream): void {
    this.#outbound.abandon(stream, () => this.#emit({ kind: "sent", stream }));
    this.#checkDrained();
  }

  /** Where tensors lie from now on: the account of the peer, known when the session opens. */
  useMemory(memory: TensorMemory): void {
    this.#context.pool = memory;
  }

  /** Whether this connection is one that keepalives must hold. */
  setKeepalive(on: boolean): void {
    this.#keepalive = on;
  }

  /** Closes when all streams under way are done. */
  close(nowMs: number): void {
    this.#nowMs = nowMs;
    const { action, next } = transition(this.#state, Input.CLOSE);
    if (action === Action.IGNORE) return;
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
    const earliest = Math.min(at.handshake, at.sendStall, at.reader, at.silence, at.linger, at.keepalive);
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
    const waiting = reading && !handshaking && this.#inbound.openStreams > 0;
    const kept = this.#keepalive && (state === State.OPEN || state === State.CLOSING);
    const lingering = reading && state === State.FINISHED;
    at.handshake = handshaking ? this.#startedMs + limits.handshakeTimeoutMs : never;
    at.sendStall = this.#outbound.inFlight ? this.#outbound.inFlightSinceMs + limits.sendStallMs : never;
    at.reader = reading ? never : Math.max(stalledMs, this.#lastRoomMs) + limits.silenceMs;
    at.silence = waiting ? this.#lastReadMs + limits.silenceMs : never;
    at.linger = lingering ? Math.max(this.#finishedMs, this.#lastReadMs) + limits.lingerMs : never;
    at.keepalive = kept ? this.#lastKeepaliveMs + limits.keepaliveMs : never;
    return at;
  }

  // --- FrameConsumer: what the reader finds

  /** @internal */
  onHeader(header: Header): void {
    this.#framesIn++;
    const { limits } = this.#config;
    const { action, next } = transition(this.#state, frameInput(header.type));
    this.#action = action;
    switch (action) {
      case Action.CHECK_HELLO:
        this.#expectHandshake(header, HELLO_BYTES);
        break;
      case Action.CHECK_ACCEPT:
        this.#expectHandshake(header, ACCEPT_BYTES);
        break;
      case Action.STREAM:
      case Action.SKIP:
        if (header.payloadBytes > limits.maxPayloadBytes) {
          throw payloadTooLarge(header, limits.maxPayloadBytes);
        }
        if (action === Action.STREAM) this.#inbound.onHeader(header);
        else {
          this.#inbound.skip();
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
    if (this.#action === Action.CHECK_HELLO || this.#action === Action.CHECK_ACCEPT) {
      return this.#handshakeBytes.subarray(this.#handshakeFilled, this.#handshakeFilled + remainingBytes);
    }
    return this.#inbound.payloadTarget(remainingBytes);
  }

  /** @internal */
  get targetMoved(): boolean {
    return this.#action === Action.STREAM && this.#inbound.targetMoved;
  }

  /** @internal */
  onPayload(byteCount: number): void {
    if (this.#action === Action.STREAM) this.#inbound.onPayload(byteCount);
    else if (this.#action !== Action.SKIP) this.#handshakeFilled += byteCount;
  }

  /** @internal */
  onFrameEnd(): void {
    if (this.#action === Action.CHECK_HELLO) this.#checkHello();
    else if (this.#action === Action.CHECK_ACCEPT) this.#checkAccept();
  }

  // --- inside

  #expectHandshake(header: Header, byteCount: number): void {
    if (header.payloadBytes !== byteCount || header.streamId !== 0 || header.seq !== 0) {
      throw unexpectedFrame(this.#state, header);
    }
  }

  #checkHello(): void {
    const { key, crypto, admit } = this.#config;
    const hello = decodeHello(this.#handshakeBytes, key, crypto);
    if (!hello.authentic) throw new AuthError("ASOC_WRONG_KEY", "HELLO refused: signed with another key");
    const refused = admit?.(hello.nodeId, hello.challenge);
    if (refused) throw refused;
    const token = makeToken(this.#config.nodeId, key, crypto);
    this.#outbound.sendControl(FrameType.ACCEPT, encodeAccept(token, key, crypto));
    this.#state = transition(this.#state, Input.HELLO).next;
    this.#emit({ kind: "open", nodeId: hello.nodeId, token });
  }

  #checkAccept(): void {
    const { key, crypto } = this.#config;
    const accept = decodeAccept(this.#handshakeBytes.subarray(0, ACCEPT_BYTES), key, crypto);
    if (!accept.authentic) throw new AuthError("ASOC_WRONG_KEY", "ACCEPT refused: signed with another key");
    this.#state = transition(this.#state, Input.ACCEPT).next;
    this.#emit({ kind: "open", nodeId: undefined, token: accept.token });
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
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (this.#state !== State.CLOSING && this.#state !== State.PEER_DONE) return;
    if (!this.#outbound.idle || this.#inbound.openStreams > 0) return;
    const { action, next } = transition(this.#state, Input.DRAINED);
    this.#state = next;
    this.#finishedMs = this.#nowMs;
    if (action === Action.SEND_FIN) this.#emit({ kind: "finish" });
    if (next === State.CLOSED) this.#emit({ kind: "closed", error: undefined });
  }

  #fail(error: AsocError): void {
    this.#error = error;
    this.#state = State.CLOSED;
    this.#outbound.fail(
      (stream) => notSentWhole(stream, error),
      (stream) => this.#emit({ kind: "sent", stream }),
    );
    this.#emit({ kind: "closed", error });
  }

  /** After the end of reading: memory goes back, open streams fail. */
  #letGo(): void {
    if (this.#inbound.openStreams > 0) this.#failArriving();
  }

  #failArriving(): void {
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

  #signal(stream: InboundStream): void {
    if (stream.signalled) return;
    stream.signalled = true;
    this.#emit({ kind: "readable", stream });
  }

  #emit(event: SessionEvent): void {
    this.#events.push(event);
  }
}
