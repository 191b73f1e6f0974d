/** A tensor as the bytes of a response: npy, safetensors, raw or JSON, whole or a slice of it. */
import { createHash } from "node:crypto";
import { encodeNpyHeader, encodeSafetensorsHeader } from "../../src/mod.ts";
import { GatewayError } from "../errors.ts";
import { FormatError, parseDType } from "./core.ts";
import { elementBytes } from "./elements.ts";
import { toJsonData } from "./json_tensor.ts";
import { type ByteRun, parseSlice, slicedRun, wholeRun } from "./slice.ts";

export const FORMATS = ["npy", "safetensors", "bin", "json"] as const;
export type Format = (typeof FORMATS)[number];

export const MEDIA_TYPES: Readonly<Record<Format, string>> = {
  npy: "application/x-npy",
  safetensors: "application/vnd.safetensors",
  bin: "application/octet-stream",
  json: "application/json",
};

/** A tensor in memory, whose bytes no longer change. */
export interface HeldTensor {
  readonly topic: string;
  /** Undefined: bytes without a type; files call them uint8. */
  readonly dtype: string | undefined;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  /** Says whether it is the same content: its digest, or what is unique to it. */
  readonly identity: string;
}

export interface Representation {
  readonly type: string;
  readonly etag: string;
  /** Of the slice. */
  readonly shape: readonly number[];
  readonly length: number;
  blocks(from: number, to: number): Generator<Uint8Array, void, undefined>;
}

/**
 * Throws GATEWAY_BAD_SLICE, and GATEWAY_NOT_ACCEPTABLE for what the format cannot hold: elements that it has not, or
 * more than `maxJsonBytes` as JSON.
 */
export function represent(
  tensor: HeldTensor,
  format: Format,
  slice: string | undefined,
  maxJsonBytes: number,
): Representation {
  const { bytes, topic } = tensor;
  const dtype = tensor.dtype ?? "uint8";
  const full = tensor.dtype === undefined ? [bytes.length] : tensor.shape;
  const sliced = slice === undefined ? undefined : cut(bytes, dtype, full, slice);
  const { run, shape } = sliced ?? { run: wholeRun(bytes), shape: full };
  const etag = etagOf(tensor, format, slice);
  if (format === "json") {
    if (run.length > maxJsonBytes) {
      throw notAcceptable(
        `as JSON go at most ${maxJsonBytes} bytes of a tensor, this has ${run.length}; ask for a slice or another format`,
      );
    }
    const text = jsonText(tensor, dtype, shape, run);
    return { type: MEDIA_TYPES.json, etag, shape, length: text.length, blocks: wholeRun(text).blocks };
  }
  const head = format === "bin" ? new Uint8Array(0) : header(format, topic, dtype, shape);
  return {
    type: MEDIA_TYPES[format],
    etag,
    shape,
    length: head.length + run.length,
    *blocks(from, to) {
      if (from < head.length) yield head.subarray(from, Math.min(to, head.length));
      if (to > head.length) yield* run.blocks(Math.max(0, from - head.length), to - head.length);
    },
  };
}

function cut(bytes: Uint8Array, dtype: string, shape: readonly number[], text: string) {
  const slice = parseSlice(text, shape);
  const unit = elementBytes(parseDType(dtype));
  if (unit === undefined) {
    throw new GatewayError(400, "GATEWAY_BAD_SLICE", `Cannot slice: elements of ${dtype} share their bytes`);
  }
  return { run: slicedRun(bytes, shape, unit, slice), shape: slice.shape };
}

function header(format: "npy" | "safetensors", topic: string, dtype: string, shape: readonly number[]) {
  try {
    if (format === "npy") return encodeNpyHeader({ dtype: parseDType(dtype), shape });
    const name = topic === "" || topic === "__metadata__" || !topic.isWellFormed() ? "tensor" : topic;
    return encodeSafetensorsHeader([{ name, dtype: parseDType(dtype), shape }]).bytes;
  } catch (error) {
    if (error instanceof FormatError) throw notAcceptable(error.message);
    throw error;
  }
}

function jsonText(tensor: HeldTensor, dtype: string, shape: readonly number[], run: ByteRun): Uint8Array {
  const packed = new Uint8Array(run.length);
  let at = 0;
  for (const block of run.blocks(0, run.length)) {
    packed.set(block, at);
    at += block.length;
  }
  try {
    const data = toJsonData(dtype, shape, packed);
    const document = { topic: tensor.topic, dtype: tensor.dtype ?? null, shape, data };
    return new TextEncoder().encode(JSON.stringify(document));
  } catch (error) {
    if (error instanceof FormatError) throw notAcceptable(error.message);
    throw error;
  }
}

function notAcceptable(why: string): GatewayError {
  return new GatewayError(406, "GATEWAY_NOT_ACCEPTABLE", `Cannot give the tensor in that format: ${why}`);
}

/** Strong: the same tag is the same bytes. */
function etagOf(tensor: HeldTensor, format: Format, slice: string | undefined): string {
  const { identity, dtype, shape, topic, bytes } = tensor;
  const text = JSON.stringify([identity, dtype, shape, bytes.length, topic, format, slice]);
  return `"${createHash("sha256").update(text).digest("base64url").slice(0, 27)}"`;
}
