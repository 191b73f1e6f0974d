/**
 * A TCP-like connection on virtual time: two `SimConn`s, and a `Pipe` for each direction.
 *
 * A pipe holds a bounded number of bytes (both kernels' buffers and the wire), so a write to a slow
 * reader waits. Bytes arrive in order after a delay, cut into parts at seeded places. An abort reaches the
 * other side as a reset, or as an end after what was sent, as with real sockets; a cut loses what is on its way.
 */
import type { Address, Conn, Sink, Timer } from "../../src/core/runtime.ts";
import type { VirtualTime } from "./clock.ts";
import type { Random } from "./random.ts";

export interface LinkQuality {
  readonly minLatencyMs: number;
  readonly maxLatencyMs: number;
  readonly bytesPerMs: number;
  /** What one direction holds before write() waits. */
  readonly windowBytes: number;
  /** Bytes of one packet on its way. */
  readonly segmentBytes: number;
  /** How often a part is cut short, sometimes to a few bytes. */
  readonly cutChance: number;
}

/** What the pipes of one connection share. */
export interface Wire {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly quality: LinkQuality;
  /** No packet comes through now; `resume` of both ends is called when that changes. */
  blocked(): boolean;
  /** It ends without a FIN in each direction: by whom and why. */
  broken(cause: EndCause): void;
  /** One end is over. */
  over(): void;
}

export interface EndCause {
  readonly by: "cut" | "dialler" | "acceptor";
  readonly error: unknown;
}

interface Segment {
  readonly bytes: Uint8Array | undefined;
  readonly signal: "fin" | "reset" | undefined;
  readonly atMs: number;
  taken: number;
}

interface PendingWrite {
  readonly parts: readonly Uint8Array[];
  index: number;
  offset: number;
  readonly resolve: () => void;
  readonly reject: (cause: unknown) => void;
}

/** One direction. */
export class Pipe {
  readonly #wire: Wire;
  readonly #arrived: () => void;
  #segments: Segment[] = [];
  #pending: PendingWrite | undefined;
  #heldBytes = 0;
  #lastAtMs = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(wire: Wire, arrived: () => void) {
    this.#wire = wire;
    this.#arrived = arrived;
  }

  /** Bytes that were written, or accepted for writing, and that the reader has not got. */
  get unreadBytes(): number {
    return this.#heldBytes;
  }

  write(parts: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new Error("the connection is closed"));
      if (this.#pending) return reject(new Error("one write at a time: another one is under way"));
      this.#pending = { parts, index: 0, offset: 0, resolve, reject };
      this.#fill();
    });
  }

  /** After the last byte. */
  signal(signal: "fin" | "reset"): void {
    if (signal === "reset") this.drop(new Error("the connection was reset"));
    this.#closed = true;
    this.#send(undefined, signal);
  }

  /** Accepts nothing more and loses what is on its way. */
  drop(cause: unknown): void {
    this.#closed = true;
    this.#segments = [];
    this.#heldBytes = 0;
    this.refuse(cause);
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Fails the write that is under way; what was accepted of it still arrives. */
  refuse(cause: unknown): void {
    this.#closed = true;
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.reject(cause);
  }

  /** What has arrived and was not taken, if anything. */
  head(): Segment | undefined {
    const head = this.#segments[0];
    return head && head.atMs <= this.#wire.time.nowMs() && !this.#wire.blocked() ? head : undefined;
  }

  /** `byteCount` bytes of the head went to the reader, or its signal did. */
  take(byteCount: number): void {
    const head = this.#segments[0];
    if (!head) return; // the sink closed the connection meanwhile
    head.taken += byteCount;
    this.#heldBytes -= byteCount;
    if (head.taken === (head.bytes?.length ?? 0)) this.#segments.shift();
    this.#fill();
  }

  /** Sets the timer for the next arrival. */
  schedule(): void {
    const head = this.#segments[0];
    const { time } = this.#wire;
    if (!head || this.#timer || head.atMs <= time.nowMs()) return;
    this.#timer = time.after(head.atMs - time.nowMs(), () => {
      this.#timer = undefined;
      this.#arrived();
    });
  }

  #fill(): void {
    const { quality, random } = this.#wire;
    const pending = this.#pending;
    if (!pending) return;
    while (pending.index < pending.parts.length) {
      const part = pending.parts[pending.index] as Uint8Array; // inside by the condition
      if (part.length === pending.offset) {
        pending.index++;
        pending.offset = 0;
        continue;
      }
      const room = Math.min(quality.windowBytes - this.#heldBytes, random.between(1, 2 * quality.segmentBytes));
      if (room <= 0) return;
      const bytes = part.slice(pending.offset, pending.offset + room);
      pending.offset += bytes.length;
      this.#heldBytes += bytes.length;
      this.#send(bytes, undefined);
    }
    this.#pending = undefined;
    pending.resolve();
  }

  #send(bytes: Uint8Array | undefined, signal: "fin" | "reset" | undefined): void {
    const { time, random, quality } = this.#wire;
    const latencyMs = random.between(quality.minLatencyMs, quality.maxLatencyMs);
    const duration = (bytes?.length ?? 0) / quality.bytesPerMs;
    this.#lastAtMs = Math.max(this.#lastAtMs + duration, time.nowMs() + latencyMs + duration);
    this.#segments.push({ bytes, signal, atMs: Math.ceil(this.#lastAtMs), taken: 0 });
    this.schedule();
  }
}

