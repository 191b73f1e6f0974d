import { readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { TokenRecord } from "../../gateway/mod.ts";
import { CliError, usageError } from "./exit_codes.ts";
import { type Environment, reason } from "./key.ts";
import { writePrivate } from "./private_file.ts";

const GROUP_AND_OTHERS_WRITE = 0o022;
const MAX_FILE_BYTES = 1024 * 1024;

/** `~/.asoc/gateway-tokens.json` of whoever runs this. */
export function defaultTokenFile(env: Environment): string {
  return join(env.HOME || homedir(), ".asoc", "gateway-tokens.json");
}

/** None where there is no such file, unless it `mustBe` there. Throws a usage error. */
export async function readTokens(file: string, mustBe: boolean): Promise<TokenRecord[]> {
  let text: string;
  try {
    const { mode, size } = await stat(file);
    if (size > MAX_FILE_BYTES) throw usageError(`${file}: expected tokens, got a file of ${size} bytes`);
    if (process.platform !== "win32" && mode & GROUP_AND_OTHERS_WRITE)
      throw usageError(`${file}: refused, because others can write to it. Run: chmod 600 ${file}`);
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof CliError) throw error;
    if (!mustBe && error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw usageError(`${file}: cannot be read (${reason(error)})`);
  }
  const { parseTokens } = await import("../../gateway/mod.ts");
  try {
    return parseTokens(text);
  } catch (error) {
    throw usageError(`${file}: ${reason(error)}`);
  }
}

/** Replaces the file in one step. Throws when it cannot be written. */
export async function writeTokens(file: string, tokens: readonly TokenRecord[]): Promise<void> {
  const { formatTokens } = await import("../../gateway/mod.ts");
  await writePrivate(file, formatTokens(tokens));
}
