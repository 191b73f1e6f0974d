/**
 * What the commands say: results on standard output, as JSON lines or as short text, and logs on standard error.
 */
import { errorCodeOf } from "./exit_codes.ts";
import type { ProgressBar } from "./progress.ts";

/** One event of `--json`. */
export interface CliEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** The part of a writable stream that is used here. */
export interface TextSink {
  write(text: string): unknown;
}

export class Output {
  readonly json: boolean;
  readonly #stdout: TextSink;
  readonly #stderr: TextSink;
  /** The bar that log lines must not tear. */
  bar: ProgressBar | undefined;

  constructor(json: boolean, stdout: TextSink = process.stdout, stderr: TextSink = process.stderr) {
    this.json = json;
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  /** The same with all text on standard error, for commands whose standard output carries a tensor. */
  onStderr(): Output {
    return new Output(this.json, this.#stderr, this.#stderr);
  }

  /** One event: a JSON line, or `text` without `--json`; undefined says nothing then. */
  event(event: CliEvent, text: string | undefined): void {
    if (this.json) this.#line(this.#stdout, JSON.stringify(event));
    else if (text !== undefined) this.#line(this.#stdout, text);
  }

  /** One event: a JSON line, or a log line without `--json`. */
  note(event: CliEvent, text: string): void {
    if (this.json) this.#line(this.#stdout, JSON.stringify(event));
    else this.log(text);
  }

  /** A line for people, on standard error. */
  log(text: string): void {
    this.#line(this.#stderr, `asoc: ${text}`);
  }

  /** An error: a log line, and with `--json` an event as well. */
  error(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.json)
      this.#line(this.#stdout, JSON.stringify({ event: "error", code: errorCodeOf(error), message }));
    this.log(`error: ${message}`);
  }

  #line(sink: TextSink, text: string): void {
    this.bar?.hide();
    sink.write(`${text}\n`);
  }
}
