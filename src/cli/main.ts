#!/usr/bin/env node
/** The entry of `asoc`. Runs unbuilt on Node.js, Bun and Deno. */
import { VERSION } from "../mod.ts";
import { access } from "./access.ts";
import { readArgs } from "./args.ts";
import { bench } from "./bench.ts";
import { certs } from "./certs.ts";
import type { Command } from "./command.ts";
import { doctor } from "./doctor.ts";
import { ExitCode, exitCodeOf, Interrupted, usageError } from "./exit_codes.ts";
import { commandHelp, flagsOf, generalHelp } from "./help.ts";
import { keyCommand } from "./key_command.ts";
import { keygen } from "./keygen.ts";
import { Output } from "./output.ts";
import { peers } from "./peers.ts";
import { recv } from "./recv.ts";
import { takeEnvironment } from "./secrets.ts";
import { send } from "./send.ts";
import { serve } from "./serve.ts";
import { token } from "./token.ts";

/** How long the process may live on when its work is done. */
const LINGER_MS = 250;

const COMMANDS: readonly Command[] = [
  serve,
  send,
  recv,
  peers,
  keygen,
  keyCommand,
  certs,
  token,
  access,
  bench,
  doctor,
];

/** Runs the command that `words` name; never rejects. */
async function main(words: readonly string[]): Promise<ExitCode> {
  const [first, ...rest] = words;
  const output = new Output(words.includes("--json"));
  try {
    if (first === undefined) {
      process.stderr.write(generalHelp(COMMANDS));
      return ExitCode.USAGE;
    }
    if (first === "--version" || first === "-V" || first === "version") {
      process.stdout.write(`${VERSION}\n`);
      return ExitCode.OK;
    }
    const wantsHelp = first === "--help" || first === "-h" || first === "help";
    const name = wantsHelp ? rest[0] : first;
    if (wantsHelp && name === undefined) {
      process.stdout.write(generalHelp(COMMANDS));
      return ExitCode.OK;
    }
    const command = COMMANDS.find((one) => one.name === name);
    if (!command) throw usageError(unknownCommand(name ?? ""));
    const ownWords = wantsHelp ? ["--help"] : rest;
    const help = ownWords.slice(0, endOfFlags(ownWords)).some((word) => word === "--help" || word === "-h");
    if (help) {
      process.stdout.write(commandHelp(command));
      return ExitCode.OK;
    }
    const args = readArgs(command.name, flagsOf(command), ownWords);
    return await command.run({ args, env: takeEnvironment(), output });
  } catch (error) {
    const code = exitCodeOf(error);
    if (!(error instanceof Interrupted)) output.error(error);
    return code;
  }
}

function unknownCommand(name: string): string {
  const what = name.startsWith("-") ? `${name}: expected a command first` : `${name}: unknown command`;
  return `${what}; commands are ${COMMANDS.map((command) => command.name).join(", ")}; see asoc --help`;
}

/** Where `--` ends the flags. */
function endOfFlags(words: readonly string[]): number {
  const at = words.indexOf("--");
  return at === -1 ? words.length : at;
}

// A reader that went away shows where it matters; elsewhere it is no reason for a stack trace.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});
const code = await main(process.argv.slice(2));
process.exitCode = code;
// Everything is closed, but a read of standard input that its writer holds open cannot be taken back on every runtime.
setTimeout(() => process.exit(code), LINGER_MS).unref();
