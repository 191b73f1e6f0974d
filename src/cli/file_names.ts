/**
 * File names from what peers say: topics and names of files, which are claims of strangers.
 *
 * A name stays in its directory, on any system: `/` becomes `.`, so that `layers/0/weight` is `layers.0.weight`; any
 * other character that is no letter, digit or harmless sign becomes `_`. A name that was changed in another way than by
 * its slashes, or cut, gets eight digits of the hash of the original, so that different topics keep different names and
 * the same topic keeps its own. Two that still meet (`a/b` and `a.b`) are numbered when they are placed (new_file.ts).
 */
import { createHash } from "node:crypto";

/** Bytes of UTF-8: with a number and an extension it fits the 255 that file systems take. */
export const MAX_NAME_BYTES = 200;
const HASH_DIGITS = 8;

/** Control characters, marks that turn text round, separators of any system and what shells or globs read. */
const UNSAFE = /[^\p{L}\p{M}\p{N}._+=@,~ ()[\]#-]/gu;
/** No hidden files, no options, no home directories. */
const SAFE_START = /^[\p{L}\p{N}_]/u;
/** Devices of Windows, whatever extension they have. */
const DEVICE = /^(con|prn|aux|nul|(com|lpt)[0-9¹²³])(?=[. ]|$)/i;
/** Extensions that a file gets by its content, not by what somebody calls it. */
const CONTENT_EXTENSION = /\.(npy|safetensors|bin)$/i;

/** `text` as a file name without extension, at most MAX_NAME_BYTES long; `fallback` when it is empty. */
export function safeName(text: string, fallback: string): string {
  if (text === "") return fallback;
  const flat = text.replaceAll("/", ".");
  let name = flat.replace(UNSAFE, "_").trimEnd();
  if (!SAFE_START.test(name) || DEVICE.test(name)) name = `_${name}`;
  if (name === flat && Buffer.byteLength(name) <= MAX_NAME_BYTES) return name;
  const hash = createHash("sha256").update(text).digest("hex").slice(0, HASH_DIGITS);
  return `${cutText(name, MAX_NAME_BYTES - HASH_DIGITS - 1)}~${hash}`;
}

/** A file name without the extension that its content would give it again. */
export function withoutExtension(fileName: string): string {
  return fileName.replace(CONTENT_EXTENSION, "");
}

/** The beginning of `text` that takes at most `maxBytes` of UTF-8, in whole characters. */
export function cutText(text: string, maxBytes: number): string {
  let byteCount = 0;
  let end = 0;
  for (const character of text) {
    byteCount += Buffer.byteLength(character);
    if (byteCount > maxBytes) break;
    end += character.length;
  }
  return text.slice(0, end);
}
