/**
 * What is left of tensor streams that failed here: STOP tells their sender, and what it sends of them until it knows is
 * skipped, and counts against their credit all the same.
 */
import type { AsocError } from "../errors.ts";
import type { X1Record } from "../wire/records/records.ts";
import type { StreamLedger } from "./credit_window.ts";
import { stopCode, tooManyLeftOpen } from "./inbound_faults.ts";
import { clippedReason } from "./reasons.ts";

export class SkippedStreams {
  readonly #most: number;
  readonly #say: (streamId: number, record: X1Record) => void;
  readonly #ledgers = new Map<number, StreamLedger>();

  /** `most` of them at a time. */
  constructor(most: number, say: (streamId: number, record: X1Record) => void) {
    this.#most = most;
    this.#say = say;
  }

  get size(): number {
    return this.#ledgers.size;
  }
  has(id: number): boolean {
    return this.#ledgers.has(id);
  }
  get(id: number): StreamLedger | undefined {
    return this.#ledgers.get(id);
  }

  /** Tells the sender, and skips what it sends until it knows. Throws ASOC_TOO_MANY_STREAMS, which ends the connection. */
  stop(id: number, ledger: StreamLedger, error: AsocError, code: number = stopCode(error)): void {
    if (this.#ledgers.size >= this.#most) throw tooManyLeftOpen(this.#most, "refused streams open");
    this.#ledgers.set(id, { announcedBytes: ledger.announcedBytes, limitBytes: ledger.limitBytes });
    this.#say(id, { kind: "stop", code, reason: clippedReason(error.message) });
  }

  /** Its sender knows: nothing of it follows. False for one that was not skipped. */
  delete(id: number): boolean {
    return this.#ledgers.delete(id);
  }
  clear(): void {
    this.#ledgers.clear();
  }
}
