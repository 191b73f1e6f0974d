/**
 * NumPy and safetensors as clients (numpy_client.py): what they post to one gateway is what they load from the gateway of
 * the node it went to, for each data type that they have, and slices are what NumPy cuts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SKIP_WITHOUT_PYTHON, VENV_PYTHON } from "../interop/python.ts";
import { Process, RUNTIMES } from "../support/process.ts";
import { GatewayPair } from "./pair.ts";

for (const runtime of RUNTIMES) {
  test(`np.load() of a gateway's URL is what np.save() has sent to another, on ${runtime}`, {
    skip: SKIP_WITHOUT_PYTHON,
  }, async () => {
    await using pair = await GatewayPair.start(runtime);
    await using python = new Process([
      VENV_PYTHON,
      "-B",
      "test/gateway/numpy_client.py",
      pair.near.url,
      pair.far.url,
    ]);
    const done = await python.waitFor(({ event }) => event === "done", 120_000);
    assert.deepEqual(done.wrong, []);
    assert.ok(Number(done.checks) > 1000, `${done.checks} comparisons`);
  });
}
