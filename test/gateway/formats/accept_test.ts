/** Which format Accept gets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFor } from "../../../gateway/formats/negotiate.ts";

const EXAMPLES: readonly [accept: string | undefined, format: string][] = [
  [undefined, "npy"],
  ["*/*", "npy"],
  ["application/x-npy;q=0, */*", "safetensors"],
  ["*/*, application/x-npy;q=0", "safetensors"],
  ["application/x-npy;q=0.1, */*", "safetensors"],
  ["*/*, application/x-npy", "npy"],
  ["application/json, application/x-npy", "json"],
  ["application/*;q=0.5, application/json", "json"],
  ["application/*;q=0.2, application/x-npy;q=0, text/html", "safetensors"],
  ["Application/X-NPY", "npy"],
  ["application/json;q=0, application/vnd.safetensors;q=0, application/x-npy;q=0, */*;q=0.1", "bin"],
];
for (const [accept, format] of EXAMPLES)
  test(`formatFor(${accept}) is ${format}`, () => assert.equal(formatFor(accept), format));

for (const accept of ["application/x-npy;q=0", "*/*;q=0", "application/*;q=0, */*", "text/html"])
  test(`formatFor(${accept}) is refused`, () => {
    assert.throws(() => formatFor(accept), { code: "GATEWAY_NOT_ACCEPTABLE" });
  });
