/**
 * ONE connection, sans-IO: handshake, streams, keepalive and deadlines of RFC-0001.
 *
 * No sockets, no clock, no timers: bytes and times come in through `handle*`, wishes
 * through commands, and all that results is polled: `pollTransmit`, then `pollEvent`
 * until undefined, then `pollDeadline`. After `closed` nothing more comes out.
 *
 * Whoever drives it calls, after each `handle*` or command: pollTransmit → write,
 * pollEvent, pollDeadline, and pauses the connection while `stalled`.
 */
import { AsocError, AuthError, ConnectionError, LimitError, ProtocolError } from "../errors.ts";
import type { Limits, Timing } from "../limits.ts";
import type { Crypto } from "../runtime.ts";
import type { BufferPool } from "../tensor/buffer_pool.ts";
import { ACCEPT_BYTES, decodeAccept, encodeAccept, makeToken } from "../wire/accept.ts";
import { type FrameConsumer, FrameReader } from "../wire/frame_reader.ts";
import { FrameType, frameName, type Header } from "../wire/header.ts";
import { decodeHello, encodeHello, HELLO_BYTES } from "../wire/hello.ts";
import { Inbound } from "./inbound.ts";
import type { InboundContext, InboundStream } from "./inbound_stream.ts";
import { Outbound, type OutboundStream } from "./outbound.ts";
import { Action, frameInput, Input, State, stateName, transition } from "./transitions.ts";

export interface SessionConfig {
  readonly role: "dialler" | "acceptor";
  readonly nodeId: Uint8Array;
  readonly key: Uint8Array;
  /** The dialler's challenge; the node keeps it to know its own HELLO again. */
  readonly challenge?: number;
  readonly limits: Limits & Timing;
  readonly crypto: Crypto;
  readonly pool: BufferPool;
  /** Asked once about an authentic HELLO: an error refuses it. */
  readonly admit?: (nodeId: Uint8Array, challenge: number) => AsocError | undefined;
}

export type SessionEvent =
  /** Both sides have proven the key. A dialler does not learn who answers (v1). */
  | { readonly kind: "open"; readonly nodeId: Uint8Array | undefined; readonly token: Uint8Array }
  | { readonly kind: "stream"; readonly stream: InboundStream }
  | { readonly kind: "readable"; readonly stream: InboundStream }
  | { readonly kind: "streamFailed"; readonly streamId: number; readonly error: AsocError }
  /** Bytes of a stream that we send are in the kernel, or it is done or failed. */
  | { readonly kind: "sent"; readonly stream: OutboundStream }
  /** Everything is written and nothing arrives: send FIN. */
  | { readonly kind: "finish" }
  /** The end. With an error the connection must be aborted. */
  | { readonly kind: "closed"; readonly error: AsocError | undefined };

/** Counters of one session, for stats and tests. */
export interface SessionCounters {
  readonly framesIn: number;
  readonly framesOut: number;
  readonly payloadBytesIn: number;
  readonly payloadBytesOut: number;
  readonly unknownFrames: number;
  readonly controlFrames: number;
  /** Payload bytes that took the copying way in, and that moved when a buffer grew. */
  readonly copiedBytes: number;
  readonly grownBytes: number;
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

