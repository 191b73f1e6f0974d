/**
 * Tells those who tap which tensors are whole, once the data path has gone on. Also those who wait for the next one.
 */
import { compileGlob } from "../../src/mod.ts";
import { GatewayError } from "../errors.ts";
import type { Entry } from "../traffic/entry.ts";

interface Listener {
  readonly matches: (topic: string) => boolean;
  readonly take: (entry: Entry) => void;
}

/** A matcher for a glob that a client gave. Throws GATEWAY_BAD_GLOB. */
export function clientGlob(glob: string): (topic: string) => boolean {
  try {
    return compileGlob(glob);
  } catch (error) {
    const why = error instanceof Error ? error.message : "it is none";
    throw new GatewayError(400, "GATEWAY_BAD_GLOB", `Cannot use glob: ${why}`);
  }
}

export class TensorFeed {
  readonly #listeners = new Set<Listener>();
  readonly #waiting: Entry[] = [];
  readonly #maxWaiting: number;
  #scheduled = false;
  /** Tensors that came faster than they could be told of. */
  dropped = 0;

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** `take` is called for each whole tensor with a topic that fits. Returns how to stop it. */
  listen(matches: (topic: string) => boolean, take: (entry: Entry) => void): () => void {
    const listener = { matches, take };
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called on the data path. */
  whole(entry: Entry): void {
    if (this.#listeners.size === 0) return;
    this.#waiting.push(entry);
    if (this.#waiting.length > this.#maxWaiting) {
      this.#waiting.shift();
      this.dropped++;
    }
    if (!this.#scheduled) this.#schedule();
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(() => this.#tell());
  }

  #tell(): void {
    this.#scheduled = false;
    const entry = this.#waiting.shift();
    if (!entry) return;
    const { topic } = entry.stream;
    for (const listener of [...this.#listeners]) if (listener.matches(topic)) listener.take(entry);
    // One at a time: its listeners may compute, and the streams go on between two.
    if (this.#waiting.length > 0) this.#schedule();
  }
}
