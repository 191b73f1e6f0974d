import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtocolError } from "../../../src/core/errors.ts";
import { fromHex, toHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { FrameType } from "../../../src/core/wire/header.ts";
import { decodeHello, encodeHello, HELLO_BYTES } from "../../../src/core/wire/hello.ts";
import { testCrypto } from "../../support/core_crypto.ts";
import { frame } from "../../support/core_frames.ts";
import { vectors } from "../../support/core_vectors.ts";

const crypto = testCrypto();

test("encodeHello() writes the golden payloads and frames", () => {
  for (const { apiKey, nodeId, challenge, payload, frame: whole } of vectors.hello) {
    const bytes = encodeHello({ nodeId: fromHex(nodeId), challenge }, utf8(apiKey), crypto);
    assert.equal(toHex(bytes), payload);
    assert.equal(toHex(frame(FrameType.HELLO, 0, 0, bytes)), whole);
  }
});

test("decodeHello() accepts the golden payloads", () => {
  for (const { apiKey, nodeId, challenge, payload } of vectors.hello) {
    assert.deepEqual(decodeHello(fromHex(payload), utf8(apiKey), crypto), {
      nodeId: fromHex(nodeId),
      challenge,
      authentic: true,
    });
  }
});

test("decodeHello() refuses the golden rejected payloads", () => {
  for (const { apiKey, payload, why } of vectors.helloRejected) {
    const decode = () => decodeHello(fromHex(payload), utf8(apiKey), crypto);
    if (why)
      assert.throws(
        decode,
        (error) => error instanceof ProtocolError && error.code === "ASOC_BAD_HANDSHAKE",
        why,
      );
    else assert.equal(decode().authentic, false, payload);
  }
});

test("decodeHello() gives back what encodeHello() wrote, and only under its key", () => {
  const id = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const key = fc.uint8Array({ minLength: 1, maxLength: 80 });
  fc.assert(
    fc.property(id, fc.integer({ min: 0, max: 0xffff_ffff }), key, key, (nodeId, challenge, mine, other) => {
      const payload = encodeHello({ nodeId, challenge }, mine, crypto);
      assert.equal(payload.length, HELLO_BYTES);
      assert.deepEqual(decodeHello(payload, mine, crypto), { nodeId, challenge, authentic: true });
      // HMAC pads its key with zeros, so keys that differ by trailing zeros alone are one key.
      const isSame = toHex(mine).replace(/(00)*$/, "") === toHex(other).replace(/(00)*$/, "");
      if (!isSame) assert.equal(decodeHello(payload, other, crypto).authentic, false);
    }),
    { numRuns: 50 },
  );
});

test("decodeHello() sees every flipped bit", () => {
  const payload = encodeHello({ nodeId: new Uint8Array(16).fill(3), challenge: 99 }, utf8("k"), crypto);
  for (let bit = 0; bit < 8 * HELLO_BYTES; bit++) {
    const changed = payload.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
    assert.equal(decodeHello(changed, utf8("k"), crypto).authentic, false, `bit ${bit}`);
  }
});

test("decodeHello() keeps no reference to the payload", () => {
  const payload = encodeHello({ nodeId: new Uint8Array(16).fill(3), challenge: 99 }, utf8("k"), crypto);
  const { nodeId } = decodeHello(payload, utf8("k"), crypto);
  payload.fill(0);
  assert.deepEqual(nodeId, new Uint8Array(16).fill(3));
});
