/**
 * The keys of one node: which of them signs, which of them are believed, and until when (RFC-0102, Key ring).
 *
 *   offered ── commit, or seen in use ──▶ current ── another becomes current ──▶ accepted ── its end ──▶ gone
 *      └── taken back, or its end ──▶ gone          any of them ── revoke ──▶ revoked (the id alone stays)
 *
 * No clock: whoever asks says what time it is, in milliseconds since 1970. Every change is whole or not at all: what
 * throws has changed nothing. No two keys have the same id, and at most MAX_KEYS_TRIED are of use at once, so that what a
 * stranger's message costs is bounded. Texts of errors name ids and never a key.
 *
 * Bytes of a key that has left the ring are overwritten as soon as its owner says that nothing uses them any more: a
 * handshake that has begun with them goes on.
 */
import { KEY_DRAIN_MS, MAX_KEYS_TRIED, MAX_RING_KEYS, MAX_ROTATED_KEY_BYTES } from "../limits.ts";
import type { Crypto } from "../runtime.ts";
import { equalBytes, toHex } from "../wire/bytes.ts";
import { keyId } from "./proof.ts";

/** "offered": a rotation has brought it and not ended yet; it is believed, and signs nothing. */
export type KeyState = "current" | "accepted" | "offered" | "revoked";

/** One key as it is handed in. */
export interface KeyEntry {
  /** Secret, and the ring's from now on: it is overwritten there. Undefined for a revoked one, of which the id is enough. */
  readonly key?: Uint8Array | undefined;
  /** 8 hex digits; made from the key where that is there. */
  readonly id?: string | undefined;
  /** Default "accepted". */
  readonly state?: KeyState | undefined;
  /** Counts the keys of a community up, 0 to 2^32 - 1. Default 0. */
  readonly epoch?: number | undefined;
  /** Milliseconds since 1970, inclusive; undefined: since ever. */
  readonly notBeforeMs?: number | undefined;
  /** Milliseconds since 1970, exclusive; undefined: for ever. */
  readonly notAfterMs?: number | undefined;
}

/** One key of the ring. */
export interface RingKey {
  readonly id: string;
  /** Secret; empty for a revoked one. */
  readonly key: Uint8Array;
  readonly state: KeyState;
  readonly epoch: number;
  readonly notBeforeMs: number | undefined;
  readonly notAfterMs: number | undefined;
}

/** What may be shown of a key: no secret. */
export interface KeyInfo extends Omit<RingKey, "key"> {
  /** It is believed now. */
  readonly valid: boolean;
  /** It is the one that signs now. */
  readonly signs: boolean;
}

const MAX_EPOCH = 0xffff_ffff;
/** How long a key that has come to its end is remembered: connections that rest on it have ended then. */
const REMEMBERED_MS = 4 * KEY_DRAIN_MS;
const NO_KEY = new Uint8Array(0);

export class KeyRing {
  readonly #crypto: Crypto;
  #keys: ReadonlyMap<string, RingKey> = new Map();
  /** Bytes of keys that have left, and may be in use yet. */
  readonly #left = new Set<Uint8Array>();

  /** Throws RangeError on keys that cannot be together. */
  constructor(entries: readonly KeyEntry[], crypto: Crypto, unixMs: number) {
    this.#crypto = crypto;
    this.#become(
      entries.map((entry) => this.#made(entry)),
      unixMs,
    );
  }

  // --- what it is now

  /** The key that signs: the current one, or the accepted one with the highest epoch while that does not hold. */
  signing(unixMs: number): RingKey | undefined {
    return this.verifying(unixMs).find(({ state }) => state !== "offered");
  }

  /** The keys that may sign, the one that does first. */
  signers(unixMs: number): readonly RingKey[] {
    return this.verifying(unixMs).filter(({ state }) => state !== "offered");
  }

