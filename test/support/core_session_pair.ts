/**
 * Two sessions joined in memory, on virtual time.
 *
 * Bytes move in arbitrary cuts, with arbitrary delays, in place or pushed; a write is copied only when it is done, so that
 * parts that change too early would be seen. A paused side may still get the one buffer that it handed out.
 */
import { DEFAULT_LIMITS, type Limits, type Timing } from "../../src/core/limits.ts";
import type { X1Config } from "../../src/core/session/negotiation.ts";
import type { OutboundStream } from "../../src/core/session/outbound.ts";
import { Session } from "../../src/core/session/session.ts";
import type { ArrivingStream, SessionEvent } from "../../src/core/session/session_types.ts";
import { BufferPool } from "../../src/core/tensor/buffer_pool.ts";
import { testCrypto } from "./core_crypto.ts";
import { ACCEPTOR_ID, DIALLER_ID, KEY } from "./core_frames.ts";

export interface PairOptions {
  /** What each side says in CAPS; undefined: it speaks v1 only. */
  readonly x1?: { readonly dialler?: X1Config; readonly acceptor?: X1Config };
  readonly mustProve?: boolean;
  readonly diallerId?: Uint8Array;
  readonly limits?: Partial<Limits & Timing>;
  readonly acceptorKey?: Uint8Array;
  /** Bytes of the next part. Default: all there are. */
  readonly cut?: () => number;
  /** Milliseconds until a part arrives, and until a write is done. Default 0. */
  readonly delayMs?: () => number;
  /** Whether the next part is read in place. Default: yes. */
  readonly direct?: () => boolean;
}

/** One side: its session, what came out of it, and what is on its way to it. */
export class Side {
  readonly session: Session;
  readonly pool: BufferPool;
  readonly events: SessionEvent[] = [];
  /** Whole tensors in the order of their END. */
  readonly tensors: { readonly id: number; readonly bytes: Uint8Array }[] = [];
  onStream: (stream: ArrivingStream) => void = (stream) => stream.readWhole();
  /** Called at every `readable`; takes whole tensors by default. */
  onReadable: (stream: ArrivingStream) => void = (stream) => this.takeWhole(stream);
  /** While true no write is ever done. */
  blocked = false;
  /** Parts of every write, as counts of bytes. */
  readonly writes: number[][] = [];
  /** @internal */ readonly inbox: { readonly atMs: number; readonly bytes: Uint8Array | "fin" | "lost" }[] =
    [];
  /** @internal */ lent = false;
  /** @internal */ over = false;
  /** @internal */ writing: { readonly parts: readonly Uint8Array[]; doneMs: number } | undefined;
  /** @internal */ finDue = false;
  readonly #sources = new Map<OutboundStream, Uint8Array[]>();

  constructor(role: "dialler" | "acceptor", key: Uint8Array, options: PairOptions, nowMs: number) {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.pool = new BufferPool(limits);
    const nodeId = role === "dialler" ? (options.diallerId ?? DIALLER_ID) : ACCEPTOR_ID;
    const x1 = options.x1?.[role];
    const { mustProve = false } = options;
    this.session = new Session(
      {
        role,
        nodeId,
        key,
        challenge: 7,
        limits,
        crypto: testCrypto(role === "dialler" ? 1 : 2),
        pool: this.pool,
        mustProve: () => mustProve,
        ...(x1 ? { x1 } : {}),
      },
      nowMs,
    );
  }

  /** Sends the parts as one tensor. */
  send(parts: Uint8Array | readonly Uint8Array[], chunkBytes?: number): OutboundStream {
    const stream = this.session.openStream(chunkBytes);
    this.#sources.set(stream, parts instanceof Uint8Array ? [parts] : [...parts]);
    this.#feed(stream);
    return stream;
  }

  takeWhole(stream: ArrivingStream): void {
    if (!stream.ended || stream.error || stream.discarded) return;
    const whole = stream.takeWhole();
    this.tensors.push({ id: stream.id, bytes: whole.bytes.slice() });
    whole.buffer?.release();
  }

