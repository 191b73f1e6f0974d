/**
 * What peers have asked to get copies of (extension x1, TAP), sans-IO: who wants this tensor, now.
 *
 * A tap never slows its source: a copy that its rate has no room for, or its peer's queue, is not made, and counted. Knows no
 * connections and sends nothing. Copies have priority 0, and what has priority 0 is never copied: so nodes that tap each other
 * do not pass copies round and round.
 *
 * A glob is granted if it is one of those allowed by configuration, letter by letter; or if `**` is allowed; or if it has no
 * star, and so names one topic, and fits an allowed one. Other globs that an allowed one happens to cover are refused: what
 * is granted is then plain to whoever reads the configuration.
 */
import { compileGlob, type TopicMatcher } from "../wire/glob.ts";
import { TokenBucket } from "./token_bucket.ts";

/** As in the record TAP. */
export interface TapRequest {
  readonly glob: string;
  /** Of the tensors that fit, the first and then every how many-th is wanted. */
  readonly oneIn: number;
  /** 0: no bound. */
  readonly bytesPerSecond: number;
}

/** A tensor that was sent, or received whole. */
export interface Tapped<P> {
  readonly topic: string;
  readonly byteCount: number;
  /** Of its OPEN. */
  readonly priority: number;
  /** Who sent it to us, or whom it is sent to: they get no copy. */
  readonly parties: readonly P[];
}

export interface TapCounters {
  /** Taps that are held now. */
  readonly taps: number;
  /** Copies that were to be sent, those dropped as busy left out. */
  readonly copies: number;
  /** Copies that were due and that the rates had no room for. */
  readonly droppedByRate: number;
  /** Copies that the peer's queue had no room for. */
  readonly droppedBusy: number;
  /** TAPs that were not granted, or over the limit. */
  readonly refused: number;
}

interface Tap {
  readonly fits: TopicMatcher;
  readonly oneIn: number;
  /** Undefined: no bound. */
  readonly bucket: TokenBucket | undefined;
  /** Tensors that fit until the next that is wanted. */
  untilNext: number;
}

export interface TapsConfig {
  /** Globs that peers may tap. */
  readonly allowed: readonly string[];
  readonly limits: { readonly maxTapsPerPeer: number };
}

/** `P` names a peer and is compared as keys of a Map are. */
export class Taps<P = string> {
  readonly #maxTapsPerPeer: number;
  readonly #allowed = new Map<string, TopicMatcher>();
  /** By peer and glob. */
  readonly #taps = new Map<P, Map<string, Tap>>();
  #copies = 0;
  #droppedByRate = 0;
  #droppedBusy = 0;
  #refused = 0;

  /** Throws RangeError on an allowed glob that is none. */
  constructor({ allowed, limits }: TapsConfig) {
    this.#maxTapsPerPeer = limits.maxTapsPerPeer;
    for (const glob of allowed) this.#allowed.set(glob, compileGlob(glob));
  }

  get counters(): TapCounters {
    let taps = 0;
    for (const byGlob of this.#taps.values()) taps += byGlob.size;
    return {
      taps,
      copies: this.#copies,
      droppedByRate: this.#droppedByRate,
      droppedBusy: this.#droppedBusy,
      refused: this.#refused,
    };
  }

  /** Whether anybody may want anything: when not, `wants` need not be asked. */
  get any(): boolean {
    return this.#taps.size > 0;
  }

  /** `peer` asks for copies. False: not granted, which is no error. One with the same glob takes the place of the earlier one. */
  handleTap(peer: P, { glob, oneIn, bytesPerSecond }: TapRequest, nowMs: number): boolean {
    const held = this.#taps.get(peer);
    const full = (held?.size ?? 0) >= this.#maxTapsPerPeer && !held?.has(glob);
    const whole =
      Number.isInteger(oneIn) && oneIn >= 1 && Number.isInteger(bytesPerSecond) && bytesPerSecond >= 0;
    if (full || !whole || !this.#isGranted(glob)) {
      this.#refused++;
      return false;
    }
    const bucket = bytesPerSecond > 0 ? new TokenBucket(bytesPerSecond, nowMs) : undefined;
    const tap = { fits: compileGlob(glob), oneIn, bucket, untilNext: 0 };
    if (held) held.set(glob, tap);
    else this.#taps.set(peer, new Map([[glob, tap]]));
    return true;
  }

  handleUntap(peer: P, glob: string): void {
    const held = this.#taps.get(peer);
    held?.delete(glob);
    if (held?.size === 0) this.#taps.delete(peer);
  }

  /** `peer` is gone, and its taps with it. */
  forget(peer: P): void {
    this.#taps.delete(peer);
  }

  /** A copy that `wants` asked for was not sent: that peer has enough to do. */
  handleBusy(): void {
    this.#copies--;
    this.#droppedBusy++;
  }

  /** The peers that get a copy now, each once however many of its taps fit. */
  wants({ topic, byteCount, priority, parties }: Tapped<P>, nowMs: number): P[] {
    const wanting: P[] = [];
    if (priority === 0) return wanting;
    for (const [peer, byGlob] of this.#taps) {
      if (parties.includes(peer)) continue;
      let due = false;
      let granted = false;
      // All of them, so that each counts what fits it and pays for what its peer gets.
      for (const tap of byGlob.values()) {
        if (!tap.fits(topic) || tap.untilNext-- > 0) continue;
        tap.untilNext = tap.oneIn - 1;
        due = true;
        if (tap.bucket?.take(byteCount, nowMs) ?? true) granted = true;
      }
      if (granted) wanting.push(peer);
      else if (due) this.#droppedByRate++;
    }
    this.#copies += wanting.length;
    return wanting;
  }

  #isGranted(glob: string): boolean {
    if (this.#allowed.has(glob)) return true;
    try {
      compileGlob(glob);
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
    if (this.#allowed.has("**")) return true;
    if (glob.includes("*")) return false;
    for (const covers of this.#allowed.values()) if (covers(glob)) return true;
    return false;
  }
}
