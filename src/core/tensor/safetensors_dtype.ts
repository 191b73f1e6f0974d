/**
 * The dtypes of safetensors files and ours (safetensors 0.8, `Dtype` in tensor.rs). "F8_E4M3" is the finite kind that
 * PyTorch calls float8_e4m3fn.
 */
import { FormatError } from "../errors.ts";
import { type DType, dtypeName, parseDType } from "./dtype.ts";

const NAMES: readonly (readonly [string, string])[] = [
  ["BOOL", "bool"],
  ["F4", "float4_e2m1fn"],
  ["F6_E2M3", "float6_e2m3fn"],
  ["F6_E3M2", "float6_e3m2fn"],
  ["U8", "uint8"],
  ["I8", "int8"],
  ["F8_E5M2", "float8_e5m2"],
  ["F8_E4M3", "float8_e4m3fn"],
  ["F8_E8M0", "float8_e8m0fnu"],
  ["F8_E4M3FNUZ", "float8_e4m3fnuz"],
  ["F8_E5M2FNUZ", "float8_e5m2fnuz"],
  ["I16", "int16"],
  ["U16", "uint16"],
  ["F16", "float16"],
  ["BF16", "bfloat16"],
  ["I32", "int32"],
  ["U32", "uint32"],
  ["F32", "float32"],
  ["C64", "complex64"],
  ["F64", "float64"],
  ["I64", "int64"],
  ["U64", "uint64"],
];

const ours = new Map(NAMES.map(([theirs, name]) => [theirs, parseDType(name)] as const));
const theirs = new Map(NAMES.map(([their, name]) => [name, their] as const));

/** Ours for the name in a header; undefined for a name that safetensors has not. */
export function decodeSafetensorsDType(name: string): DType | undefined {
  return ours.get(name);
}

/** The name in a header. Throws ASOC_UNSUPPORTED_DTYPE when safetensors has none. */
export function encodeSafetensorsDType(dtype: DType): string {
  const name = dtypeName(dtype);
  const found = theirs.get(name);
  if (found !== undefined) return found;
  throw new FormatError(
    "ASOC_UNSUPPORTED_DTYPE",
    `Cannot write safetensors header: safetensors has no dtype ${name}`,
    { details: { got: name } },
  );
}
