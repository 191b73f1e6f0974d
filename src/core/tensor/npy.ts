/**
 * Headers of npy files (NumPy enhancement proposal 1, versions 1.0 to 3.0).
 *
 * `\x93NUMPY | major u8 | minor u8 | length u16 or, from 2.0 on, u32, little-endian | text`: the text is a Python
 * dictionary of descr, fortran_order and shape, with spaces up to a multiple of 64 bytes and a newline at the end.
 * The elements follow. This file never looks at them, and evaluates nothing: the dictionary is read by a parser that
 * knows these three keys. Structured arrays and Python objects are refused.
 */
import { FormatError, LimitError } from "../errors.ts";
import { MAX_NPY_HEADER_BYTES, MAX_RANK } from "../limits.ts";
import type { DType } from "./dtype.ts";
import type { NeedMore } from "./need_more.ts";
import { decodeDescr, encodeDescr } from "./npy_descr.ts";
import { checkShape, tensorBytes } from "./shape.ts";
import { quote, TextReader } from "./text_reader.ts";

/** What an npy file says of its array. */
export interface NpyArray {
  /** bfloat16 and float8 come back as opaque16 and opaque8: npy has no name for them (see npy_descr.ts). */
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Elements are in column-major order: the first index runs fastest. Default false. */
  readonly fortranOrder?: boolean;
}

