/**
 * The audit of one node: takes what the parts of it note, counts it, and hands it to whoever listens (RFC-0103).
 *
 * Whoever listens slowly loses the oldest events, and learns how many. Noting never throws and never waits.
 */
import { Channel } from "../channel.ts";
import type { Clock, Timer } from "../runtime.ts";
import { type AuditCount, type AuditEntry, type AuditEvent, plainEntry } from "./audit_event.ts";
import { FloodFilter, type FloodLimits } from "./flood_filter.ts";

export interface AuditLimits extends FloodLimits {
  /** Events that wait for one slow reader. */
  readonly maxQueuedEvents: number;
}

/** Called for each event; it must be quick, and what it throws is dropped. */
export type AuditListener = (event: AuditEvent) => void;

/** Names and reasons that are counted apart; there are fewer. */
const MAX_COUNTS = 512;

export class AuditTrail {
  readonly #clock: Clock;
  readonly #limits: AuditLimits;
  readonly #listener: AuditListener | undefined;
  readonly #filter: FloodFilter;
  readonly #channels = new Set<Channel<AuditEvent>>();
  readonly #counts = new Map<string, { -readonly [Field in keyof AuditCount]: AuditCount[Field] }>();
  #timer: Timer | undefined;
  #closed = false;
  #droppedBefore = 0;

  constructor(clock: Clock, limits: AuditLimits, listener?: AuditListener) {
    this.#clock = clock;
    this.#limits = limits;
    this.#listener = listener;
    this.#filter = new FloodFilter(limits);
  }

  /** How often each thing was noted, told or not. */
  get counts(): readonly AuditCount[] {
    return [...this.#counts.values()].map((count) => ({ ...count }));
  }
  /** Events that readers were too slow for. */
  get dropped(): number {
    let sum = this.#droppedBefore;
    for (const { dropped } of this.#channels) sum += dropped;
    return sum;
  }

  /** `address`: whose share of the log it takes; default where it happened. */
  note(entry: AuditEntry, address: string = entry.where ?? ""): void {
    if (this.#closed) return;
    const plain = plainEntry(entry);
    this.#count(plain);
    const nowMs = this.#clock.nowMs();
    this.#summarise(nowMs);
    if (this.#filter.take(plain, address, nowMs)) this.#tell({ ...plain, timeMs: this.#clock.unixMs() });
    this.#wait(nowMs);
  }

  /** Events from now on; a reader that is too slow loses the oldest. Ends with the node. */
  subscribe(): AsyncIterable<AuditEvent> {
    const channel = new Channel<AuditEvent>(this.#limits.maxQueuedEvents);
    if (this.#closed) {
      channel.close();
      return channel;
    }
    this.#channels.add(channel);
    return {
      [Symbol.asyncIterator]: () => {
        const events = channel[Symbol.asyncIterator]();
        return {
          next: () => events.next(),
          return: async () => {
            if (this.#channels.delete(channel)) this.#droppedBefore += channel.dropped;
            channel.close();
            await events.return?.();
            return { value: undefined, done: true };
          },
        };
      },
    };
  }

  /** Tells what is still to be told, and ends. */
  close(): void {
    if (this.#closed) return;
    this.#summarise(Number.POSITIVE_INFINITY);
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const channel of this.#channels) channel.close();
  }

  #count({ what, outcome, reason }: AuditEntry): void {
    const key = `${what} ${outcome} ${reason ?? ""}`;
    const known = this.#counts.get(key);
    if (known) known.count++;
    else if (this.#counts.size < MAX_COUNTS) this.#counts.set(key, { what, outcome, reason, count: 1 });
  }

  #summarise(nowMs: number): void {
    for (let omitted = this.#filter.poll(nowMs); omitted; omitted = this.#filter.poll(nowMs)) {
      const { what, outcome, reason, who, where } = omitted.last;
      const one = omitted.addresses === 1 ? { ...(who ? { who } : {}), ...(where ? { where } : {}) } : {};
      const [more, moreAddresses] = [omitted.count, omitted.addresses];
      const timeMs = this.#clock.unixMs();
      this.#tell({ timeMs, what, outcome, reason, ...one, more, moreAddresses });
    }
  }

  #tell(event: AuditEvent): void {
    for (const channel of this.#channels) channel.push(event);
    try {
      this.#listener?.(event);
    } catch {
      // A log that fails must not take the node with it.
    }
  }

  /** A window that is over is told without waiting for the next event. */
  #wait(nowMs: number): void {
    const atMs = this.#filter.deadlineMs;
    if (atMs === undefined || this.#timer) return;
    this.#timer = this.#clock.after(Math.max(1, atMs - nowMs), () => {
      this.#timer = undefined;
      const laterMs = this.#clock.nowMs();
      this.#summarise(laterMs);
      this.#wait(laterMs);
    });
  }
}