/** One end. */
export class SimConn implements Conn {
  readonly remote: Address;
  readonly local: Address;
  readonly directRead: boolean;
  readonly role: "dialler" | "acceptor";
  readonly #wire: Wire;
  /** Towards the other end; made with it. */
  #out: Pipe | undefined;
  readonly #in: Pipe;
  #other: SimConn | undefined;
  #sink: Sink | undefined;
  #lent: Uint8Array | undefined;
  #paused = false;
  #delivering = false;
  #firstRead = true;
  #readEnded = false;
  #writeClosed = false;
  #failed = false;
  #failure: unknown;

  constructor(wire: Wire, role: "dialler" | "acceptor", local: Address, remote: Address, directRead: boolean) {
    this.#wire = wire;
    this.role = role;
    this.local = local;
    this.remote = remote;
    this.directRead = directRead;
    this.#in = new Pipe(wire, () => this.deliver());
  }

  static join(one: SimConn, other: SimConn): void {
    one.#other = other;
    other.#other = one;
    one.#out = other.#in;
    other.#out = one.#in;
  }

  /** Ended cleanly on both sides, or failed. */
  get over(): boolean {
    return this.#failed || (this.#readEnded && this.#writeClosed);
  }
  /** Bytes on their way to this end. */
  get unreadBytes(): number {
    return this.#in.unreadBytes;
  }

  start(sink: Sink): void {
    if (this.#sink) throw new Error("start() twice");
    this.#sink = sink;
    if (this.#failed) this.#wire.time.after(0, () => sink.fail(this.#failure));
    else this.deliver();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    // Not from inside the caller: no runtime delivers there either.
    this.#wire.time.after(0, () => this.deliver());
  }

  write(parts: readonly Uint8Array[]): Promise<void> {
    const out = this.#out;
    if (!out || this.#failed || this.#writeClosed) return Promise.reject(new Error("write() on a closed connection"));
    if (this.#other?.gone) {
      // Nobody is there any more: the answer to these bytes is a reset.
      this.#wire.time.after(this.#wire.quality.maxLatencyMs, () => this.fail(new Error("the connection was reset")));
      return Promise.resolve();
    }
    return out.write(parts);
  }

  closeWrite(): Promise<void> {
    if (!this.#writeClosed && !this.#failed) {
      this.#writeClosed = true;
      this.#out?.signal("fin");
      this.#checkEnd();
    }
    return Promise.resolve();
  }

  abort(cause?: Error): void {
    if (this.over) return;
    this.#wire.broken({ by: this.role, error: cause });
    // Bytes that nobody will read are answered with a reset.
    const reset = this.#in.unreadBytes > 0 || this.#wire.random.chance(0.5);
    if (this.#other?.over !== true && !this.#writeClosed) {
      if (!reset) this.#out?.refuse(new Error("the connection was aborted"));
      this.#out?.signal(reset ? "reset" : "fin");
    }
    this.fail(cause ?? new Error("the connection was aborted"));
  }

  /** This end is gone: what comes for it is lost. */
  fail(cause: unknown): void {
    if (this.over) return;
    this.#failed = true;
    this.#in.drop(cause);
    this.#out?.refuse(cause);
    this.#failure = cause;
    this.#sink?.fail(cause);
    this.#wire.over();
  }

  /** Lost on the way, both directions. */
  cut(cause: Error): void {
    this.#in.drop(cause);
    this.#out?.drop(cause);
    this.fail(cause);
  }

  get gone(): boolean {
    return this.#failed;
  }

  /** Gives the sink what has arrived. */
  deliver(): void {
    if (!this.#sink || this.#delivering) return;
    this.#delivering = true;
    for (let head = this.#in.head(); head && !this.over; head = this.#in.head()) {
      if (head.signal === "reset") {
        this.fail(new Error("the connection was reset by the other side"));
        break;
      }
      if (this.#readEnded || (this.#paused && !this.#lent)) break;
      if (head.signal === "fin") {
        if (this.#paused) break;
        this.#in.take(0);
        this.#readEnded = true;
        this.#lent = undefined;
        this.#sink.end();
        this.#checkEnd();
        break;
      }
      this.#give(this.#sink, (head.bytes as Uint8Array).subarray(head.taken)); // a segment without signal has bytes
    }
    this.#delivering = false;
    if (!this.over) this.#in.schedule();
  }

  #give(sink: Sink, available: Uint8Array): void {
    const { random, quality } = this.#wire;
    const short = random.chance(quality.cutChance);
    let byteCount = short ? Math.min(available.length, random.between(1, random.chance(0.5) ? 20 : available.length)) : available.length;
    if (!this.directRead || (this.#firstRead && !this.#lent && random.chance(0.5))) {
      sink.push(available.slice(0, byteCount));
    } else {
      const target = this.#lent ?? sink.next();
      if (target.length === 0) throw new Error("next() gave no memory");
      this.#lent = undefined;
      byteCount = Math.min(byteCount, target.length);
      target.set(available.subarray(0, byteCount));
      sink.commit(byteCount);
      // As on Node.js, where the buffer of the next read is chosen at the end of this one.
      if (!this.over && !this.#readEnded && random.chance(0.5)) this.#lent = sink.next();
    }
    this.#firstRead = false;
    if (!this.#failed) this.#in.take(byteCount);
  }

  #checkEnd(): void {
    if (this.over) this.#wire.over();
  }
}
