/** Frames written by hand, and a session that is fed with them. */
import { DEFAULT_LIMITS, type Limits, type Timing } from "../../src/core/limits.ts";
import { Session } from "../../src/core/session/session.ts";
import type { ArrivingStream, SessionConfig, SessionEvent } from "../../src/core/session/session_types.ts";
import { BufferPool } from "../../src/core/tensor/buffer_pool.ts";
import { encodeAccept } from "../../src/core/wire/accept.ts";
import { utf8 } from "../../src/core/wire/bytes.ts";
import { encodeHeader, FrameType, HEADER_BYTES } from "../../src/core/wire/header.ts";
import { encodeHello } from "../../src/core/wire/hello.ts";
import { testCrypto } from "./core_crypto.ts";

export const KEY = utf8("test-secret-key");
export const DIALLER_ID = new Uint8Array(16).fill(0xd1);
export const ACCEPTOR_ID = new Uint8Array(16).fill(0xac);
const NOTHING = new Uint8Array(0);

export function joinBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function header(type: number, streamId: number, seq: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  encodeHeader(bytes, 0, type, streamId, seq, payloadBytes);
  return bytes;
}

export function frame(
  type: number,
  streamId: number,
  seq: number,
  payload: Uint8Array = NOTHING,
): Uint8Array {
  return joinBytes(header(type, streamId, seq, payload.length), payload);
}

export const data = (streamId: number, seq: number, payload: Uint8Array) =>
  frame(FrameType.DATA, streamId, seq, payload);
export const end = (streamId: number, seq: number) => frame(FrameType.END, streamId, seq);

/** A tensor as its frames. */
export function tensorFrames(streamId: number, bytes: Uint8Array, chunkBytes: number): Uint8Array {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    frames.push(data(streamId, frames.length, bytes.subarray(at, at + chunkBytes)));
  }
  return joinBytes(...frames, end(streamId, frames.length));
}

export function helloFrame(
  key: Uint8Array = KEY,
  challenge = 7,
  nodeId: Uint8Array = DIALLER_ID,
): Uint8Array {
  return frame(FrameType.HELLO, 0, 0, encodeHello({ nodeId, challenge }, key, testCrypto()));
}

export function acceptFrame(key: Uint8Array = KEY): Uint8Array {
  return frame(FrameType.ACCEPT, 0, 0, encodeAccept(new Uint8Array(8).fill(5), key, testCrypto()));
}

export interface FedOptions {
  readonly limits?: Partial<Limits & Timing>;
  readonly admit?: SessionConfig["admit"];
  readonly pool?: BufferPool;
  /** Feed through readTarget and handleCommit instead of handlePart. */
  readonly direct?: boolean;
}

/** One session without a peer: bytes are fed by hand, results are kept. */
export class FedSession {
  readonly session: Session;
  readonly pool: BufferPool;
  readonly events: SessionEvent[] = [];
  /** Whole tensors in the order of their END. */
  readonly tensors: { readonly id: number; readonly bytes: Uint8Array }[] = [];
  /** All that was written. */
  written: Uint8Array = NOTHING;
  nowMs = 1000;
  /** Takes what arrives; another one may read in another way. */
  onStream: (stream: ArrivingStream) => void = (stream) => stream.readWhole();
  readonly #direct: boolean;
  readonly #parts: Uint8Array[] = [];

  constructor(role: "dialler" | "acceptor", options: FedOptions = {}) {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.pool = options.pool ?? new BufferPool(limits);
    this.#direct = options.direct ?? false;
    const nodeId = role === "dialler" ? DIALLER_ID : ACCEPTOR_ID;
    const config: SessionConfig = {
      role,
      nodeId,
      key: KEY,
      challenge: 7,
      limits,
      crypto: testCrypto(),
      pool: this.pool,
    };
    this.session = new Session(options.admit ? { ...config, admit: options.admit } : config, this.nowMs);
    this.poll();
  }

  /** An acceptor whose handshake is done. */
  static open(options: FedOptions = {}): FedSession {
    const fed = new FedSession("acceptor", options);
    fed.feed(helloFrame());
    return fed;
  }

  /** Feeds bytes as far as the session has room; returns how many it took. */
  feed(...parts: readonly Uint8Array[]): number {
    let taken = 0;
    for (const bytes of parts) {
      if (!this.#direct) {
        this.session.handlePart(bytes, this.nowMs);
        taken += bytes.length;
      }
      for (let at = 0; this.#direct && at < bytes.length && !this.session.closed && !this.session.stalled; ) {
        const target = this.session.readTarget();
        const part = bytes.subarray(at, at + target.length);
        target.set(part);
        this.session.handleCommit(part.length, this.nowMs);
        at += part.length;
        taken += part.length;
      }
      this.poll();
    }
    return taken;
  }

  /** Lets time pass to each deadline on the way. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (
      let at = this.session.pollDeadline();
      at !== undefined && at <= untilMs;
      at = this.session.pollDeadline()
    ) {
      this.nowMs = Math.max(this.nowMs, at);
      this.session.handleTimeout(this.nowMs);
      this.poll();
    }
    this.nowMs = untilMs;
  }

  /** The peer's FIN, or the loss of the connection. */
  fin(): void {
    this.session.handleFin(this.nowMs);
    this.poll();
  }
  lose(cause: unknown = new Error("reset")): void {
    this.session.handleLost(cause, this.nowMs);
    this.poll();
  }

  poll(): void {
    do this.#hear();
    while (this.#write());
  }

  #hear(): void {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
      this.events.push(event);
      if (event.kind === "stream") this.onStream(event.stream);
      if (event.kind !== "readable" || !event.stream.ended || event.stream.error || event.stream.discarded)
        continue;
      if (event.stream.hasPieces) continue;
      const whole = event.stream.takeWhole();
      this.tensors.push({ id: event.stream.id, bytes: whole.bytes.slice() });
      whole.buffer?.release();
    }
  }

  #write(): boolean {
    if (!this.session.pollTransmit(this.#parts, this.nowMs)) return false;
    this.written = joinBytes(this.written, ...this.#parts);
    this.session.handleWritten(this.nowMs);
    return true;
  }

  kinds(): string[] {
    return this.events.map((event) => event.kind).filter((kind) => kind !== "readable" && kind !== "sent");
  }
  /** Failed streams as "id code". */
  failures(): string[] {
    return this.events.flatMap((event) =>
      event.kind === "streamFailed" ? [`${event.streamId} ${event.error.code}`] : [],
    );
  }
  /** The code that the session closed with; "clean", or undefined while it is not closed. */
  closedWith(): string | undefined {
    for (const event of this.events) if (event.kind === "closed") return event.error?.code ?? "clean";
    return undefined;
  }
  /** What a limit that has passed says of itself: the message, and its name among the details. */
  timedOut(): { readonly message: string | undefined; readonly limit: unknown } {
    const closed = this.events.find((event) => event.kind === "closed");
    return { message: closed?.error?.message, limit: closed?.error?.details.limit };
  }
}
