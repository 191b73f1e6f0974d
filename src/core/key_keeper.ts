/**
 * What this node does with keys that others bring (RFC-0102, Receiving): takes one on offer, makes it current when its
 * rotator commits, lets the one before it go, or refuses. Every KEY_NEW gets one KEY_ACK, in order; one that names
 * another key than was brought is a refusal, and says what is held instead.
 *
 * A key that was taken stays taken until its rotator commits it or takes it back, or until its end: whoever comes
 * second is refused meanwhile, so that no rotator counts on a promise that was given to two.
 */
import type { KeyRing, RingKey } from "./auth/key_ring.ts";
import { RateLimit } from "./auth/rate_limit.ts";
import type { KeyChange } from "./key_options.ts";
import type { KeyPeer } from "./key_peer.ts";
import { type Limits, MAX_EPOCH_STEP, MAX_OFFER_MS } from "./limits.ts";
import type { Clock } from "./runtime.ts";
import type { Peer } from "./swarm/swarm.ts";
import { equalBytes, fromHex, toHex } from "./wire/bytes.ts";
import type { KeyGrant, KeyReceipt } from "./wire/records/key.ts";

/** How long the key before is believed, unless its rotator says otherwise. */
export const DEFAULT_GRACE_MS = 24 * 3_600_000;
const HOUR_MS = 3_600_000;
/** What two clocks may differ by. */
const SKEW_MS = 60_000;
/** KEY_NEW of all peers that wait for the file to be written. */
const MAX_WAITING = 256;

export interface KeeperTools {
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly policy: "accept" | "refuse";
  /** Keeps the ring. Rejects when it cannot. */
  save(): Promise<void>;
  /** The ring is another one now. */
  changed(change: KeyChange, key: Pick<RingKey, "id" | "epoch">, peer: Peer, error?: unknown): void;
  /** Our own rotation offers `key`: whether it gives way to `other`, which it has done then. */
  givesWay(key: RingKey, other: { readonly id: string; readonly epoch: number }): boolean;
}

