/**
 * The `descr` of npy headers: NumPy's name of an element type (NumPy enhancement proposal 1; `numpy.dtype.str`).
 *
 * bfloat16 and float8 come from the ml_dtypes package, not from NumPy. `np.save` writes their arrays as void, "<V2" and
 * "<V1", `np.load` returns void, and the reader says `.view(ml_dtypes.bfloat16)`: the file does not tell. So they are
 * written here, and void is read as opaque. One exception: ml_dtypes has "<f1" for float8_e5m2, which `np.load`
 * cannot read back. It is read here, and written as "<V1" like the others.
 */
import { FormatError } from "../errors.ts";
import { type DType, DTypeCode, dtypeName, parseDType } from "./dtype.ts";
import { quote } from "./text_reader.ts";

/** What a descr says. */
export interface NpyElement {
  readonly dtype: DType;
  /** The bytes of each number must be turned round before a little-endian machine can use them. */
  readonly bigEndian: boolean;
}

/** Kind and size in bytes of NumPy's numbers. */
const NUMBERS: ReadonlyMap<string, string> = new Map([
  ["b1", "bool"],
  ["i1", "int8"],
  ["i2", "int16"],
  ["i4", "int32"],
  ["i8", "int64"],
  ["u1", "uint8"],
  ["u2", "uint16"],
  ["u4", "uint32"],
  ["u8", "uint64"],
  ["f2", "float16"],
  ["f4", "float32"],
  ["f8", "float64"],
  ["c8", "complex64"],
  ["c16", "complex128"],
]);
const KIND_OF_NUMBER: ReadonlyMap<string, string> = new Map(
  [...NUMBERS].map(([kind, name]) => [name, kind] as const),
);
const E5M2 = "f1";

/** What else NumPy writes, and why it is not read. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/^[<>|=]?O/, "Python objects are pickles, which run code when they are read"],
  [/^[<>|=]?[SaU]/, "text is no tensor element"],
  [/^[<>|=]?[Mm]8/, "times are no tensor elements"],
  [/^[<>](f12|f16|c24|c32)$/, "long doubles differ between machines"],
  [/^[<>|]V[0-9]+$/, "opaque elements have 1 to 31 bytes"],
];

/**
 * The descr that NumPy on a little-endian machine writes. Throws ASOC_UNSUPPORTED_DTYPE for what npy cannot hold:
 * vectors (make the lanes a dimension), elements of less than a byte (ml_dtypes spends a byte on each), complex32.
 */
export function encodeDescr(dtype: DType): string {
  const name = dtypeName(dtype);
  const bytes = dtype.bits / 8;
  const kind = KIND_OF_NUMBER.get(name);
  if (kind !== undefined) return `${bytes === 1 ? "|" : "<"}${kind}`;
  if (dtype.lanes > 1 || !Number.isInteger(bytes) || dtype.code === DTypeCode.complex) {
    throw new FormatError("ASOC_UNSUPPORTED_DTYPE", `Cannot write npy header: npy has no element ${name}`, {
      details: { got: name },
    });
  }
  return `${dtype.code === DTypeCode.opaque ? "|" : "<"}V${bytes}`;
}

/**
 * The element type of a descr. Throws ASOC_UNSUPPORTED_DTYPE for what NumPy has and a tensor has not, among it
 * Python objects ("|O"), and ASOC_BAD_NPY for what is no descr. The byte order must be given: NumPy always does.
 */
export function decodeDescr(descr: string): NpyElement {
  const match = /^([<>|])([a-zA-Z])([1-9][0-9]{0,2})$/.exec(descr);
  const [, order, kind = "", size = ""] = match ?? [];
  if (match && kind === "V" && Number(size) <= 31) {
    return { dtype: parseDType(`opaque${8 * Number(size)}`), bigEndian: order === ">" && size !== "1" };
  }
  const name = kind + size === E5M2 ? "float8_e5m2" : NUMBERS.get(kind + size);
  if (name !== undefined && (order !== "|" || size === "1"))
    return { dtype: parseDType(name), bigEndian: order === ">" && size !== "1" };
  const why = REFUSED.find(([pattern]) => pattern.test(descr))?.[1];
  if (why !== undefined) {
    throw new FormatError("ASOC_UNSUPPORTED_DTYPE", `Cannot read npy header: descr ${quote(descr)}: ${why}`, {
      details: { got: descr.slice(0, 64) },
    });
  }
  throw new FormatError(
    "ASOC_BAD_NPY",
    `Cannot read npy header: expected a descr like "<f4", got ${quote(descr)}`,
    { details: { got: descr.slice(0, 64) } },
  );
}
