/**
 * RESUME? (op 0x23): the sender of a transfer that broke asks how much of it the other side has. RESUME! (op 0x24): the
 * answer.
 *
 * Bodies: `transfer id[8]`; `transfer id[8] | byte offset u64`, where 0 is "unknown to me, or nothing of it" and all ones
 * "delivered already".
 */
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";
import { readTransferId, writeTransferId } from "./transfer_id.ts";

export interface ResumeQueryRecord {
  readonly kind: "resume_query";
  readonly transferId: Uint8Array;
}

export interface ResumeAnswerRecord {
  readonly kind: "resume_answer";
  readonly transferId: Uint8Array;
  /** Where the sender shall go on, in bytes of the tensor; undefined: it was delivered already. */
  readonly offset: number | undefined;
}

/** Throws RangeError on an id of another length. */
export function writeResumeQuery(record: ResumeQueryRecord, out: FieldWriter): void {
  writeTransferId(record.transferId, out);
}

/** Throws ASOC_BAD_RECORD. */
export function readResumeQuery(from: FieldReader): ResumeQueryRecord {
  const transferId = readTransferId(from);
  from.end();
  return { kind: "resume_query", transferId };
}

/** Throws RangeError on a number out of its range. */
export function writeResumeAnswer(record: ResumeAnswerRecord, out: FieldWriter): void {
  writeTransferId(record.transferId, out);
  out.u64OrNone("byte offset", record.offset);
}

/** Throws ASOC_BAD_RECORD, or ASOC_RECORD_LIMIT over 2^53 - 1. */
export function readResumeAnswer(from: FieldReader): ResumeAnswerRecord {
  const transferId = readTransferId(from);
  const offset = from.u64OrNone("byte offset");
  from.end();
  return { kind: "resume_answer", transferId, offset };
}
