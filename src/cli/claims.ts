/**
 * Files that one process holds and that outlive it: named `STEM.PID-TOKEN` for whoever holds them.
 *
 * A file whose process is gone is taken over by renaming it, which only one taker can do; there is no moment in which it
 * has no owner. That a number of a process is in use again makes a file look held until that process ends, or until the
 * machine starts anew. Names of other machines never meet: who makes a stem puts the machine into it.
 */
import { randomBytes } from "node:crypto";
import { readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { uptime } from "node:os";
import { join } from "node:path";

const NAME = /^(.+)\.(\d{1,10})-[0-9a-f]{16}$/;

/** What this process holds: a number in a name may be its own and still be that of an earlier process. */
const own = new Set<string>();

/** What became of looking for a file. */
export type Claim =
  /** It is this process's now. */
  | { readonly kind: "taken"; readonly path: string }
  /** That process has it. */
  | { readonly kind: "held"; readonly pid: number }
  | { readonly kind: "none" };

/** Takes over a file of this stem that nobody holds. Rejects when the directory cannot be read or written. */
export async function takeOver(dir: string, stem: string): Promise<Claim> {
  let holder: number | undefined;
  for (const name of await readdir(dir)) {
    const [, ownStem, pid] = NAME.exec(name) ?? [];
    if (ownStem !== stem) continue;
    const path = join(dir, name);
    if (await isHeld(path, Number(pid))) {
      holder = Number(pid);
      continue;
    }
    const mine = ownPath(dir, stem);
    try {
      await rename(path, mine);
      return { kind: "taken", path: mine };
    } catch (error) {
      own.delete(mine);
      if (!isMissing(error)) throw error; // missing: somebody else was quicker
    }
  }
  return holder === undefined ? { kind: "none" } : { kind: "held", pid: holder };
}

/** A new file of this stem, for its owner alone, that this process holds. Resolves to its path. */
export async function hold(dir: string, stem: string, content: string): Promise<string> {
  const path = ownPath(dir, stem);
  await writeFile(path, content, { mode: 0o600, flag: "wx" });
  return path;
}

/** Removes a file that this process holds. */
export async function drop(path: string): Promise<void> {
  await rm(path, { force: true });
  own.delete(path);
}

/** Removes what nobody holds and nobody has written to for `ageMs`. */
export async function removeOld(dir: string, ageMs: number): Promise<void> {
  for (const name of await readdir(dir)) {
    const [, , pid] = NAME.exec(name) ?? [];
    if (pid === undefined) continue;
    const path = join(dir, name);
    const found = await stat(path).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > ageMs && !(await isHeld(path, Number(pid)))) {
      await rm(path, { force: true });
    }
  }
}

function ownPath(dir: string, stem: string): string {
  const path = join(dir, `${stem}.${process.pid}-${randomBytes(8).toString("hex")}`);
  own.add(path);
  return path;
}

async function isHeld(path: string, pid: number): Promise<boolean> {
  if (pid === process.pid) return own.has(path);
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    if (!(error instanceof Error && "code" in error && error.code === "EPERM")) return false;
  }
  // What was written before the machine started is of no process that lives.
  const found = await stat(path).catch(() => undefined);
  return found === undefined || found.mtimeMs >= Date.now() - uptime() * 1000;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
