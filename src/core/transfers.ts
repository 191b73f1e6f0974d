/**
 * Tensors of x1 that arrive at this node, by the uuid of their sender and the id of their transfer: those under way, those
 * whose connection broke and whose rest may come, and those that were delivered (RFC-0006, Resume). So each is handed over
 * once, whatever becomes of connections.
 */
import type { Limits, Timing } from "./limits.ts";
import type { Clock, Timer } from "./runtime.ts";
import type { InboundTensor } from "./session/inbound_tensor.ts";
import type { TransferBook } from "./session/transfer_book.ts";

interface Suspended<Held> {
  readonly stream: InboundTensor;
  readonly held: Held;
  readonly timer: Timer;
}

/** What is known of a transfer. */
export type TransferState<Owner> =
  | { readonly kind: "unknown" | "delivered" }
  | { readonly kind: "suspended"; readonly offset: number }
  | { readonly kind: "arriving"; readonly owner: Owner };

/** `Owner`: a connection. `Held`: what goes with a suspended stream. */
export class Transfers<Owner, Held> {
  readonly #limits: Limits & Timing;
  readonly #clock: Clock;
  readonly #expired: (stream: InboundTensor, held: Held) => void;
  readonly #arriving = new Map<string, Owner>();
  /** Oldest first. */
  readonly #suspended = new Map<string, Suspended<Held>>();
  /** Those delivered lately, and those before them: the older half goes at once, which costs nothing per transfer. */
  #delivered = new Set<string>();
  #deliveredBefore = new Set<string>();
  /** Called when a transfer is not under way any more. */
  onSettled: (key: string) => void = () => {};

  /** `expired` is called for a stream whose rest did not come, or for which there is no room. */
  constructor(limits: Limits & Timing, clock: Clock, expired: (stream: InboundTensor, held: Held) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#expired = expired;
  }

  /** The book that one session keeps. */
  bookOf(peerId: string, owner: Owner, resumed: (held: Held) => void): TransferBook {
    return {
      begin: (transferId) => {
        const key = keyOf(peerId, transferId);
        if (this.#wasDelivered(key)) return "delivered";
        if (this.#arriving.has(key)) return "busy";
        this.#arriving.set(key, owner);
        const known = this.#suspended.get(key);
        if (!known) return "new";
        this.#suspended.delete(key);
        known.timer.cancel();
        resumed(known.held);
        return known.stream;
      },
      delivered: (transferId) => {
        const key = keyOf(peerId, transferId);
        this.#arriving.delete(key);
        this.#remember(key);
        this.onSettled(key);
      },
      gaveUp: (transferId) => {
        const key = keyOf(peerId, transferId);
        if (this.#arriving.get(key) !== owner) return;
        this.#arriving.delete(key);
        this.onSettled(key);
      },
    };
  }

  stateOf(peerId: string, transferId: string): TransferState<Owner> {
    const key = keyOf(peerId, transferId);
    if (this.#wasDelivered(key)) return { kind: "delivered" };
    const suspended = this.#suspended.get(key);
    if (suspended) return { kind: "suspended", offset: suspended.stream.receivedBytes };
    const owner = this.#arriving.get(key);
    return owner === undefined ? { kind: "unknown" } : { kind: "arriving", owner };
  }

  #wasDelivered(key: string): boolean {
    return this.#delivered.has(key) || this.#deliveredBefore.has(key);
  }

  #remember(key: string): void {
    this.#delivered.add(key);
    if (this.#delivered.size < this.#limits.maxDelivered / 2) return;
    this.#deliveredBefore = this.#delivered;
    this.#delivered = new Set();
  }

  /** Its connection is over. */
  forget(peerId: string, transferId: string): void {
    this.#arriving.delete(keyOf(peerId, transferId));
  }

  /** Its connection broke: the rest may come within `resumeMs`. */
  suspend(peerId: string, stream: InboundTensor, held: Held): void {
    const key = keyOf(peerId, stream.description.transferId);
    const timer = this.#clock.after(this.#limits.resumeMs, () => this.giveUp(key));
    this.#suspended.set(key, { stream, held, timer });
    let bytes = 0;
    for (const one of this.#suspended.values()) bytes += one.stream.heldBytes;
    for (const [oldest, one] of this.#suspended) {
      // The newest may be as large as it is: it has had that memory while it arrived.
      const fits = bytes <= this.#limits.suspendedBytes || oldest === key;
      if (fits && this.#suspended.size <= this.#limits.maxSuspended) break;
      bytes -= one.stream.heldBytes;
      this.giveUp(oldest);
    }
    this.onSettled(key);
  }

  /** The rest of a suspended transfer is not waited for any more. */
  giveUp(key: string): void {
    const known = this.#suspended.get(key);
    if (!known) return;
    this.#suspended.delete(key);
    known.timer.cancel();
    this.#expired(known.stream, known.held);
  }

  close(): void {
    for (const key of [...this.#suspended.keys()]) this.giveUp(key);
  }
}

export function keyOf(peerId: string, transferId: string): string {
  return `${peerId} ${transferId}`;
}
