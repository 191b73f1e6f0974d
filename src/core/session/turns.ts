/**
 * Whose turn it is to send a chunk. The highest priority first; within one, streams take turns, and one that has not sent
 * yet comes before those that have, every second time, so that a small tensor does not wait for bulk and bulk does not
 * starve.
 */
import type { OutboundStream } from "./outbound_stream.ts";

/** First in, first out, without moving elements at each turn. */
class Queue {
  #items: OutboundStream[] = [];
  #head = 0;
  get size(): number {
    return this.#items.length - this.#head;
  }
  add(stream: OutboundStream): void {
    this.#items.push(stream);
  }
  take(): OutboundStream | undefined {
    const stream = this.#items[this.#head++];
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    } else if (this.#head >= this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    }
    return stream;
  }
}

interface Level {
  readonly priority: number;
  readonly fresh: Queue;
  readonly bulk: Queue;
  freshTurn: boolean;
}

export class Turns {
  /** Highest first. At most 256, and as a rule one. */
  #levels: Level[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(stream: OutboundStream): void {
    const level = this.#level(stream.priority);
    (stream.seq === 0 ? level.fresh : level.bulk).add(stream);
    this.#size++;
  }

  take(): OutboundStream | undefined {
    for (const level of this.#levels) {
      const { fresh, bulk } = level;
      if (fresh.size + bulk.size === 0) continue;
      let queue = fresh.size > 0 ? fresh : bulk;
      if (fresh.size > 0 && bulk.size > 0) {
        level.freshTurn = !level.freshTurn;
        queue = level.freshTurn ? fresh : bulk;
      }
      this.#size--;
      return queue.take();
    }
    return undefined;
  }

  /** A fresh stream leads next. */
  beginBatch(): void {
    for (const level of this.#levels) level.freshTurn = false;
  }

  #level(priority: number): Level {
    for (const level of this.#levels) if (level.priority === priority) return level;
    const level = { priority, fresh: new Queue(), bulk: new Queue(), freshTurn: false };
    // Levels that nobody uses make way: priorities may be many, but not at once.
    const used = this.#levels.filter(({ fresh, bulk }) => fresh.size + bulk.size > 0);
    this.#levels = [...used, level].sort((a, b) => b.priority - a.priority);
    return level;
  }
}
