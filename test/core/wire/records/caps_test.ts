import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../../../../src/core/wire/bytes.ts";
import { decodeRecords, encodeRecord } from "../../../../src/core/wire/records/records.ts";
import { assertRefused, assertUnwritable, extended, patched } from "../../../support/x1_expect.ts";
import { FULL_CAPS, MINIMAL_CAPS } from "../../../support/x1_samples.ts";

const BAD = "ASOC_BAD_RECORD";
const LIMIT = "ASOC_RECORD_LIMIT";

test("encodeRecord() lays CAPS out as specified", () => {
  assert.equal(
    toHex(encodeRecord(MINIMAL_CAPS)),
    [
      "01 00 0040",
      "01 0c 1000 01000000 00100000 00000000",
      "1122334455668788 99aab0b1b2b3b4b5",
      "202122232425262728292a2b2c2d2e2f",
      "4041424344454647",
      "50515253",
      "67748580",
    ]
      .join("")
      .replaceAll(" ", ""),
  );
});

test("encodeRecord() writes the TLVs of CAPS in ascending order", () => {
  const tlvs = toHex(encodeRecord(FULL_CAPS)).slice(2 * 68);
  const host = (text: string) =>
    `${text.length.toString(16).padStart(2, "0")}${toHex(new TextEncoder().encode(text))}`;
  assert.equal(
    tlvs,
    [
      `00010020${toHex(FULL_CAPS.publicKey ?? assert.fail())}`,
      `0002002a${"2328"}${host("192.0.2.7")}ffff${host("2001:db8::7")}0001${host("gpu-7.example")}`,
      `00030006${"7261636b2d37"}`,
      `00040010${"03677075"}${"0468313030"}${"0572c3b46c65"}00`,
    ].join(""),
  );
});

test("decodeRecords() takes the TLVs of CAPS in any order, and skips those that it does not know", () => {
  const zone = [0, 3, 0, 1, 0x7a];
  const labels = [0, 4, 0, 3, 1, 0x6b, 0];
  const unknown = [0x12, 0x34, 0, 1, 0xff];
  const [record] = decodeRecords(extended(MINIMAL_CAPS, ...labels, ...unknown, ...zone));
  assert.deepEqual(record, { ...MINIMAL_CAPS, zone: "z", labels: new Map([["k", ""]]) });
});

test("decodeRecords() reads a CAPS of a later version like this one", () => {
  assert.deepEqual(decodeRecords(patched(MINIMAL_CAPS, 0, 2)), [{ ...MINIMAL_CAPS, extVersion: 2 }]);
});

test("decodeRecords() refuses a CAPS that breaks a rule", () => {
  assertRefused(patched(MINIMAL_CAPS, 0, 0), BAD, /CAPS: ext_version: expected 1 to 255, got 0$/);
  assertRefused(extended(MINIMAL_CAPS, 0, 1, 0, 31, ...new Uint8Array(31)), BAD, /x25519 public key/);
  assertRefused(extended(MINIMAL_CAPS, 0, 1, 0, 33, ...new Uint8Array(33)), BAD, /x25519 public key/);
  assertRefused(extended(MINIMAL_CAPS, 0, 2, 0, 0), BAD, /addresses: port/);
  assertRefused(extended(MINIMAL_CAPS, 0, 2, 0, 4, 0, 0, 1, 0x61), BAD, /port: expected 1 to 65535, got 0$/);
  assertRefused(extended(MINIMAL_CAPS, 0, 2, 0, 3, 0, 1, 0), BAD, /host: expected at least 1 bytes, got 0$/);
  assertRefused(extended(MINIMAL_CAPS, 0, 2, 0, 4, 0, 1, 1, 0x20), BAD, /expected an IP address or a host/);
  assertRefused(extended(MINIMAL_CAPS, 0, 2, 0, 4, 0, 1, 1, 0x0a), BAD, /got "\\n"$/);
  assertRefused(
    extended(MINIMAL_CAPS, 0, 2, 0, 4, 0, 1, 9, 0x61),
    BAD,
    /host: expected 9 bytes at byte 3, got 1$/,
  );
  assertRefused(extended(MINIMAL_CAPS, 0, 3, 0, 0), BAD, /zone: expected at least 1 bytes, got 0$/);
  assertRefused(extended(MINIMAL_CAPS, 0, 3, 0, 1, 0xff), BAD, /zone: expected UTF-8/);
  assertRefused(extended(MINIMAL_CAPS, 0, 4, 0, 0), BAD, /label key length/);
  assertRefused(extended(MINIMAL_CAPS, 0, 4, 0, 2, 0, 0), BAD, /label key: expected at least 1 bytes/);
  assertRefused(extended(MINIMAL_CAPS, 0, 4, 0, 2, 1, 0x61), BAD, /label value length/);
  const twice = [1, 0x6b, 0, 1, 0x6b, 0];
  assertRefused(extended(MINIMAL_CAPS, 0, 4, 0, 6, ...twice), BAD, /keys that differ, got "k"$/);
});

