/**
 * Bytes of recent tensors under one budget: what is whole, the oldest first out; and what is on its way, which counts as
 * it comes. Memory is reserved for tensors on their way up to the budget as well, and touched only as bytes come.
 */
import { encodeNpyHeader, parseDType } from "../../src/mod.ts";

/** The bytes of one tensor: first on their way, then whole. */
export class Capture {
  readonly #parts: Uint8Array[] = [];
  readonly #whole: Uint8Array | undefined;
  /** An npy header lies in front of the bytes, so that the file is one piece. */
  readonly #headBytes: number;
  readonly reservedBytes: number;
  length = 0;
  /** Streams that fill it, or wait for it: several when one tensor goes to several peers. */
  users = 0;
  state: "live" | "kept" | "gone" = "live";
  goneAtMs: number | undefined;

  /** Throws RangeError when there is no such memory. */
  constructor(totalBytes: number | undefined, head: Uint8Array = new Uint8Array(0)) {
    this.#headBytes = head.length;
    this.reservedBytes = totalBytes ?? 0;
    if (totalBytes === undefined) return;
    this.#whole = new Uint8Array(head.length + totalBytes);
    this.#whole.set(head);
  }

  /** False: they do not fit. */
  append(bytes: Uint8Array): boolean {
    if (!this.#whole) this.#parts.push(bytes.slice());
    else if (this.#headBytes + this.length + bytes.length > this.#whole.length) return false;
    else this.#whole.set(bytes, this.#headBytes + this.length);
    this.length += bytes.length;
    return true;
  }

  /** All of it, in one piece, shared: nobody may write to it. */
  get bytes(): Uint8Array {
    if (this.#whole) return this.#whole.subarray(this.#headBytes, this.#headBytes + this.length);
    if (this.#parts.length !== 1) {
      const joined = new Uint8Array(this.length);
      let at = 0;
      for (const part of this.#parts) {
        joined.set(part, at);
        at += part.length;
      }
      this.#parts.splice(0, this.#parts.length, joined);
    }
    return this.#parts[0] as Uint8Array; // there is one now
  }

  /** As an npy file in one piece; undefined: it has no such header. */
  get npy(): Uint8Array | undefined {
    return this.#headBytes > 0 ? this.#whole : undefined;
  }
}

export class RecentTensors {
  readonly budgetBytes: number;
  /** From the oldest to the newest. */
  readonly #kept = new Set<Capture>();
  readonly #live = new Set<Capture>();
  #usedBytes = 0;
  #reservedBytes = 0;
  evicted = 0;
  /** Tensors that there was no room for. */
  refused = 0;
  /** Tensors that came too fast to be copied. */
  skipped = 0;
  readonly #bytesPerSecond: number;
  readonly #burstBytes: number;
  /** What may be copied now; below 0 after a tensor whose length nobody knew. */
  #allowedBytes: number;
  #allowedAtMs = 0;

  constructor(budgetBytes: number, bytesPerSecond: number, burstBytes: number) {
    this.budgetBytes = budgetBytes;
    this.#bytesPerSecond = bytesPerSecond;
    this.#burstBytes = burstBytes;
    this.#allowedBytes = burstBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }
  get count(): number {
    return this.#kept.size;
  }

  /** Whether a tensor could begin now, beside those on their way. */
  hasRoomFor(totalBytes: number | undefined): boolean {
    return this.budgetBytes > 0 && this.#reservedBytes + (totalBytes ?? 0) <= this.budgetBytes;
  }

  /** Whether `byteCount` may be copied now, and if so counts them. */
  #allows(byteCount: number, nowMs: number): boolean {
    const earned = (Math.max(0, nowMs - this.#allowedAtMs) / 1000) * this.#bytesPerSecond;
    this.#allowedBytes = Math.min(this.#burstBytes, this.#allowedBytes + earned);
    this.#allowedAtMs = nowMs;
    if (this.#allowedBytes <= 0 || this.#allowedBytes < byteCount) return false;
    this.#allowedBytes -= byteCount;
    return true;
  }

  /** A place for a tensor that begins; undefined: there is no room for it, or it comes too fast. */
  begin(
    totalBytes: number | undefined,
    dtype: string | undefined,
    shape: readonly number[],
    nowMs: number,
  ): Capture | undefined {
    const reserve = totalBytes ?? 0;
    const hasRoom = this.hasRoomFor(totalBytes);
    if (hasRoom && !this.#allows(reserve, nowMs)) {
      this.skipped++;
      return undefined;
    }
    const capture = hasRoom ? makeCapture(totalBytes, dtype, shape) : undefined;
    if (!capture) {
      this.refused++;
      return undefined;
    }
    this.#reservedBytes += reserve;
    this.#live.add(capture);
    return capture;
  }

  /** More of it has come: `bytes` lie at `offset`. */
  append(capture: Capture, bytes: Uint8Array, offset: number, nowMs: number): void {
    if (capture.state !== "live" || offset > capture.length) return;
    const fresh = bytes.subarray(capture.length - offset); // another of its users was faster
    if (fresh.length === 0) return;
    if (!capture.append(fresh)) {
      this.drop(capture, nowMs);
      return;
    }
    if (capture.reservedBytes === 0) this.#allowedBytes -= fresh.length;
    this.#usedBytes += fresh.length;
    this.#makeRoom(capture, nowMs);
  }

  /** It is whole. */
  keep(capture: Capture): void {
    if (capture.state !== "live") return;
    this.#live.delete(capture);
    this.#reservedBytes -= capture.reservedBytes;
    capture.state = "kept";
    this.#kept.add(capture);
  }

  /** It is not wanted any more. */
  drop(capture: Capture, nowMs: number): void {
    if (capture.state === "gone") return;
    if (this.#live.delete(capture)) this.#reservedBytes -= capture.reservedBytes;
    this.#kept.delete(capture);
    this.#usedBytes -= capture.length;
    capture.state = "gone";
    capture.goneAtMs = nowMs;
  }

  #makeRoom(newest: Capture, nowMs: number): void {
    while (this.#usedBytes > this.budgetBytes) {
      const [oldest] = this.#kept;
      if (!oldest) {
        this.refused++;
        this.drop(newest, nowMs);
        return;
      }
      this.evicted++;
      this.drop(oldest, nowMs);
    }
  }
}

function makeCapture(
  totalBytes: number | undefined,
  dtype: string | undefined,
  shape: readonly number[],
): Capture | undefined {
  try {
    return new Capture(totalBytes, totalBytes === undefined ? undefined : npyHead(dtype, shape, totalBytes));
  } catch {
    return undefined; // the machine has not that much
  }
}

/** Empty for what npy has no header for. */
function npyHead(dtype: string | undefined, shape: readonly number[], totalBytes: number): Uint8Array {
  try {
    if (dtype === undefined) return encodeNpyHeader({ dtype: parseDType("uint8"), shape: [totalBytes] });
    return encodeNpyHeader({ dtype: parseDType(dtype), shape });
  } catch {
    return new Uint8Array(0);
  }
}
