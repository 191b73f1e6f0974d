/** Ids of the streams of one side. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StreamIds } from "../../../src/core/session/stream_ids.ts";

test("StreamIds go up by two from the first", () => {
  const ids = new StreamIds(2);
  assert.deepEqual([ids.take(), ids.take(), ids.take()], [2, 4, 6]);
});

test("StreamIds begin again at the end of 32 bits, and pass over one that is held", () => {
  const ids = new StreamIds(0xffff_fffb);
  ids.hold(ids.take());
  assert.equal(ids.take(), 0xffff_fffd);
  assert.equal(ids.left, 0);
  assert.equal(ids.take(), 0xffff_ffff);
  assert.equal(ids.take(), 0xffff_fffd);
  ids.release(0xffff_fffb);
  assert.equal(ids.take(), 0xffff_ffff);
  assert.equal(ids.take(), 0xffff_fffb);
});
