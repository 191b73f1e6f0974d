import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { addressBytes, inRange, parseRange } from "../../../src/core/access/address_range.ts";

const covers = (range: string, address: string) => {
  const bytes = addressBytes(address);
  return bytes !== undefined && inRange(bytes, parseRange(range));
};

test("parseRange() and inRange() hold IPv4 and IPv6 addresses against ranges and single addresses", () => {
  const rows: [string, string, boolean][] = [
    ["10.0.0.0/8", "10.255.255.255", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["192.0.2.128/25", "192.0.2.127", false],
    ["192.0.2.128/25", "192.0.2.129", true],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["192.0.2.7", "192.0.2.7", true],
    ["192.0.2.7", "192.0.2.8", false],
    ["fd00::/8", "fdff:1::2", true],
    ["fd00::/8", "fe80::1", false],
    ["2001:db8::/33", "2001:db8:7fff::1", true],
    ["2001:db8::/33", "2001:db8:8000::1", false],
    ["::/0", "::1", true],
    ["fe80::/10", "fe80::1%eth0", true],
  ];
  for (const [range, address, expected] of rows)
    assert.equal(covers(range, address), expected, `${range} ${address}`);
});

test("an IPv4 address inside IPv6 is the IPv4 address, in a range as well", () => {
  assert.ok(covers("192.0.2.0/24", "::ffff:192.0.2.7"));
  assert.ok(covers("192.0.2.0/24", "::ffff:c000:0207"));
  assert.ok(covers("::ffff:192.0.2.0/120", "192.0.2.7"));
  assert.ok(!covers("::/0", "::ffff:192.0.2.7"), "IPv6 ranges are not about IPv4");
});

test("addressBytes() knows no names and no ambiguous numbers", () => {
  for (const text of [
    "",
    "localhost",
    "1.2.3",
    "1.2.3.4.5",
    "010.0.0.1",
    "256.0.0.1",
    "1.2.3.-4",
    ":::",
    "1::2::3",
    "12345::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8:9",
    "::1.2.3",
    "g::",
  ])
    assert.equal(addressBytes(text), undefined, text);
});

test("addressBytes() takes what the runtime takes for an IP address", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ maxLength: 20 })), (text) => {
      if (text.includes("%")) return;
      assert.equal(addressBytes(text) !== undefined, isIP(text) !== 0, text);
    }),
    { numRuns: 2000 },
  );
});

test("parseRange() refuses what is no range, and bits behind the prefix", () => {
  for (const text of [
    "",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "fd00::/129",
    "host/8",
    "::ffff:10.0.0.0/8",
    "10.0.0.0/08x",
  ])
    assert.throws(() => parseRange(text), RangeError, text);
  assert.throws(() => parseRange("10.0.0.5/8"), /bits set behind its prefix/);
});
