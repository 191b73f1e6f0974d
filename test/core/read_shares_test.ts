/** What a connection may bring while others are active. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ReadShares } from "../../src/core/read_shares.ts";

const RATE = 1000;

/** `frames` at a time, again as soon as that is allowed, for `seconds`: how many came. */
function flood(
  shares: ReadShares,
  frames: number,
  seconds: number,
  other?: { readonly everyMs: number },
): number {
  const share = shares.open();
  const quiet = shares.open();
  let came = 0;
  let otherMs = 0;
  for (let nowMs = 0; nowMs < seconds * 1000; ) {
    if (other && nowMs >= otherMs) {
      quiet.take(1, nowMs);
      otherMs = nowMs + other.everyMs;
    }
    came += frames;
    nowMs += Math.max(1, share.take(frames, nowMs));
  }
  return came;
}

test("ReadShares lets a connection that is alone bring as much as it likes", () => {
  assert.equal(flood(new ReadShares(RATE), 500, 2), 1_000_000);
});

test("ReadShares holds a connection to its share, and one read more, while another is active", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 90 }), (frames, everyMs) => {
      const came = flood(new ReadShares(RATE), frames, 10, { everyMs });
      assert.ok(came <= 10 * RATE * 1.06 + 2 * frames, `${came} frames in 10 s`);
      if (frames < 100) assert.ok(came >= 10 * RATE * 0.8, `${came} frames in 10 s`);
    }),
  );
});

test("ReadShares forgets another one that has brought nothing for a while", () => {
  const shares = new ReadShares(RATE);
  const [one, other] = [shares.open(), shares.open()];
  other.take(1, 1000);
  assert.ok(one.take(5000, 1050) > 1000);
  assert.equal(one.take(5000, 7000), 0);
});
