/** Two minutes of faults among three hosts while tensors pass (test/faults). ASOC_FAULT_MINUTES and ASOC_FAULT_SEED change that. */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { ledgerText, runFaults, verdict } from "../faults/faults.ts";
import { whyNoFaults } from "../faults/field.ts";

const MINUTES = Number(process.env.ASOC_FAULT_MINUTES ?? 2);
const SEED = Number(process.env.ASOC_FAULT_SEED ?? 1);

test(`${MINUTES} minutes of faults among three hosts: nothing is lost, duplicated or corrupt, and every error has a name (seed ${SEED})`, {
  skip: whyNoFaults() ?? false,
  timeout: (MINUTES + 6) * 60_000,
}, async (t) => {
  const report = await runFaults(SEED, MINUTES * 60, () => {});
  t.diagnostic(ledgerText(report));
  assert.deepEqual(verdict(report), []);
});
