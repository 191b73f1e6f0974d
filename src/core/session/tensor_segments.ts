/**
 * The memory of one arriving tensor: segments in order, each filled from its start.
 *
 * A segment is pooled, the caller's own, or plain: memory outside the pool that a stream uses within its initial credit,
 * counted by the connection's window.
 */
import type { PooledBuffer } from "../tensor/buffer_pool.ts";
import type { CreditWindow } from "./credit_window.ts";

export interface Segment {
  readonly memory: Uint8Array;
  /** Bytes of `memory`: a number of its own, since V8 may take the length of 2 GiB or more for a negative one (CONTRIBUTING.md). */
  readonly size: number;
  readonly buffer: PooledBuffer | undefined;
  /** Whose plain memory it is. */
  readonly window: CreditWindow | undefined;
  filled: number;
  /** Bytes that a reader of chunks has been given. */
  read: number;
  /** Pieces of it that the reader has not given back. */
  pieces: number;
  /** It is no longer in the list: the last piece takes it along. */
  gone: boolean;
}

export function segmentOf(memory: Uint8Array, buffer?: PooledBuffer, window?: CreditWindow): Segment {
  const size = memory.byteLength;
  window?.take(size);
  return { memory, size, buffer, window, filled: 0, read: 0, pieces: 0, gone: false };
}

/** Takes a segment out of use. True when its memory went back; otherwise the last piece of it takes it along. */
export function retire(segment: Segment): boolean {
  segment.gone = true;
  if (segment.pieces > 0) return false;
  segment.buffer?.release();
  segment.window?.giveBack(segment.size);
  return true;
}

/** Copies what the segments hold, one behind the other, to the start of `memory`. Returns how many bytes. */
export function joinInto(memory: Uint8Array, segments: readonly Segment[]): number {
  let at = 0;
  for (const { memory: from, filled } of segments) {
    memory.set(from.subarray(0, filled), at);
    at += filled;
  }
  return at;
}
