import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { plausibleKeyBits, WEAK_KEY_BITS } from "../../../src/core/auth/key_strength.ts";
import { toHex } from "../../../src/core/wire/bytes.ts";
import { testCrypto } from "../../support/core_crypto.ts";

const crypto = testCrypto(3);
const isWeak = (key: string) => plausibleKeyBits(key) < WEAK_KEY_BITS;
const many = (make: () => string) => Array.from({ length: 500 }, make);

test("plausibleKeyBits() finds random keys of 256 bits strong, as hex and as base64", () => {
  for (const key of many(() => toHex(crypto.randomBytes(32)))) {
    const bits = plausibleKeyBits(key);
    assert.ok(bits >= 230 && bits <= 256, `${key}: ${bits}`);
  }
  for (const key of many(() => Buffer.from(crypto.randomBytes(32)).toString("base64")))
    assert.ok(plausibleKeyBits(key) >= 200, key);
});

test("plausibleKeyBits() warns of hardly any random key of 128 bits", () => {
  const hex = many(() => toHex(crypto.randomBytes(16))).filter(isWeak);
  const base64 = many(() => Buffer.from(crypto.randomBytes(16)).toString("base64url")).filter(isWeak);
  assert.ok(hex.length <= 10, `${hex.length} of 500 as hex: ${hex[0]}`);
  assert.ok(base64.length <= 10, `${base64.length} of 500 as base64: ${base64[0]}`);
});

test("plausibleKeyBits() never finds a random key of 64 bits strong", () => {
  for (const key of many(() => toHex(crypto.randomBytes(8)))) assert.ok(plausibleKeyBits(key) <= 64, key);
});

test("plausibleKeyBits() counts the 122 random bits of a UUID", () => {
  assert.equal(plausibleKeyBits("3f2b8c1e-94d7-4a60-b5e9-0d1c7a82f634"), 122);
});

test("plausibleKeyBits() finds what people choose weak", () => {
  const weak = [
    "",
    "a",
    "password",
    "Tr0ub4dor&3",
    "test-secret-key",
    "correct horse battery staple",
    "the quick brown fox jumps over the lazy dog",
    "12345678901234567890123456789012345678901234567890",
    "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "deadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    "passwordpasswordpasswordpasswordpasswordpassword",
    "x".repeat(64),
    "鍵".repeat(20),
  ];
  for (const key of weak) assert.ok(isWeak(key), `${JSON.stringify(key)}: ${plausibleKeyBits(key)}`);
  assert.equal(plausibleKeyBits(""), 0);
  assert.ok(plausibleKeyBits("password") < 45);
});

test("plausibleKeyBits() finds twelve drawn words strong", () => {
  const words = "legal winner thank yellow sausage worth useful ranch canyon orbit gravel meadow";
  assert.equal(isWeak(words), false, String(plausibleKeyBits(words)));
});
