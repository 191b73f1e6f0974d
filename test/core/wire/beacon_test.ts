import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  BEACON_BYTES,
  communityHash,
  decodeBeacon,
  encodeBeacon,
  isAuthenticBeacon,
} from "../../../src/core/wire/beacon.ts";
import { equalBytes, fromHex, toHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { testCrypto } from "../../support/core_crypto.ts";
import { vectors } from "../../support/core_vectors.ts";

const crypto = testCrypto();

test("encodeBeacon() writes the golden messages", () => {
  for (const {
    community,
    communityHash: hash,
    nodeId,
    port,
    timestamp,
    challenge,
    apiKey,
    message,
  } of vectors.discovery) {
    assert.equal(toHex(communityHash(community, crypto)), hash);
    const beacon = {
      communityHash: fromHex(hash),
      nodeId: fromHex(nodeId),
      tcpPort: port,
      unixS: timestamp,
      challenge,
    };
    assert.equal(toHex(encodeBeacon(beacon, utf8(apiKey), crypto)), message);
  }
});

test("decodeBeacon() reads the golden messages, which are authentic", () => {
  for (const {
    communityHash: hash,
    nodeId,
    port,
    timestamp,
    challenge,
    apiKey,
    message,
  } of vectors.discovery) {
    const packet = fromHex(message);
    assert.deepEqual(decodeBeacon(packet), {
      communityHash: fromHex(hash),
      nodeId: fromHex(nodeId),
      tcpPort: port,
      unixS: timestamp,
      challenge,
    });
    assert.equal(isAuthenticBeacon(packet, utf8(apiKey), crypto), true);
  }
});

test("the golden rejected messages fail by length, community or signature", () => {
  for (const { community, apiKey, message, why } of vectors.discoveryRejected) {
    const packet = fromHex(message);
    const beacon = decodeBeacon(packet);
    const accepted =
      beacon !== undefined &&
      equalBytes(beacon.communityHash, communityHash(community, crypto)) &&
      isAuthenticBeacon(packet, utf8(apiKey), crypto);
    assert.equal(accepted, false, why);
    assert.equal(beacon === undefined, packet.length !== BEACON_BYTES, why);
  }
});

test("decodeBeacon() gives back what encodeBeacon() wrote", () => {
  const u32 = () => fc.integer({ min: 0, max: 0xffff_ffff });
  const beacons = fc.record(
    {
      communityHash: fc.uint8Array({ minLength: 8, maxLength: 8 }),
      nodeId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      tcpPort: fc.nat(65_535),
      unixS: u32(),
      challenge: u32(),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(beacons, (beacon) => {
      const packet = encodeBeacon(beacon, utf8("k"), crypto);
      assert.equal(packet.length, BEACON_BYTES);
      assert.deepEqual(decodeBeacon(packet), beacon);
      assert.equal(isAuthenticBeacon(packet, utf8("k"), crypto), true);
    }),
    { numRuns: 50 },
  );
});

test("isAuthenticBeacon() sees every flipped bit", () => {
  const packet = fromHex(vectors.discovery[0]?.message ?? "");
  for (let bit = 0; bit < 8 * BEACON_BYTES; bit++) {
    const changed = packet.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
    assert.equal(isAuthenticBeacon(changed, utf8("test-secret-key"), crypto), false, `bit ${bit}`);
  }
});

test("decodeBeacon() takes 50 bytes and no other length", () => {
  for (let length = 0; length < 120; length++) {
    assert.equal(decodeBeacon(new Uint8Array(length)) === undefined, length !== BEACON_BYTES);
  }
});
