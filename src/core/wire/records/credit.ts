/**
 * CREDIT (op 0x20): how far the sender of the stream of its CONTROL frame may go. BLOCKED (op 0x21): the sender has
 * more and stands at this point.
 *
 * Body of both: `limit u64`, in bytes of DATA payload, absolute, counted from 0 on this connection for that stream; on
 * stream 0 the sum over all streams, reset ones included. So a repeat is harmless, and the largest one counts.
 */
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

export interface CreditRecord {
  readonly kind: "credit" | "blocked";
  readonly limitBytes: number;
}

/** Throws RangeError on a number out of its range. */
export function writeCredit(record: CreditRecord, out: FieldWriter): void {
  out.u64("limit", record.limitBytes);
}

/** Throws ASOC_BAD_RECORD, or ASOC_RECORD_LIMIT over 2^53 - 1. */
export function readCredit(kind: CreditRecord["kind"], from: FieldReader): CreditRecord {
  const limitBytes = from.u64("limit");
  from.end();
  return { kind, limitBytes };
}
