/**
 * Pumps one session over one connection: the async shell around `Session`.
 *
 * Bytes go in through the connection's Sink, batches go out one at a time, one timer
 * holds the next deadline. It knows no protocol. Whoever owns it hears events in order, synchronously.
 */
import { type AsocError, ConnectionError } from "./errors.ts";
import { MemoryWait } from "./memory_wait.ts";
import type { ReadShare } from "./read_shares.ts";
import type { Clock, Conn, Sink, Timer } from "./runtime.ts";
import type { InboundTensor } from "./session/inbound_tensor.ts";
import type { Session } from "./session/session.ts";
import type { ArrivingStream, SessionEvent } from "./session/session_types.ts";
import type { BufferPool } from "./tensor/buffer_pool.ts";

/** How long a connection that has failed is kept for the other side to read why. */
const FAREWELL_MS = 1000;

/** What a connection shares with the others of its node. */
export interface DriverSurroundings {
  readonly pool: BufferPool;
  readonly memoryWaitMs: number;
  readonly share: ReadShare;
}

export class Driver implements Sink {
  readonly session: Session;
  readonly conn: Conn;
  readonly #clock: Clock;
  readonly #memoryWait: MemoryWait;
  readonly #share: ReadShare;
  readonly #onEvent: (event: SessionEvent) => void;
  readonly #parts: Uint8Array[] = [];
  #timer: Timer | undefined;
  /** Runs while the other side may still read why the connection ends. */
  #farewell: Timer | undefined;
  /** Runs while the connection has had more than its share. */
  #rest: Timer | undefined;
  #framesRead = 0;
  #timerAtMs = 0;
  #paused = false;
  #writing: Promise<void> | undefined;
  /** As the connection said it last. */
  #writeProgress: number | undefined;
  #ended = false;
  #settled = false;
  #pumping = false;
  #again = false;
  /** A tensor has begun or ended. */
  #news = false;

