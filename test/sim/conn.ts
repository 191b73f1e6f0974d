/**
 * A TCP-like connection on virtual time: two `SimConn`s, and a `Pipe` for each direction.
 *
 * A pipe holds a bounded number of bytes (both kernels' buffers and the wire), so a write to a slow
 * reader waits. Bytes arrive in order after a delay, cut into parts at seeded places. An abort reaches the
 * other side as a reset, or as an end after what was sent, as with real sockets; a cut loses what is on its way, and
 * one end that vanishes leaves the other where it is: no packet comes or goes any more.
 */
import type { Address, Conn, Sink } from "../../src/core/runtime.ts";
import { type End, Pipe, type Wire } from "./pipe.ts";

/** One end. */
export class SimConn implements Conn {
  readonly remote: Address;
  readonly local: Address;
  readonly directRead: boolean;
  readonly role: End;
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
  #vanished = false;
  #failure: unknown;

  constructor(wire: Wire, role: End, local: Address, remote: Address, directRead: boolean) {
    this.#wire = wire;
    this.role = role;
    this.local = local;
    this.remote = remote;
    this.directRead = directRead;
    this.#in = new Pipe(wire, role, () => this.deliver());
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
    if (!out || this.#failed || this.#writeClosed)
      return Promise.reject(new Error("write() on a closed connection"));
    if (this.#other?.gone && !this.#other.vanished) {
      // Nobody is there any more: the answer to these bytes is a reset, if they get there.
      for (const part of parts) this.#wire.lost(part.length);
      this.#wire.time.after(this.#wire.quality.maxLatencyMs, () => {
        if (!this.#wire.blocked("dialler") && !this.#wire.blocked("acceptor"))
          this.fail(new Error("the connection was reset"));
      });
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
    if (this.#other?.vanished) this.#out?.drop(cause);
    else this.#out?.refuse(cause);
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

  /** This end loses its connection, and the other one learns nothing of it. The wire lets nothing pass any more. */
  vanish(cause: Error): void {
    if (this.over) return;
    this.#vanished = true;
    this.#failed = true;
    this.#out?.drop(cause);
    this.#failure = cause;
    this.#sink?.fail(cause);
    this.#wire.over();
  }

  get vanished(): boolean {
    return this.#vanished;
  }

  /** What arrives at this end may pass now, and what it acknowledges. */
  released(): void {
    this.#in.acknowledged();
    this.deliver();
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
    let byteCount = short
      ? Math.min(available.length, random.between(1, random.chance(0.5) ? 20 : available.length))
      : available.length;
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
      if (!this.over && !this.#paused && random.chance(0.5)) this.#lent = sink.next();
    }
    this.#firstRead = false;
    if (!this.#failed) this.#in.take(byteCount);
  }

  #checkEnd(): void {
    if (this.over) this.#wire.over();
  }
}
