/** What `asoc` ends with, and the errors that choose it. */
import { AsocError, type AsocErrorCode } from "../mod.ts";

export const ExitCode = {
  OK: 0,
  /** Anything without a number of its own, such as a port in use. */
  FAILURE: 1,
  /** A wrong flag, variable or file, or no key. */
  USAGE: 2,
  NO_PEER: 3,
  /** A transfer failed, or a peer may not have read all of it. */
  INCOMPLETE: 4,
  /** Ended by Ctrl-C: a second one, or one that cut a job short. */
  INTERRUPTED: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** For `--help` of a command that joins a community, or that does not and so cannot miss a peer. */
export function exitCodesHelp(joins: boolean): string {
  const own = `Exit codes:
  0    done
  1    failure, such as ${joins ? "a port in use" : "a file that cannot be written"}
  2    wrong flag, variable, file or key; nothing was started`;
  if (!joins) return own;
  return `${own}
  3    no peer was found, or fewer than were asked for
  4    a transfer failed, or a peer may not have read all of it
  130  interrupted by Ctrl-C before the job was done`;
}

/** An end of the command with its exit code. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly code: AsocErrorCode;
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, code: AsocErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.exitCode = exitCode;
    this.code = code;
  }
}

/** A flag, a variable or a file is wrong. */
export function usageError(message: string): CliError {
  return new CliError(ExitCode.USAGE, "ASOC_CONFIG", message);
}

/** The user has interrupted the command. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** The exit code for any thrown value. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof Interrupted) return ExitCode.INTERRUPTED;
  if (!(error instanceof AsocError)) return ExitCode.FAILURE;
  if (error.code === "ASOC_CONFIG") return ExitCode.USAGE;
  if (error.code === "ASOC_NO_PEERS") return ExitCode.NO_PEER;
  if (error.code === "ASOC_CONNECTION_LOST") return ExitCode.INCOMPLETE;
  return ExitCode.FAILURE;
}

/** The stable code of any thrown value: ours, or the system's such as ENOSPC. */
export function errorCodeOf(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return "ASOC_FAILED";
}
