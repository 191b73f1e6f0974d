/**
 * A rotation that this node carries out (RFC-0102, Rotating): offers a new key to every peer, and makes it current once all
 * of them have it, or takes it back.
 *
 *   OFFERING ── all have it ──▶ COMMITTING ── all have switched, or time is up ──▶ done, switched
 *      └── time is up, somebody refuses, or another rotator goes first ──▶ taken back, as if nothing had been
 */
import type { KeyRing, RingKey } from "./auth/key_ring.ts";
import { AsocError } from "./errors.ts";
import { DEFAULT_GRACE_MS } from "./key_keeper.ts";
import type { CannotFollow, KeyPeer } from "./key_peer.ts";
import { MAX_OFFER_MS } from "./limits.ts";
import type { Clock, Crypto } from "./runtime.ts";
import type { Peer } from "./swarm/swarm.ts";
import { fromHex, toHex, utf8 } from "./wire/bytes.ts";
import type { KeyGrant, KeyReceipt } from "./wire/records/key.ts";

/** Where a peer is in a rotation, and at its end what became of it. */
export type RotationResult =
  | CannotFollow
  /** It was asked, and has not answered yet. */
  | "asked"
  /** It has the key and does not use it yet. */
  | "hasKey"
  /** It signs with the new key. */
  | "switched"
  /** It has the key, and has not said that it uses it: it will when it meets it in use. */
  | "unconfirmed"
  /** It does not want the key, or has no room for it. */
  | "refused"
  /** It holds the key of another rotation. */
  | "busy"
  /** Its connection has ended. */
  | "gone";

export interface RotationPeer {
  readonly peer: Peer;
  readonly result: RotationResult;
}

export interface RotateOptions {
  /** How long the key before is believed from then on. Default 24 h. */
  readonly graceMs?: number;
  /** How long to wait for all peers. Default 30 s, at most 30 min. */
  readonly waitMs?: number;
  /** Rotate although peers cannot follow: they go on with the key before until its end. Default false. */
  readonly leaveBehind?: boolean;
  /** Ids of the peers that must have the key. Default: all that are connected and can follow. */
  readonly peers?: readonly string[];
  /** Only says who would follow. */
  readonly dryRun?: boolean;
  /** Called whenever a peer gets further. */
  readonly onProgress?: (peers: readonly RotationPeer[]) => void;
  readonly signal?: AbortSignal;
}

export interface RotationReport {
  /** False: everything is as it was before. */
  readonly switched: boolean;
  /** Why not; undefined when switched, and for a dry run. */
  readonly reason: string | undefined;
  /** Of the new key; undefined for a dry run. */
  readonly keyId: string | undefined;
  readonly epoch: number;
  /** The key that signed until now, and when it ends, in ms since 1970. */
  readonly oldKeyId: string;
  readonly oldNotAfterMs: number | undefined;
  readonly peers: readonly RotationPeer[];
}

export interface RotatorTools {
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly crypto: Crypto;
  /** Everybody who is connected now. */
  peers(): readonly KeyPeer[];
  save(): Promise<void>;
  /** The new key is current. */
  switched(key: Pick<RingKey, "id" | "epoch">): void;
}

const DEFAULT_WAIT_MS = 30_000;
const MAX_WAIT_MS = MAX_OFFER_MS / 2;
/** For how much longer than the wait peers keep what is on offer: for the commit to come. */
const OFFER_MARGIN_MS = 300_000;
const TICK_MS = 250;
/** A peer that holds another rotation's key is asked again after so long. */
const ASK_AGAIN_MS = 1000;
/** The least time for peers to say that they have switched. */
const CONFIRM_MS = 5000;
/** As `asoc keygen` makes them: 64 hexadecimal digits, used as that text. */
const KEY_BYTES = 32;

type Said = "offer" | "commit" | "end" | "takeBack";

interface Follower {
  peer: Peer;
  result: RotationResult;
  road: object | undefined;
  askedMs: number;
  committed: boolean;
}

