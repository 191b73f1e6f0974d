import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Channel } from "../../src/core/channel.ts";

async function collect<T>(channel: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of channel) items.push(item);
  return items;
}

test("Channel gives what was pushed, in order, and ends after close()", async () => {
  const channel = new Channel<number>(10);
  for (const item of [1, 2, 3]) channel.push(item);
  channel.close();
  channel.push(4);
  assert.deepEqual(await collect(channel), [1, 2, 3]);
  assert.deepEqual(await collect(channel), []);
});

test("Channel gives an item to whoever waits for it, the longest first", async () => {
  const channel = new Channel<string>(10);
  const [a, b] = [channel[Symbol.asyncIterator](), channel[Symbol.asyncIterator]()];
  const [first, second] = [a.next(), b.next()];
  channel.push("x");
  channel.push("y");
  assert.deepEqual([(await first).value, (await second).value], ["x", "y"]);
  assert.equal(channel.size, 0);
});

test("Channel drops the oldest when it is full, and counts it", async () => {
  const channel = new Channel<number>(2);
  for (const item of [1, 2, 3, 4]) channel.push(item);
  assert.equal(channel.full, true);
  assert.equal(channel.dropped, 2);
  assert.equal(channel.take(), 3);
  channel.close();
  assert.deepEqual(await collect(channel), [4]);
  assert.equal(channel.take(), undefined);
});

test("Channel.close() ends those that wait", async () => {
  const channel = new Channel<number>(2);
  const waiting = collect(channel);
  channel.close();
  assert.deepEqual(await waiting, []);
});

test("a reader that breaks off takes no more items, and leaves them to others", async () => {
  const channel = new Channel<number>(10);
  for (const item of [1, 2, 3]) channel.push(item);
  for await (const item of channel) {
    assert.equal(item, 1);
    break;
  }
  channel.close();
  assert.deepEqual(await collect(channel), [2, 3]);
});

test("an iterator that returns while it waits, however often, ends at once and swallows no item", async () => {
  const channel = new Channel<number>(10);
  const iterator = channel[Symbol.asyncIterator]();
  const waiting = [iterator.next(), iterator.next()];
  await iterator.return?.();
  channel.push(1);
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ done }) => done),
    [true, true],
  );
  assert.deepEqual(await iterator.next(), { value: undefined, done: true });
  assert.equal(channel.take(), 1);
});

test("Channel is a queue that forgets its oldest beyond its limit, whatever is pushed and taken", () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.nat()), { maxLength: 200 }),
      fc.integer({ min: 1, max: 20 }),
      (steps, maxItems) => {
        const channel = new Channel<number>(maxItems);
        let model: number[] = [];
        for (const step of steps) {
          if (step === null) assert.equal(channel.take(), model.shift());
          else {
            channel.push(step);
            model = [...model, step].slice(-maxItems);
          }
          assert.equal(channel.size, model.length);
        }
      },
    ),
  );
});

test("Channel stays in order over many thousands of items", () => {
  const channel = new Channel<number>(50_000);
  let next = 0;
  for (let i = 0; i < 30_000; i++) {
    channel.push(i);
    if (i % 3 !== 0) assert.equal(channel.take(), next++);
  }
  while (channel.size > 0) assert.equal(channel.take(), next++);
  assert.equal(next, 30_000);
});