  /** The keys that are believed, the one that signs first; at most MAX_KEYS_TRIED. */
  verifying(unixMs: number): readonly RingKey[] {
    return [...this.#keys.values()].filter((key) => isValid(key, unixMs)).sort(byRank);
  }

  /** All keys, without their secrets. */
  list(unixMs: number): readonly KeyInfo[] {
    const signing = this.signing(unixMs)?.id;
    return [...this.#keys.values()].sort(byRank).map(({ key: _, ...shown }) => ({
      ...shown,
      valid: isValid({ ...shown, key: _ }, unixMs),
      signs: shown.id === signing,
    }));
  }

  find(id: string): RingKey | undefined {
    return this.#keys.get(id);
  }

  /** The ring's entry for a key's bytes. */
  entryOf(key: Uint8Array): RingKey | undefined {
    for (const entry of this.#keys.values()) {
      if (entry.key.length > 0 && equalBytes(entry.key, key)) return entry;
    }
    return undefined;
  }

  /** Whether a key of these bytes is believed now. */
  holds(key: Uint8Array, unixMs: number): boolean {
    const entry = this.entryOf(key);
    return entry !== undefined && isValid(entry, unixMs);
  }

  /** The key that a rotation has brought and that still holds. */
  offered(unixMs: number): RingKey | undefined {
    return this.verifying(unixMs).find(({ state }) => state === "offered");
  }

  /** The highest epoch of a key that is in use, or was. */
  get epoch(): number {
    let highest = 0;
    for (const { state, epoch } of this.#keys.values())
      if (state !== "offered") highest = Math.max(highest, epoch);
    return highest;
  }

  /** When a key begins or ends next; undefined: never. */
  nextChangeMs(unixMs: number): number | undefined {
    let next: number | undefined;
    for (const { state, notBeforeMs, notAfterMs } of this.#keys.values()) {
      if (state === "revoked") continue;
      for (const at of [notBeforeMs, notAfterMs]) {
        if (at !== undefined && at > unixMs) next = Math.min(next ?? at, at);
      }
    }
    return next;
  }

  /** Everything, secrets too, for whoever keeps it: the bytes are copies. */
  snapshot(): readonly RingKey[] {
    return [...this.#keys.values()].sort(byRank).map((key) => ({ ...key, key: new Uint8Array(key.key) }));
  }

  /** Keys have left whose bytes are there yet. */
  get hasLeft(): boolean {
    return this.#left.size > 0;
  }

  // --- changes

  /** Forgets all keys, and overwrites their bytes. */
  wipe(): void {
    for (const { key } of this.#keys.values()) key.fill(0);
    this.#keys = new Map();
    this.wipeLeft(new Set());
  }

  /** Overwrites the bytes of keys that have left, but those that are in use: the very arrays, not others of the same bytes. */
  wipeLeft(inUse: ReadonlySet<Uint8Array>): void {
    for (const key of this.#left) {
      if (inUse.has(key)) continue;
      key.fill(0);
      this.#left.delete(key);
    }
  }

  /** Adds a key; one that is current takes the place of the one that was. Returns its id. Throws RangeError. */
  add(entry: KeyEntry, unixMs: number): string {
    const made = this.#made(entry);
    const known = this.#keys.get(made.id);
    if (known) {
      const why = known.state === "revoked" ? "it was revoked" : "a key with this id is there";
      throw new RangeError(`keys: cannot add ${made.id}: ${why}`);
    }
    const others = [...this.#keys.values()].map((key) =>
      made.state === "current" && key.state === "current" ? { ...key, state: "accepted" as const } : key,
    );
    this.#become([...others, made], unixMs);
    return made.id;
  }

  /**
   * Makes a key current. The one that was stays accepted, until `oldNotAfterMs` where that is given and sooner than its
   * own end. `notAfterMs`: the new one's end from now on. Throws RangeError.
   */
  setCurrent(
    id: string,
    unixMs: number,
    ends: { readonly notAfterMs?: number | undefined; readonly oldNotAfterMs?: number } = {},
  ): void {
    const next = this.#known(id);
    if (next.state === "revoked") throw new RangeError(`keys: ${id} was revoked`);
    const { oldNotAfterMs } = ends;
    const changed = [...this.#keys.values()].map((key): RingKey => {
      if (key.id === id)
        return { ...key, state: "current", ...("notAfterMs" in ends ? { notAfterMs: ends.notAfterMs } : {}) };
      if (key.state !== "current") return key;
      return { ...key, state: "accepted", notAfterMs: earlier(key.notAfterMs, oldNotAfterMs) };
    });
    this.#become(changed, unixMs);
  }

  /** Sets a key's end; undefined: none. Throws RangeError. */
  setEnd(id: string, notAfterMs: number | undefined, unixMs: number): void {
    const known = this.#known(id);
    if (known.state === "revoked") throw new RangeError(`keys: ${id} was revoked`);
    const changed = [...this.#keys.values()].map((key) => (key === known ? { ...key, notAfterMs } : key));
    this.#become(changed, unixMs);
  }

  /** Ends a key for good: its id stays, so that nobody brings it back. Throws RangeError on the last one that can sign. */
  revoke(id: string, unixMs: number): void {
    const known = this.#known(id);
    if (known.state === "revoked") return;
    if (known.state !== "offered" && this.signers(unixMs).every((key) => key === known))
      throw new RangeError(`keys: cannot revoke ${id}: no other key could sign; add one first`);
    const revoked: RingKey = { ...known, key: NO_KEY, state: "revoked" };
    this.#become([...[...this.#keys.values()].filter((key) => key !== known), revoked], unixMs);
  }

  /** Takes an offered key out, as if it had never come. False where there is none with that id. */
  forget(id: string): boolean {
    const known = this.#keys.get(id);
    if (known?.state !== "offered") return false;
    const rest = new Map(this.#keys);
    rest.delete(id);
    this.#keys = rest;
    this.#left.add(known.key);
    return true;
  }

  /** Puts others in place of all. Throws RangeError. */
  replace(entries: readonly KeyEntry[], unixMs: number): void {
    const made = entries.map((entry) => this.#made(entry));
    // A key that stays keeps its array, in which connections have it; the copy that came is of no use.
    const next = made.map((one) => ({ ...one, key: this.entryOf(one.key)?.key ?? one.key }));
    this.#become(next, unixMs);
    for (const [index, { key }] of made.entries()) if (key !== next[index]?.key) this.#left.add(key);
  }

  /** Whether one more key of use can be taken. */
  hasRoom(unixMs: number): boolean {
    return [...this.#keys.values()].filter((key) => isOfUse(key, unixMs)).length < MAX_KEYS_TRIED;
  }

  // --- inside

  #known(id: string): RingKey {
    const key = this.#keys.get(id);
    if (!key) throw new RangeError(`keys: no key has the id ${JSON.stringify(id.slice(0, 64))}`);
    return key;
  }

  #made(entry: KeyEntry): RingKey {
    const { key, state = "accepted", epoch = 0, notBeforeMs, notAfterMs } = entry;
    if (!key || state === "revoked") {
      const id = key?.length ? toHex(keyId(key, this.#crypto)) : entry.id;
      if (state !== "revoked" || id === undefined || !/^[0-9a-f]{8}$/.test(id))
        throw new RangeError("keys: expected a key, or the id of a revoked one");
      return { id, key: NO_KEY, state, epoch: checkEpoch(epoch), notBeforeMs, notAfterMs };
    }
    if (key.length === 0 || key.length > MAX_ROTATED_KEY_BYTES)
      throw new RangeError(`keys: expected a key of 1 to ${MAX_ROTATED_KEY_BYTES} bytes, got ${key.length}`);
    const id = toHex(keyId(key, this.#crypto));
    if (entry.id !== undefined && entry.id !== id)
      throw new RangeError(
        `keys: expected the id ${id} beside its key, got ${JSON.stringify(entry.id.slice(0, 64))}`,
      );
    for (const at of [notBeforeMs, notAfterMs]) {
      if (at !== undefined && !(Number.isFinite(at) && at >= 0))
        throw new RangeError(`keys: ${id}: expected milliseconds since 1970, got ${at}`);
    }
    if (notBeforeMs !== undefined && notAfterMs !== undefined && notBeforeMs >= notAfterMs)
      throw new RangeError(`keys: ${id} ends before it begins`);
    return { id, key, state, epoch: checkEpoch(epoch), notBeforeMs, notAfterMs };
  }

  #become(keys: readonly RingKey[], unixMs: number): void {
    const next = this.#checked(keys, unixMs);
    const stays = new Set([...next.values()].map(({ key }) => key));
    for (const { key } of [...this.#keys.values(), ...keys])
      if (key.length > 0 && !stays.has(key)) this.#left.add(key);
    this.#keys = next;
  }

  /** What is long past its end goes; then the rules of the whole ring. */
  #checked(keys: readonly RingKey[], unixMs: number): ReadonlyMap<string, RingKey> {
    const inUse = keys.filter(
      (key) => key.state === "current" || (key.state !== "revoked" && isOfUse(key, unixMs - REMEMBERED_MS)),
    );
    // The ids of revoked keys take what room is left; the oldest go first.
    const room = Math.max(0, MAX_RING_KEYS - inUse.length);
    const allRevoked = keys.filter(({ state }) => state === "revoked");
    const revoked = allRevoked.slice(Math.max(0, allRevoked.length - room));
    const current = inUse.filter(({ state }) => state === "current").length;
    if (current > 1) throw new RangeError(`keys: expected one that is current, got ${current}`);
    const ofUse = inUse.filter((key) => isOfUse(key, unixMs)).length;
    if (ofUse > MAX_KEYS_TRIED || inUse.length > MAX_RING_KEYS)
      throw new RangeError(
        `keys: expected at most ${MAX_KEYS_TRIED} that hold at once, got ${ofUse}; revoke one`,
      );
    const byId = new Map<string, RingKey>();
    for (const key of [...inUse, ...revoked]) {
      if (byId.has(key.id)) throw new RangeError(`keys: ${key.id} is there twice`);
      byId.set(key.id, key);
    }
    return byId;
  }
}

/** It holds, or will. */
function isOfUse({ state, notAfterMs }: RingKey, unixMs: number): boolean {
  return state !== "revoked" && (notAfterMs === undefined || unixMs < notAfterMs);
}

function isValid(key: RingKey, unixMs: number): boolean {
  return isOfUse(key, unixMs) && (key.notBeforeMs === undefined || unixMs >= key.notBeforeMs);
}

const RANKS: { readonly [State in KeyState]: number } = { current: 0, accepted: 1, offered: 2, revoked: 3 };

function byRank(a: RingKey, b: RingKey): number {
  if (a.state === "revoked" && b.state === "revoked") return 0; // in the order in which they were revoked
  return RANKS[a.state] - RANKS[b.state] || b.epoch - a.epoch || (a.id < b.id ? -1 : 1);
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || (other !== undefined && other < one) ? other : one;
}

function checkEpoch(epoch: number): number {
  if (Number.isInteger(epoch) && epoch >= 0 && epoch <= MAX_EPOCH) return epoch;
  throw new RangeError(`keys: expected an epoch from 0 to ${MAX_EPOCH}, got ${epoch}`);
}
