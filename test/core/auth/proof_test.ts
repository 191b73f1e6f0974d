import assert from "node:assert/strict";
import { test } from "node:test";
import {
  handshakeSecret,
  keyId,
  makeProof,
  type ProofSecrets,
  roleKey,
  type Transcript,
  transcriptHash,
  verifyProof,
} from "../../../src/core/auth/proof.ts";
import { joinBytes, utf8 } from "../../../src/core/wire/bytes.ts";
import { testCrypto } from "../../support/core_crypto.ts";
import { fixedHandshake } from "../../support/x1_handshake.ts";

const crypto = testCrypto();
const NOTHING = new Uint8Array(0);
const plain = fixedHandshake(false, NOTHING, crypto);
const agreed = fixedHandshake(true, new Uint8Array(32).fill(0x77), crypto);

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = bytes.slice();
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
  return changed;
}

/** Both proofs of a handshake in which something is different. */
function proofsOf(said: Transcript, known: ProofSecrets): Uint8Array[] {
  const th = transcriptHash(said, crypto);
  const prk = handshakeSecret(known, crypto);
  return [makeProof(prk, "dialler", th, crypto), makeProof(prk, "acceptor", th, crypto)];
}

test("transcriptHash() is SHA-256 over the label and all that was said, in order", () => {
  for (const handshake of [plain, agreed]) {
    const { helloFrame, acceptFrame, diallerCaps, acceptorCaps, tlsBinding } = handshake;
    const said = [utf8("asoc/x1"), helloFrame, acceptFrame, diallerCaps, acceptorCaps, tlsBinding];
    assert.deepEqual(transcriptHash(handshake, crypto), crypto.sha256(joinBytes(said)));
  }
});

test("handshakeSecret() extracts from the length-prefixed key and secret under both nonces", () => {
  const salt = joinBytes([agreed.diallerNonce, agreed.acceptorNonce]);
  const { key, sharedSecret = assert.fail() } = agreed;
  const material = [Uint8Array.of(0, key.length), key, Uint8Array.of(0, 32), sharedSecret];
  assert.deepEqual(handshakeSecret(agreed, crypto), crypto.hmacSha256(salt, joinBytes(material)));
  const without = [Uint8Array.of(0, key.length), key, Uint8Array.of(0, 0)];
  const plainSalt = joinBytes([plain.diallerNonce, plain.acceptorNonce]);
  assert.deepEqual(handshakeSecret(plain, crypto), crypto.hmacSha256(plainSalt, joinBytes(without)));
});

test("roleKey() and makeProof() are HKDF-Expand and HMAC over the transcript", () => {
  const info = joinBytes([utf8("acceptor"), agreed.th, Uint8Array.of(1)]);
  const expected = crypto.hmacSha256(agreed.prk, info);
  assert.deepEqual(roleKey(agreed.prk, "acceptor", agreed.th, crypto), expected);
  assert.deepEqual(agreed.acceptorProof, crypto.hmacSha256(expected, agreed.th));
});

test("handshakeSecret() does not confuse where the key ends and the secret begins", () => {
  const nonces = { diallerNonce: plain.diallerNonce, acceptorNonce: plain.acceptorNonce };
  const one = handshakeSecret({ ...nonces, key: utf8("ab"), sharedSecret: utf8("c") }, crypto);
  const other = handshakeSecret({ ...nonces, key: utf8("a"), sharedSecret: utf8("bc") }, crypto);
  assert.notDeepEqual(one, other);
});

test("verifyProof() accepts the proof of its role and no other", () => {
  for (const { prk, th, diallerProof, acceptorProof } of [plain, agreed]) {
    assert.equal(verifyProof(diallerProof, prk, "dialler", th, crypto), true);
    assert.equal(verifyProof(acceptorProof, prk, "acceptor", th, crypto), true);
    assert.equal(verifyProof(diallerProof, prk, "acceptor", th, crypto), false, "reflected");
    assert.equal(verifyProof(acceptorProof, prk, "dialler", th, crypto), false, "reflected");
  }
});

