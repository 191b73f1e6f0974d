/**
 * A process that stands still in mid-transfer (SIGSTOP) and goes on: for less than the time-outs nobody notices, after longer
 * the transfer goes on over the next connection. Here the time-outs are short; `suspended_minute_test.ts` has those of users.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RUNTIMES } from "../support/process.ts";
import { suspend } from "./suspension.ts";

const SHORT_MS = 600;
const LIMITS = {
  keepaliveMs: 300,
  silenceMs: 2000,
  sendStallMs: 2000,
  reconnectMinMs: 20,
  reconnectMaxMs: 60,
  reconnectCapMs: 200,
  dialTimeoutMs: 1000,
  handshakeTimeoutMs: 1500,
};

/** Many times as long, so that a machine that is busy by itself is not noticed either. */
const PATIENT = { ...LIMITS, silenceMs: 10 * SHORT_MS, sendStallMs: 10 * SHORT_MS };

for (const who of ["dialler", "listener"] as const) {
  test(`the ${who} is suspended for less than the time-outs: nobody notices, and what passes in both directions arrives once`, {
    timeout: 120_000,
  }, async () => {
    const until = () => delay(SHORT_MS); // time itself is what is tested
    await Promise.all(
      RUNTIMES.map((runtime) => suspend({ runtime, who, limits: PATIENT, until, isNoticed: false })),
    );
  });

  test(`the ${who} is suspended until the other side gives the connection up: what passes in both directions arrives once`, {
    timeout: 120_000,
  }, async () => {
    await Promise.all(
      RUNTIMES.map(async (runtime) => {
        const left = await suspend({
          runtime,
          who,
          limits: LIMITS,
          until: async (awake, mark) => {
            await awake.event("left", {}, 20_000, mark);
          },
          isNoticed: true,
        });
        assert.match(String(left.code), /^ASOC_(PEER_SILENT|SEND_STALLED)$/);
      }),
    );
  });
}
