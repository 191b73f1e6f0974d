import assert from "node:assert/strict";
import { test } from "node:test";
import { hkdfExpand, hkdfExtract } from "../../../src/core/auth/hkdf.ts";
import { fromHex, toHex } from "../../../src/core/wire/bytes.ts";
import { testCrypto } from "../../support/core_crypto.ts";

const crypto = testCrypto();
const count = (from: number, byteCount: number) => Uint8Array.from({ length: byteCount }, (_, i) => from + i);

/** RFC 5869, A.1 to A.3. */
const VECTORS = [
  {
    material: new Uint8Array(22).fill(0x0b),
    salt: count(0x00, 13),
    info: count(0xf0, 10),
    prk: "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
    output: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
  },
  {
    material: count(0x00, 80),
    salt: count(0x60, 80),
    info: count(0xb0, 80),
    prk: "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
    output:
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09" +
      "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
  },
  {
    material: new Uint8Array(22).fill(0x0b),
    salt: new Uint8Array(0),
    info: new Uint8Array(0),
    prk: "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
    output: "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
  },
];

test("hkdfExtract() and hkdfExpand() give the values of RFC 5869", () => {
  for (const { material, salt, info, prk, output } of VECTORS) {
    assert.equal(toHex(hkdfExtract(salt, material, crypto)), prk);
    assert.equal(toHex(hkdfExpand(fromHex(prk), info, output.length / 2, crypto)), output);
  }
});

test("hkdfExpand() gives a prefix of the longer output for every length", () => {
  const prk = new Uint8Array(32).fill(1);
  const info = new Uint8Array(3);
  const longest = hkdfExpand(prk, info, 255 * 32, crypto);
  for (const byteCount of [1, 31, 32, 33, 64, 8159, 8160]) {
    assert.deepEqual(hkdfExpand(prk, info, byteCount, crypto), longest.subarray(0, byteCount));
  }
});

test("hkdfExpand() refuses lengths that one counter byte cannot number", () => {
  for (const byteCount of [0, -1, 1.5, 8161]) {
    assert.throws(() => hkdfExpand(new Uint8Array(32), new Uint8Array(0), byteCount, crypto), {
      name: "RangeError",
      message: `HKDF: ${byteCount} bytes, expected 1 to 8160`,
    });
  }
});
