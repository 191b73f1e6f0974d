/** What OPEN says of a tensor, as users see it, and what a receiver refuses to take (RFC-0005, OPEN). */
import { AsocError, FormatError, ProtocolError } from "../errors.ts";
import { dtypeFrom, dtypeName } from "../tensor/dtype.ts";
import { tensorBytes } from "../tensor/shape.ts";
import { toHex } from "../wire/bytes.ts";
import { ChunkCodec, type OpenRecord, TensorLayout } from "../wire/records/open.ts";
import type { TensorGroup, TensorShard } from "../wire/records/open_fields.ts";
import { type DigestName, digestName } from "./digest.ts";

/** What is known of a tensor before its first byte. All of it is the sender's claim. */
export interface TensorDescription {
  /** May be empty. Segments are separated by "/". */
  readonly topic: string;
  /** A name of DLPack's types such as "float32"; undefined: bytes without a type. */
  readonly dtype: string | undefined;
  /** Length of each dimension, rows first; empty for a scalar and for bytes without a type. */
  readonly shape: readonly number[];
  /** Undefined: not known before the end. */
  readonly totalBytes: number | undefined;
  /** 0 to 255, larger goes first. */
  readonly priority: number;
  /** Milliseconds from the start in which it is of use; 0: for ever. */
  readonly deadlineMs: number;
  /** The value that the sender gave, read from JSON; undefined: none. */
  readonly metadata: unknown;
  /** The file that it is a part of. */
  readonly group: TensorGroup | undefined;
  readonly shard: TensorShard | undefined;
  readonly step: number | undefined;
  /** W3C Trace Context. */
  readonly traceparent: string | undefined;
  readonly digest: DigestName;
  /** 16 hex digits that name the transfer. */
  readonly transferId: string;
}

/**
 * Throws FormatError ASOC_UNSUPPORTED_TENSOR for a dtype, layout, codec or digest that is not known here, and
 * ProtocolError ASOC_BAD_STREAM where OPEN contradicts itself.
 */
export function describeOpen(record: OpenRecord): TensorDescription {
  const { layout, codec, dtype, shape, totalBytes } = record;
  if (layout !== TensorLayout.ROW_MAJOR) throw unsupported("layout", "row-major", layout);
  if (codec !== ChunkCodec.NONE) throw unsupported("codec", "none", codec);
  const digest = record.digest === undefined ? "crc32" : digestName(record.digest);
  if (digest === undefined) throw unsupported("digest algorithm", "none, CRC-32 or SHA-256", record.digest);
  let name: string | undefined;
  if (dtype) {
    let bytes: number;
    try {
      const known = dtypeFrom(dtype.code, dtype.bits, dtype.lanes);
      name = dtypeName(known);
      bytes = tensorBytes(known, shape);
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      throw new FormatError("ASOC_UNSUPPORTED_TENSOR", `Cannot take tensor: ${error.message}`, {
        cause: error,
      });
    }
    if (bytes !== totalBytes) {
      throw new ProtocolError(
        "ASOC_BAD_STREAM",
        `Cannot take tensor: OPEN says ${totalBytes ?? "no"} bytes, ${name} of shape [${shape}] has ${bytes}`,
        { details: { expected: bytes, got: totalBytes } },
      );
    }
  }
  return {
    topic: record.topic,
    dtype: name,
    shape,
    totalBytes,
    priority: record.priority,
    deadlineMs: record.deadlineMs,
    metadata: parsed(record.userMetadata),
    group: record.group,
    shard: record.shard,
    step: record.step,
    traceparent: record.traceparent,
    digest,
    transferId: toHex(record.transferId),
  };
}

function unsupported(what: string, expected: string, got: unknown): FormatError {
  return new FormatError(
    "ASOC_UNSUPPORTED_TENSOR",
    `Cannot take tensor: expected ${what} ${expected}, got ${String(got)}`,
    { details: { expected, got } },
  );
}

function parsed(json: string | undefined): unknown {
  if (json === undefined) return undefined;
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new ProtocolError("ASOC_BAD_STREAM", "Cannot take tensor: its user metadata is no JSON", {
      cause: error,
    });
  }
}

/** Whether a transfer that goes on is still of that tensor: one whose length, type or digest is another is not. */
export function sameTensor(one: TensorDescription, other: TensorDescription): boolean {
  return (
    one.totalBytes === other.totalBytes &&
    one.dtype === other.dtype &&
    one.digest === other.digest &&
    one.shape.join() === other.shape.join()
  );
}
