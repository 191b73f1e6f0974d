/**
 * ERROR (op 0x33): the connection is about to be closed, and why. Only said after both proofs: a failed handshake says
 * nothing. Body: `code u16 | stream u32 | frame seq u32`, then the text, all that is left: at most 256 bytes.
 */
import { MAX_REASON_BYTES } from "../../limits.ts";
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

/** What the other side did; other values are read as they are and mean UNSPECIFIED. */
export const ErrorCode = {
  UNSPECIFIED: 0,
  /** A frame that may not come, or not now. */
  PROTOCOL: 1,
  /** A record that cannot be read. */
  BAD_RECORD: 2,
  /** A critical record with an op that is not known. */
  UNKNOWN_CRITICAL: 3,
  /** A number over its limit. */
  LIMIT: 4,
  /** More DATA than there was credit for. */
  CREDIT: 5,
  /** A fault of the side that says it. */
  INTERNAL: 6,
  /** The key that this connection began with was revoked, or is long past its end (RFC-0102). */
  KEY: 7,
} as const;

export interface ErrorRecord {
  readonly kind: "error";
  /** One of `ErrorCode`, or a later one. */
  readonly code: number;
  /** The stream that it happened on; 0: the connection. */
  readonly stream: number;
  /** The seq of the frame that it happened at. */
  readonly frameSeq: number;
  /** For people; at most 256 bytes of UTF-8. */
  readonly text: string;
}

/** Throws RangeError on a number out of its range and a text that is too long. */
export function writeError(record: ErrorRecord, out: FieldWriter): void {
  out.u16("code", record.code);
  out.u32("stream", record.stream);
  out.u32("frame seq", record.frameSeq);
  out.text("text", record.text, MAX_REASON_BYTES);
}

/** Throws ASOC_BAD_RECORD, or ASOC_RECORD_LIMIT on a text that is too long. */
export function readError(from: FieldReader): ErrorRecord {
  return {
    kind: "error",
    code: from.u16("code"),
    stream: from.u32("stream"),
    frameSeq: from.u32("frame seq"),
    text: from.restText("text", MAX_REASON_BYTES),
  };
}
