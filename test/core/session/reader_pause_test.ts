/** How long our own readers have kept a connection from being read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ReaderPause } from "../../../src/core/session/reader_pause.ts";

test("ReaderPause counts from its beginning, or from the last room that a reader made", () => {
  const pause = new ReaderPause();
  pause.note(false, 100);
  assert.equal(pause.sinceMs, undefined);
  pause.note(true, 200);
  pause.note(true, 300);
  assert.equal(pause.sinceMs, 200);
  pause.handleRoom(400);
  assert.equal(pause.sinceMs, 400);
  pause.note(false, 500);
  assert.equal(pause.sinceMs, undefined);
});

test("ReaderPause may have stalled the other side from half its patience on, and for a while after a long pause", () => {
  const pause = new ReaderPause();
  pause.note(true, 0);
  assert.equal(pause.mayHaveStalled(1000, 499), false);
  assert.equal(pause.mayHaveStalled(1000, 500), true);
  pause.note(false, 1000);
  assert.equal(pause.mayHaveStalled(1000, 1999), true);
  assert.equal(pause.mayHaveStalled(1000, 2000), false);
});
