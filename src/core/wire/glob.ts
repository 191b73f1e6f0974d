/**
 * Globs over topics (extension x1): `*` stands for any run of characters, also none, within a segment between `/`;
 * `**` for any run across segments. Every other character stands for itself; there is no escape and no other wildcard.
 *
 * Globs come from other nodes. The time for a topic of n characters is n steps of at most 8 words, whatever the glob is:
 * all places where the glob may stand are followed at once, one bit for each, and none is ever tried again.
 */
import { MAX_GLOB_BYTES } from "../limits.ts";
import { utf8 } from "./bytes.ts";

const STAR = 0x2a;
const SLASH = 0x2f;
const WORD_BITS = 32;

/** Tells whether a topic fits. */
export type TopicMatcher = (topic: string) => boolean;

/**
 * A matcher for `glob`, to be kept and used for many topics. Throws RangeError on a glob that is empty, over 255 bytes of
 * UTF-8, or no well-formed text.
 */
export function compileGlob(glob: string): TopicMatcher {
  if (!glob.isWellFormed()) throw new RangeError("glob: expected well-formed text, got a lone surrogate");
  const byteCount = utf8(glob).length;
  if (byteCount < 1 || byteCount > MAX_GLOB_BYTES) {
    throw new RangeError(`glob: ${byteCount} bytes, expected 1 to ${MAX_GLOB_BYTES}`);
  }
  if (!glob.includes("*")) return (topic) => topic === glob;
  return matcher(glob);
}

/**
 * Place i: the first i characters of the glob, stars not counted, have been found. A star before the next of them lets
 * the place stay while characters pass.
 */
function matcher(glob: string): TopicMatcher {
  // Not more words than the glob could need; a few bits too many are never set.
  const words = Math.ceil((glob.length + 1) / WORD_BITS);
  /** By character: the places that it moves on by one. */
  const moves = new Map<number, Uint32Array>();
  /** The places that stay at any character, and at any but `/`. */
  const stayAlways = new Uint32Array(words);
  const stayInSegment = new Uint32Array(words);
  let last = 0;
  for (let at = 0; at < glob.length; at++) {
    const code = glob.charCodeAt(at);
    if (code !== STAR) {
      const places = moves.get(code) ?? new Uint32Array(words);
      setBit(places, last++);
      moves.set(code, places);
      continue;
    }
    const crosses = glob.charCodeAt(at + 1) === STAR;
    while (glob.charCodeAt(at + 1) === STAR) at++;
    setBit(stayInSegment, last);
    if (crosses) setBit(stayAlways, last);
  }

  return (topic) => {
    const places = new Uint32Array(words);
    setBit(places, 0);
    for (let at = 0; at < topic.length; at++) {
      const code = topic.charCodeAt(at);
      const move = moves.get(code);
      const stay = code === SLASH ? stayAlways : stayInSegment;
      let carry = 0;
      let alive = 0;
      for (let word = 0; word < words; word++) {
        const before = places[word] as number;
        const moved = move ? before & (move[word] as number) : 0;
        const after = (moved << 1) | carry | (before & (stay[word] as number));
        carry = moved >>> (WORD_BITS - 1);
        places[word] = after;
        alive |= after;
      }
      if (alive === 0) return false;
    }
    return hasBit(places, last);
  };
}

function setBit(words: Uint32Array, bit: number): void {
  const word = bit >>> 5;
  words[word] = (words[word] as number) | (1 << (bit & 31));
}

function hasBit(words: Uint32Array, bit: number): boolean {
  return (((words[bit >>> 5] as number) >>> (bit & 31)) & 1) === 1;
}
