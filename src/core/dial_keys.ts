/**
 * Which key a dial begins with (RFC-0102, Dialling): the one that signs here, unless the other side is known, or seems, not
 * to know it. A HELLO with a key that the other side does not know is refused in silence and counts against our address
 * there, so that only one key is tried in each dial.
 */
import type { KeyRing, RingKey } from "./auth/key_ring.ts";
import { KnownPeers } from "./auth/known_peers.ts";
import type { Target } from "./swarm/swarm.ts";

export class DialKeys {
  readonly #ring: KeyRing;
  readonly #maxEntries: number;
  /** By target: the id of the key to begin with, where it is not the one that signs. */
  readonly #chosen = new Map<string, string>();
  /** NODE/KEY: that node's beacons were signed with that key. */
  readonly #heard: KnownPeers;

  constructor(ring: KeyRing, maxEntries: number) {
    this.#ring = ring;
    this.#maxEntries = maxEntries;
    this.#heard = new KnownPeers(maxEntries);
  }

  /** The key for a dial of `target`; undefined: none holds. */
  choose(target: Target, unixMs: number): RingKey | undefined {
    const signers = this.#ring.signers(unixMs);
    const [first] = signers;
    const chosen = this.#chosen.get(target.key);
    if (chosen !== undefined) return signers.find(({ id }) => id === chosen) ?? first;
    const { nodeId } = target;
    if (nodeId === undefined || !first || this.#heard.has(`${nodeId}/${first.id}`)) return first;
    return signers.find(({ id }) => this.#heard.has(`${nodeId}/${id}`)) ?? first;
  }

  /** A beacon of `nodeId` was signed with `key`. */
  heard(nodeId: string, key: Uint8Array): void {
    const entry = this.#ring.entryOf(key);
    if (entry) this.#heard.add(`${nodeId}/${entry.id}`);
  }

  /** The other side has not answered a HELLO with `key`: the next dial begins with the next key. */
  refused(target: Target, key: Uint8Array, unixMs: number): void {
    const signers = this.#ring.signers(unixMs);
    if (signers.length < 2) return;
    const at = signers.findIndex((one) => one.key === key);
    const next = signers[(at + 1) % signers.length];
    if (next) this.#choose(target.key, next.id);
  }

  /** A connection that began with `key` is open. */
  opened(target: Target, key: Uint8Array, unixMs: number): void {
    const entry = this.#ring.entryOf(key);
    if (entry && entry.id !== this.#ring.signing(unixMs)?.id) this.#choose(target.key, entry.id);
    else this.#chosen.delete(target.key);
  }

  #choose(target: string, id: string): void {
    this.#chosen.delete(target);
    this.#chosen.set(target, id);
    if (this.#chosen.size > this.#maxEntries) this.#chosen.delete(this.#chosen.keys().next().value ?? "");
  }
}
