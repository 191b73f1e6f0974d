/**
 * Gives back what a node keeps of released memory beyond `idleMemoryBytes`, when nobody has used it for `idleMemoryMs`: a
 * steady stream of large tensors has the same memory again, and a node at rest is soon a small one.
 *
 * A timer runs only while there is such memory. Each time it goes what was not used in between; so all of it goes after one
 * to two times `idleMemoryMs`.
 */
import type { Clock, Timer } from "./runtime.ts";
import type { BufferPool } from "./tensor/buffer_pool.ts";

export class IdleMemory {
  readonly #pool: BufferPool;
  readonly #clock: Clock;
  readonly #idleMs: number;
  #timer: Timer | undefined;

  constructor(pool: BufferPool, clock: Clock, idleMs: number) {
    this.#pool = pool;
    this.#clock = clock;
    this.#idleMs = idleMs;
    pool.onExcess = () => this.#wait();
  }

  #wait(): void {
    this.#timer = this.#clock.after(this.#idleMs, () => {
      this.#timer = undefined;
      if (this.#pool.trim()) this.#wait();
    });
  }

  /** From now on none is kept beyond `idleMemoryBytes`. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#pool.onExcess = undefined;
    while (this.#pool.trim());
  }
}
