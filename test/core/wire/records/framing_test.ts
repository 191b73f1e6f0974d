import assert from "node:assert/strict";
import { test } from "node:test";
import { LimitError, ProtocolError } from "../../../../src/core/errors.ts";
import { MAX_CAPS_BYTES, MAX_CONTROL_BYTES } from "../../../../src/core/limits.ts";
import { fromHex } from "../../../../src/core/wire/bytes.ts";
import { FieldWriter } from "../../../../src/core/wire/records/field_writer.ts";
import { splitRecords, wholeRecord, writeRecord } from "../../../../src/core/wire/records/framing.ts";
import { opName, RecordOp } from "../../../../src/core/wire/records/ops.ts";
import { decodeRecords, encodeRecord } from "../../../../src/core/wire/records/records.ts";
import { FULL_CAPS, MINIMAL_CAPS } from "../../../support/x1_samples.ts";

const PING = "3000 0010 0102030405060708 0000000000000000".replaceAll(" ", "");
const isPing = { kind: "ping", opaque: fromHex("0102030405060708"), unixMs: 0 };

test("splitRecords() cuts a payload into views of its records", () => {
  const payload = fromHex(`${PING}7f0100029999`);
  const [ping, other, ...more] = splitRecords(payload);
  assert.ok(ping && other);
  assert.deepEqual(more, []);
  assert.deepEqual(
    [ping.op, ping.critical, ping.body.length, wholeRecord(ping).length],
    [0x30, false, 16, 20],
  );
  assert.deepEqual([other.op, other.critical], [0x7f, true]);
  assert.deepEqual(other.body, fromHex("9999"));
  assert.deepEqual(wholeRecord(other), fromHex("7f0100029999"));
  assert.equal(wholeRecord(other).buffer, payload.buffer);
});

test("splitRecords() gives CAPS as it was sent, unknown TLVs included: the proof covers that", () => {
  const caps = encodeRecord(MINIMAL_CAPS);
  const sent = new Uint8Array(caps.length + 6);
  sent.set(caps);
  sent.set(fromHex("999900020102"), caps.length);
  sent[3] = caps.length - 4 + 6;
  assert.deepEqual(decodeRecords(sent), [MINIMAL_CAPS]);
  const [only] = splitRecords(sent);
  assert.deepEqual(only && wholeRecord(only), sent);
});

test("decodeRecords() skips an unknown op, and goes on behind it", () => {
  assert.deepEqual(decodeRecords(fromHex(`7f0000029999${PING}`)), [isPing]);
  assert.deepEqual(decodeRecords(fromHex(`00000000${PING}`)), [isPing]);
});

test("decodeRecords() refuses an unknown op that is critical", () => {
  assert.throws(
    () => decodeRecords(fromHex(`${PING}7f0100029999`)),
    (error) => {
      assert.ok(error instanceof ProtocolError);
      assert.equal(error.code, "ASOC_UNKNOWN_CRITICAL_RECORD");
      assert.equal(
        error.message,
        "Cannot read CONTROL: expected a known op in a critical record, got op 0x7f",
      );
      assert.equal(error.details.got, 0x7f);
      return true;
    },
  );
});

test("decodeRecords() takes a known op that is critical, and does not look at the other flags", () => {
  for (const flags of ["01", "fe", "ff"]) {
    assert.deepEqual(decodeRecords(fromHex(`30${flags}${PING.slice(4)}`)), [isPing]);
  }
  assert.deepEqual(decodeRecords(fromHex("7ffe0000")), []);
});

test("splitRecords() refuses a record whose header or body is cut off, and says where", () => {
  const cases = [
    ["30", "Cannot read CONTROL: record at byte 0: expected 4 bytes of header, got 1"],
    [`${PING}300000`, "Cannot read CONTROL: record at byte 20: expected 4 bytes of header, got 3"],
    ["30000010ff", "Cannot read PING: body: expected 16 bytes, got 1"],
    ["7f00ffff", "Cannot read op 0x7f: body: expected 65535 bytes, got 0"],
  ] as const;
  for (const [hex, message] of cases) {
    assert.throws(
      () => splitRecords(fromHex(hex)),
      (error) => {
        assert.ok(error instanceof ProtocolError);
        assert.equal(error.code, "ASOC_BAD_RECORD");
        assert.equal(error.message, message);
        return true;
      },
    );
  }
});

test("splitRecords() takes 16 KiB and refuses a byte more before it reads any", () => {
  const most = new Uint8Array(MAX_CONTROL_BYTES);
  most.set([0x7f, 0, 0x3f, 0xfc]);
  assert.equal(splitRecords(most)[0]?.body.length, MAX_CONTROL_BYTES - 4);
  assert.throws(
    () => splitRecords(new Uint8Array(MAX_CONTROL_BYTES + 1)),
    (error) => error instanceof LimitError && error.code === "ASOC_FRAME_TOO_LARGE",
  );
});

test("splitRecords() takes as many records as a payload holds", () => {
  const payload = new Uint8Array(MAX_CONTROL_BYTES);
  for (let at = 0; at < payload.length; at += 4) payload[at] = 0x7f;
  assert.equal(splitRecords(payload).length, 4096);
  assert.deepEqual(decodeRecords(payload), []);
});

test("splitRecords() takes a CAPS of 1 KiB and refuses a longer one before it reads it", () => {
  for (const [byteCount, isFine] of [
    [MAX_CAPS_BYTES, true],
    [MAX_CAPS_BYTES + 1, false],
  ] as const) {
    const payload = new Uint8Array(byteCount);
    const fixed = encodeRecord(MINIMAL_CAPS);
    payload.set(fixed);
    // The rest is one TLV of a type that nobody knows.
    const tlvBytes = byteCount - fixed.length - 4;
    payload.set([0x77, 0x77, tlvBytes >> 8, tlvBytes & 0xff], fixed.length);
    payload.set([(byteCount - 4) >> 8, (byteCount - 4) & 0xff], 2);
    if (isFine) assert.deepEqual(decodeRecords(payload), [MINIMAL_CAPS]);
    else {
      assert.throws(
        () => decodeRecords(payload),
        (error) => error instanceof LimitError && error.code === "ASOC_RECORD_LIMIT",
      );
    }
  }
});

test("encodeRecord() refuses a CAPS over 1 KiB", () => {
  const labels = new Map(Array.from({ length: 8 }, (_, index) => [`key${index}`, "v".repeat(200)]));
  assert.throws(() => encodeRecord({ ...FULL_CAPS, labels }), {
    name: "RangeError",
    message: /^CAPS: record: expected at most 1024 bytes, got \d+$/,
  });
});

test("writeRecord() can mark a record of an op to come as critical", () => {
  const into = new Uint8Array(20);
  const out = new FieldWriter(into, "CONTROL");
  writeRecord(out, 0x7f, true, () => out.u16("field", 0xabcd));
  assert.deepEqual(into.subarray(0, out.length), fromHex("7f010002abcd"));
});

test("opName() names the ops, and unknown ones by number", () => {
  assert.deepEqual(Object.values(RecordOp).map(opName), Object.keys(RecordOp));
  assert.equal(opName(5), "op 0x05");
});
