/**
 * Keys that are read again while a node runs: on SIGHUP, and when their file changes. One that cannot be read is
 * reported, and the node goes on with what it has.
 */
import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { AsocNode } from "../mod.ts";
import { type KeySource, readKeyAgain } from "./key.ts";
import type { Output } from "./output.ts";
import type { RingStore } from "./ring_store.ts";

/** How often the file is looked at where the system does not tell of changes. */
const POLL_MS = 2000;
/** A file is written in several steps. */
const SETTLE_MS = 50;
/** As long as the key before of a file with one key is believed, after another was put there. */
const GRACE_MS = 24 * 3_600_000;

export class KeyWatch {
  readonly #node: AsocNode;
  readonly #source: KeySource;
  readonly #store: RingStore | undefined;
  readonly #output: Output;
  readonly #poll: NodeJS.Timeout;
  /** The files, and what they were when they were last read. */
  readonly #files: Map<string, string>;
  readonly #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Of the key that the file with one key had when it was last read. */
  #readId: string | undefined;
  #reading: Promise<void> = Promise.resolve();
  readonly #onHangup = (): void => {
    this.#read(true);
  };

  /** `source` is where the keys were read from. Reads nothing at first. */
  constructor(node: AsocNode, source: KeySource, store: RingStore | undefined, output: Output) {
    this.#node = node;
    this.#source = source;
    this.#store = store;
    this.#output = output;
    this.#readId = node.keys.list().find(({ signs }) => signs)?.id;
    const files = [source.file, store?.file].filter((file) => file !== undefined);
    this.#files = new Map(files.map((file) => [file, ""]));
    this.#poll = setInterval(() => this.#look(), POLL_MS);
    this.#poll.unref();
    this.#look();
    for (const file of this.#files.keys()) {
      try {
        // The folder: the file itself is another one after each change.
        const watcher = watch(dirname(file), { persistent: false }, (_, name) => {
          if (name === null || name === basename(file)) this.#soon();
        });
        watcher.on("error", () => watcher.close()); // the look every few seconds is left
        this.#watchers.push(watcher);
      } catch {
        // no such thing here, or no more of them: the same
      }
    }
    if (process.platform !== "win32") process.on("SIGHUP", this.#onHangup);
  }

  close(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers) watcher.close();
    if (process.platform !== "win32") process.off("SIGHUP", this.#onHangup);
  }

  #soon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), SETTLE_MS);
    this.#timer.unref();
  }

  /** Reads a file again if it is another one than it was. */
  #look(): void {
    for (const file of this.#files.keys()) {
      stat(file).then(
        ({ mtimeMs, size, ino, mode }) => {
          const seen = [mtimeMs, size, ino, mode].join();
          if (seen === this.#files.get(file)) return;
          this.#files.set(file, seen);
          this.#read(false); // the first time too: it may have changed since the keys were read
        },
        // It is being replaced, was taken away, or is not there yet: the keys that there are stay.
        () => this.#files.set(file, "absent"),
      );
    }
  }

  #read(asked: boolean): void {
    this.#reading = this.#reading.then(async () => {
      try {
        const fromRing = this.#store !== undefined && (await this.#readRing(this.#store));
        const changed = (await this.#readOne()) || fromRing;
        if (!changed && !asked) return;
        const signing = this.#node.keys.list().find(({ signs }) => signs)?.id ?? "none";
        const count = this.#node.keys.list().filter(({ valid }) => valid).length;
        const what = changed ? "read again" : "unchanged";
        this.#output.note(
          { event: "keys", state: changed ? "reloaded" : "unchanged", signing, count },
          `keys ${what}: ${count} hold, ${signing} signs`,
        );
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#output.note(
          { event: "keys", state: "broken", message },
          `keys not read, the ones that there are stay: ${message}`,
        );
      }
    });
  }

  async #readRing(store: RingStore): Promise<boolean> {
    const keys = await store.changes(this.#node.keys.ring.snapshot());
    if (keys) this.#node.keys.replace(keys);
    return keys !== undefined;
  }

  /** A file with one key: another one in it is current from now on, and the one before is believed for a while. */
  async #readOne(): Promise<boolean> {
    const { file } = this.#source;
    if (file === undefined || file === this.#store?.file) return false;
    const { keys } = this.#node;
    const key = await readKeyAgain(this.#source);
    const id = keys.idOf(key);
    // A rotation may have gone beyond it: what counts is that somebody has changed the file.
    if (id === this.#readId) return false;
    const before = keys.list().find(({ state }) => state === "current");
    const epoch = Math.max(0, ...keys.list().map((one) => one.epoch));
    if (keys.list().some((one) => one.id === id)) await keys.setCurrent(id);
    else await keys.add({ key, state: "current", epoch });
    if (before && before.id !== id) await keys.setEnd(before.id, Date.now() + GRACE_MS);
    this.#readId = id;
    return true;
  }
}
