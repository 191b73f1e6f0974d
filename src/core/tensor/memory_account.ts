/**
 * What each peer holds of the pool's memory.
 *
 * While others are connected, a peer may hold three times what is still free, and no more: tensors of its that nobody
 * releases, or that never end, stop its own connections, and however many such peers there are, something is left for
 * the next one. (The rule is that of shared-memory switches: Choudhury and Hahne, "Dynamic queue length thresholds for
 * shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2), 1998.)
 */
import type { Account, BufferPool, PooledBuffer, SizeHints } from "./buffer_pool.ts";

/** How many times the free memory a peer may hold: one alone in need gets three quarters of the budget, two get 3/7 each. */
const THRESHOLD = 3;

/** What a session's streams ask for memory. `BufferPool` is one without accounts. */
export interface TensorMemory {
  readonly usedBytes: number;
  readonly freeBytes: number;
  readonly budgetBytes: number;
  readonly releasePossible: boolean;
  /** Nobody holds any of the pool's memory. */
  readonly unused: boolean;
  readonly sizeHints: SizeHints;
  acquire(byteCount: number): PooledBuffer | undefined;
  watch(buffer: PooledBuffer): void;
}

/** The memory of one peer's connections, as its sessions see it. */
export class MemoryAccount implements Account, TensorMemory {
  readonly #pool: BufferPool;
  readonly #alone: () => boolean;
  readonly sizeHints: SizeHints = new Map();
  #usedBytes = 0;
  #arrivingBytes = 0;

  /** A cap of its own (RFC-0103). */
  capBytes = Number.POSITIVE_INFINITY;

  /** `alone`: whether no other peer is connected now. */
  constructor(pool: BufferPool, alone: () => boolean) {
    this.#pool = pool;
    this.#alone = alone;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }
  /** What it may hold in all as things are now. */
  get budgetBytes(): number {
    return this.#usedBytes + this.freeBytes;
  }
  get freeBytes(): number {
    return Math.max(0, Math.min(this.#sharedBytes, this.capBytes - this.#usedBytes));
  }
  get #sharedBytes(): number {
    const free = this.#pool.freeBytes;
    if (this.#alone()) return free;
    return Math.max(0, Math.floor((THRESHOLD * free - this.#usedBytes) / (THRESHOLD + 1)));
  }
  /** Its own cap, and not what others hold, is what it has to keep to. */
  get #capped(): boolean {
    return this.capBytes - this.#usedBytes < this.#sharedBytes;
  }
  /** See `BufferPool.releasePossible`. What others release helps too: there is more free then. */
  get releasePossible(): boolean {
    return this.#usedBytes > this.#arrivingBytes || (!this.#capped && this.#pool.releasePossible);
  }

  /** Nobody holds memory whose release could make room for it. */
  get unused(): boolean {
    return this.#pool.unused || (this.#usedBytes === 0 && this.#capped);
  }

  acquire(byteCount: number): PooledBuffer | undefined {
    return this.#pool.acquire(byteCount, this);
  }
  watch(buffer: PooledBuffer): void {
    this.#pool.watch(buffer, this);
  }

  // --- Account

  mayTake(byteCount: number): boolean {
    return byteCount <= this.freeBytes;
  }
  took(byteCount: number): void {
    this.#usedBytes += byteCount;
    this.#arrivingBytes += byteCount;
  }
  delivered(byteCount: number): void {
    this.#arrivingBytes -= byteCount;
  }
  gaveBack(byteCount: number, arriving: boolean): void {
    this.#usedBytes -= byteCount;
    if (arriving) this.#arrivingBytes -= byteCount;
  }
}

/** The accounts of all peers. */
export class MemoryAccounts {
  readonly #pool: BufferPool;
  readonly #open = new Map<string, { readonly account: MemoryAccount; connections: number }>();
  /** Peers with a connection. */
  #connected = 0;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** A connection of the peer `key` has opened; `leave` follows. */
  join(key: string): MemoryAccount {
    let entry = this.#open.get(key);
    if (!entry) {
      entry = { account: new MemoryAccount(this.#pool, () => this.#connected <= 1), connections: 0 };
      this.#open.set(key, entry);
    }
    if (entry.connections++ === 0) this.#connected++;
    return entry.account;
  }

  /** What that peer may hold at most; undefined: what there is. */
  cap(key: string, maxBytes: number | undefined): void {
    const entry = this.#open.get(key);
    if (entry) entry.account.capBytes = maxBytes ?? Number.POSITIVE_INFINITY;
  }

  /** It has closed. What readers still hold stays on the account, for when the peer comes again. */
  leave(key: string): void {
    const entry = this.#open.get(key);
    if (entry && --entry.connections === 0) this.#connected--;
    for (const [each, { account, connections }] of this.#open)
      if (connections === 0 && account.usedBytes === 0) this.#open.delete(each);
    this.#pool.wake(); // one that is alone now may take more
  }
}
