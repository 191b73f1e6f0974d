/**
 * In which form a tensor that arrives is written: as one file with a header, as a member of a file of several, or as the
 * bytes that it is. Nothing is written here; a form that cannot hold the tensor is refused before a byte of it is.
 */
import {
  AsocError,
  type DType,
  decodeNpyHeader,
  dtypeName,
  encodeNpyHeader,
  encodeSafetensorsHeader,
  FormatError,
  isNeedMore,
  LimitError,
  MAX_SAFETENSORS_ENTRIES,
  parseDType,
  type TensorInfo,
  tensorBytes,
} from "../mod.ts";

export const SINK_FORMATS = ["auto", "npy", "safetensors", "raw"] as const;
/**
 * "npy": a file for each tensor. "safetensors": one for each group of tensors, and for each tensor without a group.
 * "raw": the elements alone. "auto": what the file of the group was; where a format cannot hold a tensor, the next that
 * can: npy, safetensors, raw. Bytes without a type are written as they are whatever the format.
 */
export type SinkFormat = (typeof SINK_FORMATS)[number];

/** The tensors of one file belong together. All of it is a claim of the sender. */
export interface ArrivingGroup {
  /** 8 bytes, unique for its sender. */
  readonly id: Uint8Array;
  /** May be empty. */
  readonly fileName: string;
  /** Place of this tensor in the group, from 0. */
  readonly index: number;
  /** 0: not known yet. */
  readonly count: number;
  /** JSON text; empty or undefined for none. */
  readonly fileMetadata?: string | undefined;
}

/** What the sink must know of a tensor: a `TensorDescription` is one. */
export interface ArrivingTensor {
  readonly topic: string;
  /** Undefined: bytes without a type. */
  readonly dtype: string | undefined;
  readonly shape: readonly number[];
  readonly totalBytes: number | undefined;
  readonly group?: ArrivingGroup | undefined;
}

/** How a tensor is written. */
export type TensorForm =
  /** As it is; the content says what it is. */
  | { readonly kind: "bytes" }
  /** `header`, then the `bytes` bytes of the elements. */
  | {
      readonly kind: "single";
      readonly format: "npy" | "safetensors" | "raw";
      readonly header: Uint8Array;
      readonly bytes: number;
    }
  /** Into the safetensors file of its group. */
  | {
      readonly kind: "member";
      readonly group: ArrivingGroup;
      readonly info: TensorInfo;
      readonly bytes: number;
    };

/**
 * The form of `tensor`; `metadata` is what a safetensors file of this tensor alone gets. When `asked` is a format that
 * cannot hold it, throws ASOC_UNSUPPORTED_DTYPE, ASOC_BAD_SAFETENSORS (a name, packed elements), ASOC_TOO_MANY_TENSORS
 * (its group); whatever was asked, ASOC_BAD_DTYPE and ASOC_BAD_SHAPE for a description that is none.
 */
export function formOf(
  tensor: ArrivingTensor,
  asked: SinkFormat,
  metadata: ReadonlyMap<string, string> = new Map(),
): TensorForm {
  if (tensor.dtype === undefined) return { kind: "bytes" };
  const dtype = parseDType(tensor.dtype);
  const info = { name: tensor.topic, dtype, shape: [...tensor.shape] };
  const bytes = tensorBytes(dtype, info.shape);
  if (tensor.totalBytes !== undefined && tensor.totalBytes !== bytes) {
    const message = `Cannot write tensor: expected ${bytes} bytes for its shape, got ${tensor.totalBytes}`;
    throw new FormatError("ASOC_BAD_SHAPE", message);
  }
  const npy = (): TensorForm => ({
    kind: "single",
    format: "npy",
    header: npyHeader(dtype, info.shape),
    bytes,
  });
  const safetensors = (): TensorForm => {
    const { bytes: header } = encodeSafetensorsHeader([info], metadata);
    checkCount(tensor.group?.count ?? 0);
    const group = groupOf(tensor);
    return group
      ? { kind: "member", group, info, bytes }
      : { kind: "single", format: "safetensors", header, bytes };
  };
  const raw = (): TensorForm => ({ kind: "single", format: "raw", header: new Uint8Array(0), bytes });
  if (asked === "npy") return npy();
  if (asked === "safetensors") return safetensors();
  if (asked === "raw") return raw();
  const isSafetensors = groupOf(tensor) || tensor.group?.fileName.toLowerCase().endsWith(".safetensors");
  return firstThatHolds(isSafetensors ? [safetensors, npy] : [npy, safetensors]) ?? raw();
}

/** The group, when it has, or may have, more tensors than this one. */
export function groupOf({ group }: ArrivingTensor): ArrivingGroup | undefined {
  return group?.count === 1 ? undefined : group;
}

/**
 * The metadata of a safetensors file from the JSON that came along: empty for none, undefined when it is something that
 * such a file cannot hold. Keys and values must be well-formed text.
 */
export function metadataOf(json: string | undefined): ReadonlyMap<string, string> | undefined {
  if (json === undefined || json === "") return new Map();
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value) as [string, unknown][]) {
    if (typeof text !== "string" || !text.isWellFormed() || !key.isWellFormed()) return undefined;
    metadata.set(key, text);
  }
  return metadata;
}

/** Before the first of too many comes, and not when the file of all of them would be written. */
function checkCount(count: number): void {
  if (count <= MAX_SAFETENSORS_ENTRIES) return;
  throw new LimitError(
    "ASOC_TOO_MANY_TENSORS",
    `Cannot write safetensors file: ${count} tensors, at most ${MAX_SAFETENSORS_ENTRIES} are allowed`,
    { details: { limit: "MAX_SAFETENSORS_ENTRIES", expected: MAX_SAFETENSORS_ENTRIES, got: count } },
  );
}

function firstThatHolds(forms: readonly (() => TensorForm)[]): TensorForm | undefined {
  for (const form of forms) {
    try {
      return form();
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
    }
  }
  return undefined;
}

/** Refuses what a reader would take for something else: npy has bfloat16 and its like only as bytes without a name. */
function npyHeader(dtype: DType, shape: readonly number[]): Uint8Array {
  const header = encodeNpyHeader({ dtype, shape });
  const read = decodeNpyHeader(header);
  const name = dtypeName(dtype);
  if (isNeedMore(read) || dtypeName(read.dtype) !== name) {
    throw new FormatError(
      "ASOC_UNSUPPORTED_DTYPE",
      `Cannot write npy file: NumPy has no ${name}; --format safetensors or raw can hold it`,
      { details: { got: name } },
    );
  }
  return header;
}
