/**
 * Files as tensors, for sending: what is in an npy or safetensors file, by its header alone.
 *
 * The content says which format it is, never the name. A file that is neither is one run of bytes without a type. A file
 * that begins like one of the two and cannot be sent as tensors is refused before anything is sent, with the way out:
 * `--raw` sends any file as the bytes that it is.
 */
import { type FileHandle, open } from "node:fs/promises";
import { parse } from "node:path";
import {
  AsocError,
  type AsocErrorCode,
  decodeNpyHeader,
  decodeSafetensorsHeader,
  dtypeName,
  FormatError,
  isNeedMore,
  LimitError,
  MAX_FILE_METADATA_BYTES,
  MAX_FILE_NAME_BYTES,
  MAX_TOPIC_BYTES,
  type NeedMore,
  RECOGNISE_BYTES,
  recogniseFormat,
  swapBytes,
} from "../mod.ts";
import { CliError, ExitCode, usageError } from "./exit_codes.ts";
import { cutText } from "./file_names.ts";
import { type FileRange, type FileStamp, readRange, stampOf } from "./file_range.ts";
import { checkSource } from "./files.ts";
import { reason } from "./key.ts";

/** Of a name in a message. */
const SHOWN_BYTES = 64;

/** One tensor of a file, and how to read it. */
export interface PlannedTensor {
  /** What to use as the topic: at most MAX_TOPIC_BYTES. */
  readonly name: string;
  /** Undefined: bytes without a type, and no shape. */
  readonly dtype: string | undefined;
  readonly shape: readonly number[];
  readonly totalBytes: number;
  /**
   * Its bytes from `fromByte` on, little-endian, rows first; may be called again, also while another reading goes on.
   * A part is valid until the next one is asked for. Throws RangeError when `fromByte` lies outside; the iteration
   * rejects when the file cannot be read or has changed since it was planned. Only when the iteration has ended is it
   * certain that the bytes are those of the file.
   */
  read(fromByte: number): AsyncGenerator<Uint8Array, void, undefined>;
}

/** What a file holds. */
export interface TensorFile {
  readonly path: string;
  /** "bytes": the one tensor is the file as it is. */
  readonly format: "npy" | "safetensors" | "bytes";
  /** For the group of its tensors: a name and no path, at most MAX_FILE_NAME_BYTES. */
  readonly fileName: string;
  /** JSON of the file's own metadata, at most MAX_FILE_METADATA_BYTES; undefined when there is none. */
  readonly fileMetadata: string | undefined;
  /** In the order of their bytes; at least one. */
  readonly tensors: readonly PlannedTensor[];
}

/**
 * Reads the header of the file. `raw` takes any file as bytes. Rejects with a usage error when it cannot be read or sent,
 * of the code ASOC_CONFIG; for what a header says wrong, or what is too much to be sent along, the code of the header's
 * error: ASOC_BAD_NPY, ASOC_BAD_SAFETENSORS, ASOC_UNSUPPORTED_DTYPE, ASOC_BAD_SHAPE, ASOC_HEADER_TOO_LARGE,
 * ASOC_TOO_MANY_TENSORS, ASOC_RECORD_LIMIT.
 */
export async function readTensorFile(path: string, { raw = false } = {}): Promise<TensorFile> {
  await checkSource(path);
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    throw usageError(`${path}: cannot be read (${reason(error)})`);
  }
  try {
    const file = { path, handle, stamp: await stampOf(handle) };
    return (raw ? undefined : await planByContent(file)) ?? bytesPlan(file);
  } catch (error) {
    if (!(error instanceof AsocError)) throw error;
    const message = `${path}: ${error.message}; --raw sends the file as it is`;
    throw new CliError(ExitCode.USAGE, error.code, message, { cause: error });
  } finally {
    await handle.close();
  }
}

/** A file that is being planned. */
interface OpenFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly stamp: FileStamp;
}

/** Undefined when it is neither npy nor safetensors, or holds no tensor. */
async function planByContent(file: OpenFile): Promise<TensorFile | undefined> {
  const head = await readMore(file, new Uint8Array(0), RECOGNISE_BYTES);
  const begins = (magic: string) =>
    head.length >= magic.length && [...magic].every((char, i) => head[i] === char.charCodeAt(0));
  // Whatever version follows, and however much of it is there: a header of either that is cut is no other file.
  if (begins("\x93NUMPY")) return npyPlan(file);
  if (recogniseFormat(head, Number.MAX_SAFE_INTEGER) === "safetensors") return safetensorsPlan(file);
  return undefined;
}

