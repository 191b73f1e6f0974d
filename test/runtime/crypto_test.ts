/** The primitives of the runtime that runs this file, against published vectors. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AuthError } from "../../src/core/errors.ts";
import { fromHex, toHex, utf8 } from "../../src/core/wire/bytes.ts";
import { crypto } from "../../src/runtime/common/host.ts";
import { testCrypto } from "../support/core_crypto.ts";

/** RFC 7748, 6.1. */
const ALICE = {
  privateKey: fromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"),
  publicKey: fromHex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
};
const BOB = {
  privateKey: fromHex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
  publicKey: fromHex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"),
};
const ALICE_AND_BOB = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

test("sha256() and sha256Stream() give the digests of FIPS 180-2", () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.equal(toHex(crypto.sha256(utf8("abc"))), abc);
  const stream = crypto.sha256Stream();
  for (const part of ["a", "", "bc"]) stream.update(utf8(part));
  assert.equal(toHex(stream.digest()), abc);
  const million = crypto.sha256Stream();
  for (let i = 0; i < 100; i++) million.update(new Uint8Array(10_000).fill(0x61));
  assert.equal(toHex(million.digest()), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  assert.deepEqual(crypto.sha256Stream().digest(), crypto.sha256(new Uint8Array(0)));
});

test("sha256Stream() keeps no reference to a part, and its digest is taken once", () => {
  const part = utf8("abc");
  const stream = crypto.sha256Stream();
  stream.update(part);
  part.fill(0);
  assert.deepEqual(stream.digest(), crypto.sha256(utf8("abc")));
  assert.throws(() => stream.digest());
  assert.throws(() => stream.update(part));
});

