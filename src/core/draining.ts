/** The end of all connections of a node that closes: they finish in time or are cut, and what a peer may not have read is told. */
import type { Connection } from "./connection.ts";
import { type AsocError, ClosedError } from "./errors.ts";
import type { Clock } from "./runtime.ts";
import { GoawayCode } from "./wire/records/goaway.ts";

export class Draining {
  readonly #clock: Clock;
  readonly #connections: ReadonlySet<Connection>;
  #closing = false;
  #idle: (() => void) | undefined;
  /** Why a peer may not have read all that was sent to it before the close. */
  #unread: AsocError | undefined;

  /** `connections`: all that there are, as they are at any time. */
  constructor(clock: Clock, connections: ReadonlySet<Connection>) {
    this.#clock = clock;
    this.#connections = connections;
  }

  /** From now on it matters whether a connection ends with an error. */
  begin(): void {
    this.#closing = true;
  }

  /** Resolves when all connections have ended, by themselves or after `timeoutMs`; rejects when a peer may not have read all. */
  async drain(timeoutMs: number): Promise<void> {
    const idle = new Promise<void>((resolve) => {
      this.#idle = resolve;
      if (this.#connections.size === 0) resolve();
    });
    // 0 would say that there is no limit.
    const drainMs = Math.max(1, Math.ceil(timeoutMs));
    for (const connection of [...this.#connections]) {
      connection.driver.session.close(this.#clock.nowMs(), GoawayCode.SHUTDOWN, drainMs);
      connection.driver.pump();
    }
    const deadline = this.#clock.after(timeoutMs, () => this.abortAll());
    await idle;
    deadline.cancel();
    if (this.#unread) throw this.#unread;
  }

  abortAll(): void {
    const nowMs = this.#clock.nowMs();
    for (const connection of [...this.#connections]) {
      const error = new ClosedError("ASOC_CLOSED", "The node was closed before this was finished");
      connection.driver.session.abort(error, nowMs);
      connection.driver.pump();
    }
  }

  /** A connection has ended. */
  ended({ link }: Connection, error: AsocError | undefined, payloadBytesOut: number): void {
    if (this.#closing && error && link && payloadBytesOut > 0) this.#unread ??= error;
    if (this.#connections.size === 0) this.#idle?.();
  }
}
