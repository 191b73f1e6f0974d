/** The node id that a certificate names, on the runtime that runs this file. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatNodeId } from "../../src/core/wire/node_id.ts";
import { nodeIdOf } from "../../src/runtime/common/tls_checks.ts";
import { uriNames } from "../../src/runtime/common/uri_names.ts";
import { ROOT } from "../support/process.ts";
import { NODE_ID } from "../support/tls.ts";

const { certificates } = JSON.parse(
  readFileSync(join(ROOT, "test", "vectors", "certificates.json"), "utf8"),
) as { certificates: Record<string, string> };
const idOf = (name: string) => {
  const id = nodeIdOf(new X509Certificate(certificates[name] ?? ""));
  return id && formatNodeId(id);
};

test("nodeIdOf() finds the one node id among other names, and none among two", () => {
  assert.equal(idOf("oneNodeId"), NODE_ID);
  assert.equal(idOf("twoNodeIds"), undefined);
  assert.equal(idOf("noNodeId"), undefined);
});

test("nodeIdOf() takes no part of a DNS name for a node id", () => {
  assert.equal(idOf("quotedName"), undefined);
});

test("uriNames() finds nothing in what is no certificate", () => {
  const { raw } = new X509Certificate(certificates.oneNodeId ?? "");
  assert.deepEqual(uriNames(raw), [`urn:uuid:${NODE_ID}`]);
  for (let length = 0; length < raw.length; length++) assert.deepEqual(uriNames(raw.subarray(0, length)), []);
});
