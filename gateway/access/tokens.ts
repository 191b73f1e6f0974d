/**
 * Bearer tokens: `asoc_` and 32 characters of base58, of which only the SHA-256 is kept. What one may do is its scopes.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { z } from "zod";

export const SCOPES = ["read", "tap", "inject", "admin"] as const;
/** Each of the others holds "read" as well, and "admin" holds all. */
export type Scope = (typeof SCOPES)[number];

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const CHARACTERS = 32;
export const TOKEN_PATTERN = /^asoc_[1-9A-HJ-NP-Za-km-z]{32}$/;
/** Tokens of one file. */
const MAX_TOKENS = 1024;

/** A token as it is kept. */
export interface TokenRecord {
  /** SHA-256 of the token's text, hexadecimal. */
  readonly hash: string;
  readonly scopes: readonly Scope[];
  readonly name: string;
  /** ISO 8601. */
  readonly createdAt: string;
}

const recordSchema = z.strictObject({
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  scopes: z.array(z.enum(SCOPES)).min(1),
  name: z.string().max(255),
  createdAt: z.string().max(64),
});
const fileSchema = z.strictObject({ tokens: z.array(recordSchema).max(MAX_TOKENS) });

/** A fresh token: 187 bits of chance. */
export function makeToken(): string {
  let text = "";
  while (text.length < CHARACTERS) {
    for (const byte of randomBytes(2 * CHARACTERS)) {
      // Bytes beyond a multiple of 58 would make some characters likelier than others.
      if (byte < 4 * ALPHABET.length && text.length < CHARACTERS) text += ALPHABET[byte % ALPHABET.length];
    }
  }
  return `asoc_${text}`;
}

export function tokenHash(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** The tokens of a token file's text. Throws TypeError that names what is wrong. */
export function parseTokens(text: string): TokenRecord[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TypeError("expected JSON");
  }
  const result = fileSchema.safeParse(value);
  if (result.success) return result.data.tokens;
  const [issue] = result.error.issues;
  throw new TypeError(`${issue?.path.join(".") || "the file"}: ${issue?.message ?? "is wrong"}`);
}

export function formatTokens(tokens: readonly TokenRecord[]): string {
  return `${JSON.stringify({ tokens }, undefined, 2)}\n`;
}

/** Tokens that open the gateway. */
export class Tokens {
  readonly #records: readonly { readonly hash: Uint8Array; readonly scopes: ReadonlySet<Scope> }[];

  constructor(records: readonly TokenRecord[]) {
    this.#records = records.map(({ hash, scopes }) => ({
      hash: Buffer.from(hash, "hex"),
      scopes: new Set<Scope>(scopes.includes("admin") ? SCOPES : [...scopes, "read"]),
    }));
  }

  get size(): number {
    return this.#records.length;
  }

  /** What `token` may do; undefined: it is none. Takes as long for each, right or wrong. */
  scopesOf(token: string): ReadonlySet<Scope> | undefined {
    const hash = createHash("sha256").update(token).digest();
    let found: ReadonlySet<Scope> | undefined;
    for (const record of this.#records) if (timingSafeEqual(record.hash, hash)) found = record.scopes;
    return found;
  }
}