export class KeyKeeper {
  readonly #tools: KeeperTools;
  readonly #rotations: RateLimit;
  readonly #changes: RateLimit;
  /** The key that the last commit has put out of its place, and the end that it had before. */
  #demoted: { readonly id: string; readonly endMs: number | undefined } | undefined;
  #queue: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(tools: KeeperTools) {
    this.#tools = tools;
    this.#rotations = new RateLimit(tools.limits.maxRotationsPerHour, HOUR_MS, 1);
    this.#changes = new RateLimit(tools.limits.maxKeyChangesPerHour, HOUR_MS, 1);
  }

  /** KEY_NEW has come. One after the other: each may have to be written down first. */
  handleOffered(from: KeyPeer, grant: KeyGrant): void {
    if (this.#waiting >= MAX_WAITING) {
      from.answer(this.#held());
      return;
    }
    this.#waiting++;
    this.#queue = this.#queue.then(async () => {
      this.#waiting--;
      from.answer(await this.#consider(from.peer, grant));
      grant.key.fill(0);
    });
  }

  /** A peer has proven a key that is only on offer here: its rotator has committed it, and we have missed that. */
  handleSeen(key: RingKey, peer: Peer): void {
    this.#queue = this.#queue.then(async () => {
      if (this.#tools.ring.find(key.id)?.state === "offered") await this.#commit(key, undefined, peer);
    });
  }

  async #consider(peer: Peer, grant: KeyGrant): Promise<KeyReceipt> {
    const { ring, policy } = this.#tools;
    if (policy === "refuse") return this.#held();
    const known = ring.find(toHex(grant.keyId));
    if (!known) return this.#take(peer, grant);
    // A revoked one has no key, and equals none.
    if (!equalBytes(known.key, grant.key) || known.epoch !== grant.epoch) return this.#held();
    return this.#update(peer, known, endOf(grant));
  }

  /** A key that was never seen here. */
  async #take(peer: Peer, grant: KeyGrant): Promise<KeyReceipt> {
    const { ring, clock } = this.#tools;
    const unixMs = clock.unixMs();
    const endMs = endOf(grant);
    const id = toHex(grant.keyId);
    const { epoch } = grant;
    if (endMs === undefined || endMs <= unixMs || endMs > unixMs + MAX_OFFER_MS + SKEW_MS)
      return this.#held();
    if (epoch <= ring.epoch || epoch > ring.epoch + MAX_EPOCH_STEP) return this.#held();
    const other = ring.offered(unixMs);
    if (other && !this.#tools.givesWay(other, { id, epoch })) return this.#held();
    if (!ring.hasRoom(unixMs) || !this.#rotations.take("", clock.nowMs()) || !this.#mayChange()) {
      this.#tools.changed("refused", { id, epoch }, peer, new RangeError("too many keys, or too often"));
      return this.#held();
    }
    ring.add({ key: new Uint8Array(grant.key), state: "offered", epoch, notAfterMs: endMs }, unixMs);
    const error = await this.#unsaved();
    if (error !== undefined) {
      ring.forget(id); // what is not written down may be gone tomorrow: no promise
      this.#tools.changed("refused", { id, epoch }, peer, error);
      return this.#held();
    }
    this.#tools.changed("offered", { id, epoch }, peer);
    return grant;
  }

  /** A key that is here: its rotator repeats, commits, takes back, or ends the one before. */
  async #update(peer: Peer, known: RingKey, endMs: number | undefined): Promise<KeyReceipt> {
    const { ring, clock } = this.#tools;
    const unixMs = clock.unixMs();
    const receipt = receiptOf(known);
    const { id, epoch, notAfterMs } = known;
    if (notAfterMs === endMs) return receipt;
    if (!this.#mayChange()) return this.#held();
    if (known.state === "offered") {
      if (endMs === undefined || endMs > (notAfterMs ?? 0)) {
        return (await this.#commit(known, endMs, peer)) ? receipt : this.#held();
      }
      if (endMs > unixMs) return this.#held();
      ring.forget(id);
      this.#tools.changed("takenBack", { id, epoch }, peer, await this.#unsaved());
      return this.#held();
    }
    const demoted = this.#demoted;
    if (known.state !== "accepted" || demoted?.id !== id || endMs === undefined) return this.#held();
    const end = demoted.endMs === undefined ? endMs : Math.min(demoted.endMs, endMs);
    ring.setEnd(id, end, unixMs);
    this.#tools.changed("limited", { id, epoch }, peer, await this.#unsaved());
    return receipt;
  }

  async #commit(key: RingKey, endMs: number | undefined, peer: Peer): Promise<boolean> {
    const { ring, clock } = this.#tools;
    const unixMs = clock.unixMs();
    const old = ring.list(unixMs).find(({ state }) => state === "current");
    ring.setCurrent(key.id, unixMs, { notAfterMs: endMs, oldNotAfterMs: unixMs + DEFAULT_GRACE_MS });
    const error = await this.#unsaved();
    if (old) this.#demoted = { id: old.id, endMs: old.notAfterMs };
    // Everybody else goes on with it: it is current here too, written down or not.
    this.#tools.changed("current", key, peer, error);
    return error === undefined;
  }

  async #unsaved(): Promise<unknown> {
    try {
      await this.#tools.save();
      return undefined;
    } catch (error) {
      return error;
    }
  }

  #mayChange(): boolean {
    return this.#changes.take("", this.#tools.clock.nowMs());
  }

  /** What is held, as a refusal says it. */
  #held(): KeyReceipt {
    const { ring, clock } = this.#tools;
    const unixMs = clock.unixMs();
    const held = ring.offered(unixMs) ?? ring.signing(unixMs);
    return held ? receiptOf(held) : { keyId: new Uint8Array(4), epoch: 0 };
  }
}

function receiptOf({ id, epoch }: RingKey): KeyReceipt {
  return { keyId: fromHex(id), epoch };
}

function endOf({ notAfterS }: KeyGrant): number | undefined {
  return notAfterS === undefined ? undefined : notAfterS * 1000;
}
