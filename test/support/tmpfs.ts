/** A small disk of the test's own: a tmpfs, which is full after so many bytes. Needs Linux and root. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Why none can be had here, or undefined when it can. */
export function whyNoTmpfs(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root";
  try {
    new SmallDisk(1024 * 1024)[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return String(error);
  }
}

export class SmallDisk implements Disposable {
  readonly dir: string;

  constructor(byteCount: number) {
    this.dir = mkdtempSync(join(tmpdir(), "asoc-disk-"));
    const tried = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${byteCount}`, "tmpfs", this.dir], {
      encoding: "utf8",
    });
    if (tried.status === 0) return;
    rmdirSync(this.dir);
    throw new Error(`needs tmpfs: ${tried.stderr?.trim() || String(tried.error)}`);
  }

  [Symbol.dispose](): void {
    spawnSync("umount", ["-l", this.dir]);
    rmdirSync(this.dir);
  }
}
