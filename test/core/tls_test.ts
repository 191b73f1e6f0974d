/** How a node takes TLS connections: what is held against whom, and that nothing comes in without TLS. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Admission } from "../../src/core/auth/admission.ts";
import type { Doorkeeper } from "../../src/core/doorkeeper.ts";
import { type AsocError, ConnectionError, LimitError } from "../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import type { Clock, TlsConfig } from "../../src/core/runtime.ts";
import { listenWith } from "../../src/core/tls.ts";

const REMOTE = { host: "127.0.0.9", port: 40_000 };

/** As `Connections` listens; `refusals` are what the door is told. */
function listening() {
  const refusals: string[] = [];
  const admission = new Admission(DEFAULT_LIMITS);
  const door = {
    hostRefusal: () => undefined,
    turnedAway: (_remote: unknown, reason: string, error?: AsocError) => refusals.push(error?.code ?? reason),
  } as unknown as Doorkeeper; // as much of it as is asked here
  const clock = { nowMs: () => 1000 } as Clock;
  const config = {} as TlsConfig;
  return { admission, refusals, tls: listenWith(config, DEFAULT_LIMITS, admission, clock, door) };
}

const timeout = new ConnectionError("ASOC_HANDSHAKE_TIMEOUT", "took too long");
const room = new LimitError("ASOC_ADMISSION", "made room", { details: { limit: "maxPendingHandshakes" } });

test("listenWith() holds it against nobody that his handshake had to make room", () => {
  const { tls, refusals } = listening();
  for (let i = 0; i < 20; i++) tls.failed(REMOTE, room);
  assert.equal(tls.admits(REMOTE, true), true);
  assert.deepEqual(new Set(refusals), new Set(["ASOC_ADMISSION"]));
});

test("listenWith() blocks a stranger whose TLS handshakes take too long, and not who was here lately", () => {
  const stranger = listening();
  for (let i = 0; i < 5; i++) stranger.tls.failed(REMOTE, timeout);
  assert.equal(stranger.tls.admits(REMOTE, true), false);
  assert.equal(stranger.refusals.at(-1), "blocked");

  const known = listening();
  known.admission.arrive(REMOTE.host, 0);
  known.admission.authenticated(REMOTE.host);
  for (let i = 0; i < 20; i++) known.tls.failed(REMOTE, timeout);
  assert.equal(known.tls.admits(REMOTE, true), true);
});

test("listenWith() refuses with a reason where there is no place, and where too many came in a second", () => {
  const { tls, refusals } = listening();
  assert.equal(tls.admits(REMOTE, false), false);
  for (let i = 0; i <= DEFAULT_LIMITS.maxTlsHandshakesPerSecond; i++)
    tls.admits({ host: `10.0.${i}.1`, port: 1 }, true);
  assert.deepEqual(refusals, ["too many handshakes", "too many TLS handshakes"]);
});
