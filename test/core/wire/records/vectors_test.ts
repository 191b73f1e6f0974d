/** The golden vectors of `test/vectors/x1.json`: made again they are the same, and read they give their fields. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  handshakeSecret,
  keyId,
  makeProof,
  type Transcript,
  transcriptHash,
  verifyProof,
} from "../../../../src/core/auth/proof.ts";
import { rotationKeys } from "../../../../src/core/auth/rotation_keys.ts";
import { AsocError } from "../../../../src/core/errors.ts";
import { decodeAccept, isX1Token } from "../../../../src/core/wire/accept.ts";
import { fromHex, toHex, utf8 } from "../../../../src/core/wire/bytes.ts";
import { compileGlob } from "../../../../src/core/wire/glob.ts";
import { decodeHello } from "../../../../src/core/wire/hello.ts";
import { decodeKeyGrant, decodeKeyReceipt, keyNonce } from "../../../../src/core/wire/records/key.ts";
import { decodeRecords, encodeControl } from "../../../../src/core/wire/records/records.ts";
import { testCrypto } from "../../../support/core_crypto.ts";
import { makeX1Vectors, toFields, vectorsText, type X1Vectors } from "../../../support/x1_vectors.ts";

const crypto = testCrypto();
const text = readFileSync(new URL("../../../vectors/x1.json", import.meta.url), "utf8");
const vectors = JSON.parse(text) as X1Vectors;

test("npm run vectors writes the file that is there", () => {
  assert.equal(vectorsText(makeX1Vectors(testCrypto(99))), text);
});

test("decodeRecords() gives the fields of every golden record, and they are written as the same bytes", () => {
  for (const { name, hex, fields } of vectors.records) {
    const records = decodeRecords(fromHex(hex));
    assert.deepEqual(records.map(toFields), [fields], name);
    assert.equal(toHex(encodeControl(records)), hex, name);
  }
});

test("decodeRecords() refuses every golden rejected payload with its error", () => {
  for (const { name, hex, error: code } of vectors.rejected) {
    assert.throws(
      () => decodeRecords(fromHex(hex)),
      (error) => error instanceof AsocError && error.code === code,
      name,
    );
  }
});

test("keyId() and isX1Token() hold for the golden keys and tokens", () => {
  for (const { key, keyId: id } of vectors.keyIds) assert.equal(toHex(keyId(utf8(key), crypto)), id);
  for (const { key, token, isX1 } of vectors.tokens) {
    assert.equal(isX1Token(fromHex(token), utf8(key), crypto), isX1, `${key} ${token}`);
  }
});

test("both sides of the golden handshakes come to the same proofs from what was on the wire", () => {
  for (const handshake of vectors.handshakes) {
    const bytes = (name: string) => fromHex(String(handshake[name]));
    const key = utf8(String(handshake.key));
    const [dialler, acceptor] = ["diallerCaps", "acceptorCaps"].map((name) => decodeRecords(bytes(name))[0]);
    assert.ok(dialler?.kind === "caps" && acceptor?.kind === "caps");
    const hello = decodeHello(bytes("helloFrame").subarray(14), key, crypto);
    assert.deepEqual([hello.authentic, hello.nodeId], [true, dialler.uuid]);
    const accept = decodeAccept(bytes("acceptFrame").subarray(14), key, crypto);
    assert.deepEqual([accept.authentic, isX1Token(accept.token, key, crypto)], [true, true]);
    const transcript: Transcript = {
      helloFrame: bytes("helloFrame"),
      acceptFrame: bytes("acceptFrame"),
      diallerCaps: bytes("diallerCaps"),
      acceptorCaps: bytes("acceptorCaps"),
      tlsBinding: bytes("tlsBinding"),
    };
    const th = transcriptHash(transcript, crypto);
    assert.equal(toHex(th), handshake.th);
    const sides = [
      ["diallerPrivateKey", acceptor.publicKey],
      ["acceptorPrivateKey", dialler.publicKey],
    ] as const;
    for (const [mine, theirs] of sides) {
      const sharedSecret = theirs && crypto.x25519(bytes(mine), theirs);
      assert.equal(sharedSecret && toHex(sharedSecret), handshake.sharedSecret);
      const nonces = { diallerNonce: dialler.nonce, acceptorNonce: acceptor.nonce };
      const prk = handshakeSecret({ key, sharedSecret, ...nonces }, crypto);
      assert.equal(toHex(prk), handshake.prk);
      assert.equal(toHex(makeProof(prk, "dialler", th, crypto)), handshake.diallerProof);
      assert.equal(verifyProof(bytes("acceptorProof"), prk, "acceptor", th, crypto), true);
    }
  }
});

test("the golden KEY_NEW and KEY_ACK open under their key, and give their fields", () => {
  for (const vector of vectors.keyRotation) {
    const payload = fromHex(String(vector.hex));
    const [record] = decodeRecords(payload);
    assert.ok(record?.kind === "key_new" || record?.kind === "key_ack");
    const nonce = keyNonce(record.counter);
    assert.equal(toHex(nonce), vector.nonce);
    const rotationKey = fromHex(String(vector.rotationKey));
    const plaintext = crypto.aes256GcmOpen(rotationKey, nonce, record.sealed, payload.subarray(0, 1));
    assert.ok(plaintext);
    assert.equal(toHex(plaintext), vector.plaintext);
    const fields = record.kind === "key_new" ? decodeKeyGrant(plaintext) : decodeKeyReceipt(plaintext);
    assert.deepEqual(toFields(fields), vector.fields);
  }
});

test("the keys that seal keys follow from PRK and role as in the golden ones", () => {
  for (const vector of vectors.rotationKeys) {
    const { own, theirs } = rotationKeys(fromHex(String(vector.prk)), "acceptor", crypto);
    assert.deepEqual([toHex(own), toHex(theirs)], [vector.acceptor, vector.dialler]);
  }
});

test("compileGlob() holds for the golden globs", () => {
  for (const { glob, topic, fits } of vectors.globs) {
    assert.equal(compileGlob(glob)(topic), fits, `${glob} ${topic}`);
  }
});