  kinds(): string[] {
    return this.events.map((event) => event.kind).filter((kind) => kind !== "readable" && kind !== "sent");
  }
  failures(): string[] {
    return this.events.flatMap((event) =>
      event.kind === "streamFailed" ? [`${event.streamId} ${event.error.code}`] : [],
    );
  }
  closedWith(): string | undefined {
    for (const event of this.events) if (event.kind === "closed") return event.error?.code ?? "clean";
    return undefined;
  }
  /** What a limit that has passed says of itself: the message, and its name among the details. */
  timedOut(): { readonly message: string | undefined; readonly limit: unknown } {
    const closed = this.events.find((event) => event.kind === "closed");
    return { message: closed?.error?.message, limit: closed?.error?.details.limit };
  }

  /** @internal Hears what the session says; true when it said something. */
  hear(): boolean {
    let any = false;
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
      any = true;
      this.events.push(event);
      if (event.kind === "stream") this.onStream(event.stream);
      else if (event.kind === "readable") this.onReadable(event.stream);
      else if (event.kind === "sent") this.#feed(event.stream);
      else if (event.kind === "finish") this.finDue = true;
    }
    return any;
  }

  #feed(stream: OutboundStream): void {
    const parts = this.#sources.get(stream);
    if (!parts || !stream.writable) return;
    const part = parts.shift();
    if (part) this.session.write(stream, part);
    if (parts.length === 0) {
      this.#sources.delete(stream);
      this.session.endStream(stream);
    } else if (stream.writable) this.#feed(stream); // an empty part
  }
}

export class SessionPair {
  readonly dialler: Side;
  readonly acceptor: Side;
  nowMs = 1000;
  readonly #cut: () => number;
  readonly #delayMs: () => number;
  readonly #direct: () => boolean;

  constructor(options: PairOptions = {}) {
    this.dialler = new Side("dialler", KEY, options, this.nowMs);
    this.acceptor = new Side("acceptor", options.acceptorKey ?? KEY, options, this.nowMs);
    this.#cut = options.cut ?? (() => Number.MAX_SAFE_INTEGER);
    this.#delayMs = options.delayMs ?? (() => 0);
    this.#direct = options.direct ?? (() => true);
  }

  /** A pair whose handshake is done. */
  static open(options: PairOptions = {}): SessionPair {
    const pair = new SessionPair(options);
    pair.run();
    return pair;
  }

  /** Changes the bytes of every write, in the order in which they are written. */
  corrupt: (bytes: Uint8Array) => void = () => {};

