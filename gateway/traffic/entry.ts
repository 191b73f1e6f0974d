/** One stream as the gateway remembers it. */
import type { HeldTensor } from "../formats/representation.ts";
import { statistics, type TensorStatistics } from "../formats/statistics.ts";
import type { Capture } from "./recent.ts";
import type { TrafficStream } from "./traffic.ts";

export class Entry {
  readonly stream: TrafficStream;
  /** Undefined: its bytes were never taken, because there was no room, or nobody wanted them. */
  readonly capture: Capture | undefined;
  /** Counts the streams that are done; 0 before that. */
  doneNumber = 0;
  #statistics: TensorStatistics | undefined;

  constructor(stream: TrafficStream, capture: Capture | undefined) {
    this.stream = stream;
    this.capture = capture;
  }

  /** All of its bytes have come by here. */
  get isCaptured(): boolean {
    return this.capture?.length === this.stream.movedBytes;
  }

  /** Whether its bytes can be had. */
  get available(): boolean {
    return this.stream.state === "done" && this.capture?.state === "kept";
  }

  /** It with its bytes; undefined: they cannot be had. */
  held(boot: string): HeldTensor | undefined {
    if (!this.available || !this.capture) return undefined;
    const { topic, dtype, shape, digest, id } = this.stream;
    return { topic, dtype, shape, bytes: this.capture.bytes, identity: digest ?? `${boot}/${id}` };
  }

  /** Computed once. Undefined: its bytes are gone, or no numbers. */
  statistics(maxSampled: number): TensorStatistics | undefined {
    if (!this.#statistics && this.available && this.capture)
      this.#statistics = statistics(this.stream.dtype, this.capture.bytes, maxSampled);
    return this.#statistics;
  }
}
