import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Subscription, Subscriptions } from "../../../src/core/topics/subscriptions.ts";
import { compileGlob } from "../../../src/core/wire/glob.ts";

async function rest<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test("a Subscription gets what fits its glob, from subscribe() on, in order, and ends with close()", async () => {
  const all = new Subscriptions<number>();
  assert.equal(all.offer("train/loss", 0), 0);
  const reading = all.subscribe("train/*", 10);
  assert.equal(all.offer("train/loss", 1), 1);
  assert.equal(all.offer("train/a/b", 2), 0);
  assert.equal(all.offer("train/grad", 3), 1);
  all.close();
  assert.equal(all.offer("train/loss", 4), 0);
  assert.deepEqual(await rest(reading), [1, 3]);
  assert.equal(all.size, 0);
});

test("offer() tells how many subscriptions took the item", () => {
  const all = new Subscriptions<number>();
  for (const glob of ["**", "a/*", "a/b", "b/*"]) all.subscribe(glob, 1);
  assert.equal(all.offer("a/b", 1), 3);
  assert.equal(all.offer("b/c", 2), 1, "** has no room any more");
});

test("a Subscription that is not read keeps what waits, and counts what comes after as dropped", async () => {
  const all = new Subscriptions<number>();
  const slow = all.subscribe("**", 2);
  const other = all.subscribe("**", 3);
  for (const item of [1, 2, 3, 4]) all.offer("a", item);
  assert.deepEqual([slow.size, slow.dropped, other.dropped, all.dropped], [2, 2, 1, 3]);
  slow.close();
  assert.equal(all.dropped, 3, "what was dropped stays counted");
  assert.deepEqual(await rest(slow), [1, 2]);
});

test("a Subscription hands an item to the reader that waits, also if it may queue only one", async () => {
  const all = new Subscriptions<string>();
  const items = all.subscribe("a", 1)[Symbol.asyncIterator]();
  const [first, second] = [items.next(), items.next()];
  for (const item of ["x", "y", "z", "dropped"]) all.offer("a", item);
  assert.deepEqual([(await first).value, (await second).value], ["x", "y"]);
  assert.equal((await items.next()).value, "z");
  assert.equal(all.dropped, 1);
});

test("leaving the loop ends the Subscription, for its other readers too", async () => {
  const all = new Subscriptions<number>();
  const reading = all.subscribe("a", 10);
  const other = reading[Symbol.asyncIterator]();
  for (const item of [1, 2]) all.offer("a", item);
  for await (const item of reading) {
    assert.equal(item, 1);
    break;
  }
  assert.equal(all.size, 0);
  assert.equal(all.offer("a", 3), 0);
  assert.deepEqual(await other.next(), { value: 2, done: false });
  assert.deepEqual(await other.next(), { value: undefined, done: true });
});

test("a reader that waits when its own iterator returns is told that it is over", async () => {
  const all = new Subscriptions<number>();
  const items = all.subscribe("a", 10)[Symbol.asyncIterator]();
  const waiting = items.next();
  await items.return?.();
  assert.equal((await waiting).done, true);
  assert.equal((await items.next()).done, true);
});

test("subscribe() after close() has ended from the start", async () => {
  const all = new Subscriptions<number>();
  all.close();
  const late = all.subscribe("a", 10);
  assert.equal(all.size, 0);
  assert.deepEqual(await rest(late), []);
});

test("subscribe() refuses globs that compileGlob() refuses, and queues of no size", () => {
  const all = new Subscriptions<number>();
  for (const glob of ["", "a".repeat(256), "\ud800"]) {
    assert.throws(() => all.subscribe(glob, 1), { name: "RangeError", message: /^glob: / });
  }
  for (const maxItems of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => all.subscribe("a", maxItems), {
      name: "RangeError",
      message: `maxItems: expected a whole number from 1, got ${maxItems}`,
    });
  }
  assert.equal(all.size, 0);
});

const glob = fc.constantFrom("a", "a/*", "a/**", "**", "*", "*/b", "b/c");
const step = fc.oneof(
  fc.record({ do: fc.constant("subscribe" as const), glob, maxItems: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ do: fc.constant("offer" as const), topic: fc.constantFrom("a", "a/b", "a/b/c", "b/c", "") }),
  fc.record({ do: fc.constant("read" as const), which: fc.nat() }),
  fc.record({ do: fc.constant("close" as const), which: fc.nat() }),
);

test("Subscriptions do what a list for each of them does", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const all = new Subscriptions<number>();
      const models: {
        real: Subscription<number>;
        items: AsyncIterator<number>;
        fits: (topic: string) => boolean;
        maxItems: number;
        waiting: number[];
        open: boolean;
      }[] = [];
      let dropped = 0;
      for (const [index, one] of steps.entries()) {
        const model = "which" in one ? models[one.which % models.length] : undefined;
        if (one.do === "subscribe") {
          const real = all.subscribe(one.glob, one.maxItems);
          const items = real[Symbol.asyncIterator]();
          models.push({
            real,
            items,
            fits: compileGlob(one.glob),
            maxItems: one.maxItems,
            waiting: [],
            open: true,
          });
        } else if (one.do === "offer") {
          let taken = 0;
          for (const { open, fits, waiting, maxItems } of models) {
            if (!open || !fits(one.topic)) continue;
            if (waiting.length < maxItems) taken += Math.sign(waiting.push(index));
            else dropped++;
          }
          assert.equal(all.offer(one.topic, index), taken);
        } else if (model && one.do === "read" && model.waiting.length > 0) {
          assert.equal((await model.items.next()).value, model.waiting.shift());
        } else if (model && one.do === "close") {
          model.real.close();
          model.open = false;
        }
      }
      assert.equal(all.dropped, dropped);
      assert.equal(all.size, models.filter(({ open }) => open).length);
      all.close();
      for (const { real, waiting } of models) assert.deepEqual(await rest(real), waiting);
    }),
  );
});