test("verifyProof() sees every flipped bit and every other length", () => {
  const { prk, th, diallerProof } = agreed;
  for (let bit = 0; bit < 256; bit++) {
    assert.equal(verifyProof(flipped(diallerProof, bit), prk, "dialler", th, crypto), false, `bit ${bit}`);
  }
  for (const proof of [NOTHING, diallerProof.subarray(1), joinBytes([diallerProof, Uint8Array.of(0)])]) {
    assert.equal(verifyProof(proof, prk, "dialler", th, crypto), false);
  }
});

test("a changed bit anywhere in what was said changes both proofs", () => {
  const honest = [agreed.diallerProof, agreed.acceptorProof];
  for (const part of ["helloFrame", "acceptFrame", "diallerCaps", "acceptorCaps", "tlsBinding"] as const) {
    for (let bit = 0; bit < 8 * agreed[part].length; bit++) {
      const isLength = part.endsWith("Caps") && bit >= 16 && bit < 32;
      if (isLength) continue; // transcriptHash() refuses it
      const proofs = proofsOf({ ...agreed, [part]: flipped(agreed[part], bit) }, agreed);
      for (const [index, proof] of proofs.entries())
        assert.notDeepEqual(proof, honest[index], `${part} ${bit}`);
    }
  }
});

test("another key, nonce, secret or binding changes both proofs", () => {
  const honest = [agreed.diallerProof, agreed.acceptorProof];
  const changed: readonly (readonly [Transcript, ProofSecrets])[] = [
    [agreed, { ...agreed, key: utf8("another key") }],
    [agreed, { ...agreed, diallerNonce: flipped(agreed.diallerNonce, 0) }],
    [agreed, { ...agreed, acceptorNonce: flipped(agreed.acceptorNonce, 0) }],
    [agreed, { ...agreed, diallerNonce: agreed.acceptorNonce, acceptorNonce: agreed.diallerNonce }],
    [agreed, { ...agreed, sharedSecret: undefined }],
    [agreed, { ...agreed, sharedSecret: new Uint8Array(32) }],
    [{ ...agreed, tlsBinding: NOTHING }, agreed],
    [{ ...agreed, diallerCaps: agreed.acceptorCaps, acceptorCaps: agreed.diallerCaps }, agreed],
  ];
  for (const [said, known] of changed) {
    for (const [index, proof] of proofsOf(said, known).entries()) assert.notDeepEqual(proof, honest[index]);
  }
});

test("transcriptHash() refuses parts that cannot be what they are called", () => {
  const cases: readonly (readonly [Partial<Transcript>, string])[] = [
    [{ helloFrame: agreed.helloFrame.subarray(14) }, "HELLO frame: 36 bytes, expected 50"],
    [{ acceptFrame: agreed.acceptFrame.subarray(14) }, "ACCEPT frame: 16 bytes, expected 30"],
    [{ diallerCaps: NOTHING }, "CAPS record: 0 bytes, expected 4"],
    [
      { acceptorCaps: agreed.acceptorCaps.subarray(4) },
      `CAPS record: ${agreed.acceptorCaps.length - 4} bytes, expected 4100`,
    ],
    [{ tlsBinding: new Uint8Array(31) }, "TLS binding: 31 bytes, expected 32"],
  ];
  for (const [changed, message] of cases) {
    assert.throws(() => transcriptHash({ ...agreed, ...changed }, crypto), { name: "RangeError", message });
  }
});

test("handshakeSecret() refuses keys and nonces of no possible length, and leaves the key as it was", () => {
  const key = new Uint8Array(65_536);
  assert.throws(() => handshakeSecret({ ...plain, key }, crypto), {
    name: "RangeError",
    message: "key: 65536 bytes, expected at most 65535",
  });
  for (const nonce of ["dialler", "acceptor"] as const) {
    assert.throws(() => handshakeSecret({ ...plain, [`${nonce}Nonce`]: new Uint8Array(15) }, crypto), {
      name: "RangeError",
      message: `${nonce}'s nonce: 15 bytes, expected 16`,
    });
  }
  const before = agreed.key.slice();
  handshakeSecret(agreed, crypto);
  assert.deepEqual(agreed.key, before);
});

test("keyId() is the start of an HMAC, in memory of its own", () => {
  const id = keyId(utf8("k"), crypto);
  assert.deepEqual(id, crypto.hmacSha256(utf8("k"), utf8("asoc/key id")).slice(0, 4));
  assert.equal(id.buffer.byteLength, 4);
  assert.notDeepEqual(keyId(utf8("j"), crypto), id);
});
