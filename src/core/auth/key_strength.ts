/**
 * How strong a key plausibly is, in bits. A guess from the text alone: each character counts
 * as one of the alphabet that the key uses; what repeats, counts up or reads like words counts for less.
 * It serves a warning only; nothing is refused for it.
 */

/** The strength below which a warning is due (RFC-0001, Security considerations). */
export const WEAK_KEY_BITS = 128;

/** A random UUID has six fixed bits. */
const UUID_BITS = 122;
/** What a letter of a natural word is worth: a word of a usual list has 11-13 bits. */
const WORD_LETTER_BITS = 2.3;
/** A repetition or a sequence is believed when chance makes it less often than once in 2^20. */
const BELIEVED_BITS = 20;

export function plausibleKeyBits(key: string): number {
  const characters = [...key];
  const alphabet = alphabetSize(key);
  const perCharacter = isWords(key) ? WORD_LETTER_BITS : Math.log2(alphabet);
  const bits = patternBits(characters, perCharacter) * evenness(characters, alphabet);
  return Math.floor(isUuid(key) ? Math.min(UUID_BITS, bits) : bits);
}

function alphabetSize(key: string): number {
  if (/^[0-9]*$/.test(key)) return 10;
  if (isUuid(key) || /^[0-9a-f]+$/.test(key) || /^[0-9A-F]+$/.test(key)) return 16;
  let size = 0;
  const isMixed = /[a-z]/.test(key) && /[A-Z]/.test(key);
  if (isMixed)
    size = 62; // short base64 may lack digits by chance
  else if (/[A-Za-z]/.test(key)) size = /[0-9]/.test(key) ? 36 : 26;
  else if (/[0-9]/.test(key)) size = 10;
  if (/[+/=_-]/.test(key)) size += 2;
  if (/[^0-9A-Za-z+/=_-]/.test(key)) size += 31;
  return size;
}

function isUuid(key: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(key);
}

/** Several words of letters alone, set apart: a phrase, or a list of drawn words. */
function isWords(key: string): boolean {
  const words = key.split(/[\s_.,;:!?'-]+/).filter((word) => word !== "");
  return (
    words.length > 1 &&
    words.every((word) => /^\p{Lu}?\p{Ll}{0,15}$/u.test(word) || /^\p{Lu}{1,12}$/u.test(word))
  );
}

/** The sum over all characters, where a part that came before, or counts up or down, is worth its place and length only. */
function patternBits(characters: readonly string[], perCharacter: number): number {
  let bits = 0;
  for (let at = 0; at < characters.length; ) {
    const length = Math.max(repeatLength(characters, at), sequenceLength(characters, at));
    const asPattern = Math.log2(at + 1) + Math.log2(length + 1);
    const plain = length * perCharacter;
    if (plain >= BELIEVED_BITS && asPattern < plain) {
      bits += asPattern;
      at += length;
    } else {
      bits += perCharacter;
      at++;
    }
  }
  return bits;
}

/** How many characters from `at` on repeat an earlier part. */
function repeatLength(characters: readonly string[], at: number): number {
  let longest = 0;
  for (let from = 0; from < at; from++) {
    let length = 0;
    while (at + length < characters.length && characters[from + length] === characters[at + length]) length++;
    longest = Math.max(longest, length);
  }
  return longest;
}

/** How many characters from `at` on are the same, or follow each other: "aaaa", "1234", "zyxw". */
function sequenceLength(characters: readonly string[], at: number): number {
  const codeAt = (index: number) => characters[index]?.codePointAt(0) ?? Number.NaN;
  const step = codeAt(at + 1) - codeAt(at);
  if (!(Math.abs(step) <= 1)) return 1;
  let length = 2;
  while (codeAt(at + length) - codeAt(at + length - 1) === step) length++;
  return length;
}

/** 1 for a key that uses its alphabet as evenly as chance would, less for one that prefers few characters. */
function evenness(characters: readonly string[], alphabet: number): number {
  const total = characters.length;
  const counts = new Map<string, number>();
  for (const character of characters) counts.set(character, (counts.get(character) ?? 0) + 1);
  let entropy = 0;
  for (const count of counts.values()) entropy -= (count / total) * Math.log2(count / total);
  // What chance gives for so few characters: the number of each is a Poisson variable.
  const mean = total / alphabet;
  let chance = Math.exp(-mean);
  let expected = 0;
  for (let count = 1; count <= total; count++) {
    chance *= mean / count;
    expected -= alphabet * chance * (count / total) * Math.log2(count / total);
  }
  return expected > 0 ? Math.min(1, (1.2 * entropy) / expected) : 1;
}
