/**
 * Who reads which topics at this node (extension x1, Topics): a subscription is a glob and a bounded queue of what fits.
 *
 * It filters what is offered here and asks nothing of any peer. A reader that is too slow slows nobody: what finds its
 * queue full is not taken, and counted, so that what waits stays whole.
 */
import { Channel } from "../channel.ts";
import { compileGlob, type TopicMatcher } from "../wire/glob.ts";

/**
 * Items whose topics fit, from the moment of `subscribe()`. Iterators of one subscription share its items. It ends when one of
 * them returns (a loop is left), by `close()`, or with all of them; what waits then can still be taken.
 */
export class Subscription<T> implements AsyncIterable<T> {
  readonly glob: string;
  readonly #fits: TopicMatcher;
  readonly #channel: Channel<T>;
  readonly #ended: () => void;
  /** Items that found the queue full. */
  dropped = 0;

  /** @internal */
  constructor(glob: string, maxItems: number, ended: (subscription: Subscription<T>) => void) {
    if (!(Number.isInteger(maxItems) && maxItems >= 1)) {
      throw new RangeError(`maxItems: expected a whole number from 1, got ${maxItems}`);
    }
    this.glob = glob;
    this.#fits = compileGlob(glob);
    this.#channel = new Channel(maxItems);
    this.#ended = () => ended(this);
  }

  /** Items that wait to be read. */
  get size(): number {
    return this.#channel.size;
  }

  /** @internal Undefined: its topic does not fit. False: there is no room for it. */
  offer(topic: string, item: T): boolean | undefined {
    if (!this.#fits(topic)) return undefined;
    if (this.#channel.full) {
      this.dropped++;
      return false;
    }
    this.#channel.push(item);
    return true;
  }

  /** No more items come. */
  close(): void {
    this.#channel.close();
    this.#ended();
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    const items = this.#channel[Symbol.asyncIterator]();
    return {
      next: () => items.next(),
      return: async () => {
        this.close();
        await items.return?.();
        return { value: undefined, done: true };
      },
    };
  }
}

export class Subscriptions<T> {
  readonly #open = new Set<Subscription<T>>();
  #closed = false;
  #droppedBefore = 0;

  /** Subscriptions that are open. */
  get size(): number {
    return this.#open.size;
  }

  /** Items that a subscription had no room for; an item that two had none for counts twice. */
  get dropped(): number {
    let sum = this.#droppedBefore;
    for (const { dropped } of this.#open) sum += dropped;
    return sum;
  }

  /**
   * Items of topics that fit `glob`, of which at most `maxItems` wait. Throws RangeError on a glob that `compileGlob`
   * refuses. After `close()` it has ended from the start.
   */
  subscribe(glob: string, maxItems: number): Subscription<T> {
    const subscription = new Subscription<T>(glob, maxItems, (ended) => {
      if (this.#open.delete(ended)) this.#droppedBefore += ended.dropped;
    });
    if (this.#closed) subscription.close();
    else this.#open.add(subscription);
    return subscription;
  }

  /** Gives `item` to every subscription that `topic` fits and that has room; returns how many took it. */
  offer(topic: string, item: T): number {
    let taken = 0;
    for (const subscription of this.#open) if (subscription.offer(topic, item)) taken++;
    return taken;
  }

  /** Ends all of them. */
  close(): void {
    this.#closed = true;
    for (const subscription of [...this.#open]) subscription.close();
  }
}
