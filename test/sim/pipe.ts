/** One direction of a simulated connection: bounded, in order, delayed. */
import type { Timer } from "../../src/core/runtime.ts";
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
  /** No packet gets to that end now; `deliver` and `acknowledged` of both ends are called when that changes. */
  blocked(to: End): boolean;
  /** It ends without a FIN in each direction: by whom and why. */
  broken(cause: EndCause): void;
  /** One end is over. */
  over(): void;
  /** So many bytes that were accepted will not arrive. */
  lost(byteCount: number): void;
}

/** One of the two ends of a connection. */
export type End = "dialler" | "acceptor";

export interface EndCause {
  readonly by: "cut" | End;
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
  /** Where its bytes go, and where their acknowledgements do. */
  readonly #to: End;
  readonly #from: End;
  readonly #arrived: () => void;
  #segments: Segment[] = [];
  #pending: PendingWrite | undefined;
  #heldBytes = 0;
  /** Bytes that the reader has got, and whose writer does not know it. */
  #unheardBytes = 0;
  #lastAtMs = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(wire: Wire, to: End, arrived: () => void) {
    this.#wire = wire;
    this.#to = to;
    this.#from = to === "dialler" ? "acceptor" : "dialler";
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
    this.#wire.lost(this.#heldBytes);
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
    return head && head.atMs <= this.#wire.time.nowMs() && !this.#wire.blocked(this.#to) ? head : undefined;
  }

  /** `byteCount` bytes of the head went to the reader, or its signal did. */
  take(byteCount: number): void {
    const head = this.#segments[0];
    if (!head) return; // the sink closed the connection meanwhile
    head.taken += byteCount;
    this.#heldBytes -= byteCount;
    if (this.#wire.blocked(this.#from)) this.#unheardBytes += byteCount;
    if (head.taken === (head.bytes?.length ?? 0)) this.#segments.shift();
    this.#fill();
  }

  /** Its writer may learn now what the reader has got. */
  acknowledged(): void {
    if (this.#wire.blocked(this.#from)) return;
    this.#unheardBytes = 0;
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
      const free = quality.windowBytes - this.#heldBytes - this.#unheardBytes;
      // Not for a few bytes at a time, or packets would shrink for ever (the silly window).
      if (free < Math.min(quality.segmentBytes, quality.windowBytes / 2, part.length - pending.offset))
        return;
      const room = Math.min(free, random.between(1, 2 * quality.segmentBytes));
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
