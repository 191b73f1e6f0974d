/** Changes of bytes that parsers stumble over, without knowledge of what the bytes mean. */
import type { FuzzRandom } from "./random.ts";

/** What a mutation never grows an input beyond. */
export const MAX_INPUT_BYTES = 24 * 1024;
const MAX_CHANGES = 4;

const NUMBERS = [
  0, 1, 2, 3, 4, 7, 8, 13, 14, 15, 16, 31, 32, 35, 36, 37, 50, 63, 64, 65, 127, 128, 129, 253, 255,
];
const WORDS = [0, 1, 255, 256, 257, 1023, 1024, 1025, 0x7fff, 0x8000, 0xffff];
const QUADS = [
  0n,
  1n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** One to four changes; `other` is what pieces are taken from. */
export function mutated(input: Uint8Array, other: Uint8Array, random: FuzzRandom): Uint8Array {
  let bytes: Uint8Array = input.slice();
  for (let left = 1 + random.below(MAX_CHANGES); left > 0; left--) bytes = changed(bytes, other, random);
  return bytes.length > MAX_INPUT_BYTES ? bytes.subarray(0, MAX_INPUT_BYTES) : bytes;
}

function changed(bytes: Uint8Array, other: Uint8Array, random: FuzzRandom): Uint8Array {
  const { length } = bytes;
  if (length === 0) return random.bytes(1 + random.below(20));
  const at = random.below(length);
  switch (random.below(12)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    case 1:
      bytes[at] = random.pick(NUMBERS);
      return bytes;
    case 2:
      bytes[at] = random.u32();
      return bytes;
    case 3:
      return number(bytes, at, 2, BigInt(random.pick(WORDS)), random);
    case 4:
      return number(bytes, at, 4, random.pick(QUADS), random);
    case 5:
      return number(bytes, at, 8, random.pick(QUADS), random);
    case 6:
      return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(Math.min(32, length - at))));
    case 7:
      return bytes.subarray(0, at);
    case 8: {
      const piece = bytes.subarray(at, at + 1 + random.below(48));
      return joined(bytes.subarray(0, at), piece, piece, bytes.subarray(at));
    }
    case 9:
      return joined(bytes.subarray(0, at), random.bytes(1 + random.below(16)), bytes.subarray(at));
    case 10: {
      const from = random.below(other.length + 1);
      return joined(
        bytes.subarray(0, at),
        other.subarray(from, from + 1 + random.below(64)),
        bytes.subarray(at),
      );
    }
    default: {
      const from = random.below(other.length + 1);
      return joined(bytes.subarray(0, at), other.subarray(from));
    }
  }
}

/** Either byte order: formats differ. */
function number(bytes: Uint8Array, at: number, size: number, value: bigint, random: FuzzRandom): Uint8Array {
  const little = random.oneIn(3);
  for (let index = 0; index < size && at + index < bytes.length; index++) {
    const shift = 8n * BigInt(little ? index : size - 1 - index);
    bytes[at + index] = Number((value >> shift) & 0xffn);
  }
  return bytes;
}
