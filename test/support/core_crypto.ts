/** Primitives for core tests: real hashes, seeded randomness. */
import type { Crypto } from "../../src/core/runtime.ts";
import { createCrypto } from "../../src/runtime/common/crypto.ts";

/** Numbers in [0, 1) that depend on the seed only (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function testCrypto(seed = 1): Crypto {
  const random = seededRandom(seed);
  return createCrypto((byteCount) =>
    Uint8Array.from({ length: byteCount }, () => Math.floor(random() * 256)),
  );
}

/** Bytes that differ from place to place and from seed to seed. */
export function patternBytes(byteCount: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  let state = (seed * 2654435761 + 12345) >>> 0;
  for (let i = 0; i < byteCount; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
