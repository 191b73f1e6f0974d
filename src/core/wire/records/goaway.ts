/**
 * GOAWAY (op 0x32), on stream 0: begin no new streams on this connection; those that are open finish.
 * Body: `last stream u32 | drain ms u32 | code u16`.
 */
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

/** Why; other values are read as they are and mean UNSPECIFIED. */
export const GoawayCode = {
  UNSPECIFIED: 0,
  /** Another connection to the same node stays in place of this one. */
  DUPLICATE: 1,
  /** The node ends. */
  SHUTDOWN: 2,
  /** Stream ids of this connection run out: dial again. */
  STREAM_IDS: 3,
  /** The key that this connection began with has come to its end: dial again with another (RFC-0102). */
  KEY_ENDED: 4,
} as const;

export interface GoawayRecord {
  readonly kind: "goaway";
  /** The highest stream of the other side that will still be taken; 0: none was seen. */
  readonly lastStream: number;
  /** After so long the connection is closed, finished or not; 0: no such time is set. */
  readonly drainMs: number;
  /** One of `GoawayCode`, or a later one. */
  readonly code: number;
}

/** Throws RangeError on a number out of its range. */
export function writeGoaway(record: GoawayRecord, out: FieldWriter): void {
  out.u32("last stream", record.lastStream);
  out.u32("drain", record.drainMs);
  out.u16("code", record.code);
}

/** Throws ASOC_BAD_RECORD. */
export function readGoaway(from: FieldReader): GoawayRecord {
  const lastStream = from.u32("last stream");
  const drainMs = from.u32("drain");
  const code = from.u16("code");
  from.end();
  return { kind: "goaway", lastStream, drainMs, code };
}
