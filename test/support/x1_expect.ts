/** How tests of records say what is refused. */
import assert from "node:assert/strict";
import { AsocError } from "../../src/core/errors.ts";
import { decodeRecords, encodeRecord, type X1Record } from "../../src/core/wire/records/records.ts";

/** One record with that body. */
export function withBody(op: number, body: Uint8Array): Uint8Array {
  const payload = new Uint8Array(4 + body.length);
  payload.set([op, 0, body.length >> 8, body.length & 0xff]);
  payload.set(body, 4);
  return payload;
}

/** A copy of `record`'s bytes, its header included, with `bytes` at `offset` of the body. */
export function patched(record: X1Record, offset: number, ...bytes: readonly number[]): Uint8Array {
  const payload = encodeRecord(record);
  payload.set(bytes, 4 + offset);
  return payload;
}

/** A copy of `record`'s bytes with `tail` behind its body. */
export function extended(record: X1Record, ...tail: readonly number[]): Uint8Array {
  const payload = encodeRecord(record);
  return withBody(payload[0] ?? 0, Uint8Array.of(...payload.subarray(4), ...tail));
}

/** Reading `payload` ends with `code` and a message that `message` fits. */
export function assertRefused(payload: Uint8Array, code: string, message: RegExp): void {
  assert.throws(
    () => decodeRecords(payload),
    (error) => {
      assert.ok(error instanceof AsocError, `${error}`);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    },
  );
}

/** Writing `record` ends with a RangeError whose message `message` fits. */
export function assertUnwritable(record: X1Record, message: RegExp): void {
  assert.throws(() => encodeRecord(record), { name: "RangeError", message });
}
