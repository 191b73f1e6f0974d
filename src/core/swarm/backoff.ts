/**
 * Delays before dialling again (RFC-0001, Reconnection): 1-5 s at random, doubling, jittered, at most 60 s. After the loss
 * of a peer that had proven itself the first one is 0-100 ms.
 */
import type { Timing } from "../limits.ts";

/** `failures` in a row so far (0: the connection was lost just now); `random` in [0, 1). */
export function redialDelayMs(failures: number, timing: Timing, random: number): number {
  const { reconnectMinMs: min, reconnectMaxMs: max, reconnectCapMs: cap } = timing;
  const delay = Math.min(cap, (min + random * (max - min)) * 2 ** Math.min(failures, 16));
  // At the cap every node would dial in step without it.
  return failures === 0 ? delay : delay * (0.75 + 0.25 * random);
}

/** The first redial of a peer that had proven itself; `random` in [0, 1). */
export function provenRedialDelayMs(timing: Timing, random: number): number {
  return random * timing.reconnectProvenMs;
}
