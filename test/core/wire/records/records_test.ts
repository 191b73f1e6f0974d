import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AsocError } from "../../../../src/core/errors.ts";
import { MAX_CONTROL_BYTES } from "../../../../src/core/limits.ts";
import { joinBytes } from "../../../../src/core/wire/bytes.ts";
import { RecordOp } from "../../../../src/core/wire/records/ops.ts";
import {
  decodeRecords,
  encodeControl,
  encodeControlInto,
  encodeRecord,
  type X1Record,
} from "../../../../src/core/wire/records/records.ts";
import { record } from "../../../support/x1_arbitraries.ts";
import { SAMPLES } from "../../../support/x1_samples.ts";

/** The records, or undefined where they are refused as they have to be: by an AsocError. */
function decodeOrRefuse(payload: Uint8Array): X1Record[] | undefined {
  try {
    return decodeRecords(payload);
  } catch (error) {
    assert.ok(error instanceof AsocError, `${error}`);
    assert.ok(["ASOC_BAD_RECORD", "ASOC_RECORD_LIMIT", "ASOC_UNKNOWN_CRITICAL_RECORD"].includes(error.code));
    return undefined;
  }
}

test("the samples show every op", () => {
  const ops = new Set(SAMPLES.map((sample) => encodeRecord(sample.record)[0]));
  assert.deepEqual([...ops].sort(), Object.values(RecordOp).sort());
});

test("decodeRecords() gives back what encodeRecord() wrote, for the samples", () => {
  for (const { name, record: sample } of SAMPLES) {
    assert.deepEqual(decodeRecords(encodeRecord(sample)), [sample], name);
  }
});

test("decodeRecords() gives back what encodeRecord() wrote", () => {
  fc.assert(
    fc.property(record(), (one) => {
      assert.deepEqual(decodeRecords(encodeRecord(one)), [one]);
    }),
    { numRuns: 1500 },
  );
});

test("encodeControl() writes records one behind the other, in their order", () => {
  const small = record().filter((one) => encodeRecord(one).length < 2000);
  fc.assert(
    fc.property(fc.array(small, { maxLength: 8 }), (records) => {
      const payload = encodeControl(records);
      assert.deepEqual(payload, joinBytes(records.map(encodeRecord)));
      assert.deepEqual(decodeRecords(payload), records);
    }),
    { numRuns: 200 },
  );
});

test("decodeRecords() takes an empty payload, the keepalive", () => {
  assert.deepEqual(decodeRecords(new Uint8Array(0)), []);
  assert.deepEqual(encodeControl([]), new Uint8Array(0));
});

test("decodeRecords() reads random bytes or refuses them with an AsocError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (payload) => {
      decodeOrRefuse(payload);
    }),
    { numRuns: 2000 },
  );
});

test("decodeRecords() reads a random body of every op or refuses it with an AsocError", () => {
  const op = fc.constantFrom(...Object.values(RecordOp));
  fc.assert(
    fc.property(op, fc.uint8Array({ maxLength: 200 }), (number, body) => {
      decodeOrRefuse(joinBytes([Uint8Array.of(number, 0, 0, body.length), body]));
    }),
    { numRuns: 3000 },
  );
});

test("decodeRecords() reads a mutated record or refuses it; what it read can be written and read again", () => {
  const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
  const changes = fc.array(change, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(record(), changes, fc.nat(), (one, wanted, cut) => {
      const bytes = encodeRecord(one);
      for (const [at, mask] of wanted) {
        // Half of the changes go where the fixed fields are.
        const place = at % 2 === 0 ? (at >> 1) % bytes.length : (at >> 1) % Math.min(bytes.length, 80);
        bytes[place] = (bytes[place] ?? 0) ^ mask;
      }
      const payload = cut % 4 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes;
      const read = decodeOrRefuse(payload);
      if (read) assert.deepEqual(decodeRecords(encodeControl(read)), read);
    }),
    { numRuns: 4000 },
  );
});

test("decodeRecords() refuses every sample that is cut off within a record", () => {
  for (const { name, record: sample } of SAMPLES) {
    const bytes = encodeRecord(sample);
    for (let byteCount = 1; byteCount < bytes.length; byteCount++) {
      assert.throws(
        () => decodeRecords(bytes.subarray(0, byteCount)),
        (error) => error instanceof AsocError && error.code === "ASOC_BAD_RECORD",
        `${name}, ${byteCount} of ${bytes.length} bytes`,
      );
    }
  }
});

test("decodeRecords() keeps no reference to the payload", () => {
  for (const { name, record: sample } of SAMPLES) {
    const payload = encodeRecord(sample);
    const read = decodeRecords(payload);
    payload.fill(0xee);
    assert.deepEqual(read, [sample], name);
  }
});

test("encodeRecord() returns memory of its own", () => {
  const [first, second] = SAMPLES.slice(0, 2).map((sample) => encodeRecord(sample.record));
  assert.ok(first && second);
  assert.equal(first.byteLength, first.buffer.byteLength);
  assert.notEqual(first.buffer, second.buffer);
});

test("encodeControlInto() writes into the caller's memory, and no further", () => {
  const records = SAMPLES.slice(2, 6).map((sample) => sample.record);
  const payload = encodeControl(records);
  const into = new Uint8Array(payload.length + 5).fill(0xee);
  assert.equal(encodeControlInto(records, into), payload.length);
  assert.deepEqual(into.subarray(0, payload.length), payload);
  assert.deepEqual(into.subarray(payload.length), new Uint8Array(5).fill(0xee));
  for (let byteCount = 0; byteCount < payload.length; byteCount += 7) {
    assert.throws(() => encodeControlInto(records, new Uint8Array(byteCount)), RangeError);
  }
});

test("encodeControl() and encodeControlInto() refuse more than a CONTROL frame holds", () => {
  const ping: X1Record = { kind: "ping", opaque: new Uint8Array(8), unixMs: 0 };
  const most = Math.floor(MAX_CONTROL_BYTES / 20);
  assert.equal(encodeControl(Array.from({ length: most }, () => ping)).length, most * 20);
  const tooMany = Array.from({ length: most + 1 }, () => ping);
  const refusal = { name: "RangeError", message: /expected at most 16384$/ };
  assert.throws(() => encodeControl(tooMany), refusal);
  assert.throws(() => encodeControlInto(tooMany, new Uint8Array(100_000)), refusal);
});