async function npyPlan(file: OpenFile): Promise<TensorFile> {
  const header = await readHeader(file, "ASOC_BAD_NPY", (head) => decodeNpyHeader(head));
  const { dtype, shape, dataOffset, dataBytes } = header;
  const { path } = file;
  const size = Number(file.stamp.size);
  if (dataOffset + dataBytes !== size) {
    const message = `Cannot read npy file: expected ${dataBytes} bytes of elements, got ${size - dataOffset}`;
    throw new FormatError("ASOC_BAD_NPY", message);
  }
  if (header.fortranOrder && !shape.includes(0) && shape.filter((length) => length > 1).length > 1) {
    throw usageError(
      `${path}: its array lies in Fortran order, and tensors are sent rows first; ` +
        "save numpy.ascontiguousarray(array), or send the file as it is with --raw",
    );
  }
  const swap = header.byteOrder === "big" ? dtype : undefined;
  if (swap) swapBytes(swap, new Uint8Array(0)); // throws now for what it cannot turn round
  const range = { path, stamp: file.stamp, start: dataOffset, end: size, swap };
  const { name } = parse(wireFileName(path));
  return plan(file, "npy", undefined, [plannedTensor(name, dtypeName(dtype), shape, range)]);
}

async function safetensorsPlan(file: OpenFile): Promise<TensorFile | undefined> {
  const { path, stamp } = file;
  const header = await readHeader(file, "ASOC_BAD_SAFETENSORS", (head) =>
    decodeSafetensorsHeader(head, Number(stamp.size)),
  );
  if (header.tensors.length === 0) return undefined;
  const { metadata, dataOffset } = header;
  const fileMetadata = metadata.size > 0 ? JSON.stringify(Object.fromEntries(metadata)) : undefined;
  if (fileMetadata !== undefined)
    checkBytes("its metadata", fileMetadata, "MAX_FILE_METADATA_BYTES", MAX_FILE_METADATA_BYTES);
  const tensors = header.tensors.map(({ name, dtype, shape, start, end }) => {
    const what = `the name of tensor ${JSON.stringify(cutText(name, SHOWN_BYTES))}`;
    checkBytes(what, name, "MAX_TOPIC_BYTES", MAX_TOPIC_BYTES);
    const range = { path, stamp, start: dataOffset + start, end: dataOffset + end };
    return plannedTensor(name, dtypeName(dtype), shape, range);
  });
  return plan(file, "safetensors", fileMetadata, tensors);
}

function bytesPlan(file: OpenFile): TensorFile {
  const { path, stamp } = file;
  const range = { path, stamp, start: 0, end: Number(stamp.size) };
  return plan(file, "bytes", undefined, [plannedTensor(wireFileName(path), undefined, [], range)]);
}

function plan(
  { path }: OpenFile,
  format: TensorFile["format"],
  fileMetadata: string | undefined,
  tensors: readonly PlannedTensor[],
): TensorFile {
  return { path, format, fileName: wireFileName(path), fileMetadata, tensors };
}

function plannedTensor(
  name: string,
  dtype: string | undefined,
  shape: readonly number[],
  range: FileRange,
): PlannedTensor {
  const read = (fromByte: number) => readRange(range, fromByte);
  return { name, dtype, shape, totalBytes: range.end - range.start, read };
}

/** The name of the file as a group, or a topic, may have it. */
function wireFileName(path: string): string {
  const { base, name, ext } = parse(path.toWellFormed().replaceAll("\\", "/"));
  if (base === "" || base === "." || base === "..") return "_"; // of a name in which \ is a letter
  const nameBytes = MAX_FILE_NAME_BYTES - Buffer.byteLength(ext);
  return nameBytes > 0 ? `${cutText(name, nameBytes)}${ext}` : cutText(base, MAX_FILE_NAME_BYTES);
}

function checkBytes(what: string, text: string, limit: string, maxBytes: number): void {
  const got = Buffer.byteLength(text);
  if (got <= maxBytes) return;
  const message = `Cannot send as tensors: ${what} takes ${got} bytes, at most ${maxBytes} go along`;
  throw new LimitError("ASOC_RECORD_LIMIT", message, { details: { limit, expected: maxBytes, got } });
}

/** Reads as much as `decode` asks for, which is bounded by the limits of the format. */
async function readHeader<Header extends object>(
  file: OpenFile,
  cutCode: AsocErrorCode,
  decode: (head: Uint8Array) => Header | NeedMore,
): Promise<Header> {
  let head: Uint8Array = new Uint8Array(0);
  for (;;) {
    const result = decode(head);
    if (!isNeedMore(result)) return result;
    const longer = await readMore(file, head, result.needBytes);
    if (longer.length < head.length + result.needBytes)
      throw new FormatError(cutCode, `Cannot read header: the file ends in it, after ${longer.length} bytes`);
    head = longer;
  }
}

/** `head` and the `byteCount` bytes of the file that follow it, or what there is of them. */
async function readMore({ handle }: OpenFile, head: Uint8Array, byteCount: number): Promise<Uint8Array> {
  const longer = new Uint8Array(head.length + byteCount);
  longer.set(head);
  let filled = head.length;
  while (filled < longer.length) {
    const { bytesRead } = await handle.read(longer, filled, longer.length - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return longer.subarray(0, filled);
}
