/**
 * Reads headers of safetensors files, which may come from anywhere.
 *
 * JSON.parse would keep the last of two equal keys and say nothing, and two readers that keep different ones see
 * different tensors. So the header is read by a parser of its own, which knows the one form that the format allows and
 * refuses the rest: keys that come twice at any place, keys it does not know, numbers that are no plain integers.
 */
import { FormatError } from "../errors.ts";
import { MAX_RANK } from "../limits.ts";
import type { NeedMore } from "./need_more.ts";
import {
  checkEntryCount,
  checkHeaderBytes,
  LENGTH_BYTES,
  METADATA_KEY,
  type SafetensorsHeader,
  type SafetensorsTensor,
  safetensorsBytes,
} from "./safetensors.ts";
import { decodeSafetensorsDType } from "./safetensors_dtype.ts";
import { checkShape } from "./shape.ts";
import { quote, TextReader } from "./text_reader.ts";

const OPENING_BRACE = 0x7b;
/** `{}` */
const MIN_JSON_BYTES = 2;

/**
 * The header of a file that begins with `head`, or how many more bytes it takes to say more. It keeps nothing of
 * `head`. `totalBytes` is the length of the whole file, where it is known: it must end with its last tensor. Where it
 * is not, the caller sees to it that exactly `dataBytes` come from `dataOffset` on.
 *
 * Throws as soon as it is clear that no safetensors header can come of it: ASOC_BAD_SAFETENSORS; ASOC_HEADER_TOO_LARGE
 * above MAX_SAFETENSORS_HEADER_BYTES; ASOC_TOO_MANY_TENSORS above MAX_SAFETENSORS_ENTRIES; ASOC_BAD_SHAPE.
 */
export function decodeSafetensorsHeader(head: Uint8Array, totalBytes?: number): SafetensorsHeader | NeedMore {
  if (head.length < LENGTH_BYTES) return { needBytes: LENGTH_BYTES - head.length };
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const jsonBytes = view.getBigUint64(0, true);
  checkHeaderBytes(jsonBytes);
  if (jsonBytes < MIN_JSON_BYTES) throw bad(`its length is ${jsonBytes}, expected ${MIN_JSON_BYTES} or more`);
  const dataOffset = LENGTH_BYTES + Number(jsonBytes);
  if (totalBytes !== undefined && dataOffset > totalBytes)
    throw bad(`it ends at ${dataOffset}, but the file has ${totalBytes} bytes`);
  const first = head[LENGTH_BYTES];
  if (first !== undefined && first !== OPENING_BRACE) throw bad(`it begins with byte ${first}, expected "{"`);
  if (head.length < dataOffset) return { needBytes: dataOffset - head.length };

  const { tensors, metadata } = parseHeader(decodeText(head.subarray(LENGTH_BYTES, dataOffset)));
  const dataBytes = checkPlaces(tensors);
  if (totalBytes !== undefined && dataOffset + dataBytes !== totalBytes)
    throw bad(`its tensors end at ${dataOffset + dataBytes}, but the file has ${totalBytes} bytes`);
  return { tensors, metadata, dataOffset, dataBytes };
}

function bad(why: string): FormatError {
  return new FormatError("ASOC_BAD_SAFETENSORS", `Cannot read safetensors header: ${why}`);
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes); // no byte order mark: it begins with a brace
  } catch {
    throw bad("it is no UTF-8");
  }
}

interface Parsed {
  readonly tensors: SafetensorsTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

function parseHeader(text: string): Parsed {
  const reader = new TextReader(text, "ASOC_BAD_SAFETENSORS", "safetensors header");
  const tensors: SafetensorsTensor[] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  const keys = new Set<string>();
  parseObject(reader, keys, (key) => {
    if (key === METADATA_KEY) {
      metadata = parseMetadata(reader);
    } else {
      tensors.push(parseTensor(reader, key));
      checkEntryCount(tensors.length);
    }
  });
  reader.expectEnd();
  return { tensors, metadata };
}

function parseMetadata(reader: TextReader): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  parseObject(reader, new Set(), (key) => {
    metadata.set(key, jsonString(reader));
    checkEntryCount(metadata.size);
  });
  return metadata;
}

