/** Ctrl-C and SIGTERM: the first drains, the second ends at once. */
import { ExitCode, Interrupted } from "./exit_codes.ts";
import { removeTemporaries } from "./new_file.ts";
import type { Output } from "./output.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** How long a forced end waits for sockets to be closed. */
const ABORT_MS = 1000;

export class Interrupts {
  readonly #controller = new AbortController();
  readonly #output: Output;
  readonly #abort: () => Promise<void>;
  readonly #onSignal = (): void => {
    if (!this.signal.aborted) {
      this.stop("closing: what is under way may finish; Ctrl-C again ends it at once");
      return;
    }
    this.#output.log("aborted");
    const late = new Promise<void>((resolve) => setTimeout(resolve, ABORT_MS));
    void Promise.race([this.#abort(), late]).finally(() => {
      removeTemporaries();
      process.exit(ExitCode.INTERRUPTED);
    });
  };
  readonly #onOutputError = (): void => {
    this.outputLost = true;
    if (!this.signal.aborted) this.stop("standard output was closed by its reader");
  };
  /** Nobody reads standard output any more. */
  outputLost = false;

  /** `abort` ends everything under way. */
  constructor(output: Output, abort: () => Promise<void>) {
    this.#output = output;
    this.#abort = abort;
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
    process.stdout.on("error", this.#onOutputError);
  }

  /** Aborts, with `Interrupted`, at the first Ctrl-C. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Begins to close, as the first Ctrl-C does. */
  stop(text: string): void {
    this.#output.note({ event: "closing" }, text);
    if (this.#output.json) this.#output.log(text);
    this.#controller.abort(new Interrupted(text));
  }

  /** Gives the signals back. */
  dispose(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
    process.stdout.off("error", this.#onOutputError);
  }
}
