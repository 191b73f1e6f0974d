/**
 * Pooled tensor memory with explicit release, size classes and a byte budget.
 *
 * Fresh memory costs two thirds of the throughput (page faults), so a released
 * buffer serves the next tensor. Four classes per doubling waste at most a fifth.
 * What lies idle beyond `idleMemoryBytes` goes when nobody has used it for a while; the pool knows no time, so
 * somebody must say when that is over (`onExcess`, `trim`).
 * The budget counts capacity: arriving, waiting for a reader, and held by readers. Each peer has an account
 * (`memory_account.ts`), so that one whose tensors are never released leaves room for the others.
 */
import { LimitError } from "../errors.ts";
import { MIN_BUFFER_BYTES } from "../limits.ts";

export interface PoolLimits {
  readonly memoryBudgetBytes: number;
  readonly idleMemoryBytes: number;
  /** Views of released memory lose it (development): what still uses one finds it empty. */
  readonly detachReleased?: boolean;
}

/** Who may have how much: the pool asks it before it gives memory, and tells it when that comes back. */
export interface Account {
  /** True when `byteCount` more is within what it may hold. */
  mayTake(byteCount: number): boolean;
  took(byteCount: number): void;
  delivered(byteCount: number): void;
  gaveBack(byteCount: number, arriving: boolean): void;
}

/**
 * How large the last tensor was that began with a frame of that size (its number of leading zero bits): v1 does not say
 * how long a tensor will be, and who cuts tensors in the same way sends the same kind.
 */
export type SizeHints = Map<number, number>;

/** Memory of one size class, counted by its holders. */
export class PooledBuffer {
  /** The whole capacity; content is whatever was there before. */
  readonly bytes: Uint8Array;
  /** What the budget counts: `bytes` loses its length when its user transfers the memory away. */
  readonly size: number;
  readonly #pool: BufferPool;
  readonly #account: Account | undefined;
  #holders = 1;
  #arriving = true;

  /** Only the pool makes these. */
  constructor(pool: BufferPool, bytes: Uint8Array, account: Account | undefined) {
    this.#pool = pool;
    this.#account = account;
    this.bytes = bytes;
    this.size = bytes.byteLength;
  }

  /** One more holder, who must release too. */
  retain(): void {
    this.#holders++;
  }

