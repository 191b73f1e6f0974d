/**
 * A binary heap in an array, whose first entry is always the one that comes before all others. Functions and no class, so
 * that whoever holds the array reads that entry without a call.
 */

/** Whether one comes before the other. */
export type Before<Entry> = (one: Entry, other: Entry) => boolean;

export function pushHeap<Entry extends object>(heap: Entry[], entry: Entry, before: Before<Entry>): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const up = (at - 1) >> 1;
    const parent = heap[up] as Entry; // above an entry of the heap
    if (!before(entry, parent)) break;
    heap[at] = parent;
    at = up;
  }
  heap[at] = entry;
}

/** Takes out the first entry, if there is one. */
export function popHeap<Entry extends object>(heap: Entry[], before: Before<Entry>): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    const right = heap[child + 1];
    if (right && before(right, heap[child] as Entry)) child++; // the left one exists if the right does
    const first = heap[child];
    if (!first || !before(first, last)) break;
    heap[at] = first;
    at = child;
  }
  heap[at] = last;
}
