/** What a command of `asoc` is made of. */
import type { Args, Flags } from "./args.ts";
import type { ExitCode } from "./exit_codes.ts";
import type { Environment } from "./key.ts";
import type { Output } from "./output.ts";

export interface Context {
  readonly args: Args;
  readonly env: Environment;
  readonly output: Output;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows "asoc". */
  readonly usage: string;
  /** A paragraph for its own help. */
  readonly about: string;
  /** Its own flags, and whether it takes those of joining. */
  readonly flags: Flags;
  readonly joins: boolean;
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** Rejects with an error that has an exit code, see `exitCodeOf`. */
  run(context: Context): Promise<ExitCode>;
}
