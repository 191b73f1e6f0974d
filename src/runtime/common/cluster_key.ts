/**
 * The key of one cluster from a master key (RFC-0102, Derived keys): PBKDF2 with HMAC-SHA256, the salt being
 * `"asoc/cluster/" || name` in UTF-8, 32 bytes, written as 64 lower-case hexadecimal digits and used as that text.
 */
import { pbkdf2 } from "node:crypto";

/** What a guess of a weak master key costs, at the least (OWASP's figure of 2023 for this function). */
export const CLUSTER_KEY_ITERATIONS = 600_000;
const KEY_BYTES = 32;

/**
 * The key of the cluster `name`, as text. Takes some tenths of a second. Whoever has it learns nothing of the master key, or
 * of other clusters' keys, as long as the master key cannot be guessed. Rejects with RangeError on an empty key or name.
 */
export async function deriveClusterKey(masterKey: string | Uint8Array, name: string): Promise<string> {
  if (masterKey.length === 0) throw new RangeError("masterKey: expected at least 1 byte");
  if (name === "" || !name.isWellFormed())
    throw new RangeError("name: expected a text of at least 1 character");
  const salt = `asoc/cluster/${name}`;
  return new Promise((resolve, reject) => {
    pbkdf2(masterKey, salt, CLUSTER_KEY_ITERATIONS, KEY_BYTES, "sha256", (error, key) => {
      if (error) reject(error);
      else resolve(key.toString("hex"));
    });
  });
}
