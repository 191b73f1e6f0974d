import assert from "node:assert/strict";
import { test } from "node:test";
import { MiB } from "../../../src/core/limits.ts";
import { BufferPool, type PooledBuffer } from "../../../src/core/tensor/buffer_pool.ts";
import { MemoryAccounts } from "../../../src/core/tensor/memory_account.ts";

const poolOf = (memoryBudgetBytes: number) => new BufferPool({ memoryBudgetBytes, idleMemoryBytes: 0 });

/** Takes 1 MiB at a time until there is no more. */
function takeAll(from: { acquire(byteCount: number): PooledBuffer | undefined }): PooledBuffer[] {
  const taken: PooledBuffer[] = [];
  for (let buffer = from.acquire(MiB); buffer; buffer = from.acquire(MiB)) taken.push(buffer);
  return taken;
}

test("MemoryAccounts let a peer that is alone have the whole budget", () => {
  const accounts = new MemoryAccounts(poolOf(16 * MiB));
  assert.equal(takeAll(accounts.join("a")).length, 16);
});

test("MemoryAccounts leave room for others, however many peers hold memory that is never released", () => {
  const accounts = new MemoryAccounts(poolOf(1024 * MiB));
  for (const [index, most] of [768, 192, 48, 12].entries()) {
    if (index === 0) accounts.join("other");
    assert.equal(takeAll(accounts.join(`greedy ${index}`)).length, most);
  }
  const other = accounts.join("other");
  for (let round = 0; round < 3; round++) {
    const buffers = takeAll(other);
    assert.equal(buffers.length, 3);
    for (const buffer of buffers) buffer.release();
  }
});

test("MemoryAccounts share what there is among peers that want all of it at once", () => {
  const accounts = new MemoryAccounts(poolOf(700 * MiB));
  const [one, two] = [accounts.join("one"), accounts.join("two")];
  let taken = 0;
  while (one.acquire(MiB) && two.acquire(MiB)) taken++;
  assert.ok(Math.abs(taken - 300) <= 1, `each got ${taken} of 700 MiB`);
});

test("MemoryAccounts hold a peer to its cap, whatever is free, and say that only its own memory can make room", () => {
  const accounts = new MemoryAccounts(poolOf(64 * MiB));
  const [other, capped] = [accounts.join("other"), accounts.join("capped")];
  other.acquire(MiB);
  accounts.cap("capped", 4 * MiB);
  assert.equal(capped.unused, true, "it would wait for what others hold");
  assert.equal(capped.budgetBytes, 4 * MiB);
  const taken = takeAll(capped);
  assert.equal(taken.length, 4);
  for (const buffer of taken) buffer.release();
  accounts.cap("capped", undefined);
  assert.ok(takeAll(capped).length > 4);
});

test("MemoryAccounts count all connections of a peer together", () => {
  const accounts = new MemoryAccounts(poolOf(16 * MiB));
  accounts.join("other");
  const one = accounts.join("a");
  assert.equal(accounts.join("a"), one);
});

test("MemoryAccounts remember what readers hold of a peer that went and comes again", () => {
  const accounts = new MemoryAccounts(poolOf(16 * MiB));
  accounts.join("other");
  const held = takeAll(accounts.join("a"));
  accounts.leave("a");
  assert.equal(accounts.join("a").acquire(MiB), undefined);
  for (const buffer of held) buffer.release();
  accounts.leave("a");
  assert.equal(takeAll(accounts.join("a")).length, 12);
});

test("MemoryAccounts give back the reserve, and wake who waits, when the others have gone", () => {
  const pool = poolOf(16 * MiB);
  const accounts = new MemoryAccounts(pool);
  const greedy = accounts.join("greedy");
  accounts.join("other");
  takeAll(greedy);
  let woken = 0;
  pool.whenFreed(() => woken++);
  accounts.leave("other");
  assert.equal(woken, 1);
  assert.equal(takeAll(greedy).length, 4);
});

test("MemoryAccount.releasePossible tells whether waiting can help", () => {
  const accounts = new MemoryAccounts(poolOf(16 * MiB));
  const a = accounts.join("a");
  const b = accounts.join("b");
  const held = takeAll(a);
  takeAll(b);
  assert.deepEqual([a.releasePossible, b.releasePossible], [false, false], "all of it still arrives");
  held[0]?.delivered();
  assert.deepEqual([a.releasePossible, b.releasePossible], [true, true]);
});
