/** `--access FILE`: access rules as JSON (RFC-0103). */
import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { type AccessOptions, AccessRules } from "../mod.ts";
import { CliError, usageError } from "./exit_codes.ts";
import { reason } from "./key.ts";

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const OTHERS_WRITE = 0o002;

const texts = z.union([z.string(), z.array(z.string())]);
const topics = z.union([z.boolean(), z.array(z.string())]);
const bytes = z.number().int().nonnegative();

const ruleSchema = z.strictObject({
  name: z.string().min(1).max(255).optional(),
  match: z
    .strictObject({ nodeId: texts.optional(), address: texts.optional(), certificate: texts.optional() })
    .optional(),
  mayConnect: z.boolean().optional(),
  maySend: topics.optional(),
  mayReceive: topics.optional(),
  mayTap: topics.optional(),
  quota: z
    .strictObject({
      bytesPerHour: bytes.optional(),
      bytesPerDay: bytes.optional(),
      memoryBytes: bytes.optional(),
    })
    .optional(),
});
const fileSchema = z.strictObject({
  default: z.enum(["allow", "deny"]).optional(),
  rules: z.array(ruleSchema).optional(),
});

/** The rules of a file's text. Throws TypeError or RangeError that says what is wrong and where. */
export function parseAccess(text: string): AccessOptions {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TypeError("expected JSON");
  }
  const result = fileSchema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new TypeError(`${issue?.path.join(".") || "the file"}: ${issue?.message ?? "is wrong"}`);
  }
  new AccessRules(result.data); // throws for addresses, uuids and globs that are none
  return result.data;
}

/** Rejects with a usage error. */
export async function readAccess(file: string): Promise<AccessOptions> {
  try {
    const { mode, size } = await stat(file);
    if (size > MAX_FILE_BYTES)
      throw usageError(`--access: expected rules, got a file of ${size} bytes: ${file}`);
    if (process.platform !== "win32" && mode & OTHERS_WRITE)
      throw usageError(
        `--access: ${file} is refused, because everybody can write to it. Run: chmod o-w ${file}`,
      );
    return parseAccess(await readFile(file, "utf8"));
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw usageError(`--access: cannot use ${file}: ${reason(error)}`);
  }
}

/** "3 rules, default deny; 1 by uuid alone, …" */
export function accessText(options: AccessOptions): string {
  const { listing } = new AccessRules(options);
  const advisory = listing.filter(({ binding }) => binding === "advisory").map(({ rule }) => rule);
  const advice =
    advisory.length === 0
      ? ""
      : `; advisory, since any holder of the key can claim a uuid: ${advisory.slice(0, 5).join(", ")}${advisory.length > 5 ? ", …" : ""}`;
  return `${listing.length} rules, default ${options.default ?? "allow"}${advice}`;
}
