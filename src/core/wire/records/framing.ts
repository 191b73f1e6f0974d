/**
 * How records lie in the payload of a CONTROL frame (extension x1): `op u8 | flags u8 | len u16 | body`, one behind the
 * other, 16 KiB in all. An empty payload is the keepalive of RFC-0001.
 *
 * This file knows where a record begins and ends, and not what it says. Bit 0 of the flags marks a record that must not
 * be skipped by whoever does not know it; the other bits are written as 0 and not looked at.
 */
import { LimitError } from "../../errors.ts";
import { MAX_CAPS_BYTES, MAX_CONTROL_BYTES } from "../../limits.ts";
import { badRecord, overLimit } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";
import { opName, RecordOp } from "./ops.ts";

export const RECORD_HEADER_BYTES = 4;
const CRITICAL = 0x01;

/** A record as it lies in its payload. Its body is a view: valid while the frame's memory is. */
export interface RawRecord {
  readonly op: number;
  readonly critical: boolean;
  readonly body: Uint8Array;
}

/** From op to the end of the body, a view too: what the proof covers. */
export function wholeRecord({ body }: RawRecord): Uint8Array {
  const { buffer, byteOffset, length } = body;
  return new Uint8Array(buffer, byteOffset - RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + length);
}

/**
 * Cuts a CONTROL payload into its records, known ops or not. Throws ASOC_FRAME_TOO_LARGE over 16 KiB,
 * ASOC_RECORD_LIMIT on a CAPS over 1 KiB, ASOC_BAD_RECORD where the last one is cut off.
 */
export function splitRecords(payload: Uint8Array): RawRecord[] {
  if (payload.length > MAX_CONTROL_BYTES) {
    throw new LimitError(
      "ASOC_FRAME_TOO_LARGE",
      `Cannot read CONTROL: ${payload.length} bytes, expected at most ${MAX_CONTROL_BYTES}`,
      { details: { limit: "CONTROL payload", expected: MAX_CONTROL_BYTES, got: payload.length } },
    );
  }
  const records: RawRecord[] = [];
  for (let at = 0; at < payload.length; ) {
    const bodyAt = at + RECORD_HEADER_BYTES;
    if (bodyAt > payload.length) {
      throw badRecord(
        "CONTROL",
        `record at byte ${at}`,
        `${RECORD_HEADER_BYTES} bytes of header`,
        payload.length - at,
      );
    }
    const op = payload[at] as number;
    const bodyBytes = ((payload[at + 2] as number) << 8) | (payload[at + 3] as number);
    const end = bodyAt + bodyBytes;
    if (end > payload.length) {
      throw badRecord(opName(op), "body", `${bodyBytes} bytes`, payload.length - bodyAt);
    }
    if (op === RecordOp.CAPS && end - at > MAX_CAPS_BYTES) {
      throw overLimit("CAPS", "record bytes", MAX_CAPS_BYTES, end - at);
    }
    records.push({
      op,
      critical: ((payload[at + 1] as number) & CRITICAL) !== 0,
      body: payload.subarray(bodyAt, end),
    });
    at = end;
  }
  return records;
}

/** Writes a record's header and what `write` writes as its body. Throws RangeError where it becomes too long. */
export function writeRecord(out: FieldWriter, op: number, critical: boolean, write: () => void): void {
  const start = out.length;
  out.what = opName(op);
  out.u8("op", op);
  out.u8("flags", critical ? CRITICAL : 0);
  out.counted("body", write);
  const byteCount = out.length - start;
  if (op === RecordOp.CAPS && byteCount > MAX_CAPS_BYTES) {
    throw out.bad("record", `at most ${MAX_CAPS_BYTES} bytes`, byteCount);
  }
}
