/**
 * A bounded queue that readers take from with `for await`.
 *
 * Several iterators of one channel share its items: each item goes to one of them.
 * When it is full the oldest item is dropped and counted; an owner that wants to refuse new ones asks `full` first.
 */
export class Channel<T> implements AsyncIterable<T> {
  readonly #maxItems: number;
  #items: T[] = [];
  #head = 0;
  #waiting: ((result: IteratorResult<T>) => void)[] = [];
  #closed = false;
  /** Items that were dropped because nobody took them in time. */
  dropped = 0;
  /** Somebody has begun to iterate. */
  hasReader = false;

  constructor(maxItems: number) {
    this.#maxItems = maxItems;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }
  get full(): boolean {
    return this.size >= this.#maxItems;
  }

  push(item: T): void {
    if (this.#closed) return;
    const waiting = this.#waiting.shift();
    if (waiting) {
      waiting({ value: item, done: false });
      return;
    }
    if (this.full) {
      this.#shift();
      this.dropped++;
    }
    this.#items.push(item);
  }

  /** What was pushed can still be taken; then iteration ends. */
  close(): void {
    this.#closed = true;
    for (const waiting of this.#waiting) waiting({ value: undefined, done: true });
    this.#waiting = [];
  }

  /** Takes one item if there is one. */
  take(): T | undefined {
    return this.size > 0 ? this.#shift() : undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    this.hasReader = true;
    let ended = false;
    const mine = new Set<(result: IteratorResult<T>) => void>();
    return {
      next: () => {
        if (!ended && this.size > 0) return Promise.resolve({ value: this.#shift(), done: false });
        if (ended || this.#closed) return Promise.resolve({ value: undefined, done: true });
        return new Promise((resolve) => {
          const waiting = (result: IteratorResult<T>) => {
            mine.delete(waiting);
            resolve(result);
          };
          mine.add(waiting);
          this.#waiting.push(waiting);
        });
      },
      return: () => {
        ended = true;
        this.#waiting = this.#waiting.filter((waiting) => !mine.has(waiting));
        for (const waiting of mine) waiting({ value: undefined, done: true });
        return Promise.resolve({ value: undefined, done: true });
      },
    };
  }

  #shift(): T {
    const item = this.#items[this.#head] as T; // callers have checked the size
    this.#items[this.#head] = undefined as T;
    this.#head++;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }
}
