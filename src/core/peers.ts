/** The peers of a node, as users see them: a list, a wait, events. */
import { Channel } from "./channel.ts";
import { AsocError, ClosedError } from "./errors.ts";
import type { Clock } from "./runtime.ts";
import type { Peer, SwarmEvent } from "./swarm/swarm.ts";

export type PeerEvent = Extract<SwarmEvent, { kind: "joined" | "left" | "named" }>;

export class Peers implements Iterable<Peer> {
  readonly #list: () => Peer[];
  readonly #clock: Clock;
  readonly #maxEvents: number;
  /** Why nobody may be there, for errors. */
  readonly #explain: () => string;
  readonly #channels = new Set<Channel<PeerEvent>>();
  readonly #waiting = new Set<() => void>();
  #closed = false;

  /** @internal */
  constructor(list: () => Peer[], clock: Clock, maxEvents: number, explain: () => string) {
    this.#list = list;
    this.#clock = clock;
    this.#maxEvents = maxEvents;
    this.#explain = explain;
  }

  /** Peers with an open connection now. */
  list(): readonly Peer[] {
    return this.#list();
  }
  get size(): number {
    return this.#list().length;
  }
  [Symbol.iterator](): Iterator<Peer> {
    return this.#list()[Symbol.iterator]();
  }

  /**
   * Resolves with the peers once there are at least `count`. Without `timeoutMs` it waits for ever.
   * Rejects with ASOC_NO_PEERS, which says what is known about why, ASOC_CLOSED, or the signal's reason.
   */
  async wait(
    count = 1,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Peer[]> {
    const { timeoutMs, signal } = options;
    const peers = await this.waitFor((all) => (all.length >= count ? all : undefined), {
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (peers) return peers;
    throw new AsocError(
      "ASOC_NO_PEERS",
      `Found ${this.size} of ${count} peers within ${(timeoutMs ?? 0) / 1000} s: ${this.#explain()}`,
      { details: { expected: count, got: this.size } },
    );
  }

  /** Resolves with what `pick` returns, as soon as that is not undefined; with undefined after `timeoutMs`. Rejects when it throws. */
  waitFor<T>(
    pick: (peers: Peer[]) => T | undefined,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<T | undefined> {
    const { timeoutMs, signal } = options;
    return new Promise((resolve, reject) => {
      const settle = (run: () => void) => {
        timer?.cancel();
        signal?.removeEventListener("abort", abort);
        this.#waiting.delete(look);
        run();
      };
      const abort = () => settle(() => reject(signal?.reason));
      const look = () => {
        let found: T | undefined;
        try {
          found = pick(this.#list());
        } catch (error) {
          settle(() => reject(error)); // it is the waiter's own, and must not reach the node
          return;
        }
        if (found !== undefined) settle(() => resolve(found));
        else if (this.#closed) {
          settle(() => reject(new ClosedError("ASOC_CLOSED", "Cannot wait for peers: the node is closed")));
        }
      };
      const timer =
        timeoutMs === undefined
          ? undefined
          : this.#clock.after(timeoutMs, () => settle(() => resolve(undefined)));
      this.#waiting.add(look);
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) abort();
      else look();
    });
  }

  /** Joined, left (with why) and named, from now on. Ends when the node closes. */
  events(): AsyncIterable<PeerEvent> {
    const channel = new Channel<PeerEvent>(this.#maxEvents);
    if (this.#closed) channel.close();
    else this.#channels.add(channel);
    return channel;
  }

  /** @internal */
  announce(event: PeerEvent): void {
    for (const channel of this.#channels) channel.push(event);
    for (const look of [...this.#waiting]) look();
  }

  /** @internal */
  close(): void {
    this.#closed = true;
    for (const channel of this.#channels) channel.close();
    this.#channels.clear();
    for (const look of [...this.#waiting]) look();
  }
}
