/** The counters of all sessions of a node: of those that live, and of those that have ended. */
import type { SessionCounters } from "./session/session_types.ts";

type CounterName = keyof SessionCounters;

const NONE: SessionCounters = {
  framesIn: 0,
  framesOut: 0,
  payloadBytesIn: 0,
  payloadBytesOut: 0,
  unknownFrames: 0,
  controlFrames: 0,
  copiedBytes: 0,
  grownBytes: 0,
  coalescedBytes: 0,
  creditStalls: 0,
};
const NAMES = Object.keys(NONE) as CounterName[];

export class SessionTotals {
  readonly #retired: Record<CounterName, number> = { ...NONE };

  /** A session has ended. */
  retire(counters: SessionCounters): void {
    for (const name of NAMES) this.#retired[name] += counters[name];
  }

  /** With those of the sessions that live. */
  with(living: Iterable<SessionCounters>): SessionCounters {
    const totals = { ...this.#retired };
    for (const counters of living) for (const name of NAMES) totals[name] += counters[name];
    return totals;
  }
}
