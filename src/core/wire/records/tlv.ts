/**
 * TLVs, the optional fields at the end of a record's body: `type u16 | len u16 | value`, one behind the other.
 *
 * Types are numbered for each op by itself. A type that is not known is skipped, so that later versions can add some;
 * one that is known comes at most once. Any order is read; they are written in ascending order.
 */
import { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";

/**
 * Reads all that is left of `from`. `known` names the types; `take` gets a reader for the value of each of these and
 * must read all of it. Throws ASOC_BAD_RECORD on a TLV that is cut off, comes twice or is longer than what was read.
 */
export function readTlvs(
  from: FieldReader,
  known: ReadonlyMap<number, string>,
  take: (type: number, value: FieldReader) => void,
): void {
  let seen: Set<number> | undefined;
  while (from.remaining > 0) {
    const type = from.u16("TLV type");
    const byteCount = from.u16("TLV length");
    const name = known.get(type);
    const bytes = from.view(name ?? `TLV ${type}`, byteCount);
    if (name === undefined) continue;
    seen ??= new Set();
    if (seen.has(type)) throw from.bad(name, "one at most", "a second");
    seen.add(type);
    const value = new FieldReader(bytes, `${from.what} ${name}`);
    take(type, value);
    value.end();
  }
}

/** Writes one TLV whose value `write` writes. */
export function writeTlv(out: FieldWriter, type: number, name: string, write: () => void): void {
  out.u16("TLV type", type);
  out.counted(name, write);
}
