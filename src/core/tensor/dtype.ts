/**
 * Data types of tensor elements and their names, after the header of DLPack 1.1 (dlpack.h, `DLDataType`).
 *
 * This file says which data types there are. What a shape of them takes is shape.ts; how JavaScript sees the bytes is
 * typed_view.ts; what file formats call them is npy_descr.ts and safetensors_dtype.ts.
 */
import { FormatError } from "../errors.ts";

/** Type codes of DLPack (`DLDataTypeCode`), by the stem of the name. */
export const DTypeCode = {
  int: 0,
  uint: 1,
  float: 2,
  opaque: 3,
  bfloat: 4,
  complex: 5,
  bool: 6,
  float8_e3m4: 7,
  float8_e4m3: 8,
  float8_e4m3b11fnuz: 9,
  float8_e4m3fn: 10,
  float8_e4m3fnuz: 11,
  float8_e5m2: 12,
  float8_e5m2fnuz: 13,
  float8_e8m0fnu: 14,
  float6_e2m3fn: 15,
  float6_e3m2fn: 16,
  float4_e2m1fn: 17,
} as const;

/**
 * A data type. Those that this module returns are frozen and known to exist; fields that come from outside pass
 * through `dtypeFrom` first.
 */
export interface DType {
  /** One of DTypeCode. */
  readonly code: number;
  /** Bits of one lane; of both parts together for a complex number. Below 8, elements are packed. */
  readonly bits: number;
  /** 1, or the length of the vector that one element is. */
  readonly lanes: number;
}

/** A u16 in DLPack. */
const MAX_LANES = 65_535;
/** Bits are a u8 in DLPack: an opaque element has at most 31 bytes. */
const MAX_OPAQUE_BYTES = 31;

/** Widths that exist for the codes whose names end in a number of bits; the others have one width, and a fixed name. */
const WIDTHS: Readonly<Record<string, readonly number[]>> = {
  int: [1, 2, 4, 8, 16, 32, 64],
  uint: [1, 2, 4, 8, 16, 32, 64],
  float: [16, 32, 64],
  opaque: Array.from({ length: MAX_OPAQUE_BYTES }, (_, index) => 8 * (index + 1)),
  bfloat: [16],
  complex: [32, 64, 128],
};
const BOOL_BITS = 8;

/** Every data type of one lane, by name; and every name, by code and bits. */
const byName = new Map<string, DType>();
const nameOf = new Map<number, string>();

for (const [stem, code] of Object.entries(DTypeCode)) {
  const widths = WIDTHS[stem];
  if (widths) for (const bits of widths) add(`${stem}${bits}`, code, bits);
  // "bool", or "float8_…", "float6_…", "float4_…"
  else add(stem, code, code === DTypeCode.bool ? BOOL_BITS : Number(stem.charAt("float".length)));
}

function add(name: string, code: number, bits: number): void {
  byName.set(name, Object.freeze({ code, bits, lanes: 1 }));
  nameOf.set(key(code, bits), name);
}

/** DLPack holds the bits in a u8. */
function key(code: number, bits: number): number {
  return code * 256 + bits;
}

/** The names of all data types of one lane: "int8", "float32", "bfloat16", "float8_e4m3fn", "bool", "complex64", … */
export const DTYPE_NAMES: readonly string[] = [...byName.keys()];

/**
 * The data type of a name. A vector of n lanes has "x" and n behind the name of its element, as in "float32x4".
 * Throws ASOC_BAD_DTYPE for a name that stands for none; there are no aliases.
 */
export function parseDType(name: string): DType {
  const scalar = byName.get(name);
  if (scalar) return scalar;
  const cut = name.lastIndexOf("x");
  const element = cut > 0 ? byName.get(name.slice(0, cut)) : undefined;
  const lanes = element ? lanesOf(name.slice(cut + 1)) : undefined;
  if (!element || lanes === undefined) {
    const got = JSON.stringify(name.slice(0, 64));
    throw new FormatError("ASOC_BAD_DTYPE", `Cannot read dtype: expected a name like "float32", got ${got}`, {
      details: { got: name.slice(0, 64) },
    });
  }
  return Object.freeze({ ...element, lanes });
}

/** 2 to 65535, in the one way to write it. */
function lanesOf(digits: string): number | undefined {
  if (!/^[1-9][0-9]{0,4}$/.test(digits)) return undefined;
  const lanes = Number(digits);
  return lanes > 1 && lanes <= MAX_LANES ? lanes : undefined;
}

/** The name that `parseDType` reads. Throws ASOC_BAD_DTYPE when the fields stand for no data type. */
export function dtypeName(dtype: DType): string {
  const { code, bits, lanes } = dtype;
  const whole = Number.isInteger(code) && Number.isInteger(bits) && bits > 0 && bits < 256;
  const name = whole ? nameOf.get(key(code, bits)) : undefined;
  if (name === undefined || !Number.isInteger(lanes) || lanes < 1 || lanes > MAX_LANES) {
    throw new FormatError(
      "ASOC_BAD_DTYPE",
      `Cannot use dtype: DLPack has no code ${code} with ${bits} bits and ${lanes} lanes`,
      { details: { code, bits, lanes } },
    );
  }
  return lanes === 1 ? name : `${name}x${lanes}`;
}

/**
 * The data type with these fields, which may come from anywhere. Throws ASOC_BAD_DTYPE when there is none: DLPack
 * demands that a consumer stops at a width it does not expect.
 */
export function dtypeFrom(code: number, bits: number, lanes: number): DType {
  return parseDType(dtypeName({ code, bits, lanes }));
}

/** True when both are the same data type. */
export function sameDType(a: DType, b: DType): boolean {
  return a.code === b.code && a.bits === b.bits && a.lanes === b.lanes;
}
