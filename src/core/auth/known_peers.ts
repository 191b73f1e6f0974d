/**
 * A bounded set of peers; the oldest go first. It holds who has proven itself (RFC-0100), kept by uuid for those who dial us, by HOST:PORT as dialled for those whom we dial, and never
 * by bare address. Whoever is in here may not come without proof any more.
 */
export class KnownPeers {
  readonly #maxEntries: number;
  readonly #known = new Set<string>();

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  add(...keys: readonly string[]): void {
    for (const key of keys) {
      this.#known.delete(key); // now it is the newest
      this.#known.add(key);
      if (this.#known.size > this.#maxEntries) this.#known.delete(this.#known.values().next().value ?? "");
    }
  }

  delete(key: string): void {
    this.#known.delete(key);
  }

  has(key: string): boolean {
    return this.#known.has(key);
  }
}
