/**
 * Single elements of a tensor as JSON has them, and back; and as numbers, for statistics.
 *
 * NaN and infinities are the strings "NaN", "Infinity", "-Infinity"; integers of 64 bits beyond 2^53 are strings of
 * digits; complex numbers are [re, im]. Opaque elements and those below a byte have no form in JSON.
 */
import { type DType, FormatError, parseDType } from "../../src/mod.ts";
import { bfloat16Bits, bfloat16Value, float16Bits, smallFloats } from "./small_floats.ts";

export type JsonElement = number | string | boolean | readonly JsonElement[];

/** One number: a lane, or a part of a complex number. */
interface NumberForm {
  readonly bytes: number;
  read(view: DataView, at: number): number | bigint;
  /** Undefined: JSON cannot bring it. Throws RangeError for a number that does not fit. */
  readonly write: ((view: DataView, at: number, value: number | bigint) => void) | undefined;
}

/** The elements of a dtype. */
export interface ElementForm {
  /** Bytes of an element with all its lanes. */
  readonly bytes: number;
  readonly lanes: number;
  /** Bytes of one lane. */
  readonly laneBytes: number;
  /** For statistics: of a complex number its magnitude. */
  number(view: DataView, at: number): number;
  json(view: DataView, at: number): JsonElement;
  /** Throws FormatError for a value that is no such element. */
  write(view: DataView, at: number, value: unknown): void;
}

/** Bytes of an element; undefined: it is packed with others in a byte. */
export function elementBytes(dtype: DType): number | undefined {
  const bytes = (dtype.bits * dtype.lanes) / 8;
  return dtype.bits % 8 === 0 ? bytes : undefined;
}

/** The form of a dtype by its name; undefined: it is opaque, or packed. */
export function elementForm(name: string): ElementForm | undefined {
  const { bits, lanes } = parseDType(name);
  const scalar = lanes > 1 ? name.slice(0, name.lastIndexOf("x")) : name;
  const isComplex = scalar.startsWith("complex");
  const part = isComplex ? `float${bits / 2}` : scalar;
  const form = numberForm(part);
  if (!form) return undefined;
  const toJson = (value: number | bigint): JsonElement =>
    scalar === "bool" ? value !== 0 : jsonNumber(value);
  const laneBytes = bits / 8;
  return {
    bytes: laneBytes * lanes,
    lanes,
    laneBytes,
    number(view, at) {
      const value = Number(form.read(view, at));
      return isComplex ? Math.hypot(value, Number(form.read(view, at + form.bytes))) : value;
    },
    json(view, at) {
      const value = toJson(form.read(view, at));
      return isComplex ? [value, toJson(form.read(view, at + form.bytes))] : value;
    },
    write(view, at, value) {
      const parts = isComplex ? value : [value];
      if (!Array.isArray(parts) || parts.length !== (isComplex ? 2 : 1)) throw wrong(name, value);
      for (const [index, one] of parts.entries()) put(form, name, view, at + index * form.bytes, one);
    },
  };
}

function put(form: NumberForm, name: string, view: DataView, at: number, value: unknown): void {
  if (!form.write) {
    throw new FormatError(
      "ASOC_UNSUPPORTED_DTYPE",
      `Cannot read JSON: elements of ${name} cannot be given in it`,
    );
  }
  const number = parseNumber(value);
  if (number === undefined) throw wrong(name, value);
  try {
    form.write(view, at, number);
  } catch {
    throw wrong(name, value);
  }
}

function wrong(name: string, value: unknown): FormatError {
  // Arrays may be nested deeper than can be written.
  const got =
    typeof value === "object" && value !== null ? "an array or object" : JSON.stringify(value)?.slice(0, 40);
  return new FormatError("ASOC_BAD_SHAPE", `Cannot read JSON: expected an element of ${name}, got ${got}`);
}

function parseNumber(value: unknown): number | bigint | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value !== "string" || value.length > 24) return undefined;
  if (value === "NaN") return Number.NaN;
  if (value === "Infinity") return Number.POSITIVE_INFINITY;
  if (value === "-Infinity") return Number.NEGATIVE_INFINITY;
  return /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}

function jsonNumber(value: number | bigint): number | string {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return Number.isFinite(value) ? value : String(value);
}

function numberForm(name: string): NumberForm | undefined {
  const integer = /^(u?)int(8|16|32)$/.exec(name);
  if (integer) return integerForm(integer[1] === "", Number(integer[2]));
  if (name === "int64" || name === "uint64") return longForm(name === "int64");
  if (name === "bool") {
    return {
      bytes: 1,
      read: (view, at) => (view.getUint8(at) === 0 ? 0 : 1),
      write(view, at, value) {
        if (value !== 0 && value !== 1) throw new RangeError("bool");
        view.setUint8(at, value);
      },
    };
  }
  if (name === "float32") {
    return {
      bytes: 4,
      read: (view, at) => view.getFloat32(at, true),
      write: (view, at, value) => view.setFloat32(at, Number(value), true),
    };
  }
  if (name === "float64") {
    return {
      bytes: 8,
      read: (view, at) => view.getFloat64(at, true),
      write: (view, at, value) => view.setFloat64(at, Number(value), true),
    };
  }
  if (name === "bfloat16") {
    return {
      bytes: 2,
      read: (view, at) => bfloat16Value(view.getUint16(at, true)),
      write: (view, at, value) => view.setUint16(at, bfloat16Bits(Number(value)), true),
    };
  }
  const table = smallFloats(name);
  if (!table) return undefined;
  if (name === "float16") {
    return {
      bytes: 2,
      read: (view, at) => table[view.getUint16(at, true)] as number, // has all 65,536
      write: (view, at, value) => view.setUint16(at, float16Bits(Number(value)), true),
    };
  }
  return { bytes: 1, read: (view, at) => table[view.getUint8(at)] as number, write: undefined }; // has all 256
}

function integerForm(isSigned: boolean, bits: number): NumberForm {
  const least = isSigned ? -(2 ** (bits - 1)) : 0;
  const most = least + 2 ** bits - 1;
  const checked = (value: number | bigint): number => {
    const number = Number(value);
    if (!Number.isInteger(number) || number < least || number > most) throw new RangeError("integer");
    return number;
  };
  if (bits === 8) {
    return {
      bytes: 1,
      read: (view, at) => (isSigned ? view.getInt8(at) : view.getUint8(at)),
      write: (view, at, value) => view.setUint8(at, checked(value)),
    };
  }
  if (bits === 16) {
    return {
      bytes: 2,
      read: (view, at) => (isSigned ? view.getInt16(at, true) : view.getUint16(at, true)),
      write: (view, at, value) => view.setUint16(at, checked(value), true),
    };
  }
  return {
    bytes: 4,
    read: (view, at) => (isSigned ? view.getInt32(at, true) : view.getUint32(at, true)),
    write: (view, at, value) => view.setUint32(at, checked(value), true),
  };
}

function longForm(isSigned: boolean): NumberForm {
  const least = isSigned ? -(2n ** 63n) : 0n;
  const most = least + 2n ** 64n - 1n;
  return {
    bytes: 8,
    read: (view, at) => (isSigned ? view.getBigInt64(at, true) : view.getBigUint64(at, true)),
    write(view, at, value) {
      if (typeof value === "number" && !Number.isSafeInteger(value)) throw new RangeError("integer");
      const whole = BigInt(value);
      if (whole < least || whole > most) throw new RangeError("integer");
      view.setBigUint64(at, BigInt.asUintN(64, whole), true);
    },
  };
}
