/**
 * Taps of one node, both ways: copies for the peers that have asked for them, and what this node has asked of its peers.
 *
 * A copy never slows what it is a copy of: it has the lowest priority and memory of its own, and a peer that still has
 * MAX_COPIES of them before it gets no further one.
 */
import { AsocError } from "../errors.ts";
import { MAX_TAP_COPIES } from "../limits.ts";
import type { TapRecord, UntapRecord } from "../wire/records/tap.ts";
import { type TapCounters, Taps, type TapsConfig } from "./taps.ts";

/** A tensor that passes; `bytes` are valid during the call. `C` is what the node needs to send a copy. */
export interface Passing<C> {
  readonly topic: string;
  readonly priority: number;
  /** Who sent it here, or whom it is sent to. */
  readonly parties: readonly string[];
  readonly bytes: Uint8Array;
  readonly carry: C;
}

export class Tapping<C> {
  readonly #taps: Taps;
  readonly #send: (peerId: string, bytes: Uint8Array, carry: C) => Promise<unknown>;
  readonly #ask: (peerId: string, record: TapRecord | UntapRecord) => void;
  readonly #underWay = new Map<string, number>();
  /** What we have asked for, by peer and glob: asked again when the peer comes back. */
  readonly #asked = new Map<string, Map<string, TapRecord>>();

  constructor(
    config: TapsConfig,
    send: (peerId: string, bytes: Uint8Array, carry: C) => Promise<unknown>,
    ask: (peerId: string, record: TapRecord | UntapRecord) => void,
  ) {
    this.#taps = new Taps(config);
    this.#send = send;
    this.#ask = ask;
  }

  get counters(): TapCounters {
    return this.#taps.counters;
  }
  /** Whether `pass` has anything to do. */
  get any(): boolean {
    return this.#taps.any;
  }

  /** A tensor passes: those who want a copy get one. */
  pass({ topic, priority, parties, bytes, carry }: Passing<C>, nowMs: number): void {
    if (!this.#taps.any || topic === "") return;
    let copy: Uint8Array | undefined;
    for (const peerId of this.#taps.wants({ topic, byteCount: bytes.byteLength, priority, parties }, nowMs)) {
      const underWay = this.#underWay.get(peerId) ?? 0;
      if (underWay >= MAX_TAP_COPIES) {
        this.#taps.handleBusy();
        continue;
      }
      copy ??= bytes.slice();
      this.#underWay.set(peerId, underWay + 1);
      const over = () => {
        const left = (this.#underWay.get(peerId) ?? 1) - 1;
        if (left > 0) this.#underWay.set(peerId, left);
        else this.#underWay.delete(peerId);
      };
      // A copy that does not arrive is none of the sender's business.
      this.#send(peerId, copy, carry).then(over, over);
    }
  }

  /** A peer has asked. False: it does not get them. */
  handleAsked(peerId: string, record: TapRecord | UntapRecord, nowMs: number): boolean {
    if (record.kind === "tap") return this.#taps.handleTap(peerId, record, nowMs);
    this.#taps.handleUntap(peerId, record.glob);
    return true;
  }

  /** Throws what asking throws; then nothing is remembered. */
  ask(peerId: string, record: TapRecord | UntapRecord): void {
    this.#ask(peerId, record);
    const asked = this.#asked.get(peerId) ?? new Map<string, TapRecord>();
    if (record.kind === "tap") asked.set(record.glob, record);
    else asked.delete(record.glob);
    if (asked.size > 0) this.#asked.set(peerId, asked);
    else this.#asked.delete(peerId);
  }

  handleJoined(peerId: string): void {
    for (const record of this.#asked.get(peerId)?.values() ?? []) {
      try {
        this.#ask(peerId, record);
      } catch (error) {
        if (!(error instanceof AsocError)) throw error; // it has left again: the next time
      }
    }
  }

  handleLeft(peerId: string): void {
    this.#taps.forget(peerId);
  }
}
