import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolError } from "../../../src/core/errors.ts";
import {
  ACCEPT_BYTES,
  decodeAccept,
  encodeAccept,
  isX1Token,
  makeX1Token,
  TOKEN_BYTES,
} from "../../../src/core/wire/accept.ts";
import { fromHex, toHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { FrameType } from "../../../src/core/wire/header.ts";
import { testCrypto } from "../../support/core_crypto.ts";
import { frame } from "../../support/core_frames.ts";
import { vectors } from "../../support/core_vectors.ts";

const crypto = testCrypto();

test("encodeAccept() writes the golden payloads and frames", () => {
  for (const { apiKey, token, payload, frame: whole } of vectors.accept) {
    const bytes = encodeAccept(fromHex(token), utf8(apiKey), crypto);
    assert.equal(toHex(bytes), payload);
    assert.equal(toHex(frame(FrameType.ACCEPT, 0, 0, bytes)), whole);
  }
});

test("decodeAccept() accepts the golden payloads", () => {
  for (const { apiKey, token, payload } of vectors.accept) {
    assert.deepEqual(decodeAccept(fromHex(payload), utf8(apiKey), crypto), {
      token: fromHex(token),
      authentic: true,
    });
  }
});

test("decodeAccept() refuses the golden rejected payloads", () => {
  for (const { apiKey, payload, why } of vectors.acceptRejected) {
    const decode = () => decodeAccept(fromHex(payload), utf8(apiKey), crypto);
    if (why)
      assert.throws(
        decode,
        (error) => error instanceof ProtocolError && error.code === "ASOC_BAD_HANDSHAKE",
        why,
      );
    else assert.equal(decode().authentic, false, payload);
  }
});

test("decodeAccept() sees every flipped bit", () => {
  const payload = encodeAccept(new Uint8Array(8).fill(9), utf8("k"), crypto);
  for (let bit = 0; bit < 8 * ACCEPT_BYTES; bit++) {
    const changed = payload.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
    assert.equal(decodeAccept(changed, utf8("k"), crypto).authentic, false, `bit ${bit}`);
  }
});

test("encodeAccept() refuses a token of another length", () => {
  for (const length of [0, 7, 9, 16])
    assert.throws(() => encodeAccept(new Uint8Array(length), utf8("k"), crypto), RangeError);
});

test("isX1Token() recognises what makeX1Token() made, and only under its key", () => {
  for (let i = 0; i < 50; i++) {
    const token = makeX1Token(utf8("k"), crypto);
    assert.equal(token.length, TOKEN_BYTES);
    assert.equal(isX1Token(token, utf8("k"), crypto), true);
    assert.equal(isX1Token(token, utf8("other"), crypto), false);
  }
});

test("makeX1Token() makes another token each time, and random ones are none", () => {
  const tokens = Array.from({ length: 50 }, () => makeX1Token(utf8("k"), crypto));
  assert.equal(new Set(tokens.map(toHex)).size, 50);
  for (let i = 0; i < 1000; i++)
    assert.equal(isX1Token(crypto.randomBytes(TOKEN_BYTES), utf8("k"), crypto), false);
});

test("isX1Token() sees every flipped bit and every other length", () => {
  const token = makeX1Token(utf8("k"), crypto);
  for (let bit = 0; bit < 8 * TOKEN_BYTES; bit++) {
    const changed = token.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
    assert.equal(isX1Token(changed, utf8("k"), crypto), false, `bit ${bit}`);
  }
  for (let byteCount = 0; byteCount < TOKEN_BYTES; byteCount++) {
    assert.equal(isX1Token(token.subarray(0, byteCount), utf8("k"), crypto), false);
  }
  assert.equal(isX1Token(Uint8Array.of(...token, 0), utf8("k"), crypto), false);
});
