/**
 * Tensors from and to the disk, never as a whole in memory.
 *
 * Reading keeps one read ahead of what is being sent. A file shows itself only when it is whole (new_file.ts). What is
 * inside a file is told by its first bytes alone; tensors of a file are tensor_files.ts and tensor_sink.ts.
 */
import { access, constants, mkdir, open, stat } from "node:fs/promises";
import { RECOGNISE_BYTES, recogniseFormat, type TensorFormat } from "../mod.ts";
import { usageError } from "./exit_codes.ts";
import { reason } from "./key.ts";
import { NewFile } from "./new_file.ts";

/** One read of the disk, and what lies ready while the last one is sent. */
export const READ_BYTES = 2 * 1024 * 1024;

/** A file to send. */
export interface SourceFile {
  readonly path: string;
  /** Undefined when nobody can tell: standard input. */
  readonly bytes: number | undefined;
}

/** Checks that `path` can be sent, without opening it. Throws a usage error that says what is wrong. */
export async function checkSource(path: string): Promise<SourceFile> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw usageError(`${path}: expected a file, got a directory`);
    if (!found.isFile())
      throw usageError(`${path}: expected a file, got a pipe or device; - reads standard input`);
    await access(path, constants.R_OK);
    return { path, bytes: found.size };
  } catch (error) {
    if (error instanceof Error && "exitCode" in error) throw error;
    throw usageError(`${path}: cannot be read (${reason(error)})`);
  }
}

/**
 * The bytes of a file in order. A part is valid until the next one is asked for. Rejects when the file cannot be read,
 * or has become shorter than it was when it was checked: what was sent of it must not pass for the whole.
 */
export async function* readParts(source: SourceFile): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await open(source.path, "r");
  let total = 0;
  try {
    const read = (buffer: Uint8Array) =>
      handle.read(buffer, 0, buffer.length, null).then(({ bytesRead }) => bytesRead);
    // One byte more than there is: the end shows in the same number of reads.
    const bufferBytes = Math.min(READ_BYTES, (source.bytes ?? READ_BYTES) + 1);
    for await (const part of readAhead(read, bufferBytes)) {
      total += part.length;
      yield part;
    }
  } finally {
    await handle.close();
  }
  if (source.bytes !== undefined && total < source.bytes) {
    throw new Error(
      `${source.path} has changed while it was sent: expected ${source.bytes} bytes, got ${total}`,
    );
  }
}

/**
 * Calls `read` with one of two buffers of `bufferBytes` while the other is with the taker: the next read is under way
 * before a part is yielded. A part is valid until the next one is asked for. Ends when `read` gives 0.
 */
export async function* readAhead(
  read: (buffer: Uint8Array) => Promise<number>,
  bufferBytes = READ_BYTES,
): AsyncGenerator<Uint8Array, void, undefined> {
  let current = new Uint8Array(bufferBytes);
  let other = new Uint8Array(bufferBytes);
  const begin = (buffer: Uint8Array) => {
    const reading = read(buffer);
    reading.catch(() => {}); // whoever awaits it hears of it; nobody may, after an early end
    return reading;
  };
  let ahead = begin(current);
  try {
    for (let filled = await ahead; filled > 0; filled = await ahead) {
      ahead = begin(other);
      yield current.subarray(0, filled);
      [current, other] = [other, current];
    }
  } finally {
    await ahead.catch(() => {}); // the disk may still write to that memory
  }
}

/** Makes the directory that tensors go to. Throws a usage error when it cannot be one. */
export async function makeOutDir(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true });
    await access(dir, constants.W_OK);
  } catch (error) {
    const got =
      error instanceof Error && "code" in error && error.code === "EEXIST" ? "it is a file" : reason(error);
    throw usageError(`--out: expected a directory that can be written, got ${dir} (${got})`);
  }
}

/** A tensor that was written. */
export interface WrittenFile {
  readonly file: string;
  readonly bytes: number;
  readonly format: TensorFormat | undefined;
}

/**
 * Writes `parts` to a file in `dir` called `name` with the extension of its format. `claim` is asked once all is
 * written: false gives it up (undefined). Rejects with what `parts` or the disk rejects with; nothing is left behind then.
 */
export async function writeTensor(
  parts: AsyncIterable<Uint8Array>,
  dir: string,
  name: string,
  claim: () => boolean,
): Promise<WrittenFile | undefined> {
  const file = await NewFile.create(dir);
  try {
    const head = new Uint8Array(RECOGNISE_BYTES);
    for await (const part of parts) {
      if (file.bytes < head.length) head.set(part.subarray(0, head.length - file.bytes), file.bytes);
      await file.write(part);
    }
    await file.close();
    if (!claim()) return undefined;
    const { bytes } = file;
    const format = recogniseFormat(head.subarray(0, Math.min(bytes, head.length)), bytes);
    return { file: await file.place(name, format ?? "bin"), bytes, format };
  } finally {
    await file.remove();
  }
}
