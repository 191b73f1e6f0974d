/**
 * A node's keys and their file, both ways: what the node learns is written down, what others write is read. Where both
 * have changed since they were last the same, each change counts: nobody undoes what another has done.
 */
import { type KeyOptions, type KeyStore, openKeyRing, type RingKey } from "../mod.ts";
import { formatRing, readRing, withRingLock, writeRing } from "./ring_file.ts";

type Entries = ReadonlyMap<string, RingKey>;

export class RingStore implements KeyStore {
  readonly file: string;
  /** What file and node had when they were last the same. */
  #base: Entries;
  #text: string | undefined;

  private constructor(file: string, base: Entries, text: string | undefined) {
    this.file = file;
    this.#base = base;
    this.#text = text;
  }

  /** The node has `keys`, and the file has `text`; undefined: there is none yet. */
  static async open(file: string, keys: readonly KeyOptions[], text: string | undefined): Promise<RingStore> {
    return new RingStore(file, text === undefined ? new Map() : byId(await snapshotOf(keys)), text);
  }

  /** Writes what the node has, and what others have written meanwhile. */
  async save(keys: readonly RingKey[]): Promise<void> {
    await withRingLock(this.file, async () => {
      const there = await readRing(this.file);
      const ours = byId(keys);
      const theirs =
        there === undefined || there.text === this.#text ? this.#base : byId(await snapshotOf(there.keys));
      const merged = await checked(mergeRings(this.#base, ours, theirs));
      const text = formatRing(merged);
      if (text !== there?.text) await writeRing(this.file, text);
      this.#base = ours; // all of it is in the file now; what else is there the node has not seen yet
      // Where theirs brought something the node reads the file again.
      this.#text = text === formatRing(await checked([...ours.values()])) ? text : undefined;
    });
  }

  /**
   * What the node, which has `keys`, should have now that others have written; undefined: they have not. Throws a usage
   * error on a file that cannot serve.
   */
  async changes(keys: readonly RingKey[]): Promise<readonly KeyOptions[] | undefined> {
    const there = await readRing(this.file);
    if (there === undefined || there.text === this.#text) return undefined;
    const theirs = byId(await snapshotOf(there.keys));
    const merged = await checked(mergeRings(this.#base, byId(keys), theirs));
    this.#base = theirs;
    this.#text = there.text;
    return merged.map(({ key, ...rest }) => ({ ...rest, key: key.length > 0 ? key : undefined }));
  }
}

/** Both sides' changes since `base`. A key that one has revoked is revoked; of two that are current the later one is. */
export function mergeRings(base: Entries, ours: Entries, theirs: Entries): RingKey[] {
  const merged: RingKey[] = [];
  for (const id of new Set([...ours.keys(), ...theirs.keys()])) {
    const [was, our, their] = [base.get(id), ours.get(id), theirs.get(id)];
    const chosen = same(our, was) ? their : same(their, was) ? our : (revoked(our, their) ?? our ?? their);
    if (chosen) merged.push(chosen);
  }
  const [latest] = merged
    .filter(({ state }) => state === "current")
    .sort(
      (a, b) =>
        b.epoch - a.epoch ||
        Number(ours.get(b.id)?.state === "current") - Number(ours.get(a.id)?.state === "current"),
    );
  return merged.map((key) =>
    key.state === "current" && key !== latest ? { ...key, state: "accepted" } : key,
  );
}

function revoked(...keys: readonly (RingKey | undefined)[]): RingKey | undefined {
  return keys.find((key) => key?.state === "revoked");
}

function same(a: RingKey | undefined, b: RingKey | undefined): boolean {
  return (
    a?.state === b?.state &&
    a?.epoch === b?.epoch &&
    a?.notBeforeMs === b?.notBeforeMs &&
    a?.notAfterMs === b?.notAfterMs &&
    (a === undefined) === (b === undefined)
  );
}

function byId(keys: readonly RingKey[]): Entries {
  return new Map(keys.map((key) => [key.id, key]));
}

async function snapshotOf(keys: readonly KeyOptions[]): Promise<readonly RingKey[]> {
  return (await openKeyRing(keys)).snapshot();
}

async function checked(keys: readonly RingKey[]): Promise<readonly RingKey[]> {
  return snapshotOf(keys);
}
