/** The first of many entries, whatever the order in which they come and go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { popHeap, pushHeap } from "../../../src/core/session/heap.ts";
import { Random } from "../../sim/random.ts";

interface Entry {
  readonly atMs: number;
  readonly order: number;
}

const before = (one: Entry, other: Entry) =>
  one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);

test("popHeap() takes out what a sorted list has first, among equals by the order that is given", () => {
  const random = new Random(5);
  const heap: Entry[] = [];
  const list: Entry[] = [];
  for (let order = 0; order < 20_000; order++) {
    if (random.chance(0.55)) {
      const entry = { atMs: random.between(0, 50), order };
      pushHeap(heap, entry, before);
      list.push(entry);
      list.sort((one, other) => one.atMs - other.atMs || one.order - other.order);
    } else {
      popHeap(heap, before);
      list.shift();
    }
    assert.equal(heap.length, list.length);
    assert.equal(heap[0], list[0]);
  }
});

test("popHeap() of an empty heap, and of the last entry, leaves an empty one", () => {
  const heap: Entry[] = [];
  popHeap(heap, before);
  assert.deepEqual(heap, []);
  pushHeap(heap, { atMs: 1, order: 0 }, before);
  popHeap(heap, before);
  assert.deepEqual(heap, []);
});
