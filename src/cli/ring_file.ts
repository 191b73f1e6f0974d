import { lstat, mkdir, open, readFile, stat, unlink } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { type KeyOptions, openKeyRing, type RingKey } from "../mod.ts";
import { type Environment, reason } from "./environment.ts";
import { CliError, ExitCode, usageError } from "./exit_codes.ts";
import { writePrivate } from "./private_file.ts";

const GROUP_AND_OTHERS = 0o077;
const MAX_FILE_BYTES = 64 * 1024;
/** A lock that is older was left behind by somebody who died. */
const STALE_LOCK_MS = 10_000;
const LOCK_WAIT_MS = 5000;
const LOCK_TRY_MS = 25;

const time = z.iso.datetime().transform((text) => Date.parse(text));
const entry = z
  .strictObject({
    id: z.string().regex(/^[0-9a-f]{8}$/),
    /** Text, used as it is. */
    key: z.string().min(1).max(1024).optional(),
    /** In place of `key`, for one that is no text. */
    keyBase64: z.base64().min(1).max(1400).optional(),
    state: z.enum(["current", "accepted", "offered", "revoked"]),
    epoch: z.int().min(0).max(0xffff_ffff),
    notBefore: time.optional(),
    notAfter: time.optional(),
  })
  .refine((one) => one.state === "revoked" || (one.key === undefined) !== (one.keyBase64 === undefined));
const schema = z.strictObject({ version: z.literal(1), keys: z.array(entry).max(64) });

/** `~/.asoc/keys.json` of whoever runs this. */
export function defaultRingFile(env: Environment): string {
  return join(env.HOME || homedir(), ".asoc", "keys.json");
}

/** The keys of a file, and its text as it was. */
export interface RingText {
  readonly keys: readonly KeyOptions[];
  readonly text: string;
}

/** Undefined where there is no such file. Throws a usage error on one that cannot serve. */
export async function readRing(file: string): Promise<RingText | undefined> {
  let text: string;
  try {
    const { mode, size } = await stat(file);
    if (size > MAX_FILE_BYTES) throw usageError(`${file}: expected keys, got a file of ${size} bytes`);
    if (process.platform !== "win32" && mode & GROUP_AND_OTHERS) {
      const got = (mode & 0o777).toString(8).padStart(3, "0");
      throw usageError(
        `${file}: refused, because others can get at the keys: expected mode 600, got ${got}. Run: chmod 600 ${file}`,
      );
    }
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof CliError) throw error;
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw usageError(`${file}: cannot be read (${reason(error)})`);
  }
  const keys = parseRing(file, text);
  await openKeyRing(keys).catch((error: unknown) => {
    throw usageError(`${file}: ${reason(error)}`);
  });
  return { keys, text };
}

/** The keys of the text of `file`. Throws a usage error, which quotes nothing of it. */
export function parseRing(file: string, text: string): KeyOptions[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw usageError(`${file}: expected JSON`); // the parser's message would quote the file
  }
  const result = schema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    const where = issue?.path.length ? `, at ${issue.path.join(".")}` : "";
    throw usageError(`${file}: expected { "version": 1, "keys": [...] } as asoc key writes it${where}`);
  }
  return result.data.keys.map(({ id, key, keyBase64, state, epoch, notBefore, notAfter }) => ({
    id,
    key: keyBase64 === undefined ? key : new Uint8Array(Buffer.from(keyBase64, "base64")),
    state,
    epoch,
    notBeforeMs: notBefore,
    notAfterMs: notAfter,
  }));
}

/** As it stands in the file. */
export function formatRing(keys: readonly RingKey[]): string {
  const entries = keys.map(({ id, key, state, epoch, notBeforeMs, notAfterMs }) => ({
    id,
    ...keyFields(key),
    state,
    epoch,
    ...(notBeforeMs === undefined ? {} : { notBefore: new Date(notBeforeMs).toISOString() }),
    ...(notAfterMs === undefined ? {} : { notAfter: new Date(notAfterMs).toISOString() }),
  }));
  return `${JSON.stringify({ version: 1, keys: entries }, null, 2)}\n`;
}

function keyFields(key: Uint8Array): { readonly key?: string; readonly keyBase64?: string } {
  if (key.length === 0) return {};
  try {
    return { key: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(key) };
  } catch {
    return { keyBase64: Buffer.from(key).toString("base64") };
  }
}

/** Replaces the file in one step; whoever reads it sees the one or the other. Rejects when it cannot be written. */
export async function writeRing(file: string, text: string): Promise<void> {
  await writePrivate(file, text);
}

/** Runs `change` while nobody else does for this file. Rejects when somebody holds it for too long. */
export async function withRingLock<T>(file: string, change: () => Promise<T>): Promise<T> {
  const lock = `${file}.lock`;
  const untilMs = performance.now() + LOCK_WAIT_MS;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 }).catch(() => {}); // the next line says why
  for (;;) {
    try {
      await (await open(lock, "wx", 0o600)).close();
      break;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST"))
        throw new CliError(ExitCode.FAILURE, "ASOC_CONFIG", `Cannot write ${lock}: ${reason(error)}`);
      await forgetStale(lock);
      if (performance.now() > untilMs)
        throw new CliError(ExitCode.FAILURE, "ASOC_CONFIG", `${lock}: somebody else changes the keys`);
      await new Promise((resolve) => setTimeout(resolve, LOCK_TRY_MS));
    }
  }
  try {
    return await change();
  } finally {
    await unlink(lock).catch(() => {});
  }
}

async function forgetStale(lock: string): Promise<void> {
  const { mtimeMs } = await lstat(lock).catch(() => ({ mtimeMs: Date.now() }));
  if (Date.now() - mtimeMs > STALE_LOCK_MS) await unlink(lock).catch(() => {});
}
