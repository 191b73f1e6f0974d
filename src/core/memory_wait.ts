/**
 * What becomes of a session whose streams wait for tensor memory: it tries again whenever some is released, and says so when
 * for long nothing has come of that. Waiting is no failure (RFC-0006, Credit): somebody may be busy with what came before.
 */
import type { Clock, Timer } from "./runtime.ts";
import type { Session } from "./session/session.ts";
import type { BufferPool } from "./tensor/buffer_pool.ts";

export interface MemoryWaitEvents {
  /** Some memory has been released. */
  freed(): void;
  /** Nothing has come for `memoryWaitMs`. Told once, until something comes. */
  starved(): void;
}

export class MemoryWait {
  readonly #session: Session;
  readonly #pool: BufferPool;
  readonly #clock: Clock;
  readonly #waitMs: number;
  readonly #events: MemoryWaitEvents;
  #forget: (() => void) | undefined;
  #timer: Timer | undefined;
  /** Payload bytes that had come when the timer was set, or when it was told. */
  #bytesThen = -1;
  #told = false;

  constructor(session: Session, pool: BufferPool, clock: Clock, waitMs: number, events: MemoryWaitEvents) {
    this.#session = session;
    this.#pool = pool;
    this.#clock = clock;
    this.#waitMs = waitMs;
    this.#events = events;
  }

  /** Looks whether the session waits. Called after whatever may have changed that. */
  look(): void {
    if (!this.#session.wantsMemory || this.#session.closed) {
      this.stop();
      return;
    }
    this.#forget ??= this.#pool.whenFreed(() => {
      this.#forget = undefined;
      this.#events.freed();
    });
    if (this.#told && this.#session.payloadBytesIn !== this.#bytesThen) this.#told = false;
    if (!this.#told) this.#timer ??= this.#watch();
  }

  stop(): void {
    this.#forget?.();
    this.#timer?.cancel();
    this.#forget = this.#timer = undefined;
    this.#told = false;
  }

  #watch(): Timer {
    this.#bytesThen = this.#session.payloadBytesIn;
    return this.#clock.after(this.#waitMs, () => {
      this.#timer = undefined;
      this.#told = this.#session.payloadBytesIn === this.#bytesThen;
      if (this.#told) this.#events.starved();
      this.look();
    });
  }
}
