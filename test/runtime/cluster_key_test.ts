/** The key of a cluster from a master key (RFC-0102, Derived keys), against the golden ones. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { deriveClusterKey } from "../../src/mod.ts";

const file = join(import.meta.dirname, "..", "vectors", "x1.json");
const { derivedKeys } = JSON.parse(readFileSync(file, "utf8")) as {
  derivedKeys: { masterKey: string; cluster: string; key: string }[];
};

test("deriveClusterKey() gives the golden keys, 64 lower-case digits each", async () => {
  assert.equal(derivedKeys.length, 3);
  for (const { masterKey, cluster, key } of derivedKeys) {
    assert.equal(await deriveClusterKey(masterKey, cluster), key);
    assert.match(key, /^[0-9a-f]{64}$/);
  }
});

test("deriveClusterKey() refuses an empty master key and a name that is none", async () => {
  await assert.rejects(deriveClusterKey("", "lab"), /masterKey: expected at least 1 byte/);
  for (const name of ["", "\ud800"])
    await assert.rejects(deriveClusterKey("key", name), /^RangeError: name:/);
});