  constructor(
    session: Session,
    conn: Conn,
    clock: Clock,
    { pool, memoryWaitMs, share }: DriverSurroundings,
    onEvent: (event: SessionEvent) => void,
  ) {
    this.session = session;
    this.conn = conn;
    this.#clock = clock;
    this.#onEvent = onEvent;
    this.#share = share;
    this.#memoryWait = new MemoryWait(session, pool, clock, memoryWaitMs, {
      freed: () => {
        session.handleMemory(clock.nowMs());
        this.pump();
      },
      starved: () => onEvent({ kind: "starved" }),
    });
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  start(): void {
    this.conn.start(this);
    this.pump();
  }

  // --- Sink

  next(): Uint8Array {
    return this.session.readTarget();
  }
  commit(byteCount: number): boolean {
    const nowMs = this.#clock.nowMs();
    this.session.handleCommit(byteCount, nowMs);
    this.#takeShare(nowMs);
    // A deadline that has moved away is found by its timer.
    if (this.session.quiet && !this.#paused && !this.#rest) return false;
    this.#news = false;
    this.pump();
    return this.#news;
  }
  push(part: Uint8Array): void {
    const nowMs = this.#clock.nowMs();
    this.session.handlePart(part, nowMs);
    this.#takeShare(nowMs);
    this.pump();
  }
  end(): void {
    this.#ended = true;
    if (this.#farewell) this.conn.abort();
    this.#farewell?.cancel();
    this.session.handleFin(this.#clock.nowMs());
    this.pump();
  }
  fail(cause: unknown): void {
    this.#ended = true;
    this.#farewell?.cancel();
    this.session.handleLost(cause, this.#clock.nowMs());
    this.pump();
  }

  /** A reader made room. */
  room(): void {
    if (!this.session.wantsRoom) return;
    this.session.handleRoom(this.#clock.nowMs());
    this.pump();
  }

  /** A reader wants no more of `stream`; `reason` goes to its sender where the wire can say so. */
  giveUp(stream: ArrivingStream, reason: string): void {
    this.session.giveUp(stream, reason);
    this.session.handleRoom(this.#clock.nowMs());
    this.pump();
  }

  /** `stream` cannot be taken, and `error` says why. */
  refuse(stream: InboundTensor, error: AsocError): void {
    this.session.refuse(stream, error);
    this.pump();
  }

  /** Carries out what the session wants now. Called after every input and command. */
  pump(): void {
    this.#again = true;
    if (this.#pumping) return; // a listener gave a command: the loop below goes round once more
    this.#pumping = true;
    try {
      while (this.#again) {
        this.#again = false;
        this.#events();
        this.#transmit();
      }
      this.#backpressure();
      this.#deadline();
    } finally {
      this.#pumping = false;
    }
  }

  #events(): void {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
      if (event.kind === "finish") {
        this.conn.closeWrite().catch(() => {}); // a failure reaches the session through the sink
      } else if (event.kind === "stream" || (event.kind === "readable" && event.stream.ended)) {
        this.#news = true;
      } else if (event.kind === "closed") {
        this.#settle(event.error);
      }
      this.#onEvent(event);
    }
  }

  #transmit(): void {
    if (!this.session.pollTransmit(this.#parts, this.#clock.nowMs())) return;
    this.#writing = this.conn.write(this.#parts);
    this.#writeProgress = this.conn.writeProgress;
    this.#writing.then(this.#written, this.#writeFailed);
  }

  readonly #written = (): void => {
    this.session.handleWritten(this.#clock.nowMs());
    this.pump();
  };

  readonly #writeFailed = (cause: unknown): void => {
    if (!this.session.closed) {
      this.session.abort(
        new ConnectionError("ASOC_CONNECTION_LOST", "The connection was lost while sending", { cause }),
        this.#clock.nowMs(),
      );
    }
    this.pump();
  };

  #takeShare(nowMs: number): void {
    const { framesIn } = this.session;
    const frames = framesIn - this.#framesRead;
    if (frames === 0) return;
    this.#framesRead = framesIn;
    const restMs = this.#share.take(frames, nowMs);
    if (restMs === 0) return;
    this.#rest ??= this.#clock.after(restMs, () => {
      this.#rest = undefined;
      this.pump();
    });
  }

  #backpressure(): void {
    const stalled = (this.session.stalled || this.#rest !== undefined) && !this.session.closed;
    if (stalled) {
      if (!this.#paused) this.conn.pause();
      this.#paused = true;
    } else if (this.#paused) {
      this.#paused = false;
      if (!this.#ended) this.conn.resume();
    }
    this.#memoryWait.look();
  }

  #deadline(): void {
    const at = this.session.pollDeadline();
    if (at === undefined) {
      this.#timer?.cancel();
      this.#timer = undefined;
    } else if (!this.#timer || at < this.#timerAtMs) {
      // A deadline that moved away costs nothing: the timer fires early and is set again.
      this.#timer?.cancel();
      this.#timerAtMs = at;
      this.#timer = this.#clock.after(Math.max(0, at - this.#clock.nowMs()), () => {
        this.#timer = undefined;
        this.#lookForProgress();
        this.session.handleTimeout(this.#clock.nowMs());
        this.pump();
      });
    }
  }

  /** A write that takes long is no stall while some of it goes. */
  #lookForProgress(): void {
    const { writeProgress } = this.conn;
    if (writeProgress === this.#writeProgress) return;
    this.#writeProgress = writeProgress;
    this.session.handleProgress(this.#clock.nowMs());
  }

  #settle(error: Error | undefined): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#memoryWait.stop();
    this.#rest?.cancel();
    this.#rest = undefined;
    if (!error) return;
    const { lastWords } = this.session;
    if (!lastWords || this.#ended) {
      this.conn.abort(error);
      return;
    }
    // Cut at once the words would be lost with whatever lies unread: the other side closes when it has read them.
    this.#farewell = this.#clock.after(FAREWELL_MS, () => this.conn.abort(error));
    // Behind what is being written: only whole frames of that are with the connection.
    Promise.resolve(this.#writing)
      .then(() => this.conn.write([lastWords]))
      .then(() => this.conn.closeWrite())
      .catch(() => {}); // it is gone, then
    if (this.#paused) this.conn.resume();
  }
}
