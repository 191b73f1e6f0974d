import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LimitError } from "../../../src/core/errors.ts";
import { GiB, KiB, MiB } from "../../../src/core/limits.ts";
import { BufferPool, type PooledBuffer, sizeClass } from "../../../src/core/tensor/buffer_pool.ts";

const poolOf = (memoryBudgetBytes: number, idleMemoryBytes = memoryBudgetBytes) =>
  new BufferPool({ memoryBudgetBytes, idleMemoryBytes });

function acquire(pool: BufferPool, byteCount: number): PooledBuffer {
  const buffer = pool.acquire(byteCount);
  assert.ok(buffer, `no room for ${byteCount}`);
  return buffer;
}

test("sizeClass() holds what it is asked for and wastes at most a fifth", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 * GiB }), (byteCount) => {
      const size = sizeClass(byteCount);
      assert.ok(size >= byteCount);
      assert.equal(sizeClass(size), size, "a class is its own class");
      if (byteCount > 4 * KiB) assert.ok((size - byteCount) / size <= 0.2, `${byteCount} in ${size}`);
    }),
  );
});

test("sizeClass() has four classes per doubling, from 4 KiB", () => {
  const classes = new Set(Array.from({ length: 16 * KiB }, (_, i) => sizeClass(i + 1) / KiB));
  assert.deepEqual([...classes], [4, 5, 6, 7, 8, 10, 12, 14, 16]);
});

test("BufferPool reuses released memory of the same class", () => {
  const pool = poolOf(MiB);
  const first = acquire(pool, 5000);
  const memory = first.bytes.buffer;
  first.release();
  assert.equal(pool.usedBytes, 0);
  assert.equal(pool.idleBytes, sizeClass(5000));
  assert.equal(acquire(pool, 4999).bytes.buffer, memory);
  assert.deepEqual(pool.counters, { reused: 1, allocated: 1 });
  assert.equal(pool.idleBytes, 0);
});

test("BufferPool.acquire() has no room beyond its budget, and has it again after a release", () => {
  const pool = poolOf(64 * KiB);
  const held = acquire(pool, 48 * KiB);
  assert.equal(pool.acquire(20 * KiB), undefined);
  assert.equal(pool.freeBytes, 16 * KiB);
  acquire(pool, 16 * KiB);
  held.release();
  acquire(pool, 20 * KiB);
});

test("BufferPool.acquire() throws for what the budget never holds", () => {
  const pool = poolOf(64 * KiB);
  assert.throws(
    () => pool.acquire(64 * KiB + 1),
    (error) =>
      error instanceof LimitError &&
      error.code === "ASOC_MEMORY_BUDGET" &&
      error.details.limit === "memoryBudgetBytes",
  );
});

test("BufferPool.acquire() takes the last bytes of the budget exactly when its class is too large for them", () => {
  const pool = poolOf(9000);
  acquire(pool, 4096);
  assert.equal(acquire(pool, 4900).bytes.length, 4900);
});

test("BufferPool.acquire() counts the whole class of fresh memory when it makes idle memory go", () => {
  const pool = poolOf(9000);
  acquire(pool, 4096).release();
  acquire(pool, 4097); // its class is 5 KiB: with the idle 4 KiB that is more than the budget
  assert.deepEqual([pool.usedBytes, pool.idleBytes], [5 * KiB, 0]);
  assert.equal(acquire(pool, 3880).bytes.length, 3880);
});

test("BufferPool keeps at most idleMemoryBytes of released memory", () => {
  const pool = poolOf(MiB, 16 * KiB);
  const buffers = Array.from({ length: 8 }, () => acquire(pool, 4 * KiB));
  for (const buffer of buffers) buffer.release();
  assert.equal(pool.idleBytes, 16 * KiB);
  acquire(pool, 32 * KiB).release();
  assert.equal(pool.idleBytes, 16 * KiB, "larger than all that may be kept");
});

test("BufferPool keeps more than idleMemoryBytes where somebody trims it, and makes way with what nobody has used", () => {
  const pool = poolOf(8 * MiB, MiB);
  let calls = 0;
  pool.onExcess = () => calls++;
  for (const buffer of [acquire(pool, 3 * MiB), acquire(pool, 2 * MiB), acquire(pool, 4 * KiB)])
    buffer.release();
  assert.deepEqual([pool.idleBytes, calls], [5 * MiB + 4 * KiB, 1], "told once until the next trim");
  acquire(pool, 2 * MiB).release();
  acquire(pool, 4 * KiB).release();
  acquire(pool, 5 * MiB).release();
  assert.equal(pool.idleBytes, 7 * MiB + 4 * KiB, "the 3 MiB have gone, which lay there longest");
  assert.equal(pool.trim(), true);
  assert.equal(pool.idleBytes, 7 * MiB + 4 * KiB, "all of it was used since");
  assert.equal(pool.trim(), false);
  assert.equal(pool.idleBytes, 4 * KiB);
});

test("BufferPool drops small idle buffers before large ones, which cost more when they are fresh", () => {
  const pool = poolOf(8 * MiB, 2 * MiB);
  const buffers = [acquire(pool, MiB), acquire(pool, 4 * KiB), acquire(pool, MiB)];
  for (const buffer of buffers) buffer.release();
  assert.equal(pool.idleBytes, 2 * MiB);
  acquire(pool, MiB);
  acquire(pool, MiB);
  assert.deepEqual(pool.counters, { reused: 2, allocated: 3 });
});

