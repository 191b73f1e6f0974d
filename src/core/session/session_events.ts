/** What a session has to tell, in order, until it is polled. */
import type { OutboundStream } from "./outbound_stream.ts";
import type { ArrivingStream, SessionEvent } from "./session_types.ts";

export class SessionEvents {
  readonly #queue: SessionEvent[] = [];
  #head = 0;

  get empty(): boolean {
    return this.#head === this.#queue.length;
  }

  emit(event: SessionEvent): void {
    this.#queue.push(event);
  }

  /** `readable`, unless it is in the queue already. */
  signal(stream: ArrivingStream): void {
    if (stream.signalled) return;
    stream.signalled = true;
    this.emit({ kind: "readable", stream });
  }

  /** `sent`; a function of its own, for those who call back once for each stream. */
  readonly sent = (stream: OutboundStream): void => {
    this.emit({ kind: "sent", stream });
  };

  poll(): SessionEvent | undefined {
    const event = this.#queue[this.#head];
    if (event === undefined) return undefined;
    this.#head++;
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    }
    if (event.kind === "readable") event.stream.signalled = false;
    return event;
  }
}
