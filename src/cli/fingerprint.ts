/** What tells whether a file is still the one that an earlier run began to send. */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";

/** Bytes at the beginning and at the end that are looked at. */
const EDGE_BYTES = 64 * 1024;

/** Size, time of the last change, inode, and a SHA-256 of head and tail. Rejects when the file cannot be read. */
export async function fingerprintOf(path: string): Promise<string> {
  const handle = await open(path, "r");
  try {
    const { size, mtimeNs, ino } = await handle.stat({ bigint: true });
    const hash = createHash("sha256");
    const head = Math.min(EDGE_BYTES, Number(size));
    hash.update(await readAt(handle, 0, head));
    hash.update(await readAt(handle, Number(size) - head, head));
    // Runtimes differ in how exact the time is that they tell: milliseconds are common to all.
    return `${size} ${mtimeNs / 1_000_000n} ${ino} ${hash.digest("hex")}`;
  } finally {
    await handle.close();
  }
}

async function readAt(handle: FileHandle, position: number, byteCount: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteCount);
  let filled = 0;
  while (filled < byteCount) {
    const { bytesRead } = await handle.read(bytes, filled, byteCount - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
