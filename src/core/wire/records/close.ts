/**
 * CLOSE (op 0x11): what the whole tensor was, sent on its stream just before END.
 *
 * Body: `transfer id[8] | raw bytes u64 | digest algorithm u8 | status u8 | reserved u16 | digest`. The digest is that
 * of the whole tensor from byte 0, before the codec, also on a resumed transfer. Its length follows from the algorithm:
 * none 0, CRC-32 4, SHA-256 32; of algorithms that are not known all that is left, at most 64 bytes. The reserved
 * bytes are written as 0 and not looked at.
 */
import { MAX_DIGEST_BYTES } from "../../limits.ts";
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";
import { readTransferId, writeTransferId } from "./transfer_id.ts";

/** CRC-32 is written as a u32, most significant byte first. */
export const DigestAlgorithm = { NONE: 0, CRC32: 1, SHA256: 2 } as const;

/** How it ended; other values are read as they are and mean that the tensor is not to be used. */
export const CloseStatus = { COMPLETE: 0 } as const;

/** Bytes of a digest; undefined for an algorithm that is not known. */
export function digestBytes(algorithm: number): number | undefined {
  switch (algorithm) {
    case DigestAlgorithm.NONE:
      return 0;
    case DigestAlgorithm.CRC32:
      return 4;
    case DigestAlgorithm.SHA256:
      return 32;
    default:
      return undefined;
  }
}

export interface CloseRecord {
  readonly kind: "close";
  /** That of the stream's OPEN. */
  readonly transferId: Uint8Array;
  /** Length of the whole tensor from byte 0, before the codec. */
  readonly rawBytes: number;
  /** One of `DigestAlgorithm`, or a later one. */
  readonly algorithm: number;
  /** One of `CloseStatus`, or a later one. */
  readonly status: number;
  readonly digest: Uint8Array;
}

/** Throws RangeError on a number out of its range and a digest of another length than its algorithm's. */
export function writeClose(record: CloseRecord, out: FieldWriter): void {
  const { algorithm, digest } = record;
  writeTransferId(record.transferId, out);
  out.u64("raw bytes", record.rawBytes);
  out.u8("digest algorithm", algorithm);
  out.u8("status", record.status);
  out.u16("reserved", 0);
  const byteCount = digestBytes(algorithm);
  out.raw("digest", digest, byteCount ?? MAX_DIGEST_BYTES, byteCount ?? 0);
}

/** Throws ASOC_BAD_RECORD on a digest of another length than its algorithm's, ASOC_RECORD_LIMIT on numbers too large. */
export function readClose(from: FieldReader): CloseRecord {
  const transferId = readTransferId(from);
  const rawBytes = from.u64("raw bytes");
  const algorithm = from.u8("digest algorithm");
  const status = from.u8("status");
  from.u16("reserved");
  const byteCount = digestBytes(algorithm);
  const digest =
    byteCount === undefined ? from.rest("digest", MAX_DIGEST_BYTES) : from.bytes("digest", byteCount);
  from.end();
  return { kind: "close", transferId, rawBytes, algorithm, status, digest };
}
