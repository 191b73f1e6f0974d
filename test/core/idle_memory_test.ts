import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IdleMemory } from "../../src/core/idle_memory.ts";
import { MiB } from "../../src/core/limits.ts";
import { BufferPool, type PooledBuffer } from "../../src/core/tensor/buffer_pool.ts";
import { TestClock } from "../support/core_clock.ts";

/** Of buffers that are larger than all that may stay. */
const LARGE = 4 * MiB;

function setUp({ memoryBudgetBytes = 64 * MiB, idleMemoryBytes = MiB } = {}) {
  const clock = new TestClock();
  const pool = new BufferPool({ memoryBudgetBytes, idleMemoryBytes });
  const idle = new IdleMemory(pool, clock, 1000);
  const acquire = (byteCount: number): PooledBuffer => {
    const buffer = pool.acquire(byteCount);
    assert.ok(buffer, `no room for ${byteCount}`);
    return buffer;
  };
  return { clock, pool, idle, acquire };
}

test("IdleMemory keeps a large buffer for the next tensor, however long a stream of them lasts", () => {
  const { clock, pool, acquire } = setUp();
  for (let tensor = 0; tensor < 20; tensor++) {
    const buffer = acquire(LARGE);
    clock.advance(700);
    buffer.release();
    clock.advance(700);
  }
  assert.deepEqual(pool.counters, { reused: 19, allocated: 1 });
});

test("IdleMemory gives a large buffer back once nobody has used it for idleMemoryMs, and then has no timer", () => {
  const { clock, pool, acquire } = setUp();
  acquire(LARGE).release();
  clock.advance(999);
  assert.deepEqual([pool.idleBytes, clock.timers], [LARGE, 1]);
  clock.advance(1);
  assert.deepEqual([pool.idleBytes, clock.timers], [0, 0]);
});

test("IdleMemory keeps what was used in between for as long again, at most twice as long in all", () => {
  const { clock, pool, acquire } = setUp();
  acquire(LARGE).release();
  clock.advance(500);
  acquire(LARGE).release();
  clock.advance(500);
  assert.equal(pool.idleBytes, LARGE);
  clock.advance(1000);
  assert.deepEqual([pool.idleBytes, clock.timers], [0, 0]);
});

test("IdleMemory gives back the one of two buffers that nobody needs any more", () => {
  const { clock, pool, acquire } = setUp();
  for (const buffer of [acquire(LARGE), acquire(LARGE)]) buffer.release();
  for (let tensor = 0; tensor < 4; tensor++) {
    acquire(LARGE).release();
    clock.advance(400);
  }
  assert.equal(pool.idleBytes, LARGE);
});

test("IdleMemory leaves a node at rest with what idleMemoryBytes allow, large buffers before small ones", () => {
  const { clock, pool, acquire } = setUp({ idleMemoryBytes: MiB });
  const sizes = [LARGE, MiB / 2, MiB / 2, MiB / 2, MiB / 4];
  for (const buffer of sizes.map(acquire)) buffer.release();
  assert.equal(pool.idleBytes, LARGE + (7 * MiB) / 4);
  clock.advance(2000);
  assert.deepEqual([pool.idleBytes, clock.timers], [MiB, 0]);
  for (const size of [MiB / 2, MiB / 2]) acquire(size);
  assert.equal(pool.counters.reused, 2);
});

test("IdleMemory has no timer while idle memory is within idleMemoryBytes", () => {
  const { clock, pool, acquire } = setUp();
  for (const buffer of [acquire(MiB / 2), acquire(MiB / 2)]) buffer.release();
  assert.deepEqual([pool.idleBytes, clock.timers], [MiB, 0]);
});

test("IdleMemory.close() gives all of it back and cancels the timer; what is released later is not kept", () => {
  const { clock, pool, idle, acquire } = setUp();
  const late = acquire(LARGE);
  acquire(LARGE).release();
  clock.advance(500);
  acquire(LARGE).release();
  idle.close();
  assert.deepEqual([pool.idleBytes, clock.timers], [0, 0]);
  late.release();
  assert.deepEqual([pool.idleBytes, clock.timers], [0, 0]);
});

test("Used and idle memory stay within the budget together, and rest brings idle memory down, whatever is done when", () => {
  const step = fc.oneof(
    fc.record({ acquire: fc.integer({ min: 1, max: 10 * MiB }) }),
    fc.record({ release: fc.nat(20) }),
    fc.record({ advance: fc.nat(1500) }),
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 10 * MiB, max: 40 * MiB }),
      fc.nat(12 * MiB),
      (steps, memoryBudgetBytes, idleMemoryBytes) => {
        const { clock, pool } = setUp({ memoryBudgetBytes, idleMemoryBytes });
        const held: PooledBuffer[] = [];
        for (const one of steps) {
          if ("acquire" in one) {
            const buffer = pool.acquire(one.acquire);
            if (buffer) held.push(buffer);
            else
              assert.ok(pool.usedBytes + one.acquire > memoryBudgetBytes, "refused although there was room");
          } else if ("advance" in one) clock.advance(one.advance);
          else if (held.length > 0) held.splice(one.release % held.length, 1)[0]?.release();
          assert.ok(pool.idleBytes >= 0 && pool.usedBytes + pool.idleBytes <= memoryBudgetBytes);
          assert.ok(clock.timers <= 1, `${clock.timers} timers`);
          if (pool.idleBytes > idleMemoryBytes) assert.equal(clock.timers, 1);
        }
        clock.advance(2000);
        assert.ok(pool.idleBytes <= idleMemoryBytes, `${pool.idleBytes} bytes are kept`);
        assert.equal(clock.timers, 0);
      },
    ),
  );
});
