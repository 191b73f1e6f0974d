import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { equalBytes } from "../../../src/core/wire/bytes.ts";
import {
  formatNodeId,
  isVersion8,
  makeNodeId,
  makeNodeIdV8,
  NODE_ID_BYTES,
  nameTag,
  parseNodeId,
} from "../../../src/core/wire/node_id.ts";
import { testCrypto } from "../../support/core_crypto.ts";

const crypto = testCrypto();

test("parseNodeId() gives back what formatNodeId() wrote, with and without dashes, in both cases", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (id) => {
      const text = formatNodeId(id);
      assert.match(text, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      assert.deepEqual(parseNodeId(text), id);
      assert.deepEqual(parseNodeId(text.replaceAll("-", "")), id);
      assert.deepEqual(parseNodeId(text.toUpperCase()), id);
    }),
  );
});

test("parseNodeId() refuses other texts and names them", () => {
  for (const text of [
    "",
    "abc",
    "a1b2c3d4-e5f6-0718-2930-a1b2c3d4e5f",
    "g1b2c3d4-e5f6-0718-2930-a1b2c3d4e5f6",
    "a1b2c3d4e5f607182930a1b2c3d4e5f600",
  ]) {
    assert.throws(() => parseNodeId(text), {
      name: "RangeError",
      message: `node id: expected a UUID, got ${JSON.stringify(text)}`,
    });
  }
});

test("makeNodeId() makes UUIDs of version 4 and of the RFC 9562 variant", () => {
  for (let i = 0; i < 200; i++) {
    assert.match(formatNodeId(makeNodeId(crypto)), /^.{8}-.{4}-4.{3}-[89ab].{3}-.{12}$/);
  }
});

test("makeNodeId() makes another id each time, also for one name", () => {
  const ids = new Set(
    Array.from({ length: 50 }, () => formatNodeId(makeNodeId(crypto, { community: "lab", name: "gpu" }))),
  );
  assert.equal(ids.size, 50);
});

test("makeNodeId() lets whoever knows the name recognise the node within its community", () => {
  const id = makeNodeId(crypto, { community: "lab", name: "gpu" });
  assert.equal(id.length, NODE_ID_BYTES);
  const carries = (community: string, name: string) => {
    const tag = nameTag(community, name, crypto);
    return equalBytes(id.subarray(0, tag.length), tag);
  };
  assert.equal(carries("lab", "gpu"), true);
  assert.equal(carries("lab", "cpu"), false);
  assert.equal(carries("prod", "gpu"), false);
});

test("nameTag() does not confuse where the community ends and the name begins", () => {
  assert.notDeepEqual(nameTag("a", "bc", crypto), nameTag("ab", "c", crypto));
});

test("makeNodeIdV8() makes UUIDs of version 8, isVersion8() knows them from version 4", () => {
  for (let i = 0; i < 200; i++) {
    const id = makeNodeIdV8(crypto);
    assert.match(formatNodeId(id), /^.{8}-.{4}-8.{3}-[89ab].{3}-.{12}$/);
    assert.equal(isVersion8(id), true);
    assert.equal(isVersion8(makeNodeId(crypto)), false);
  }
});

test("makeNodeIdV8() carries the tag of a name as makeNodeId() does", () => {
  const id = makeNodeIdV8(crypto, { community: "lab", name: "gpu" });
  assert.deepEqual(id.subarray(0, 6), nameTag("lab", "gpu", crypto));
  assert.equal(isVersion8(id), true);
});

test("isVersion8() looks at version, variant and length", () => {
  const id = parseNodeId("00000000-0000-8000-8000-000000000000");
  assert.equal(isVersion8(id), true);
  for (const text of [
    "00000000-0000-7000-8000-000000000000",
    "00000000-0000-9000-8000-000000000000",
    "00000000-0000-8000-0000-000000000000",
    "00000000-0000-8000-4000-000000000000",
    "00000000-0000-8000-c000-000000000000",
  ]) {
    assert.equal(isVersion8(parseNodeId(text)), false, text);
  }
  assert.equal(isVersion8(id.subarray(0, 15)), false);
  assert.equal(isVersion8(new Uint8Array(0)), false);
});