interface Run {
  readonly key: RingKey;
  /** The one that signed until its commit. */
  old: RingKey | undefined;
  readonly offerEndS: number;
  readonly followers: Map<string, Follower>;
  /** Connections on which the key was offered. */
  readonly offered: WeakSet<object>;
  readonly onProgress: (() => void) | undefined;
  committed: boolean;
  yieldedTo: string | undefined;
  wake: () => void;
}

export class KeyRotator {
  readonly #tools: RotatorTools;
  /** What was said on each connection and has no answer yet, in whatever rotation: answers come in order. */
  readonly #unanswered = new WeakMap<object, { readonly run: Run; readonly said: Said }[]>();
  #run: Run | undefined;
  #closed = false;

  constructor(tools: RotatorTools) {
    this.#tools = tools;
  }

  /** See `NodeKeys.rotate`. */
  async rotate(options: RotateOptions): Promise<RotationReport> {
    const { ring, clock, crypto } = this.#tools;
    const { graceMs = DEFAULT_GRACE_MS, waitMs = DEFAULT_WAIT_MS, leaveBehind = false, signal } = options;
    if (!(graceMs >= 0)) throw new RangeError(`graceMs: expected a number from 0, got ${graceMs}`);
    if (!(waitMs > 0 && waitMs <= MAX_WAIT_MS))
      throw new RangeError(`waitMs: expected more than 0 and at most ${MAX_WAIT_MS}, got ${waitMs}`);
    signal?.throwIfAborted();
    const unixMs = clock.unixMs();
    const old = ring.signing(unixMs);
    if (!old) throw new AsocError("ASOC_NO_VALID_KEY", "Cannot rotate: no key of this node holds now");
    if (this.#run || ring.offered(unixMs)) throw rotation("another rotation is under way");
    const epoch = ring.epoch + 1;
    const unable = this.#tools.peers().filter(({ cannotFollow }) => cannotFollow !== undefined);
    if (options.dryRun) {
      const peers = this.#tools
        .peers()
        .map(({ peer, cannotFollow }) => ({ peer, result: cannotFollow ?? ("hasKey" as const) }));
      return { ...shown(old), switched: false, reason: undefined, keyId: undefined, epoch, peers };
    }
    if (!ring.hasRoom(unixMs)) throw rotation("as many keys hold as can be tried; revoke one first");
    if (unable.length > 0 && !leaveBehind) {
      const who = unable.map(({ peer, cannotFollow }) => `${peer.id} (${cannotFollow})`).join(", ");
      throw rotation(`these peers cannot follow: ${who}`);
    }
    const offerEndS = Math.floor((unixMs + waitMs + OFFER_MARGIN_MS) / 1000);
    const key = utf8(toHex(crypto.randomBytes(KEY_BYTES)));
    const id = ring.add({ key, state: "offered", epoch, notAfterMs: offerEndS * 1000 }, unixMs);
    const followers = new Map<string, Follower>();
    const run: Run = {
      key: ring.find(id) as RingKey, // it was added
      old: undefined,
      offerEndS,
      followers,
      offered: new WeakSet(),
      onProgress: options.onProgress && (() => options.onProgress?.(results(followers))),
      committed: false,
      yieldedTo: undefined,
      wake: () => {},
    };
    this.#run = run;
    const wake = () => run.wake();
    signal?.addEventListener("abort", wake);
    try {
      const reason = await this.#offer(run, waitMs, leaveBehind, options.peers, signal);
      if (reason !== undefined) {
        await this.#takeBack(run);
        signal?.throwIfAborted();
        return { ...shown(old), switched: false, reason, keyId: id, epoch, peers: results(followers) };
      }
      await this.#commit(run, old, graceMs);
      await this.#confirm(run, run.old, signal);
      const ended = ring.find(old.id);
      return {
        ...shown(ended ?? old),
        switched: true,
        reason: undefined,
        keyId: id,
        epoch,
        peers: results(followers),
      };
    } finally {
      signal?.removeEventListener("abort", wake);
      this.#run = undefined;
    }
  }

  /** Bytes of keys that are told yet, although they may have left the ring. */
  get keysInUse(): Uint8Array[] {
    const { key, old } = this.#run ?? {};
    return [key, old].flatMap((each) => (each ? [each.key] : []));
  }

  /** KEY_ACK has come. */
  handleAnswered({ peer, road }: KeyPeer, receipt: KeyReceipt): void {
    const run = this.#run;
    const asked = this.#unanswered.get(road)?.shift();
    const follower = run?.followers.get(peer.id);
    if (!run || !follower || asked?.run !== run) return; // nobody asked, or nobody wants to know any more
    const { said } = asked;
    const { id, epoch } = run.key;
    const has = toHex(receipt.keyId) === id && receipt.epoch === epoch;
    if (said === "offer" && !run.committed) {
      follower.result = has ? "hasKey" : receipt.epoch >= epoch ? "busy" : "refused";
    } else if (said === "commit") follower.result = has ? "switched" : "unconfirmed";
    run.onProgress?.();
    run.wake();
  }

  /** Whether our offer of `key` gives way to another rotator's: to a later epoch, or to the smaller id of the same. */
  givesWay(key: RingKey, other: { readonly id: string; readonly epoch: number }): boolean {
    const run = this.#run;
    if (!run || run.committed || run.key.id !== key.id) return false;
    const gives = other.epoch > key.epoch || (other.epoch === key.epoch && other.id < key.id);
    if (!gives) return false;
    run.yieldedTo = other.id;
    this.#tools.ring.forget(key.id); // there is room for one
    run.wake();
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#run?.wake();
  }

  // --- inside

  /** Undefined once everybody has it; else why that will not be. */
  async #offer(
    run: Run,
    waitMs: number,
    leaveBehind: boolean,
    peers: readonly string[] | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const { clock } = this.#tools;
    try {
      await this.#tools.save();
    } catch (error) {
      this.#tools.ring.forget(run.key.id);
      throw error;
    }
    const untilMs = clock.nowMs() + waitMs;
    this.#ask(run);
    const required = new Set(
      peers ?? [...run.followers].filter(([, { result }]) => result === "asked").map(([id]) => id),
    );
    for (;;) {
      if (run.yieldedTo !== undefined) return `another rotation goes first: ${run.yieldedTo}`;
      if (signal?.aborted) return "given up";
      if (this.#closed) return "the node is closing";
      const missing = [...required].filter((id) => {
        const result = run.followers.get(id)?.result;
        return !(result === "hasKey" || (leaveBehind && result === "refused"));
      });
      if (missing.length === 0) return undefined;
      const refusing = missing.find((id) => run.followers.get(id)?.result === "refused");
      if (refusing !== undefined) return `${refusing} refuses the key`;
      const leftMs = untilMs - clock.nowMs();
      if (leftMs <= 0) return `no key with ${missing.join(", ")} after ${waitMs / 1000} s`;
      await this.#pause(run, Math.min(TICK_MS, leftMs));
      this.#ask(run);
    }
  }

  /** Offers the key on every connection on which that has not been done. */
  #ask(run: Run): void {
    if (run.yieldedTo !== undefined) return;
    const nowMs = this.#tools.clock.nowMs();
    const here = new Set<string>();
    for (const one of this.#tools.peers()) {
      const follower = followerOf(run, one);
      here.add(one.peer.id);
      if (one.cannotFollow !== undefined) {
        follower.result = one.cannotFollow;
        continue;
      }
      if (follower.result === "hasKey" || follower.result === "refused") continue;
      const isNew = follower.road !== one.road;
      const again = follower.result === "busy" && nowMs - follower.askedMs >= ASK_AGAIN_MS;
      if (!isNew && !again) continue;
      follower.road = one.road;
      follower.askedMs = nowMs;
      follower.result = "asked";
      this.#say(run, one, "offer", run.key, run.offerEndS);
    }
    for (const [id, follower] of run.followers) {
      if (!here.has(id) && follower.result === "asked") follower.result = "gone";
    }
    run.onProgress?.();
  }

