import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatAddress, isLoopback, parseAddress } from "../../src/core/address.ts";

const port = () => fc.integer({ min: 1, max: 65_535 });

test("parseAddress() gives back what formatAddress() wrote, for IPv4, IPv6 and names", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), port(), (host, number) => {
      const address = { host, port: number };
      assert.deepEqual(parseAddress(formatAddress(address)), address);
    }),
  );
});

test("formatAddress() puts IPv6 in brackets", () => {
  assert.equal(formatAddress({ host: "::1", port: 9000 }), "[::1]:9000");
  assert.equal(formatAddress({ host: "10.0.0.1", port: 9000 }), "10.0.0.1:9000");
});

test("parseAddress() refuses other texts and names them", () => {
  for (const text of [
    "",
    "host",
    "host:",
    ":9000",
    "host:0",
    "host:65536",
    "host:-1",
    "host:1e3",
    "::1:9000",
    "[::1]",
    "a b:1",
    "http://host:1",
    "u@host:1",
    "host:9000/x",
  ]) {
    assert.throws(
      () => parseAddress(text),
      { name: "RangeError", message: `address: expected HOST:PORT, got ${JSON.stringify(text)}` },
      text,
    );
  }
});

test("parseAddress() takes no notice of space around it", () => {
  assert.deepEqual(parseAddress(" node-1.lan:9000\n"), { host: "node-1.lan", port: 9000 });
});

test("isLoopback() knows this machine's own addresses", () => {
  for (const host of ["localhost", "127.0.0.1", "127.255.3.9", "::1"])
    assert.equal(isLoopback(host), true, host);
  for (const host of ["0.0.0.0", "10.0.0.1", "::", "128.0.0.1", "127.example.org"])
    assert.equal(isLoopback(host), false, host);
});
