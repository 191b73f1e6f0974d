/** `asoc keygen`: makes a shared key. */
import { randomBytes } from "node:crypto";
import { link } from "node:fs/promises";
import type { Command, Context } from "./command.ts";
import { CliError, ExitCode, usageError } from "./exit_codes.ts";
import { defaultKeyFile } from "./key.ts";
import { writePrivate } from "./private_file.ts";

/** 256 bits: as strong as HMAC-SHA256 can use. */
const KEY_BYTES = 32;

export const keygen: Command = {
  name: "keygen",
  summary: "make a shared key",
  usage: "keygen [--write [--force]]",
  about: `Prints a key of 256 random bits as 64 hexadecimal digits. With --write it goes to ~/.asoc/api_key instead,
which only its owner can read. Every node of a community needs the same key.`,
  flags: {
    write: { help: "write ~/.asoc/api_key instead of printing" },
    force: { help: "replace the file that is there" },
  },
  joins: false,
  examples: [
    ["asoc keygen --write", "makes this user's key"],
    [
      "ssh other 'umask 077; mkdir -p ~/.asoc; cat > ~/.asoc/api_key' < ~/.asoc/api_key",
      "gives it to another machine",
    ],
    ["ASOC_API_KEY=$(asoc keygen) docker compose up", "hands a fresh key to containers"],
  ],
  run: keygenCommand,
};

async function keygenCommand({ args, env, output }: Context): Promise<ExitCode> {
  if (args.positionals.length > 0)
    throw usageError(`keygen: expected no words, got ${args.positionals.join(" ")}`);
  const key = randomBytes(KEY_BYTES).toString("hex");
  if (!args.has("write")) {
    if (args.has("force")) throw usageError("--force: is for --write");
    output.event({ event: "key", key }, key);
    return ExitCode.OK;
  }
  const file = defaultKeyFile(env);
  await writeKey(file, key, args.has("force"));
  output.event({ event: "key", file }, file);
  output.log(
    `made the key ${file}; every node of the community needs this very file, or its content in ASOC_API_KEY`,
  );
  return ExitCode.OK;
}

/** Writes under another name first, so that the file is never there in part. Throws when it exists, unless `force`. */
async function writeKey(file: string, key: string, force: boolean): Promise<void> {
  await writePrivate(file, `${key}\n`, force ? undefined : placeNew);
}

async function placeNew(temporary: string, file: string): Promise<void> {
  try {
    await link(temporary, file);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    throw new CliError(
      ExitCode.FAILURE,
      "ASOC_CONFIG",
      `${file} exists: it was left as it is. --force replaces it; nodes with the old key are shut out then`,
    );
  }
}
