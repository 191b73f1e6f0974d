/**
 * Tells those who tap which tensors are whole, once the data path has gone on. Also those who wait for the next one.
 */
import { compileGlob } from "../../src/mod.ts";
import { GatewayError } from "../errors.ts";
import type { Entry } from "../traffic/entry.ts";

interface Listener {
  readonly matches: (topic: string) => boolean;
  readonly take: (entry: Entry) => void;
  readonly missed: (count: number) => void;
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
  /** What was passed over and not told yet, by topic. Of more topics than may wait it is told to everybody. */
  readonly #missed = new Map<string, number>();
  #missedElsewhere = 0;
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

  /**
   * `take` is called for each whole tensor with a topic that fits, `missed` before it when some were passed over. Returns
   * how to stop it.
   */
  listen(
    matches: (topic: string) => boolean,
    take: (entry: Entry) => void,
    missed: (count: number) => void = () => {},
  ): () => void {
    const listener = { matches, take, missed };
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called on the data path. */
  whole(entry: Entry): void {
    if (this.#listeners.size === 0) return;
    this.#waiting.push(entry);
    if (this.#waiting.length > this.#maxWaiting) {
      const topic = this.#waiting.shift()?.stream.topic ?? "";
      this.dropped++;
      const before = this.#missed.get(topic);
      if (before === undefined && this.#missed.size >= this.#maxWaiting) this.#missedElsewhere++;
      else this.#missed.set(topic, (before ?? 0) + 1);
    }
    if (!this.#scheduled) this.#schedule();
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(() => this.#tell());
  }

  #tell(): void {
    this.#scheduled = false;
    this.#tellMissed();
    const entry = this.#waiting.shift();
    if (!entry) return;
    const { topic } = entry.stream;
    for (const listener of [...this.#listeners]) if (listener.matches(topic)) listener.take(entry);
    // One at a time: its listeners may compute, and the streams go on between two.
    if (this.#waiting.length > 0) this.#schedule();
  }

  #tellMissed(): void {
    const elsewhere = this.#missedElsewhere;
    if (this.#missed.size === 0 && elsewhere === 0) return;
    for (const { matches, missed } of [...this.#listeners]) {
      let count = elsewhere;
      for (const [topic, tensors] of this.#missed) if (matches(topic)) count += tensors;
      if (count > 0) missed(count);
    }
    this.#missed.clear();
    this.#missedElsewhere = 0;
  }
}
