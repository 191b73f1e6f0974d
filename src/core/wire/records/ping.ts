/**
 * PING (op 0x30) and PONG (op 0x31), on stream 0: is the other side there? Body of both: `opaque[8] | time u64`.
 *
 * PONG repeats the opaque bytes of its PING. The time is the clock of whoever writes the record, in milliseconds since
 * 1970, 0 where it has none: from both, each side sees how far the clocks are apart. Round trips are measured by the
 * asker with a clock of its own, and not by these times.
 */
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

export const PING_OPAQUE_BYTES = 8;

export interface PingRecord {
  readonly kind: "ping" | "pong";
  /** PING_OPAQUE_BYTES bytes; random, so that nobody answers what was not asked. */
  readonly opaque: Uint8Array;
  /** Milliseconds since 1970; 0: not said. */
  readonly unixMs: number;
}

/** Throws RangeError on a number out of its range. */
export function writePing(record: PingRecord, out: FieldWriter): void {
  out.fixed("opaque", record.opaque, PING_OPAQUE_BYTES);
  out.u64("time", record.unixMs);
}

/** Throws ASOC_BAD_RECORD, or ASOC_RECORD_LIMIT over 2^53 - 1. */
export function readPing(kind: PingRecord["kind"], from: FieldReader): PingRecord {
  const opaque = from.bytes("opaque", PING_OPAQUE_BYTES);
  const unixMs = from.u64("time");
  from.end();
  return { kind, opaque, unixMs };
}
