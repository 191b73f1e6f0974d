/** What streams on their way in need to know of their session. */
import type { AsocError } from "../errors.ts";
import type { TensorMemory } from "../tensor/memory_account.ts";
import type { CreditWindow } from "./credit_window.ts";
import type { TensorDescription } from "./description.ts";

/** `description`: undefined for a stream of v1. */
export type StreamRefusal = (
  description: TensorDescription | undefined,
  baseOffset: number,
) => AsocError | undefined;

/** Counts what comes; false: there is no room for that much. */
export interface ByteQuota {
  take(byteCount: number): boolean;
}

export interface InboundContext {
  /** Replaced before the first stream. */
  pool: TensorMemory;
  readonly limits: { readonly maxTensorBytes: number; readonly maxChunkAheadBytes: number };
  /** Why a stream may not begin, or go on from `baseOffset`; undefined: it may. Asked before anything of it counts. */
  readonly refusal?: StreamRefusal | undefined;
  /** What the other side may send in all; undefined: as much as it likes. */
  quota?: ByteQuota | undefined;
  /** Bytes that moved because a buffer grew or the way of reading changed. */
  copiedBytes: number;
  /** Why a stream had no room when it was last asked: a reader of chunks is behind, or else the pool is used up. */
  readerBehind?: boolean;
}

/** What the memory of a tensor of x1 depends on; another one after a resume. */
export interface MemoryContext {
  readonly session: InboundContext;
  readonly window: CreditWindow;
}
