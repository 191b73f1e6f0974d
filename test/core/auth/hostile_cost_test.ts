/** What a byte of somebody without the key can make a node compute (RFC-0103, Cost). */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { Discovery } from "../../../src/core/discovery/discovery.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import type { Crypto } from "../../../src/core/runtime.ts";
import { Session } from "../../../src/core/session/session.ts";
import { BufferPool } from "../../../src/core/tensor/buffer_pool.ts";
import { communityHash, encodeBeacon } from "../../../src/core/wire/beacon.ts";
import { utf8 } from "../../../src/core/wire/bytes.ts";
import { encodeHeader, FrameType, HEADER_BYTES } from "../../../src/core/wire/header.ts";
import { encodeHello } from "../../../src/core/wire/hello.ts";
import { testCrypto } from "../../support/core_crypto.ts";

const KEY = utf8("the key of the community");
const plain = testCrypto();

/** Counts what costs: HMACs, hashes over what came, and exchanges of keys. */
function counting() {
  const counts = { hmac: 0, exchange: 0 };
  const crypto: Crypto = {
    ...plain,
    hmacSha256(key, data) {
      counts.hmac++;
      return plain.hmacSha256(key, data);
    },
    x25519KeyPair() {
      counts.exchange++;
      return plain.x25519KeyPair();
    },
    x25519(own, theirs) {
      counts.exchange++;
      return plain.x25519(own, theirs);
    },
  };
  return { counts, crypto };
}

function acceptor(crypto: Crypto): Session {
  const x1 = { communityHash: new Uint8Array(8), bootEpoch: 1, tensors: true, keyExchange: false };
  return new Session(
    {
      role: "acceptor",
      nodeId: new Uint8Array(16).fill(7),
      key: KEY,
      limits: DEFAULT_LIMITS,
      crypto,
      pool: new BufferPool(DEFAULT_LIMITS),
      x1,
    },
    0,
  );
}

function helloFrame(key: string): Uint8Array {
  const payload = encodeHello({ nodeId: randomBytes(16), challenge: 1 }, utf8(key), plain);
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  encodeHeader(bytes, 0, FrameType.HELLO, 0, 0, payload.length);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

test("bytes that are no HELLO cost no HMAC, however many they are", () => {
  const { counts, crypto } = counting();
  for (let i = 0; i < 200; i++) {
    const session = acceptor(crypto);
    const before = counts.hmac;
    session.handlePart(randomBytes(4096), 0);
    assert.equal(counts.hmac - before, 0);
    assert.equal(session.closed, true, "it read on");
  }
});

test("a HELLO with another key costs one HMAC for its 50 bytes, nothing is answered, and what follows it costs nothing", () => {
  const { counts, crypto } = counting();
  const session = acceptor(crypto);
  const before = { ...counts };
  session.handlePart(helloFrame("another key"), 0);
  for (let i = 0; i < 100; i++) session.handlePart(helloFrame("another key"), 0);
  assert.equal(counts.hmac - before.hmac, 1);
  assert.equal(counts.exchange, 0, "a stranger has a key pair made");
  const parts: Uint8Array[] = [];
  assert.equal(session.pollTransmit(parts, 0), false);
});

test("a beacon costs one HMAC at most, and none where it is of another length or community", () => {
  const { counts, crypto } = counting();
  const config = { nodeId: new Uint8Array(16).fill(1), community: "lab", key: KEY, tcpPort: 9000 };
  const discovery = new Discovery({ ...config, limits: DEFAULT_LIMITS, crypto }, 0);
  const beacon = (community: string, key: string) =>
    encodeBeacon(
      {
        communityHash: communityHash(community, plain),
        nodeId: randomBytes(16),
        tcpPort: 9000,
        unixS: 1000,
        challenge: 1,
      },
      utf8(key),
      plain,
    );
  const costOf = (packet: Uint8Array) => {
    const before = counts.hmac;
    discovery.handleDatagram(packet, { host: "192.0.2.1", port: 9999 }, 0, 1000);
    return counts.hmac - before;
  };
  assert.equal(costOf(randomBytes(49)), 0);
  assert.equal(costOf(randomBytes(1400)), 0);
  assert.equal(costOf(randomBytes(50)), 0);
  assert.equal(costOf(beacon("another", "the key of the community")), 0);
  assert.equal(costOf(beacon("lab", "another key")), 1);
});
