/**
 * How strong a key plausibly is, in bits. A guess with known shape: hex and base64 text
 * count their alphabet, other text the character classes that it uses, and repetition
 * lowers both. It serves a warning only; nothing is refused for it.
 */

/** The strength below which a warning is due (RFC-0001, Security considerations). */
export const WEAK_KEY_BITS = 128;

export function plausibleKeyBits(key: string): number {
  const characters = [...key];
  if (characters.length === 0) return 0;
  const counts = new Map<string, number>();
  for (const character of characters) counts.set(character, (counts.get(character) ?? 0) + 1);
  let perCharacter = 0; // Shannon's entropy of the characters as they occur
  for (const count of counts.values()) {
    const share = count / characters.length;
    perCharacter -= share * Math.log2(share);
  }
  return Math.floor(Math.min(perCharacter, alphabetBits(key)) * characters.length * shortTextAllowance(characters.length));
}

function alphabetBits(key: string): number {
  if (/^[0-9]+$/.test(key)) return Math.log2(10);
  if (/^[0-9a-f]+$/.test(key) || /^[0-9A-F]+$/.test(key)) return 4;
  if (/^[a-z]+$/.test(key) || /^[A-Z]+$/.test(key)) return Math.log2(26);
  return 6;
}

/** Few characters cannot show a large alphabet: the sample's entropy is too low, by about this. */
function shortTextAllowance(length: number): number {
  return length >= 16 ? 1.1 : 1;
}
