import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtocolError } from "../../../src/core/errors.ts";
import { fromHex, toHex } from "../../../src/core/wire/bytes.ts";
import {
  decodeHeader,
  encodeHeader,
  FrameType,
  frameName,
  HEADER_BYTES,
  type Header,
  readU32,
  writeU32,
} from "../../../src/core/wire/header.ts";
import { vectors } from "../../support/core_vectors.ts";

const u32 = () => fc.integer({ min: 0, max: 0xffff_ffff });
const empty = (): Header => ({ type: 0, streamId: 0, seq: 0, payloadBytes: 0 });

test("encodeHeader() writes the golden frames", () => {
  for (const { type, streamId, seq, payload, frame } of vectors.frames) {
    const bytes = new Uint8Array(HEADER_BYTES);
    encodeHeader(bytes, 0, type, streamId, seq, payload.length / 2);
    assert.equal(toHex(bytes) + payload, frame);
  }
});

test("decodeHeader() reads the golden frames", () => {
  for (const { type, streamId, seq, payload, frame } of vectors.frames) {
    const header = empty();
    decodeHeader(fromHex(frame), 0, header);
    assert.deepEqual(header, { type, streamId, seq, payloadBytes: payload.length / 2 });
  }
});

test("decodeHeader() and encodeHeader() hold for the golden headers of every length", () => {
  for (const { type, streamId, seq, length, header: text } of vectors.headersOnly) {
    const header = empty();
    decodeHeader(fromHex(text), 0, header);
    assert.deepEqual(header, { type, streamId, seq, payloadBytes: length });
    const bytes = new Uint8Array(HEADER_BYTES);
    encodeHeader(bytes, 0, type, streamId, seq, length);
    assert.equal(toHex(bytes), text);
  }
});

test("decodeHeader() gives back what encodeHeader() wrote, at any offset", () => {
  fc.assert(
    fc.property(fc.nat(255), u32(), u32(), u32(), fc.nat(40), (type, streamId, seq, payloadBytes, offset) => {
      const bytes = new Uint8Array(offset + HEADER_BYTES + 3).fill(0xee);
      encodeHeader(bytes, offset, type, streamId, seq, payloadBytes);
      const header = empty();
      decodeHeader(bytes, offset, header);
      assert.deepEqual(header, { type, streamId, seq, payloadBytes });
      const around = [...bytes.subarray(0, offset), ...bytes.subarray(offset + HEADER_BYTES)];
      assert.ok(
        around.every((byte) => byte === 0xee),
        "wrote outside of its 14 bytes",
      );
    }),
  );
});

test("decodeHeader() rejects every version but 1", () => {
  for (let version = 0; version < 256; version++) {
    if (version === 1) continue;
    const bytes = new Uint8Array(HEADER_BYTES);
    bytes[0] = version;
    assert.throws(
      () => decodeHeader(bytes, 0, empty()),
      (error) =>
        error instanceof ProtocolError && error.code === "ASOC_BAD_VERSION" && error.details.got === version,
    );
  }
});

test("decodeHeader() takes reserved types: what they mean is not its business", () => {
  const header = empty();
  decodeHeader(fromHex("01ff00000000000000000000000a"), 0, header);
  assert.equal(header.type, 255);
});

test("readU32() gives back what writeU32() wrote, unsigned", () => {
  fc.assert(
    fc.property(u32(), (value) => {
      const bytes = new Uint8Array(4);
      writeU32(bytes, 0, value);
      assert.equal(readU32(bytes, 0), value);
      assert.equal(new DataView(bytes.buffer).getUint32(0), value);
    }),
  );
});

test("frameName() names the types, and reserved ones by number", () => {
  assert.deepEqual(Object.values(FrameType).map(frameName), ["DATA", "END", "CONTROL", "HELLO", "ACCEPT"]);
  assert.equal(frameName(9), "type 9");
});
