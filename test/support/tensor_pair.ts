/**
 * Two sessions whose streams are tensor streams, joined in memory on virtual time.
 *
 * Like a node's driver it calls a session whenever memory was released or a reader made room. Every byte that a side writes
 * is kept as frames, so that a test can say what went over the wire; a side may be muted and spoken for by hand.
 */
import { TensorSide, type TensorSideOptions } from "./tensor_side.ts";

export interface TensorPairOptions extends TensorSideOptions {
  /** Bytes of the next part. Default: all there are. */
  readonly cut?: () => number;
  /** Milliseconds until a part arrives, and until a write is done. Default 0. */
  readonly delayMs?: () => number;
  /** Whether the next part is read in place. Default: yes. */
  readonly direct?: () => boolean;
  readonly startMs?: number;
}

export class TensorPair {
  readonly dialler: TensorSide;
  readonly acceptor: TensorSide;
  nowMs: number;
  /** Bytes that have been written in all; the connection breaks when there are `breakAt`. */
  writtenBytes = 0;
  breakAt = Number.POSITIVE_INFINITY;
  /** When it breaks so, only the side that wrote learns of it, and nothing arrives any more. */
  halfOpen = false;
  readonly #options: TensorPairOptions;

  /** The handshake is done. */
  constructor(options: TensorPairOptions = {}) {
    this.#options = options;
    this.nowMs = options.startMs ?? 1000;
    this.dialler = new TensorSide("dialler", options, this.nowMs);
    this.acceptor = new TensorSide("acceptor", options, this.nowMs);
    this.run();
    if (!this.dialler.session.tensors || !this.acceptor.session.tensors) throw new Error("no tensor session");
    this.writtenBytes = 0;
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

  /** Bytes that `from` has not written arrive on the other side as if it had. */
  inject(from: TensorSide, ...parts: readonly Uint8Array[]): void {
    const to = this.#other(from);
    for (const bytes of parts) to.inbox.push({ atMs: this.#arrival(to), bytes });
    this.run();
  }

  /** What is on its way is lost, and both sides learn of it. */
  breakOff(): void {
    for (const side of [this.dialler, this.acceptor]) {
      side.writing = undefined;
      side.inbox.length = 0;
      this.#lose(side);
    }
  }

  #other(side: TensorSide): TensorSide {
    return side === this.dialler ? this.acceptor : this.dialler;
  }

  #lose(side: TensorSide): void {
    if (side.over) return;
    side.over = true;
    side.session.handleLost(new Error("broken"), this.nowMs);
    side.hear();
  }

  #runUntil(untilMs: number, withDeadlines: boolean): void {
    for (let steps = 0; ; steps++) {
      if (steps > 3_000_000) throw new Error("the pair makes no progress");
      if (this.#step(this.dialler, withDeadlines) || this.#step(this.acceptor, withDeadlines)) continue;
      let next = Number.POSITIVE_INFINITY;
      for (const side of [this.dialler, this.acceptor]) {
        const deadline = withDeadlines ? side.session.pollDeadline() : undefined;
        const written = side.blocked ? undefined : side.writing?.doneMs;
        for (const at of [deadline, side.over ? undefined : side.inbox[0]?.atMs, written])
          next = Math.min(next, at ?? next);
      }
      if (next === Number.POSITIVE_INFINITY || next > untilMs) return;
      this.nowMs = Math.max(this.nowMs, next);
    }
  }

  #step(side: TensorSide, withDeadlines: boolean): boolean {
    const { session } = side;
    if (side.hear() || side.tend(this.nowMs)) return true;
    if (session.closed && !side.over) {
      const other = this.#other(side);
      this.#lose(side);
      this.#lose(other);
      return true;
    }
    const deadline = session.pollDeadline();
    if (withDeadlines && deadline !== undefined && deadline <= this.nowMs) {
      session.handleTimeout(this.nowMs);
      return true;
    }
    if (side.writing && !side.blocked && side.writing.doneMs <= this.nowMs) {
      this.#written(side, side.writing.parts);
      return true;
    }
    const parts: Uint8Array[] = [];
    if (!side.writing && !side.over && session.pollTransmit(parts, this.nowMs)) {
      side.writing = { parts, doneMs: this.nowMs + (this.#options.delayMs?.() ?? 0) };
      return true;
    }
    return this.#arrive(side);
  }

  #written(side: TensorSide, parts: readonly Uint8Array[]): void {
    const other = this.#other(side);
    side.writing = undefined;
    for (const part of parts) {
      const fits = part.slice(0, Math.max(0, this.breakAt - this.writtenBytes));
      this.writtenBytes += fits.length;
      side.note(fits, this.nowMs);
      for (let at = 0; at < fits.length && !side.mute; ) {
        const bytes = fits.slice(at, at + Math.max(1, this.#options.cut?.() ?? fits.length));
        at += bytes.length;
        other.inbox.push({ atMs: this.#arrival(other), bytes });
      }
    }
    if (this.writtenBytes < this.breakAt) side.session.handleWritten(this.nowMs);
    else {
      // What was written before still arrives, both ways; nothing comes back.
      while (!side.over && this.#arrive(side)) side.hear();
      this.#lose(side);
      if (this.halfOpen) {
        while (this.#arrive(other)) other.hear();
        if (other === this.dialler) this.#lose(other);
        else other.mute = true;
        return;
      }
      while (!other.over && this.#arrive(other)) other.hear();
      other.inbox.length = 0;
      this.#lose(other);
    }
  }

  #arrival(to: TensorSide): number {
    return Math.max(this.nowMs + (this.#options.delayMs?.() ?? 0), to.inbox.at(-1)?.atMs ?? 0);
  }

  #arrive(side: TensorSide): boolean {
    const first = side.inbox[0];
    if (!first || first.atMs > this.nowMs || side.over) return false;
    side.inbox.shift();
    if (this.#options.direct?.() === false) {
      side.session.handlePart(first.bytes, this.nowMs);
      first.bytes.fill(0xee); // valid during the call only
      return true;
    }
    const target = side.session.readTarget();
    const fits = first.bytes.subarray(0, target.length);
    target.set(fits);
    if (fits.length < first.bytes.length)
      side.inbox.unshift({ atMs: first.atMs, bytes: first.bytes.subarray(fits.length) });
    side.session.handleCommit(fits.length, this.nowMs);
    return true;
  }
}
