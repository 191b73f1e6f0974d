/**
 * Tells tensor file formats by their first bytes. It reads no further than it must, and trusts nothing: a match
 * says what the bytes look like, not that the rest is well formed.
 */

/** Formats that are recognised; each is also the usual file extension. */
export type TensorFormat = "npy" | "safetensors";

/** Bytes from the start that `recogniseFormat` looks at. */
export const RECOGNISE_BYTES = 9;

/** `\x93NUMPY` (NumPy enhancement proposal 1). */
const NPY_MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
const NPY_MAX_MAJOR = 3;
/** The cap that the safetensors library itself puts on a header. */
const SAFETENSORS_MAX_HEADER = 100_000_000;
const SAFETENSORS_LENGTH_BYTES = 8;
const OPENING_BRACE = 0x7b;

/**
 * The format of content that begins with `head` (at least RECOGNISE_BYTES of it, or all there is) and is `totalBytes`
 * long, or undefined for anything else. Never throws.
 */
export function recogniseFormat(head: Uint8Array, totalBytes: number): TensorFormat | undefined {
  if (isNpy(head)) return "npy";
  if (isSafetensors(head, totalBytes)) return "safetensors";
  return undefined;
}

function isNpy(head: Uint8Array): boolean {
  if (!NPY_MAGIC.every((byte, index) => head[index] === byte)) return false;
  const major = head[NPY_MAGIC.length];
  const minor = head[NPY_MAGIC.length + 1];
  return major !== undefined && major >= 1 && major <= NPY_MAX_MAJOR && minor === 0;
}

/** u64 little-endian length of a JSON header, then that header. */
function isSafetensors(head: Uint8Array, totalBytes: number): boolean {
  if (head.length <= SAFETENSORS_LENGTH_BYTES || head[SAFETENSORS_LENGTH_BYTES] !== OPENING_BRACE)
    return false;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const headerBytes = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  return (
    headerBytes >= 2 &&
    headerBytes <= SAFETENSORS_MAX_HEADER &&
    headerBytes <= totalBytes - SAFETENSORS_LENGTH_BYTES
  );
}
