/** Keys as users hand them in, keep them, and hear of them. */
import type { KeyEntry, KeyState, RingKey } from "./auth/key_ring.ts";
import { utf8 } from "./wire/bytes.ts";

/** One key of `join({ keys })` and of `node.keys`. */
export interface KeyOptions {
  /** Text (its UTF-8 bytes count, hex is not decoded) or bytes; 1 to 1,024 bytes. Undefined for a revoked one. */
  readonly key?: string | Uint8Array | undefined;
  /** 8 hex digits, for a revoked one; of others it is made from the key. */
  readonly id?: string | undefined;
  /** Default "accepted": believed, and signs only where the current one does not hold. */
  readonly state?: KeyState | undefined;
  /** Counts the keys of a community up, so that a rotation is never undone by an older one. Default 0. */
  readonly epoch?: number | undefined;
  /** From when, in ms since 1970. Default: since ever. */
  readonly notBeforeMs?: number | undefined;
  /** Until when, in ms since 1970. Default: for ever. */
  readonly notAfterMs?: number | undefined;
}

/** Keeps a node's keys beyond its life. */
export interface KeyStore {
  /** Takes all keys, secrets included: they are the store's to keep safe. Rejects when they could not be kept. */
  save(keys: readonly RingKey[]): Promise<void>;
}

/** What happened to a key. */
export type KeyChange =
  | "added"
  | "current"
  | "revoked"
  /** Its end was set. */
  | "limited"
  /** It has come to its end. */
  | "ended"
  | "offered"
  | "takenBack"
  | "replaced"
  | "refused";

/** A key as the ring takes it: a copy, also of a Buffer, whose slice() would share its memory. */
export function entryOf({ key, ...rest }: KeyOptions): KeyEntry {
  return { ...rest, key: typeof key === "string" ? utf8(key) : key && new Uint8Array(key) };
}