/** A whole header. */
export interface NpyHeader extends Required<NpyArray> {
  /** "big" when `swapBytes` must turn the elements round; "little" also when order makes no difference. */
  readonly byteOrder: "little" | "big";
  /** Where the elements begin in the file, and how many bytes they are. */
  readonly dataOffset: number;
  readonly dataBytes: number;
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
const MAX_MAJOR = 3;
/** Magic and version. */
const VERSION_END = 8;
/** Where the text begins in version 1.0. */
const TEXT_AT = 10;
const ALIGN = 64;
/** NumPy leaves room so that the first dimension (the last one in Fortran order) can grow in place. */
const GROWTH_DIGITS = 21;
const NEWLINE = 0x0a;

/**
 * The header, byte for byte as NumPy writes it on a little-endian machine; the caller puts the elements behind it.
 * Always version 1.0: 2.0 is for more than 65,535 bytes of text, which MAX_RANK dimensions never take. As in NumPy,
 * `fortranOrder` is written as False where both orders are the same. The buffer is the caller's.
 * Throws ASOC_UNSUPPORTED_DTYPE for elements that npy cannot hold (see `encodeDescr`), ASOC_BAD_SHAPE.
 */
export function encodeNpyHeader(array: NpyArray): Uint8Array {
  const { dtype, shape } = array;
  tensorBytes(dtype, shape); // refuses what no tensor can have
  const isFortran =
    array.fortranOrder === true && !shape.includes(0) && shape.filter((size) => size > 1).length > 1;
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const grows = shape.at(isFortran ? -1 : 0);
  const text =
    `{'descr': '${encodeDescr(dtype)}', 'fortran_order': ${isFortran ? "True" : "False"}, 'shape': (${tuple}), }` +
    (grows === undefined ? "" : " ".repeat(GROWTH_DIGITS - String(grows).length));
  // One byte for the newline; and a full 64 bytes of spaces, not none, where nothing is missing.
  const used = TEXT_AT + text.length + 1;
  const header = new Uint8Array(used + ALIGN - (used % ALIGN)).fill(0x20);
  header.set(MAGIC, 0);
  header.set([1, 0], MAGIC.length);
  new DataView(header.buffer).setUint16(VERSION_END, header.length - TEXT_AT, true);
  new TextEncoder().encodeInto(text, header.subarray(TEXT_AT));
  header[header.length - 1] = NEWLINE;
  return header;
}

/**
 * The header of a file that begins with `head`, or how many more bytes it takes to say more. It keeps nothing of
 * `head`. Throws as soon as it is clear that no npy header can come of it: ASOC_BAD_NPY; ASOC_HEADER_TOO_LARGE above
 * MAX_NPY_HEADER_BYTES; ASOC_UNSUPPORTED_DTYPE for elements that are no numbers (see `decodeDescr`) and for structured
 * ones; ASOC_BAD_SHAPE.
 */
export function decodeNpyHeader(head: Uint8Array): NpyHeader | NeedMore {
  checkVersion(head);
  if (head.length < TEXT_AT) return { needBytes: TEXT_AT - head.length };
  const major = head[MAGIC.length] as number; // there are 10 bytes
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const textAt = major === 1 ? TEXT_AT : TEXT_AT + 2;
  if (head.length < textAt) return { needBytes: textAt - head.length };
  const textBytes = major === 1 ? view.getUint16(VERSION_END, true) : view.getUint32(VERSION_END, true);
  if (textBytes > MAX_NPY_HEADER_BYTES) {
    throw new LimitError(
      "ASOC_HEADER_TOO_LARGE",
      `Cannot read npy header: ${textBytes} bytes, at most ${MAX_NPY_HEADER_BYTES} are read`,
      { details: { limit: "MAX_NPY_HEADER_BYTES", expected: MAX_NPY_HEADER_BYTES, got: textBytes } },
    );
  }
  const dataOffset = textAt + textBytes;
  if (head.length < dataOffset) return { needBytes: dataOffset - head.length };
  // Whatever is not ASCII is refused as any other wrong character: the encoding of the version makes no difference.
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(head.subarray(textAt, dataOffset));
  const { descr, fortranOrder, shape } = parseDictionary(text, major);
  const { dtype, bigEndian } = decodeDescr(descr);
  const dataBytes = tensorBytes(dtype, shape);
  return { dtype, shape, fortranOrder, byteOrder: bigEndian ? "big" : "little", dataOffset, dataBytes };
}

/** Refuses wrong bytes of magic and version as far as they are there. */
function checkVersion(head: Uint8Array): void {
  for (let i = 0; i < Math.min(head.length, MAGIC.length); i++) {
    if (head[i] !== MAGIC[i]) throw bad(`byte ${i} is ${head[i]}, expected ${MAGIC[i]} of "\\x93NUMPY"`);
  }
  const [major = 1, minor = 0] = head.subarray(MAGIC.length, VERSION_END);
  if (major < 1 || major > MAX_MAJOR || minor !== 0)
    throw bad(`version ${major}.${minor}, expected 1.0, 2.0 or 3.0`);
}

function bad(why: string): FormatError {
  return new FormatError("ASOC_BAD_NPY", `Cannot read npy header: ${why}`);
}

interface Dictionary {
  readonly descr: string;
  readonly fortranOrder: boolean;
  readonly shape: number[];
}

/** Each of the three keys once, in any order; a comma may stand after the last value. */
function parseDictionary(text: string, major: number): Dictionary {
  const reader = new TextReader(text, "ASOC_BAD_NPY", "npy header");
  const found: { -readonly [Key in keyof Dictionary]?: Dictionary[Key] } = {};
  if (!text.startsWith("{")) throw reader.unexpected('"{"'); // Python has its own idea of space before it
  reader.expect("{");
  while (!reader.takes("}")) {
    const key = pythonString(reader);
    reader.expect(":");
    if (key === "descr" && found.descr === undefined) found.descr = parseDescr(reader);
    else if (key === "fortran_order" && found.fortranOrder === undefined)
      found.fortranOrder = parseBool(reader);
    else if (key === "shape" && found.shape === undefined) found.shape = parseShape(reader, major);
    else throw reader.refuse(`key ${quote(key)} is unknown, or there twice`);
    if (reader.takes(",")) continue;
    reader.expect("}");
    break;
  }
  reader.expectEnd();
  const { descr, fortranOrder, shape } = found;
  if (descr === undefined || fortranOrder === undefined || shape === undefined)
    throw reader.refuse("expected the keys descr, fortran_order and shape");
  return { descr, fortranOrder, shape };
}

function parseDescr(reader: TextReader): string {
  if (reader.takes("[") || reader.takes("(")) {
    throw new FormatError(
      "ASOC_UNSUPPORTED_DTYPE",
      "Cannot read npy header: elements are structured, expected one number each",
    );
  }
  return pythonString(reader);
}

/** A string in either kind of quotes. No escapes: nothing that is allowed needs one. */
function pythonString(reader: TextReader): string {
  const mark = reader.takes("'") ? "'" : '"';
  if (mark === '"' && !reader.takes(mark)) throw reader.unexpected("a quoted string");
  const start = reader.at;
  const end = reader.text.indexOf(mark, start);
  const value = reader.text.slice(start, end);
  if (end < 0 || /[\\\r\n]/.test(value)) throw reader.unexpected("a plain string with its closing quote");
  reader.moveTo(end + 1);
  return value;
}

function parseBool(reader: TextReader): boolean {
  if (reader.takes("True")) return true;
  if (reader.takes("False")) return false;
  throw reader.unexpected("True or False");
}

/** A tuple of integers. Python 2 wrote some of them with an L; NumPy reads that up to version 2.0 as well. */
function parseShape(reader: TextReader, major: number): number[] {
  const shape: number[] = [];
  reader.expect("(");
  while (!reader.takes(")")) {
    shape.push(reader.uint());
    if (shape.length > MAX_RANK) checkShape(shape); // throws, before a hostile tuple takes memory
    if (major <= 2 && reader.text[reader.at] === "L") reader.moveTo(reader.at + 1);
    if (reader.takes(",")) continue;
    if (shape.length === 1) throw reader.unexpected("a comma: (3) is no tuple");
    reader.expect(")");
    break;
  }
  return shape;
}
