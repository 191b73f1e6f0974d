/**
 * TAP (op 0x50), on stream 0: send me copies of tensors whose topic fits. UNTAP (op 0x51): no more of them.
 *
 * Bodies: `one in N u32 | bytes per second u64`, then the glob, all that is left; the glob alone. A TAP with a glob that
 * is tapped already replaces it. Globs are those of `core/wire/glob.ts`, 1 to 255 bytes.
 */
import { MAX_GLOB_BYTES } from "../../limits.ts";
import type { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

export interface TapRecord {
  readonly kind: "tap";
  readonly glob: string;
  /** Every how many tensors one is wanted; at least 1. */
  readonly oneIn: number;
  /** The most that is wanted; 0: no bound. */
  readonly bytesPerSecond: number;
}

export interface UntapRecord {
  readonly kind: "untap";
  readonly glob: string;
}

/** Throws RangeError on a number out of its range and a glob that is empty or too long. */
export function writeTap(record: TapRecord, out: FieldWriter): void {
  if (record.oneIn === 0) throw out.bad("one in", "at least 1", 0);
  out.u32("one in", record.oneIn);
  out.u64("bytes per second", record.bytesPerSecond);
  out.text("glob", record.glob, MAX_GLOB_BYTES, 1);
}

/** Throws ASOC_BAD_RECORD, or ASOC_RECORD_LIMIT on a number or glob over its limit. */
export function readTap(from: FieldReader): TapRecord {
  const oneIn = from.u32("one in");
  if (oneIn === 0) throw from.bad("one in", "at least 1", 0);
  const bytesPerSecond = from.u64("bytes per second");
  return { kind: "tap", glob: from.restText("glob", MAX_GLOB_BYTES, 1), oneIn, bytesPerSecond };
}

/** Throws RangeError on a glob that is empty or too long. */
export function writeUntap(record: UntapRecord, out: FieldWriter): void {
  out.text("glob", record.glob, MAX_GLOB_BYTES, 1);
}

/** Throws ASOC_BAD_RECORD, or ASOC_RECORD_LIMIT on a glob that is too long. */
export function readUntap(from: FieldReader): UntapRecord {
  return { kind: "untap", glob: from.restText("glob", MAX_GLOB_BYTES, 1) };
}