  /** Bytes that `from` has not written arrive on the other side as if it had. */
  inject(from: Side, bytes: Uint8Array): void {
    const to = from === this.dialler ? this.acceptor : this.dialler;
    to.inbox.push({ atMs: this.#arrival(to), bytes });
  }

  /** Everything that is under way happens, however long it takes; deadlines are not waited for. */
  run(): void {
    this.#runUntil(Number.MAX_SAFE_INTEGER, false);
  }

  /** Time passes, with all deadlines on the way. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    this.#runUntil(untilMs, true);
    this.nowMs = untilMs;
  }

  /** The connection breaks: what is under way is lost. */
  breakOff(): void {
    for (const side of [this.dialler, this.acceptor]) {
      side.inbox.length = 0;
      side.writing = undefined;
      this.#lose(side);
    }
    this.run();
  }

  #runUntil(untilMs: number, withDeadlines: boolean): void {
    for (let steps = 0; ; steps++) {
      if (steps > 2_000_000) throw new Error("the pair makes no progress");
      if (
        this.#step(this.dialler, this.acceptor, withDeadlines) ||
        this.#step(this.acceptor, this.dialler, withDeadlines)
      )
        continue;
      let next: number | undefined;
      for (const side of [this.dialler, this.acceptor]) {
        const deadline = withDeadlines ? side.session.pollDeadline() : undefined;
        const arrival = side.session.stalled ? undefined : side.inbox[0]?.atMs;
        const written = side.blocked ? undefined : side.writing?.doneMs;
        for (const at of [deadline, arrival, written])
          if (at !== undefined && at < (next ?? Infinity)) next = at;
      }
      if (next === undefined || next > untilMs) return;
      this.nowMs = Math.max(this.nowMs, next);
    }
  }

  /** One thing that is due now; false when there is none. */
  #step(side: Side, other: Side, withDeadlines: boolean): boolean {
    const { session } = side;
    if (side.hear()) return true;
    const closed = side.events.find((event) => event.kind === "closed");
    if (closed?.kind === "closed" && closed.error && !side.over) {
      side.writing = undefined;
      const { lastWords } = side.session;
      if (lastWords && !other.over) other.inbox.push({ atMs: this.#arrival(other), bytes: lastWords });
      if (!other.over) other.inbox.push({ atMs: this.#arrival(other), bytes: "lost" });
      this.#lose(side);
      return true;
    }
    const deadline = session.pollDeadline();
    if (withDeadlines && deadline !== undefined && deadline <= this.nowMs) {
      session.handleTimeout(this.nowMs);
      return true;
    }
    if (side.writing && !side.blocked && side.writing.doneMs <= this.nowMs) {
      this.#written(side, other);
      return true;
    }
    const parts: Uint8Array[] = [];
    if (!side.writing && session.pollTransmit(parts, this.nowMs)) {
      side.writes.push(parts.map((part) => part.length));
      side.writing = { parts, doneMs: this.nowMs + this.#delayMs() };
      return true;
    }
    if (side.finDue && !side.writing) {
      side.finDue = false;
      other.inbox.push({ atMs: this.#arrival(other), bytes: "fin" });
      return true;
    }
    if (session.stalled && !side.lent) {
      session.handleRoom(this.nowMs);
      if (!session.stalled) return true;
    }
    return this.#arrive(side);
  }

  #written(side: Side, other: Side): void {
    for (const part of side.writing?.parts ?? []) {
      for (let at = 0; at < part.length; ) {
        const bytes = part.slice(at, at + Math.max(1, this.#cut()));
        this.corrupt(bytes);
        at += bytes.length;
        if (!other.over) other.inbox.push({ atMs: this.#arrival(other), bytes });
      }
    }
    side.writing = undefined;
    side.session.handleWritten(this.nowMs);
  }

  /** Parts keep their order. */
  #arrival(to: Side): number {
    return Math.max(this.nowMs + this.#delayMs(), to.inbox.at(-1)?.atMs ?? 0);
  }

  #arrive(side: Side): boolean {
    const first = side.inbox[0];
    const { session } = side;
    if (!first || first.atMs > this.nowMs || side.over) return false;
    if (first.bytes === "lost") {
      this.#lose(side);
      return true;
    }
    if (session.stalled && !side.lent) return false;
    side.inbox.shift();
    if (first.bytes === "fin") {
      session.handleFin(this.nowMs);
      return true;
    }
    if (!side.lent && !this.#direct()) {
      session.handlePart(first.bytes, this.nowMs);
      first.bytes.fill(0xee); // valid during the call only
      return true;
    }
    const target = session.readTarget();
    const fits = first.bytes.subarray(0, target.length);
    target.set(fits);
    if (fits.length < first.bytes.length)
      side.inbox.unshift({ atMs: first.atMs, bytes: first.bytes.subarray(fits.length) });
    session.handleCommit(fits.length, this.nowMs);
    // Every second time the next buffer is with the socket already when the side is paused.
    side.lent = session.stalled && side.inbox.length % 2 === 1;
    if (side.lent) session.readTarget();
    return true;
  }

  #lose(side: Side): void {
    if (side.over) return;
    side.over = true;
    side.inbox.length = 0;
    side.session.handleLost(new Error("the pair's connection broke"), this.nowMs);
    side.hear();
  }
}
