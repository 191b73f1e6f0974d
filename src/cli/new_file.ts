/**
 * Files that show themselves only when they are whole.
 *
 * Bytes go to a temporary name in the same directory; `place` then gives the file a name that nothing has. Nothing that
 * exists is ever overwritten, and what is not placed is removed.
 */
import { randomBytes } from "node:crypto";
import { unlinkSync } from "node:fs";
import { type FileHandle, link, open, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { diskError } from "./disk_errors.ts";

/** Names whose last number is remembered, so that the thousandth file of one name does not try a thousand. */
const MAX_REMEMBERED_NAMES = 1024;

/** Temporary files that exist now, for an end that cannot wait. */
const temporaries = new Set<string>();
/** By path without its number: the last number that was tried. The oldest come first. */
const lastNumbers = new Map<string, number>();

/** Removes what a forced end would leave behind. */
export function removeTemporaries(): void {
  for (const path of temporaries) {
    try {
      unlinkSync(path);
    } catch {
      // gone already
    }
  }
  temporaries.clear();
}

/** A file that is being written. Whoever creates it calls `remove` at the end, placed or not. */
export class NewFile {
  /** Where it is until it is placed. */
  readonly path: string;
  readonly #dir: string;
  readonly #handle: FileHandle;
  #bytes = 0;
  #isOpen = true;
  #exists = true;

  private constructor(dir: string, path: string, handle: FileHandle) {
    this.#dir = dir;
    this.path = path;
    this.#handle = handle;
  }

  /**
   * An empty file in `dir`. `kind` ends its temporary name. Rejects with ASOC_DISK_FULL, ASOC_OUT_OF_DESCRIPTORS, or what
   * else the disk rejects with; so do the methods.
   */
  static async create(dir: string, kind: "tmp" | "part" = "tmp"): Promise<NewFile> {
    const path = join(dir, `.asoc-${randomBytes(8).toString("hex")}.${kind}`);
    temporaries.add(path);
    try {
      return new NewFile(dir, path, await open(path, "wx"));
    } catch (error) {
      temporaries.delete(path);
      throw diskError(error);
    }
  }

  /** Bytes that were written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends `part`, which is the caller's again when this resolves. */
  async write(part: Uint8Array): Promise<void> {
    for (let at = 0; at < part.length; ) {
      const { bytesWritten } = await this.#handle.write(part, at, part.length - at).catch(refused);
      at += bytesWritten;
      this.#bytes += bytesWritten;
    }
  }

  /** Ends the writing; with `sync` the bytes are on the disk then, and not only with the system. */
  async close({ sync = false } = {}): Promise<void> {
    if (!this.#isOpen) return;
    if (sync) await this.#handle.sync().catch(refused);
    this.#isOpen = false;
    await this.#handle.close().catch(refused); // some file systems find out only now that they are full
  }

  /** Gives the closed file its name in its directory, or the next free one: `name.ext`, `name-2.ext`, … Resolves to the path. */
  async place(name: string, extension: string): Promise<string> {
    const base = join(this.#dir, name);
    const key = `${base}.${extension}`;
    for (let number = lastNumbers.get(key) ?? 1; ; number++) {
      const file = number === 1 ? key : `${base}-${number}.${extension}`;
      if (!(await renameToNew(this.path, file).catch(refused))) continue;
      this.#exists = false;
      temporaries.delete(this.path);
      remember(key, number);
      return file;
    }
  }

  /** Closes and removes it, unless it was placed. Never rejects. */
  async remove(): Promise<void> {
    await this.close().catch(() => {});
    if (!this.#exists) return;
    this.#exists = false;
    await unlink(this.path).catch(() => {});
    temporaries.delete(this.path);
  }
}

function refused(error: unknown): never {
  throw diskError(error);
}

function remember(key: string, number: number): void {
  lastNumbers.delete(key);
  lastNumbers.set(key, number);
  for (const oldest of lastNumbers.keys()) {
    if (lastNumbers.size <= MAX_REMEMBERED_NAMES) break;
    lastNumbers.delete(oldest);
  }
}

/** Like rename, but false when `file` exists. A link does both at once; file systems without links get two steps. */
async function renameToNew(temporary: string, file: string): Promise<boolean> {
  try {
    await link(temporary, file);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    const taken = await stat(file).then(
      () => true,
      () => false,
    );
    if (taken) return false;
    await rename(temporary, file);
    return true;
  }
  await unlink(temporary);
  return true;
}
