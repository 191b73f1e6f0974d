/**
 * What is left of tensor streams that failed here and whose sender may not know yet: what it still sends of them is
 * skipped, and counts against their credit all the same.
 */
import type { StreamLedger } from "./credit_window.ts";
import { tooManyLeftOpen } from "./inbound_faults.ts";

export class SkippedStreams {
  readonly #most: number;
  readonly #ledgers = new Map<number, StreamLedger>();

  /** `most` of them at a time. */
  constructor(most: number) {
    this.#most = most;
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

  /** From here on the stream is skipped. Throws ASOC_TOO_MANY_STREAMS, which ends the connection. */
  add(id: number, { announcedBytes, limitBytes }: StreamLedger): void {
    if (this.#ledgers.size >= this.#most) throw tooManyLeftOpen(this.#most, "refused streams open");
    this.#ledgers.set(id, { announcedBytes, limitBytes });
  }

  /** Its sender knows: nothing of it follows. False for one that was not skipped. */
  delete(id: number): boolean {
    return this.#ledgers.delete(id);
  }
  clear(): void {
    this.#ledgers.clear();
  }
}
