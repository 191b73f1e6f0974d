/** Where payload goes that nobody reads: one piece of memory for all sessions, written and never read. */
const SCRATCH = new Uint8Array(256 * 1024);

export function scratch(byteCount: number): Uint8Array {
  return byteCount < SCRATCH.length ? SCRATCH.subarray(0, byteCount) : SCRATCH;
}