function parseTensor(reader: TextReader, name: string): SafetensorsTensor {
  const found: { dtype?: string; shape?: number[]; places?: number[] } = {};
  parseObject(reader, new Set(), (key) => {
    if (key === "dtype") found.dtype = jsonString(reader);
    else if (key === "shape") found.shape = uintArray(reader);
    else if (key === "data_offsets") found.places = uintArray(reader);
    else throw reader.refuse(`tensor ${quote(name)} has the unknown key ${quote(key)}`);
  });
  const { dtype: dtypeText, shape, places } = found;
  if (dtypeText === undefined || shape === undefined || places === undefined)
    throw reader.refuse(`tensor ${quote(name)}: expected dtype, shape and data_offsets`);
  const dtype = decodeSafetensorsDType(dtypeText);
  if (!dtype) throw reader.refuse(`tensor ${quote(name)} has the unknown dtype ${quote(dtypeText)}`);
  const [start, end, ...rest] = places;
  if (start === undefined || end === undefined || rest.length > 0)
    throw reader.refuse(`tensor ${quote(name)}: expected two data_offsets, got ${places.length}`);
  const bytes = safetensorsBytes(name, dtype, shape);
  if (end - start !== bytes)
    throw reader.refuse(`tensor ${quote(name)}: expected ${bytes} bytes, got offsets ${start} to ${end}`);
  return { name, dtype, shape, start, end };
}

/** An object, whose keys go to `keys`; `onKey` reads the value. Throws for a key that comes twice. */
function parseObject(reader: TextReader, keys: Set<string>, onKey: (key: string) => void): void {
  reader.expect("{");
  if (reader.takes("}")) return;
  do {
    const key = jsonString(reader);
    if (keys.has(key)) throw reader.refuse(`key ${quote(key)} is there twice`);
    keys.add(key);
    reader.expect(":");
    onKey(key);
  } while (reader.takes(","));
  reader.expect("}");
}

function uintArray(reader: TextReader): number[] {
  const values: number[] = [];
  reader.expect("[");
  if (reader.takes("]")) return values;
  do {
    values.push(reader.uint());
    if (values.length > MAX_RANK) checkShape(values); // throws, before a hostile array takes memory
  } while (reader.takes(","));
  reader.expect("]");
  return values;
}

function jsonString(reader: TextReader): string {
  reader.expect('"');
  const { text, at: start } = reader;
  let end = start;
  let isPlain = true;
  for (let char = text.charCodeAt(end); char !== 0x22; char = text.charCodeAt(++end)) {
    if (Number.isNaN(char)) throw reader.unexpected("a string with its closing quote");
    if (char < 0x20 || char === 0x5c) isPlain = false;
    if (char === 0x5c) end++;
  }
  const value = isPlain ? text.slice(start, end) : escapedString(reader, text.slice(start - 1, end + 1));
  reader.moveTo(end + 1);
  return value;
}

/** The value of a string of JSON that has escapes, or characters that it may not have. */
function escapedString(reader: TextReader, json: string): string {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    // a control character, or an escape that JSON has not
  }
  // Escapes can spell half a surrogate pair, which is no text.
  if (typeof value === "string" && value.isWellFormed()) return value;
  throw reader.unexpected("a string of JSON");
}

/** Sorts `tensors` by their bytes, which must follow each other from 0 on. Returns where the last one ends. */
function checkPlaces(tensors: SafetensorsTensor[]): number {
  tensors.sort((a, b) => a.start - b.start || a.end - b.end);
  let at = 0;
  for (const { name, start, end } of tensors) {
    if (start !== at)
      throw bad(`tensor ${quote(name)} begins at ${start}, expected ${at}: no holes and no overlaps`);
    at = end;
  }
  return at;
}
