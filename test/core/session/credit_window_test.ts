/** The window of a connection: how large it may be where there are many, or little memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CONNECTION_CREDIT_FACTOR, DEFAULT_LIMITS, GiB, KiB, MiB } from "../../../src/core/limits.ts";
import { initialCreditFor } from "../../../src/core/session/credit_window.ts";

test("the first eight connections of a node with 4 GiB get all of initialCreditBytes, the hundredth a twelfth", () => {
  for (let n = 1; n <= 8; n++) assert.equal(initialCreditFor(DEFAULT_LIMITS, n), 4 * MiB);
  assert.equal(initialCreditFor(DEFAULT_LIMITS, 100), Math.floor((32 * MiB) / 100));
});

test("a small budget makes the windows small, and a small initialCreditBytes is kept to", () => {
  assert.equal(initialCreditFor({ ...DEFAULT_LIMITS, memoryBudgetBytes: 64 * MiB }, 1), 512 * KiB);
  assert.equal(initialCreditFor({ ...DEFAULT_LIMITS, memoryBudgetBytes: MiB }, 100), 4 * KiB);
  assert.equal(initialCreditFor({ ...DEFAULT_LIMITS, initialCreditBytes: 1000 }, 100), 1000);
  assert.equal(initialCreditFor({ ...DEFAULT_LIMITS, initialCreditBytes: 0 }, 1), 0);
});

test("the windows of all connections that a node lets in come to an eighth of the default budget, and to 0.18 of any", () => {
  const { maxConnections, maxPendingHandshakes } = DEFAULT_LIMITS;
  fc.assert(
    fc.property(fc.integer({ min: 256 * MiB, max: 64 * GiB }), (memoryBudgetBytes) => {
      const limits = { ...DEFAULT_LIMITS, memoryBudgetBytes };
      let windows = 0;
      for (let n = 1; n <= maxConnections + maxPendingHandshakes; n++)
        windows += CONNECTION_CREDIT_FACTOR * initialCreditFor(limits, n);
      assert.ok(windows <= 0.18 * memoryBudgetBytes, `${windows} of ${memoryBudgetBytes}`);
      if (memoryBudgetBytes === DEFAULT_LIMITS.memoryBudgetBytes) assert.ok(windows <= memoryBudgetBytes / 8);
    }),
    { examples: [[DEFAULT_LIMITS.memoryBudgetBytes]] },
  );
});