  /** The bytes are complete: from now on a reader's release can make room. */
  delivered(): void {
    if (!this.#arriving) return;
    this.#arriving = false;
    this.#account?.delivered(this.size);
    this.#pool.countDelivered(this.size);
  }

  /**
   * The last holder's release gives the memory back; nobody may touch it afterwards. `keep` false: no other tensor is
   * likely to want its size.
   */
  release(keep = true): void {
    if (this.#holders === 0) throw new Error("PooledBuffer released more often than retained");
    this.#holders--;
    if (this.#holders > 0) return;
    this.#account?.gaveBack(this.size, this.#arriving);
    this.#pool.takeBack(this, this.size, this.#arriving, keep);
  }
}

/** Idle memory of one size class. */
interface Shelf {
  /** Taken from the end, and put back there. */
  readonly buffers: Uint8Array[];
  /** So many at the start have lain there since the last trim. */
  untouched: number;
}

export class BufferPool {
  readonly #limits: PoolLimits;
  readonly #idle = new Map<number, Shelf>();
  readonly #waiting = new Set<() => void>();
  readonly sizeHints: SizeHints = new Map();
  #idleBytes = 0;
  #usedBytes = 0;
  #arrivingBytes = 0;
  #reused = 0;
  #allocated = 0;
  #collected: FinalizationRegistry<{ byteCount: number; account: Account | undefined }>;
  #awaitsTrim = false;
  /** Idle memory is more than `idleMemoryBytes`: `trim` is to follow in a while. Unset: none is kept beyond them. */
  onExcess: (() => void) | undefined;

  constructor(limits: PoolLimits) {
    this.#limits = limits;
    // A reader that forgets to release gets its memory from the garbage collector; the budget must learn of it.
    this.#collected = new FinalizationRegistry(({ byteCount, account }) => {
      this.#usedBytes -= byteCount;
      account?.gaveBack(byteCount, false);
      this.wake();
    });
  }

  /** Bytes handed out and not released. */
  get usedBytes(): number {
    return this.#usedBytes;
  }
  get idleBytes(): number {
    return this.#idleBytes;
  }
  /** How many buffers came from memory that was released before, and how many were fresh. */
  get counters(): { readonly reused: number; readonly allocated: number } {
    return { reused: this.#reused, allocated: this.#allocated };
  }
  get budgetBytes(): number {
    return this.#limits.memoryBudgetBytes;
  }
  get freeBytes(): number {
    return Math.max(0, this.#limits.memoryBudgetBytes - this.#usedBytes);
  }
  /** Nobody holds any of it. */
  get unused(): boolean {
    return this.#usedBytes === 0;
  }
  /** True when some reader holds, or could take, complete memory: waiting for a release makes sense. */
  get releasePossible(): boolean {
    return this.#usedBytes > this.#arrivingBytes;
  }

  /**
   * A buffer of at least `byteCount` bytes with one holder, or undefined when the
   * budget, or the account, has no room now. Throws ASOC_MEMORY_BUDGET when it never can.
   */
  acquire(byteCount: number, account?: Account): PooledBuffer | undefined {
    const size = sizeClass(byteCount);
    const budget = this.#limits.memoryBudgetBytes;
    if (byteCount > budget) {
      throw new LimitError(
        "ASOC_MEMORY_BUDGET",
        `Cannot hold ${byteCount} bytes: memoryBudgetBytes is ${budget}`,
        { details: { limit: "memoryBudgetBytes", expected: budget, got: byteCount } },
      );
    }
    const room = (wanted: number) => this.#usedBytes + wanted <= budget && (account?.mayTake(wanted) ?? true);
    const fits = room(size);
    if (!fits && !room(byteCount)) return undefined;
    const kept = fits ? this.#takeIdle(size) : undefined;
    let bytes: Uint8Array;
    if (kept) {
      this.#reused++;
      bytes = kept;
    } else {
      const fresh = fits ? size : byteCount;
      this.#makeRoom(budget - this.#usedBytes - fresh);
      this.#allocated++;
      bytes = new Uint8Array(fresh);
    }
    const buffer = new PooledBuffer(this, bytes, account);
    this.#usedBytes += buffer.size;
    this.#arrivingBytes += buffer.size;
    account?.took(buffer.size);
    return buffer;
  }

  /** Calls `run` once when memory has come back. Returns how to forget it. */
  whenFreed(run: () => void): () => void {
    this.#waiting.add(run);
    return () => this.#waiting.delete(run);
  }

  /** @internal */
  countDelivered(byteCount: number): void {
    this.#arrivingBytes -= byteCount;
  }

  /** @internal The registry watches memory that has gone to a reader. */
  watch(buffer: PooledBuffer, account?: Account): void {
    this.#collected.register(buffer.bytes.buffer, { byteCount: buffer.size, account }, buffer);
  }

  /** @internal */
  takeBack(buffer: PooledBuffer, size: number, arriving: boolean, keep: boolean): void {
    this.#collected.unregister(buffer);
    this.#usedBytes -= size;
    if (arriving) this.#arrivingBytes -= size;
    const lost = buffer.bytes.byteLength !== size; // transferred to a worker, say: somebody else has it now
    const bytes = this.#limits.detachReleased && !lost ? moved(buffer.bytes) : buffer.bytes;
    if (keep && !lost && size === sizeClass(size)) this.#putIdle(bytes, size);
    this.wake();
  }

  #takeIdle(size: number): Uint8Array | undefined {
    const shelf = this.#idle.get(size);
    const bytes = shelf?.buffers.pop();
    if (!shelf || !bytes) return undefined;
    this.#idleBytes -= size;
    shelf.untouched = Math.min(shelf.untouched, shelf.buffers.length);
    return bytes;
  }

  /** Used and idle memory stay together within the budget: what becomes idle here was used before. */
  #putIdle(bytes: Uint8Array, size: number): void {
    const shelf = this.#idle.get(size);
    if (shelf) shelf.buffers.push(bytes);
    else this.#idle.set(size, { buffers: [bytes], untouched: 0 });
    this.#idleBytes += size;
    if (this.#awaitsTrim || this.#idleBytes <= this.#limits.idleMemoryBytes) return;
    this.#watchUse();
    if (this.onExcess) {
      this.#awaitsTrim = true;
      this.onExcess();
    } else this.#dropExcess();
  }

  /**
   * Idle memory beyond `idleMemoryBytes` goes, but for what was used since `onExcess`, or since the last trim. True: some
   * of that is left, and another trim is to follow in a while.
   */
  trim(): boolean {
    this.#dropExcess();
    this.#watchUse();
    this.#awaitsTrim = this.#idleBytes > this.#limits.idleMemoryBytes;
    return this.#awaitsTrim;
  }

  /** From here on it shows which of them nobody uses. */
  #watchUse(): void {
    for (const shelf of this.#idle.values()) shelf.untouched = shelf.buffers.length;
  }

  /** Drops what lies untouched and finds no place in `idleMemoryBytes`. Large buffers come first: fresh ones cost most there. */
  #dropExcess(): void {
    let room = this.#limits.idleMemoryBytes;
    for (const [size, shelf] of [...this.#idle].sort(([a], [b]) => b - a)) {
      const { buffers } = shelf;
      const kept = Math.min(buffers.length, Math.floor(room / size));
      room -= kept * size;
      this.#drop(size, shelf, Math.min(shelf.untouched, buffers.length - kept));
    }
  }

  /** Drops idle memory until `byteCount` is left of it at most: first what nobody has used lately, then small buffers. */
  #makeRoom(byteCount: number): void {
    if (this.#idleBytes <= byteCount) return;
    for (const before of [true, false]) {
      for (const [size, shelf] of [...this.#idle].sort(([a], [b]) => a - b)) {
        const most = before ? shelf.untouched : shelf.buffers.length;
        this.#drop(size, shelf, Math.min(most, Math.ceil((this.#idleBytes - byteCount) / size)));
        if (this.#idleBytes <= byteCount) return;
      }
    }
  }

  /** Drops `count` buffers of the class `size`, those first that have lain there longest. */
  #drop(size: number, shelf: Shelf, count: number): void {
    shelf.buffers.splice(0, count);
    shelf.untouched = Math.max(0, shelf.untouched - count);
    this.#idleBytes -= count * size;
    if (shelf.buffers.length === 0) this.#idle.delete(size);
  }

  /** @internal Those who wait for memory try again. */
  wake(): void {
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const run of waiting) run();
  }
}

/** The same memory under a new ArrayBuffer; every view of the old one is empty from now on. Nothing is copied. */
function moved(bytes: Uint8Array): Uint8Array {
  return new Uint8Array((bytes.buffer as ArrayBuffer).transfer()); // the pool makes no shared memory
}

/** The smallest class that holds `byteCount`: 4, 5, 6, 7 eighths of a power of two, from 4 KiB. */
export function sizeClass(byteCount: number): number {
  if (byteCount <= MIN_BUFFER_BYTES) return MIN_BUFFER_BYTES;
  const step = 2 ** Math.floor(Math.log2(byteCount - 1)) / 4;
  return Math.ceil(byteCount / step) * step;
}