test("hmacSha256() gives the value of RFC 4231, 4.3", () => {
  const tag = crypto.hmacSha256(utf8("Jefe"), utf8("what do ya want for nothing?"));
  assert.equal(toHex(tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
});

test("x25519() gives the values of RFC 7748, 5.2", () => {
  const vectors = [
    [
      "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
      "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
      "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ],
    [
      "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
      "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
      "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ],
    [
      "0900000000000000000000000000000000000000000000000000000000000000",
      "0900000000000000000000000000000000000000000000000000000000000000",
      "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
    ],
  ] as const;
  for (const [scalar, point, shared] of vectors) {
    assert.equal(toHex(crypto.x25519(fromHex(scalar), fromHex(point))), shared);
  }
});

test("x25519() gives both sides of RFC 7748, 6.1 the same secret", () => {
  assert.equal(toHex(crypto.x25519(ALICE.privateKey, BOB.publicKey)), ALICE_AND_BOB);
  assert.equal(toHex(crypto.x25519(BOB.privateKey, ALICE.publicKey)), ALICE_AND_BOB);
});

test("x25519() refuses public keys of small order: their secret is all zero", () => {
  const points = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  ];
  for (const point of points) {
    assert.throws(
      () => crypto.x25519(ALICE.privateKey, fromHex(point)),
      (error) => error instanceof AuthError && error.code === "ASOC_BAD_PUBLIC_KEY",
      point,
    );
  }
});

test("x25519() refuses keys of another length", () => {
  for (const byteCount of [0, 31, 33]) {
    const wrong = new Uint8Array(byteCount);
    const message = new RegExp(`${byteCount} bytes, expected 32`);
    assert.throws(() => crypto.x25519(wrong, BOB.publicKey), { name: "RangeError", message });
    assert.throws(() => crypto.x25519(ALICE.privateKey, wrong), { name: "RangeError", message });
  }
});

test("x25519KeyPair() makes another pair each time, and any two agree on a secret", () => {
  const one = crypto.x25519KeyPair();
  const other = crypto.x25519KeyPair();
  assert.notDeepEqual(one.privateKey, other.privateKey);
  assert.deepEqual(
    crypto.x25519(one.privateKey, other.publicKey),
    crypto.x25519(other.privateKey, one.publicKey),
  );
  assert.equal(Object.getPrototypeOf(one.publicKey), Uint8Array.prototype);
});

test("x25519KeyPair() takes its private key from randomBytes, and its public key is that of RFC 7748", () => {
  assert.deepEqual(testCrypto(7).x25519KeyPair(), testCrypto(7).x25519KeyPair());
  const base = new Uint8Array(32);
  base[0] = 9;
  assert.deepEqual(crypto.x25519(ALICE.privateKey, base), ALICE.publicKey);
  const { privateKey, publicKey } = testCrypto(7).x25519KeyPair();
  assert.deepEqual(crypto.x25519(privateKey, base), publicKey);
});

/** Cases 13, 14 and 16 of the GCM specification that NIST SP 800-38D refers to. */
const GCM = [
  {
    key: "00".repeat(32),
    nonce: "00".repeat(12),
    plaintext: "",
    aad: "",
    sealed: "530f8afbc74536b9a963b4f1c4cb738b",
  },
  {
    key: "00".repeat(32),
    nonce: "00".repeat(12),
    plaintext: "00".repeat(16),
    aad: "",
    sealed: "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
  },
  {
    key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
    nonce: "cafebabefacedbaddecaf888",
    plaintext:
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
    sealed:
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
      "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
      "76fc6ece0f4e1768cddf8853bb2d551b",
  },
].map(({ key, nonce, plaintext, aad, sealed }) => ({
  key: fromHex(key),
  nonce: fromHex(nonce),
  plaintext: fromHex(plaintext),
  aad: fromHex(aad),
  sealed: fromHex(sealed),
}));

test("aes256GcmSeal() and aes256GcmOpen() give the values of the GCM specification", () => {
  for (const { key, nonce, plaintext, aad, sealed } of GCM) {
    assert.deepEqual(crypto.aes256GcmSeal(key, nonce, plaintext, aad), sealed);
    assert.deepEqual(crypto.aes256GcmOpen(key, nonce, sealed, aad), plaintext);
    if (aad.length > 0) continue;
    assert.deepEqual(crypto.aes256GcmSeal(key, nonce, plaintext), sealed);
    assert.deepEqual(crypto.aes256GcmOpen(key, nonce, sealed), plaintext);
  }
});

test("aes256GcmOpen() sees every changed byte of what was sealed, of nonce, data and key", () => {
  for (const vector of GCM) {
    for (const part of ["sealed", "nonce", "aad", "key"] as const) {
      for (let at = 0; at < vector[part].length; at++) {
        const changed = vector[part].slice();
        changed[at] = (changed[at] ?? 0) ^ 0x40;
        const wrong = { ...vector };
        wrong[part] = changed;
        const { key, nonce, sealed, aad } = wrong;
        assert.equal(crypto.aes256GcmOpen(key, nonce, sealed, aad), undefined, `${part}, byte ${at}`);
      }
    }
  }
});

test("aes256GcmOpen() refuses what is shorter than a tag, or cut off", () => {
  const { key, nonce, sealed, aad } = GCM[2] ?? assert.fail();
  for (let byteCount = 0; byteCount < sealed.length; byteCount++) {
    assert.equal(crypto.aes256GcmOpen(key, nonce, sealed.subarray(0, byteCount), aad), undefined);
  }
});

test("aes256GcmSeal() and aes256GcmOpen() refuse keys and nonces of another length", () => {
  const key = new Uint8Array(32);
  const nonce = new Uint8Array(12);
  const data = new Uint8Array(20);
  for (const call of [crypto.aes256GcmSeal, crypto.aes256GcmOpen]) {
    assert.throws(() => call(key.subarray(1), nonce, data), {
      name: "RangeError",
      message: "key: 31 bytes, expected 32",
    });
    assert.throws(() => call(key, nonce.subarray(1), data), {
      name: "RangeError",
      message: "nonce: 11 bytes, expected 12",
    });
  }
});

test("crc32() gives the check value of CRC-32, whole and in parts", () => {
  assert.equal(crypto.crc32(utf8("123456789")), 0xcbf4_3926);
  assert.equal(crypto.crc32(utf8("6789"), crypto.crc32(utf8("12345"))), 0xcbf4_3926);
  assert.equal(crypto.crc32(new Uint8Array(0)), 0);
  assert.equal(crypto.crc32(new Uint8Array(0), 0xcbf4_3926), 0xcbf4_3926);
});
