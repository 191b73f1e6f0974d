/**
 * A body of Node.js' HTTP server, part by part as the parser gives them. The web stream in its place copies each part once
 * more and costs several promises for it.
 */
import type { IncomingMessage } from "node:http";
import type { PartReader } from "../inject/body.ts";

/** What lies here before the connection is told to wait. */
const AHEAD_BYTES = 512 * 1024;

type Step = Awaited<ReturnType<PartReader["read"]>>;

export class IncomingParts implements PartReader {
  readonly #incoming: IncomingMessage;
  readonly #parts: Uint8Array[] = [];
  #waitingBytes = 0;
  #state: "open" | "ended" | "failed" = "open";
  #wake: (() => void) | undefined;

  constructor(incoming: IncomingMessage) {
    this.#incoming = incoming;
    incoming.on("data", this.#onData);
    incoming.on("end", this.#onEnd);
    incoming.on("error", this.#onFailed);
    incoming.on("close", this.#onFailed);
    if (incoming.readableEnded) this.#onEnd();
    else if (incoming.destroyed) this.#onFailed();
  }

  /** Rejects when the client left before the end. */
  async read(): Promise<Step> {
    while (this.#parts.length === 0 && this.#state === "open")
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const value = this.#parts.shift();
    if (!value) {
      if (this.#state === "failed") throw new Error("the client left in the middle of the body");
      return { done: true };
    }
    this.#waitingBytes -= value.length;
    if (this.#waitingBytes < AHEAD_BYTES / 2 && this.#incoming.isPaused()) this.#incoming.resume();
    return { done: false, value };
  }

  /** Nothing more of it is read here; the server throws away what still comes. */
  async cancel(): Promise<void> {
    const incoming = this.#incoming;
    incoming.off("data", this.#onData);
    incoming.off("end", this.#onEnd);
    incoming.off("close", this.#onFailed);
    incoming.pause();
    this.#parts.length = 0;
    this.#settle("ended");
  }

  readonly #onData = (part: Uint8Array): void => {
    this.#parts.push(part);
    this.#waitingBytes += part.length;
    if (this.#waitingBytes >= AHEAD_BYTES) this.#incoming.pause();
    this.#wake?.();
  };
  readonly #onEnd = (): void => this.#settle("ended");
  readonly #onFailed = (): void => this.#settle("failed");

  #settle(state: "ended" | "failed"): void {
    if (this.#state === "open") this.#state = state;
    this.#wake?.();
  }
}