  constructor(config: SessionConfig, nowMs: number) {
    this.#config = config;
    this.#state = config.role === "dialler" ? State.HELLO_SENT : State.HELLO_AWAITED;
    this.#nowMs = this.#startedMs = this.#lastReadMs = this.#lastKeepaliveMs = nowMs;
    this.#reader = new FrameReader(this);
    this.#context = { pool: config.pool, limits: config.limits, sizeHintBytes: 0, copiedBytes: 0 };
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
    };
  }

  // --- inputs

  /** See `Sink.next`. */
  readTarget(): Uint8Array {
    return this.#reader.next();
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
    try {
      this.#reader.retry();
    } catch (error) {
      this.#readFailed(error);
      return;
    }
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
      this.#fail(new ProtocolError("ASOC_TRUNCATED_FRAME", "Cannot read frame: the connection ended in the middle of it"));
    } else if (action === Action.LOST) {
      this.#fail(
        new ConnectionError(
          "ASOC_HANDSHAKE_REFUSED",
          "Handshake refused: the other side closed the connection (another key or community, or not an ASoc port)",
        ),
      );
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
      const handshaking = this.#state === State.HELLO_SENT || this.#state === State.HELLO_AWAITED;
      this.#fail(
        handshaking
          ? new ConnectionError("ASOC_HANDSHAKE_REFUSED", "Handshake refused: the other side reset the connection", { cause })
          : new ConnectionError("ASOC_CONNECTION_LOST", "The connection was lost", { cause }),
      );
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
    const due = (atMs: number | undefined) => atMs !== undefined && nowMs >= atMs;
    const at = this.#deadlines();
    if (due(at.handshake)) {
      this.#fail(
        new ConnectionError(
          "ASOC_HANDSHAKE_TIMEOUT",
          `Handshake failed: ${stateName(this.#state)} for ${limits.handshakeTimeoutMs} ms`,
          { details: { timeoutMs: limits.handshakeTimeoutMs } },
        ),
      );
    } else if (due(at.sendStall)) {
      this.#fail(
        new ConnectionError(
          "ASOC_SEND_STALLED",
          `The connection was closed: no progress in sending for ${limits.sendStallMs} ms`,
          { details: { timeoutMs: limits.sendStallMs } },
        ),
      );
    } else if (due(at.reader)) {
      this.#fail(this.#tooSlow());
    } else if (due(at.silence)) {
      this.#fail(
        new ConnectionError(
          "ASOC_PEER_SILENT",
          `The connection was closed: nothing came for ${limits.silenceMs} ms on an open stream`,
          { details: { timeoutMs: limits.silenceMs } },
        ),
      );
    } else if (due(at.linger)) {
      this.#fail(
        new ConnectionError(
          "ASOC_CONNECTION_LOST",
          `The peer did not close its side within ${limits.lingerMs} ms`,
          { details: { timeoutMs: limits.lingerMs } },
        ),
      );
    } else if (due(at.keepalive)) {
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

  /** When `handleTimeout` wants to be called next; undefined: never. */
  pollDeadline(): number | undefined {
    if (this.closed) return undefined;
    let earliest: number | undefined;
    for (const at of Object.values(this.#deadlines())) {
      if (at !== undefined && (earliest === undefined || at < earliest)) earliest = at;
    }
    return earliest;
  }

  /** The named deadlines of this moment. */
  #deadlines() {
    const { limits } = this.#config;
    const handshaking = this.#state === State.HELLO_SENT || this.#state === State.HELLO_AWAITED;
    const waiting = this.#inbound.openStreams > 0 && !handshaking;
    const stalledMs = this.#stalledSinceMs;
    return {
      handshake: handshaking ? this.#startedMs + limits.handshakeTimeoutMs : undefined,
      sendStall: this.#outbound.inFlight
        ? this.#outbound.inFlightSinceMs + limits.sendStallMs
        : undefined,
      reader: stalledMs !== undefined ? stalledMs + limits.silenceMs : undefined,
      silence: waiting && stalledMs === undefined ? this.#lastReadMs + limits.silenceMs : undefined,
      linger: this.#state === State.FINISHED ? Math.max(this.#finishedMs, this.#lastReadMs) + limits.lingerMs : undefined,
      keepalive: this.#keepalive && this.open ? this.#lastKeepaliveMs + limits.keepaliveMs : undefined,
    };
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
          throw new LimitError(
            "ASOC_FRAME_TOO_LARGE",
            `Cannot read ${frameName(header.type)} of stream ${header.streamId}: ${header.payloadBytes} bytes, at most ${limits.maxPayloadBytes} (maxPayloadBytes)`,
            {
              details: {
                streamId: header.streamId,
                limit: "maxPayloadBytes",
                expected: limits.maxPayloadBytes,
                got: header.payloadBytes,
              },
            },
          );
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
        throw this.#refusal(header);
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
    if (header.payloadBytes !== byteCount || header.streamId !== 0 || header.seq !== 0) throw this.#refusal(header);
  }

  #refusal(header: Header): ProtocolError {
    const got = `${frameName(header.type)} (stream ${header.streamId}, seq ${header.seq}, ${header.payloadBytes} bytes)`;
    const expected =
      this.#state === State.HELLO_AWAITED
        ? `HELLO of ${HELLO_BYTES} bytes`
        : this.#state === State.HELLO_SENT
          ? `ACCEPT of ${ACCEPT_BYTES} bytes`
          : "a frame of an open session";
    const code =
      this.#state === State.HELLO_AWAITED || this.#state === State.HELLO_SENT
        ? "ASOC_BAD_HANDSHAKE"
        : "ASOC_UNEXPECTED_FRAME";
    return new ProtocolError(code, `Cannot read frame: expected ${expected}, got ${got}`, {
      details: { expected, got },
    });
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
      (stream) =>
        new ConnectionError(
          error.code === "ASOC_CLOSED" ? "ASOC_CLOSED" : "ASOC_CONNECTION_LOST",
          `Stream ${stream.id} was not sent whole (${stream.sentBytes} bytes were): ${error.message}`,
          { cause: error, details: { streamId: stream.id, sentBytes: stream.sentBytes } },
        ),
      (stream) => this.#emit({ kind: "sent", stream }),
    );
    this.#emit({ kind: "closed", error });
  }

  /** After the end of reading: memory goes back, open streams fail. */
  #letGo(): void {
    if (this.#inbound.openStreams > 0) this.#failArriving();
  }

  #failArriving(): void {
    const slow = this.#stalledSinceMs !== undefined || this.#lastStallMs >= this.#config.limits.sendStallMs;
    const why = this.#error?.message ?? "the connection ended before END";
    this.#inbound.failAll((stream) =>
      slow && this.#error?.code !== "ASOC_CONSUMER_TOO_SLOW"
        ? this.#tooSlow(stream.id)
        : new ConnectionError(
            this.#error?.code === "ASOC_CONSUMER_TOO_SLOW" ? "ASOC_CONSUMER_TOO_SLOW" : "ASOC_INCOMPLETE_STREAM",
            `Stream ${stream.id} is incomplete (${stream.receivedBytes} bytes came): ${why}`,
            { cause: this.#error, details: { streamId: stream.id, receivedBytes: stream.receivedBytes } },
          ),
    );
  }

  #tooSlow(streamId?: number): LimitError {
    const { limits, pool } = this.#config;
    return new LimitError(
      "ASOC_CONSUMER_TOO_SLOW",
      `${streamId === undefined ? "The connection was closed" : `Stream ${streamId} was lost`}: its reader paused it for too long ` +
        `(${pool.usedBytes} of memoryBudgetBytes ${limits.memoryBudgetBytes} in use; release tensors, or read faster)`,
      { details: { streamId, limit: "memoryBudgetBytes", expected: limits.memoryBudgetBytes, got: pool.usedBytes } },
    );
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
