/**
 * A process that stands still in mid-transfer for a minute (ASOC_SUSPEND_S: for so long), with the time-outs that users have:
 * each runtime as dialler and as listener, all beside each other, since they only wait. `npm test` runs this file beside others.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { RUNTIMES } from "../support/process.ts";
import type { Peer } from "./peer.ts";
import { suspend } from "./suspension.ts";

const STOP_MS = Number(process.env.ASOC_SUSPEND_S ?? 60) * 1000;
const { keepaliveMs, silenceMs } = DEFAULT_LIMITS;
/**
 * After what time without a byte the connection is given up: RFC-0006, section 5. With a write that stands still it is once the
 * other side does not count as heard any more.
 */
const AFTER_MS: Record<string, number> = {
  ASOC_PEER_SILENT: silenceMs,
  ASOC_SEND_STALLED: 1.5 * keepaliveMs,
};
/** The last byte may have come some time before the process stood still; and timers of a busy machine are late. */
const EARLIER_MS = 5000;
const LATER_MS = 10_000;

test("a dialler or a listener that is suspended for a minute is given up by then, and what passes in both directions goes on and arrives once", {
  timeout: 4 * STOP_MS,
}, async () => {
  const cases = (["dialler", "listener"] as const).flatMap((who) =>
    RUNTIMES.map((runtime) => ({ who, runtime })),
  );
  await Promise.all(
    cases.map(async ({ who, runtime }) => {
      let noticedMs = 0;
      const until = async (awake: Peer, mark: number) => {
        const startMs = performance.now();
        await awake.event("left", {}, STOP_MS, mark);
        noticedMs = performance.now() - startMs;
        await delay(STOP_MS - noticedMs); // the other side dials meanwhile, and nobody answers
      };
      const { code } = await suspend({ runtime, who, limits: {}, until, isNoticed: true });
      const afterMs = AFTER_MS[String(code)] ?? Number.NaN;
      assert.ok(
        noticedMs >= afterMs - EARLIER_MS && noticedMs <= silenceMs + LATER_MS,
        `${runtime} as ${who}: ${code} after ${noticedMs} ms`,
      );
    }),
  );
});
