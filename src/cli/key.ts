/**
 * Where the shared key comes from: --api-key-file or --key-ring, ASOC_API_KEY, ASOC_API_KEY_FILE, ASOC_KEY_RING, then
 * ~/.asoc/keys.json, then ~/.asoc/api_key.
 * Errors and warnings name the source and never show the key.
 */
import { readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { type KeyInfo, type KeyOptions, openKeyRing, plausibleKeyBits, WEAK_KEY_BITS } from "../mod.ts";
import { type Environment, reason } from "./environment.ts";
import { usageError } from "./exit_codes.ts";
import { defaultRingFile, readRing } from "./ring_file.ts";

const GROUP_AND_OTHERS = 0o077;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** Nothing that is a key is larger; a wrong path may be. */
const MAX_KEY_FILE_BYTES = 64 * 1024;
/** A key whose end is nearer than this is worth a warning. */
const SOON_MS = 7 * 24 * 3_600_000;

export { type Environment, reason } from "./environment.ts";

/** `~/.asoc/api_key` of whoever runs this. */
export function defaultKeyFile(env: Environment): string {
  return join(env.HOME || homedir(), ".asoc", "api_key");
}

/** Where keys came from, for whoever reads them again. */
export interface KeySource {
  /** The flag or variable, for messages. */
  readonly name: string;
  /** Undefined for a key of the environment. */
  readonly file: string | undefined;
  /** The file of a ring, which a node writes what it learns to: that of `file`, or beside it; undefined: there is none. */
  readonly ringFile: string | undefined;
  /** Text of the ring's file; undefined: it is not there yet. */
  readonly ringText: string | undefined;
}

export interface LoadedKey {
  /** The one that signs. */
  readonly key: Uint8Array;
  /** All of them. */
  readonly keys: readonly KeyOptions[];
  readonly from: KeySource;
  /** The flag, variable or file that it came from. */
  readonly source: string;
  /** What the user should know about it. */
  readonly warnings: readonly string[];
}

/** Finds and reads the key. Throws a usage error that says what is wrong, or that names `asoc keygen`. */
export async function loadKey(
  flag: string | undefined,
  env: Environment,
  ringFlag?: string | undefined,
): Promise<LoadedKey> {
  const fromVariable = env.ASOC_API_KEY;
  const fileVariable = env.ASOC_API_KEY_FILE;
  const ringVariable = env.ASOC_KEY_RING;
  if (flag !== undefined && ringFlag !== undefined)
    throw usageError("--key-ring: cannot be given together with --api-key-file");
  let found: Found | undefined;
  if (flag !== undefined) found = await fromNamedFile("--api-key-file", flag);
  else if (ringFlag !== undefined) found = await fromNamedRing("--key-ring", ringFlag);
  else if (fromVariable)
    found = { key: new TextEncoder().encode(fromVariable), source: "ASOC_API_KEY", warnings: [] };
  else if (fileVariable) found = await fromNamedFile("ASOC_API_KEY_FILE", fileVariable);
  else if (ringVariable) found = await fromNamedRing("ASOC_KEY_RING", ringVariable);
  else found = (await fromHomeRing(env)) ?? (await fromHome(env));
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
  const { key, source, warnings, file, ring } = found;
  const from = { name: source, file, ringFile: ring?.file, ringText: ring?.text };
  return { key, keys: ring?.keys ?? [{ key, state: "current" }], from, source, warnings };
}

interface Found {
  readonly key: Uint8Array;
  readonly source: string;
  readonly warnings: string[];
  /** What to watch. */
  readonly file?: string;
  readonly ring?: {
    readonly file: string;
    readonly text: string | undefined;
    /** Undefined: it is not there yet, and would be made of the one key. */
    readonly keys: readonly KeyOptions[] | undefined;
  };
}

async function fromNamedRing(source: string, file: string): Promise<Found> {
  const found = await fromRing(file);
  if (!found) throw usageError(`${source}: expected a key ring, got ${file} (there is no such file)`);
  return found;
}

async function fromRing(file: string): Promise<Found | undefined> {
  const read = await readRing(file);
  if (!read) return undefined;
  const ring = await openKeyRing(read.keys);
  const unixMs = Date.now();
  const signing = ring.signing(unixMs);
  if (!signing)
    throw usageError(
      `${file}: expected a key that holds now; asoc key list shows them, asoc key add adds one`,
    );
  const warnings = ringWarnings(file, ring.list(unixMs), unixMs);
  return { key: signing.key, source: file, warnings, file, ring: { file, ...read } };
}

/** The ring in the home directory; a file with one key beside it is not read any more. */
async function fromHomeRing(env: Environment): Promise<Found | undefined> {
  const found = await fromRing(defaultRingFile(env));
  if (!found?.ring?.keys) return found;
  const path = defaultKeyFile(env);
  const other = await readKey(path, path).catch(() => undefined); // it may well not be there
  if (other && !(await openKeyRing(found.ring.keys)).entryOf(other))
    found.warnings.push(
      `${path} is not used, because there is ${found.source}, and its key is not in there: asoc key add ${path}`,
    );
  return found;
}

/** What should not stay as it is. */
function ringWarnings(file: string, keys: readonly KeyInfo[], unixMs: number): string[] {
  const current = keys.find(({ state }) => state === "current");
  const signing = keys.find(({ signs }) => signs);
  if (signing && current?.id !== signing.id)
    return [`${file}: no current key holds now; ${signing.id} signs in its place (asoc key use ID)`];
  const endMs = signing?.notAfterMs;
  if (endMs === undefined || endMs > unixMs + SOON_MS) return [];
  return [
    `${file}: the key that signs, ${signing?.id}, ends ${new Date(endMs).toISOString()}; asoc key rotate makes another`,
  ];
}

async function fromNamedFile(source: string, path: string): Promise<Found> {
  let mode: number;
  try {
    mode = (await stat(path)).mode & 0o777;
  } catch (error) {
    throw usageError(`${source}: expected a readable file, got ${path} (${reason(error)})`);
  }
  const key = await readKey(source, path);
  const warnings =
    process.platform !== "win32" && mode & GROUP_AND_OTHERS
      ? [`others can get at the key in ${path}, which has mode ${octal(mode)}: chmod 600 ${path}`]
      : [];
  return { key, source: `${source} ${path}`, warnings, file: path };
}

async function fromHome(env: Environment): Promise<Found | undefined> {
  const path = defaultKeyFile(env);
  // What this node learns goes to the ring beside it.
  const ring = { file: defaultRingFile(env), text: undefined, keys: undefined };
  if (!(await isPrivate(path))) return undefined;
  return { key: await readKey(path, path), source: path, warnings: [], file: path, ring };
}

/** The key of a file with one key; "-": of standard input. Throws a usage error. */
export async function readKeyOf(path: string): Promise<Uint8Array> {
  return path === "-" ? readKey("standard input", "/dev/stdin") : readKey("key add", path);
}

/** The key of a file with one key, read again. Throws as `loadKey` does. */
export async function readKeyAgain({ name, file = "", ringFile }: KeySource): Promise<Uint8Array> {
  if (ringFile !== undefined) await isPrivate(file);
  return readKey(name, file);
}

/** False where there is no such file. Throws a usage error where others can get at it. */
async function isPrivate(path: string): Promise<boolean> {
  let mode: number;
  try {
    mode = (await stat(path)).mode & 0o777;
  } catch (error) {
    if (isMissing(error)) return false;
    throw usageError(`${path}: cannot be read (${reason(error)})`);
  }
  if (process.platform !== "win32" && mode & GROUP_AND_OTHERS) {
    throw usageError(
      `${path}: refused, because others can get at the key: expected mode 600, got ${octal(mode)}. Run: chmod 600 ${path}`,
    );
  }
  return true;
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

const octal = (mode: number) => mode.toString(8).padStart(3, "0");

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
