/**
 * Where the shared key comes from: --api-key-file, ASOC_API_KEY, ASOC_API_KEY_FILE, then ~/.asoc/api_key.
 * Errors and warnings name the source and never show the key.
 */
import { readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { plausibleKeyBits, WEAK_KEY_BITS } from "../mod.ts";
import { usageError } from "./exit_codes.ts";

const GROUP_AND_OTHERS = 0o077;
const OTHERS_READ = 0o004;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** Nothing that is a key is larger; a wrong path may be. */
const MAX_KEY_FILE_BYTES = 64 * 1024;

export type Environment = Readonly<Record<string, string | undefined>>;

/** `~/.asoc/api_key` of whoever runs this. */
export function defaultKeyFile(env: Environment): string {
  return join(env.HOME || homedir(), ".asoc", "api_key");
}

export interface LoadedKey {
  readonly key: Uint8Array;
  /** The flag, variable or file that it came from. */
  readonly source: string;
  /** What the user should know about it. */
  readonly warnings: readonly string[];
}

/** Finds and reads the key. Throws a usage error that says what is wrong, or that names `asoc keygen`. */
export async function loadKey(flag: string | undefined, env: Environment): Promise<LoadedKey> {
  const fromVariable = env.ASOC_API_KEY;
  const fileVariable = env.ASOC_API_KEY_FILE;
  let found: { key: Uint8Array; source: string; warnings: string[] } | undefined;
  if (flag !== undefined) found = await fromNamedFile("--api-key-file", flag);
  else if (fromVariable)
    found = { key: new TextEncoder().encode(fromVariable), source: "ASOC_API_KEY", warnings: [] };
  else if (fileVariable) found = await fromNamedFile("ASOC_API_KEY_FILE", fileVariable);
  else found = await fromHome(defaultKeyFile(env));
  if (!found) {
    throw usageError(
      `No key: expected --api-key-file, ASOC_API_KEY, ASOC_API_KEY_FILE or ${defaultKeyFile(env)}. ` +
        "`asoc keygen --write` makes that file; every node of the community needs the same key",
    );
  }
  const bits = plausibleKeyBits(new TextDecoder().decode(found.key));
  if (bits < WEAK_KEY_BITS) {
    found.warnings.push(
      `the key of ${found.source} looks weak (about ${bits} bits, at least ${WEAK_KEY_BITS} are wanted); \`asoc keygen\` makes one of 256`,
    );
  }
  return found;
}

async function fromNamedFile(source: string, path: string) {
  let mode: number;
  try {
    mode = (await stat(path)).mode;
  } catch (error) {
    throw usageError(`${source}: expected a readable file, got ${path} (${reason(error)})`);
  }
  const key = await readKey(source, path);
  const warnings =
    process.platform !== "win32" && mode & OTHERS_READ
      ? [`every user of this machine can read the key in ${path}; chmod 600 it`]
      : [];
  return { key, source: `${source} ${path}`, warnings };
}

async function fromHome(path: string) {
  let mode: number;
  try {
    mode = (await stat(path)).mode & 0o777;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw usageError(`${path}: cannot be read (${reason(error)})`);
  }
  if (process.platform !== "win32" && mode & GROUP_AND_OTHERS) {
    const got = mode.toString(8).padStart(3, "0");
    throw usageError(
      `${path}: refused, because others can get at the key: expected mode 600, got ${got}. Run: chmod 600 ${path}`,
    );
  }
  return { key: await readKey(path, path), source: path, warnings: [] };
}

/** The file's bytes as they are, without one newline at the end. */
async function readKey(source: string, path: string): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    const { size } = await stat(path);
    if (size > MAX_KEY_FILE_BYTES)
      throw usageError(`${source}: expected a key, got a file of ${size} bytes: ${path}`);
    bytes = await readFile(path);
  } catch (error) {
    if (error instanceof Error && "exitCode" in error) throw error;
    throw usageError(`${source}: expected a readable file, got ${path} (${reason(error)})`);
  }
  let end = bytes.length;
  if (bytes[end - 1] === LINE_FEED) end--;
  if (end < bytes.length && bytes[end - 1] === CARRIAGE_RETURN) end--;
  if (end === 0) throw usageError(`${source}: expected a key, got an empty file: ${path}`);
  return bytes.subarray(0, end);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

/** The system's code for why a file could not be used, in words where it is a common one. */
export function reason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const words: Record<string, string> = {
    ENOENT: "there is no such file",
    EACCES: "no permission",
    EISDIR: "it is a directory",
    ENOTDIR: "a part of the path is not a directory",
  };
  return words[code] ?? (error instanceof Error ? error.message : String(error));
}