test("BufferPool drops no large idle buffer for a small one", () => {
  const pool = poolOf(8 * MiB, 2 * MiB);
  for (const buffer of [acquire(pool, MiB), acquire(pool, MiB), acquire(pool, 4 * KiB)]) buffer.release();
  acquire(pool, MiB);
  acquire(pool, MiB);
  assert.deepEqual(pool.counters, { reused: 2, allocated: 3 });
});

test("BufferPool gives idle memory up for a tensor of another class, so that both stay within the budget", () => {
  const pool = poolOf(64 * KiB);
  for (const buffer of Array.from({ length: 12 }, () => acquire(pool, 4 * KiB))) buffer.release();
  assert.equal(pool.idleBytes, 48 * KiB);
  acquire(pool, 40 * KiB);
  assert.ok(pool.idleBytes + pool.usedBytes <= 64 * KiB);
});

test("PooledBuffer.release() by the last holder gives the memory back, and once more throws", () => {
  const pool = poolOf(MiB);
  const buffer = acquire(pool, 1);
  buffer.retain();
  buffer.release();
  assert.equal(pool.usedBytes, 4 * KiB);
  buffer.release();
  assert.equal(pool.usedBytes, 0);
  assert.throws(() => buffer.release(), /released more often/);
});

test("BufferPool.releasePossible tells memory that a reader holds from memory that still arrives", () => {
  const pool = poolOf(MiB);
  assert.equal(pool.releasePossible, false);
  const buffer = acquire(pool, 5000);
  assert.equal(pool.releasePossible, false);
  buffer.delivered();
  buffer.delivered();
  assert.equal(pool.releasePossible, true);
  buffer.release();
  assert.equal(pool.releasePossible, false);
});

test("BufferPool.whenFreed() calls once, at the next release, unless it was forgotten", () => {
  const pool = poolOf(MiB);
  const [a, b] = [acquire(pool, 1), acquire(pool, 1)];
  let calls = 0;
  pool.whenFreed(() => calls++);
  const forget = pool.whenFreed(() => assert.fail("was forgotten"));
  forget();
  assert.equal(calls, 0);
  a.release();
  b.release();
  assert.equal(calls, 1);
});

test("BufferPool counts exactly what is held and never goes over its budget, whatever is acquired and released", () => {
  const step = fc.oneof(
    fc.record({ acquire: fc.integer({ min: 1, max: 40 * KiB }) }),
    fc.record({ release: fc.nat(20) }),
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 40 * KiB, max: 200 * KiB }),
      fc.nat(100 * KiB),
      (steps, budget, idle) => {
        const pool = poolOf(budget, idle);
        const held: PooledBuffer[] = [];
        for (const one of steps) {
          if ("acquire" in one) {
            const buffer = pool.acquire(one.acquire);
            if (buffer) {
              assert.ok(buffer.bytes.length >= one.acquire);
              held.push(buffer);
            } else assert.ok(pool.usedBytes + one.acquire > budget, "refused although there was room");
          } else if (held.length > 0) held.splice(one.release % held.length, 1)[0]?.release();
          assert.equal(
            pool.usedBytes,
            held.reduce((sum, buffer) => sum + buffer.bytes.length, 0),
          );
          assert.ok(pool.usedBytes <= budget, `${pool.usedBytes} of ${budget} in use`);
          assert.ok(pool.idleBytes <= idle);
          assert.ok(pool.usedBytes + pool.idleBytes <= budget, "kept beyond the budget");
          assert.equal(
            new Set(held.map((buffer) => buffer.bytes.buffer)).size,
            held.length,
            "memory handed out twice",
          );
        }
      },
    ),
  );
});

test("BufferPool takes released memory away from every view of it, when it is asked to", () => {
  const pool = new BufferPool({ memoryBudgetBytes: MiB, idleMemoryBytes: MiB, detachReleased: true });
  const buffer = pool.acquire(64 * KiB);
  assert.ok(buffer);
  const view = buffer.bytes.subarray(0, 10);
  const other = new DataView(buffer.bytes.buffer);
  buffer.release();
  assert.equal(view.length, 0);
  assert.throws(() => other.getUint8(0), TypeError);
  const again = pool.acquire(64 * KiB);
  assert.equal(again?.bytes.length, 64 * KiB);
  assert.deepEqual(pool.counters, { reused: 1, allocated: 1 }, "nothing was copied or allocated for that");
});

for (const detachReleased of [false, true]) {
  test(`PooledBuffer.release() counts memory that its user has transferred away, and keeps none of it${detachReleased ? ", also where released memory is detached" : ""}`, () => {
    const pool = new BufferPool({ memoryBudgetBytes: MiB, idleMemoryBytes: MiB, detachReleased });
    const buffer = acquire(pool, 64 * KiB);
    (buffer.bytes.buffer as ArrayBuffer).transfer(); // the pool makes no shared memory
    buffer.release();
    assert.deepEqual([pool.usedBytes, pool.idleBytes], [0, 0]);
    assert.equal(acquire(pool, 64 * KiB).bytes.length, 64 * KiB);
  });
}
