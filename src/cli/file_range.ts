/**
 * A range of a file as the bytes of a tensor: from any byte on, again and again, and only while the file is the one that
 * was first looked at. What was sent of another must not pass for the whole.
 */
import { type FileHandle, open } from "node:fs/promises";
import { type DType, swapBytes } from "../mod.ts";
import { READ_BYTES, readAhead } from "./files.ts";

/** What tells a file from another, and from itself after a change. */
export interface FileStamp {
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  /** Time of the last change in nanoseconds, as exact as the runtime tells it. */
  readonly changedNs: bigint;
}

export interface FileRange {
  readonly path: string;
  readonly stamp: FileStamp;
  /** In bytes of the file; `end` is not part of it. */
  readonly start: number;
  readonly end: number;
  /** The elements when their bytes are big-endian: they are turned round as they are read. */
  readonly swap?: DType | undefined;
}

/** What `handle` is now. */
export async function stampOf(handle: FileHandle): Promise<FileStamp> {
  const { dev, ino, size, mtimeNs } = await handle.stat({ bigint: true });
  return { device: dev, inode: ino, size, changedNs: mtimeNs };
}

/**
 * The bytes of `range` from its byte `fromByte` on, one read ahead of the taker. A part is valid until the next one is
 * asked for. Throws RangeError when `fromByte` lies outside. Rejects when the file cannot be read, is not the one of the
 * stamp, or changes meanwhile: at the latest when the part after the last one is asked for.
 */
export function readRange(range: FileRange, fromByte = 0): AsyncGenerator<Uint8Array, void, undefined> {
  const byteCount = range.end - range.start;
  if (!Number.isSafeInteger(fromByte) || fromByte < 0 || fromByte > byteCount)
    throw new RangeError(`fromByte: expected 0 to ${byteCount}, got ${fromByte}`);
  return parts(range, fromByte);
}

async function* parts(range: FileRange, fromByte: number): AsyncGenerator<Uint8Array, void, undefined> {
  const { path, stamp, start, end, swap } = range;
  // Whole elements are read, also where the range is entered within one. READ_BYTES is a multiple of each.
  const skippedBytes = swap ? fromByte % ((swap.bits * swap.lanes) / 8) : 0;
  let position = start + fromByte - skippedBytes;
  const handle = await open(path, "r");
  try {
    await expectStamp(handle, range);
    const read = async (buffer: Uint8Array) => {
      const wanted = Math.min(buffer.length, end - position);
      let filled = 0;
      while (filled < wanted) {
        const { bytesRead } = await handle.read(buffer, filled, wanted - filled, position + filled);
        if (bytesRead === 0) throw changed(path, `expected ${stamp.size} bytes, got ${position + filled}`);
        filled += bytesRead;
      }
      position += filled;
      if (swap) swapBytes(swap, buffer.subarray(0, filled));
      return filled;
    };
    let skip = skippedBytes;
    if (position < end) {
      for await (const part of readAhead(read, Math.min(READ_BYTES, end - position))) {
        yield skip > 0 ? part.subarray(skip) : part;
        skip = 0;
      }
    }
    await expectStamp(handle, range);
  } finally {
    await handle.close();
  }
}

async function expectStamp(handle: FileHandle, { path, stamp }: FileRange): Promise<void> {
  const now = await stampOf(handle);
  if (now.size !== stamp.size) throw changed(path, `expected ${stamp.size} bytes, got ${now.size}`);
  if (now.device !== stamp.device || now.inode !== stamp.inode) throw changed(path, "it is another file now");
  if (now.changedNs !== stamp.changedNs) throw changed(path, "it was written to");
}

function changed(path: string, how: string): Error {
  return new Error(`${path} has changed while it was sent: ${how}`);
}
