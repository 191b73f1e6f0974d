/**
 * One large tensor after thousands of small ones, in each way to send and to read it. `ASOC_LARGE_MIB=2304` makes it larger
 * than V8's compiled code can tell from `length` (CONTRIBUTING.md); that takes some 12 GiB of memory.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Process, RUNTIMES } from "../support/process.ts";
import { MiB } from "./peer.ts";

const BYTES = Number(process.env.ASOC_LARGE_MIB ?? 48) * MiB;
const WAYS = ["unknown length", "unknown length, chunks", "known length", "known length, chunks", "into"];

for (const runtime of RUNTIMES) {
  test(`${runtime}: a tensor of ${BYTES / MiB} MiB arrives in every way after thousands of small ones`, async () => {
    await using nodes = Process.script(runtime, "test/process/large_tensor_script.ts", [String(BYTES)]);
    for (const way of WAYS) {
      const came = await nodes.waitFor((event) => event.way === way, 120_000);
      assert.deepEqual(came, { way, bytes: BYTES, delivery: "verified" });
    }
  });
}