test("decodeRecords() refuses a CAPS with more than it may hold", () => {
  const nine = Array.from({ length: 9 }, () => [0, 1, 1, 0x61]).flat();
  assertRefused(
    extended(MINIMAL_CAPS, 0, 2, 0, nine.length, ...nine),
    LIMIT,
    /addresses: expected at most 8/,
  );
  const longHost = [0, 1, 254, ...new Uint8Array(254).fill(0x61)];
  assertRefused(
    extended(MINIMAL_CAPS, 0, 2, 1, 1, ...longHost),
    LIMIT,
    /host bytes: expected at most 253, got 254/,
  );
  const longZone = new Uint8Array(65).fill(0x61);
  assertRefused(
    extended(MINIMAL_CAPS, 0, 3, 0, 65, ...longZone),
    LIMIT,
    /zone bytes: expected at most 64, got 65/,
  );
  const many = Array.from({ length: 33 }, (_, index) => [2, 0x61, 0x21 + index, 0]).flat();
  assertRefused(extended(MINIMAL_CAPS, 0, 4, 0, many.length, ...many), LIMIT, /labels: expected at most 32/);
  const longKey = [64, ...new Uint8Array(64).fill(0x61), 0];
  assertRefused(extended(MINIMAL_CAPS, 0, 4, 0, longKey.length, ...longKey), LIMIT, /label key bytes/);
});

test("decodeRecords() keeps the label __proto__ a label", () => {
  const labels = new Map([["__proto__", "x"]]);
  const [record] = decodeRecords(encodeRecord({ ...MINIMAL_CAPS, labels }));
  assert.deepEqual(record, { ...MINIMAL_CAPS, labels });
});

test("encodeRecord() refuses a CAPS that breaks a rule", () => {
  assertUnwritable({ ...MINIMAL_CAPS, extVersion: 0 }, /^CAPS: ext_version: expected 1 to 255, got 0$/);
  assertUnwritable({ ...MINIMAL_CAPS, keepaliveS: 256 }, /keepalive_s/);
  assertUnwritable({ ...MINIMAL_CAPS, uuid: new Uint8Array(15) }, /uuid: 15 bytes, expected 16/);
  assertUnwritable({ ...MINIMAL_CAPS, publicKey: new Uint8Array(31) }, /31 bytes, expected 32/);
  assertUnwritable({ ...MINIMAL_CAPS, zone: "" }, /zone: 0 bytes, expected 1 to 64/);
  const host = { host: "a", port: 1 };
  assertUnwritable(
    { ...MINIMAL_CAPS, addresses: Array(9).fill(host) },
    /addresses: expected at most 8, got 9/,
  );
  assertUnwritable({ ...MINIMAL_CAPS, addresses: [{ host: "a", port: 0 }] }, /port: expected 1 to 65535/);
  assertUnwritable(
    { ...MINIMAL_CAPS, addresses: [{ host: "[::1]", port: 1 }] },
    /an IP address or a host name/,
  );
  const labels = new Map(Array.from({ length: 33 }, (_, index) => [`${index}`, ""]));
  assertUnwritable({ ...MINIMAL_CAPS, labels }, /labels: expected at most 32, got 33/);
  assertUnwritable({ ...MINIMAL_CAPS, labels: new Map([["", ""]]) }, /label key: 0 bytes, expected 1 to 63/);
});