  async #commit(run: Run, old: RingKey, graceMs: number): Promise<void> {
    const { ring, clock } = this.#tools;
    const before = ring.snapshot();
    const unixMs = clock.unixMs();
    ring.setCurrent(run.key.id, unixMs, { notAfterMs: undefined, oldNotAfterMs: unixMs + graceMs });
    try {
      await this.#tools.save();
    } catch (error) {
      ring.replace(before, unixMs);
      await this.#takeBack(run);
      throw error;
    }
    for (const { key } of before) key.fill(0);
    run.committed = true;
    run.old = ring.find(old.id);
    this.#tell(run, run.old);
    this.#tools.switched(run.key);
  }

  /** Tells everybody who has the key to use it, on every connection on which that has not been done. */
  #tell(run: Run, old: RingKey | undefined): void {
    for (const one of this.#tools.peers()) {
      const follower = run.followers.get(one.peer.id);
      if (!follower || (follower.result !== "hasKey" && follower.result !== "unconfirmed")) continue;
      if (one.cannotFollow !== undefined || (follower.committed && follower.road === one.road)) continue;
      follower.road = one.road;
      follower.committed = true;
      follower.result = "unconfirmed";
      this.#say(run, one, "commit", run.key, undefined);
      if (old && old.notAfterMs !== undefined)
        this.#say(run, one, "end", old, Math.ceil(old.notAfterMs / 1000));
    }
    run.onProgress?.();
  }

  async #confirm(run: Run, old: RingKey | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#tools;
    const untilMs = clock.nowMs() + CONFIRM_MS;
    const waiting = () =>
      [...run.followers.values()].some(({ result }) => result === "hasKey" || result === "unconfirmed");
    while (waiting() && clock.nowMs() < untilMs && !signal?.aborted && !this.#closed) {
      await this.#pause(run, TICK_MS);
      this.#tell(run, old);
    }
    for (const follower of run.followers.values())
      if (follower.result === "hasKey") follower.result = "unconfirmed";
  }

  /** Everybody forgets it; whoever is not here does so at the end of the offer. */
  async #takeBack(run: Run): Promise<void> {
    const { ring } = this.#tools;
    ring.forget(run.key.id);
    for (const one of this.#tools.peers()) {
      if (run.offered.has(one.road)) this.#say(run, one, "takeBack", run.key, 0);
    }
    await this.#tools.save();
  }

  #say(run: Run, to: KeyPeer, said: Said, { id, epoch, key }: RingKey, notAfterS: number | undefined): void {
    const queue = this.#unanswered.get(to.road) ?? [];
    queue.push({ run, said });
    this.#unanswered.set(to.road, queue);
    run.offered.add(to.road);
    const grant: KeyGrant = { keyId: fromHex(id), epoch, notAfterS, key };
    to.offer(grant);
  }

  #pause(run: Run, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#tools.clock.after(ms, resolve);
      run.wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

function followerOf(run: Run, { peer }: KeyPeer): Follower {
  let follower = run.followers.get(peer.id);
  if (!follower) {
    follower = { peer, result: "gone", road: undefined, askedMs: 0, committed: false };
    run.followers.set(peer.id, follower);
  }
  follower.peer = peer;
  return follower;
}

function results(followers: ReadonlyMap<string, Follower>): RotationPeer[] {
  return [...followers.values()].map(({ peer, result }) => ({ peer, result }));
}

function shown(old: RingKey): { readonly oldKeyId: string; readonly oldNotAfterMs: number | undefined } {
  return { oldKeyId: old.id, oldNotAfterMs: old.notAfterMs };
}

function rotation(why: string): AsocError {
  return new AsocError("ASOC_ROTATION", `Cannot rotate: ${why}`);
}
