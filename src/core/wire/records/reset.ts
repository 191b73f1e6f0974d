/**
 * RESET (op 0x12): the sender gives the stream of its CONTROL frame up. STOP (op 0x13): the receiver wants no more of it.
 *
 * Body of both: `code u16`, then the reason, all that is left: text of at most 256 bytes, for people.
 */
import { MAX_REASON_BYTES } from "../../limits.ts";
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

/** Why a stream ended early; other values are read as they are and mean UNSPECIFIED. */
export const StreamCode = {
  UNSPECIFIED: 0,
  /** The user of that side gave it up. */
  CANCELLED: 1,
  /** Larger than that side takes. */
  TOO_LARGE: 2,
  /** A dtype, layout or codec that it does not have. */
  UNSUPPORTED: 3,
  /** The digest of CLOSE is not that of the bytes. */
  DIGEST_MISMATCH: 4,
  /** The deadline of OPEN has passed. */
  DEADLINE: 5,
  /** The stream broke a rule: a gap in seq, or more bytes than OPEN said. */
  BAD_STREAM: 6,
  /** A fault of that side. */
  INTERNAL: 7,
  /** That side does not allow it (RFC-0103). */
  FORBIDDEN: 8,
  /** The sender's quota there is used up (RFC-0103). */
  QUOTA: 9,
} as const;

export interface ResetRecord {
  readonly kind: "reset" | "stop";
  /** One of `StreamCode`, or a later one. */
  readonly code: number;
  /** At most 256 bytes of UTF-8; may be empty. */
  readonly reason: string;
}

/** Throws RangeError on a number out of its range and a reason that is too long. */
export function writeReset(record: ResetRecord, out: FieldWriter): void {
  out.u16("code", record.code);
  out.text("reason", record.reason, MAX_REASON_BYTES);
}

/** Throws ASOC_BAD_RECORD, or ASOC_RECORD_LIMIT on a reason that is too long. */
export function readReset(kind: ResetRecord["kind"], from: FieldReader): ResetRecord {
  return { kind, code: from.u16("code"), reason: from.restText("reason", MAX_REASON_BYTES) };
}
