/**
 * ACK (op 0x22): what the receiver has of a transfer. Body: `transfer id[8] | contiguous bytes u64 | level u8`, level 1
 * received, 2 verified, 3 consumed.
 */
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";
import { readTransferId, writeTransferId } from "./transfer_id.ts";

/** received: the bytes are here. verified: CLOSE and END have come and the digest holds. consumed: it was released. */
export type AckLevel = "received" | "verified" | "consumed";

const LEVELS: readonly AckLevel[] = ["received", "verified", "consumed"];

export interface AckRecord {
  readonly kind: "ack";
  readonly transferId: Uint8Array;
  /** Bytes of the tensor from byte 0 on without a gap. */
  readonly contiguousBytes: number;
  readonly level: AckLevel;
}

/** Throws RangeError on a number out of its range. */
export function writeAck(record: AckRecord, out: FieldWriter): void {
  writeTransferId(record.transferId, out);
  out.u64("contiguous bytes", record.contiguousBytes);
  out.u8("level", LEVELS.indexOf(record.level) + 1);
}

/** Throws ASOC_BAD_RECORD, also on another level, or ASOC_RECORD_LIMIT over 2^53 - 1. */
export function readAck(from: FieldReader): AckRecord {
  const transferId = readTransferId(from);
  const contiguousBytes = from.u64("contiguous bytes");
  const number = from.u8("level");
  const level = LEVELS[number - 1];
  if (level === undefined) throw from.bad("level", `1 to ${LEVELS.length}`, number);
  from.end();
  return { kind: "ack", transferId, contiguousBytes, level };
}
