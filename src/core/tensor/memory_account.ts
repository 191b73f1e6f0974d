/**
 * What each peer holds of the pool's memory.
 *
 * While others are connected, a part of the budget stays out of a peer's reach: tensors of its that nobody
 * releases, or that never end, stop its own connections and leave the others theirs.
 */
import type { Account, BufferPool, PooledBuffer, SizeHints } from "./buffer_pool.ts";

/** The part of the budget that one peer cannot use up while others are connected. */
export const RESERVED_SHARE = 0.25;

/** What a session's streams ask for memory. `BufferPool` is one without accounts. */
export interface TensorMemory {
  readonly usedBytes: number;
  readonly freeBytes: number;
  readonly budgetBytes: number;
  readonly releasePossible: boolean;
  readonly sizeHints: SizeHints;
  acquire(byteCount: number): PooledBuffer | undefined;
  watch(buffer: PooledBuffer): void;
}

/** The memory of one peer's connections, as its sessions see it. */
export class MemoryAccount implements Account, TensorMemory {
  readonly #pool: BufferPool;
  readonly #reservedBytes: () => number;
  readonly sizeHints: SizeHints = new Map();
  #usedBytes = 0;
  #arrivingBytes = 0;

  /** `reservedBytes`: what of the budget others need now. */
  constructor(pool: BufferPool, reservedBytes: () => number) {
    this.#pool = pool;
    this.#reservedBytes = reservedBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }
  get budgetBytes(): number {
    return this.#pool.budgetBytes - this.#reservedBytes();
  }
  get freeBytes(): number {
    return Math.max(0, Math.min(this.#pool.freeBytes, this.budgetBytes - this.#usedBytes));
  }
  /** See `BufferPool.releasePossible`: here only what this peer brought can help, unless the whole pool is used up. */
  get releasePossible(): boolean {
    if (this.#usedBytes > this.#arrivingBytes) return true;
    return this.#pool.releasePossible && this.#pool.freeBytes < this.budgetBytes - this.#usedBytes;
  }

  acquire(byteCount: number): PooledBuffer | undefined {
    return this.#pool.acquire(byteCount, this);
  }
  watch(buffer: PooledBuffer): void {
    this.#pool.watch(buffer, this);
  }

  // --- Account

  mayTake(byteCount: number): boolean {
    return this.#usedBytes + byteCount <= this.budgetBytes;
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
      entry = { account: new MemoryAccount(this.#pool, () => this.#reservedBytes()), connections: 0 };
      this.#open.set(key, entry);
    }
    if (entry.connections++ === 0) this.#connected++;
    return entry.account;
  }

  /** It has closed. What readers still hold stays on the account, for when the peer comes again. */
  leave(key: string): void {
    const entry = this.#open.get(key);
    if (entry && --entry.connections === 0) this.#connected--;
    for (const [each, { account, connections }] of this.#open)
      if (connections === 0 && account.usedBytes === 0) this.#open.delete(each);
    this.#pool.wake(); // less may be reserved now
  }

  #reservedBytes(): number {
    return this.#connected > 1 ? Math.floor(this.#pool.budgetBytes * RESERVED_SHARE) : 0;
  }
}
