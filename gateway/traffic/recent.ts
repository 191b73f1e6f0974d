/**
 * Bytes of recent tensors under one budget: what is whole, the oldest first out; and what is on its way, which counts as
 * it comes. Memory is reserved for tensors on their way up to the budget as well, and touched only as bytes come.
 */
/** Memory of a tensor that went is taken for one that comes if it is at most so much larger. */
const MOST_REUSED_FACTOR = 1.25;

/** The bytes of one tensor: first on their way, then whole. Of known length they lie in one piece, made as the first ones come. */
export class Capture {
  readonly #parts: Uint8Array[] = [];
  /** Undefined: nobody knows how long it will be. */
  readonly #totalBytes: number | undefined;
  #memory: Uint8Array | undefined;
  /** Somebody has seen the memory, and may still be reading it. */
  #isLent = false;
  length = 0;
  /** Streams that fill it, or wait for it: several when one tensor goes to several peers. */
  users = 0;
  /** Downloads that read it. */
  readers = 0;
  state: "live" | "kept" | "gone" = "live";
  goneAtMs: number | undefined;

  constructor(totalBytes: number | undefined) {
    this.#totalBytes = totalBytes;
  }

  get reservedBytes(): number {
    return this.#totalBytes ?? 0;
  }
  /** What `prepare` has still to get; 0: nothing. */
  get missingBytes(): number {
    return this.#memory ? 0 : this.reservedBytes;
  }

  /** Gets its memory: `used` if it fits, which saves the pages' first touch. Throws RangeError when there is none. */
  prepare(used: Uint8Array | undefined): void {
    const byteCount = this.missingBytes;
    const fits = used && used.byteLength >= byteCount && used.byteLength <= byteCount * MOST_REUSED_FACTOR;
    this.#memory = fits ? used : new Uint8Array(byteCount);
  }

  /** Its memory, for another tensor, unless somebody may still look at it. Only of one that is gone. */
  reuse(): Uint8Array | undefined {
    const memory = this.#isLent ? undefined : this.#memory;
    this.#memory = undefined;
    return memory;
  }

  /** False: they do not fit. */
  append(bytes: Uint8Array): boolean {
    const end = this.length + bytes.byteLength;
    if (this.#totalBytes === undefined) this.#parts.push(bytes.slice());
    else if (end > this.#totalBytes || !this.#memory) return false;
    else this.#memory.set(bytes, this.length);
    this.length = end;
    return true;
  }

  /** All of it, in one piece, shared: nobody may write to it. */
  get bytes(): Uint8Array {
    if (this.#memory) {
      this.#isLent = true;
      return this.#memory.subarray(0, this.length);
    }
    if (this.#parts.length !== 1) {
      const joined = new Uint8Array(this.length);
      let at = 0;
      for (const part of this.#parts) {
        joined.set(part, at);
        at += part.byteLength;
      }
      this.#parts.splice(0, this.#parts.length, joined);
    }
    return this.#parts[0] as Uint8Array; // there is one now
  }
}

export class RecentTensors {
  readonly budgetBytes: number;
  /** From the oldest to the newest. */
  readonly #kept = new Set<Capture>();
  readonly #live = new Set<Capture>();
  #usedBytes = 0;
  #reservedBytes = 0;
  #lentBytes = 0;
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

  /** Beyond the budget: what downloads hold of tensors that have made room, and what was made for one. */
  get lentBytes(): number {
    return this.#lentBytes;
  }

  /** A download reads it until it calls what this returns. */
  lend(capture: Capture): () => void {
    capture.readers++;
    return () => {
      capture.readers--;
      if (capture.readers === 0 && capture.state === "gone") this.#lentBytes -= capture.length;
    };
  }

  /** The same of bytes that were made for one download. */
  lendCopy(byteCount: number): () => void {
    this.#lentBytes += byteCount;
    return () => {
      this.#lentBytes -= byteCount;
    };
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
  begin(totalBytes: number | undefined, nowMs: number): Capture | undefined {
    const reserve = totalBytes ?? 0;
    const hasRoom = this.hasRoomFor(totalBytes);
    if (hasRoom && !this.#allows(reserve, nowMs)) {
      this.skipped++;
      return undefined;
    }
    if (!hasRoom) {
      this.refused++;
      return undefined;
    }
    const capture = new Capture(totalBytes);
    this.#reservedBytes += reserve;
    this.#live.add(capture);
    return capture;
  }

  /** More of it has come: `bytes` lie at `offset`. */
  append(capture: Capture, bytes: Uint8Array, offset: number, nowMs: number): void {
    if (capture.state !== "live" || offset > capture.length) return;
    const fresh = bytes.subarray(capture.length - offset); // another of its users was faster
    if (fresh.byteLength === 0) return;
    if ((capture.missingBytes > 0 && !this.#prepare(capture, nowMs)) || !capture.append(fresh)) {
      this.drop(capture, nowMs);
      return;
    }
    if (capture.reservedBytes === 0) this.#allowedBytes -= fresh.byteLength;
    this.#usedBytes += fresh.byteLength;
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
    if (capture.readers > 0) this.#lentBytes += capture.length;
    capture.state = "gone";
    capture.goneAtMs = nowMs;
  }

  /** Its first bytes are here: the oldest make room for all of it, and one of them leaves its memory. */
  #prepare(capture: Capture, nowMs: number): boolean {
    let used: Uint8Array | undefined;
    while (this.#usedBytes + capture.reservedBytes > this.budgetBytes) {
      const [oldest] = this.#kept;
      if (!oldest) break; // the rest is on its way too: makeRoom judges as it comes
      this.evicted++;
      this.drop(oldest, nowMs);
      used = oldest.reuse();
    }
    try {
      capture.prepare(used);
      return true;
    } catch {
      this.refused++;
      return false; // the machine has not that much
    }
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
