/** Twenty seconds of the soak (test/soak): not memory, which is not warm by then, but handles and timers must be flat. */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { isFlat, trend } from "../soak/flatness.ts";
import { soak } from "../soak/soak.ts";

test("trend() gives the growth by a straight line after the warm-up", () => {
  const points = Array.from({ length: 11 }, (_each, index) => ({
    seconds: index,
    value: index < 5 ? 1000 : 10 + index,
  }));
  const { median, growth } = trend(points, 5);
  assert.equal(median, 18);
  assert.ok(Math.abs(growth - 5) < 1e-9);
  assert.ok(isFlat({ median, growth }, 0, 5.1) && !isFlat({ median, growth }, 0.1, 3));
  assert.throws(() => trend(points, 9), RangeError);
});

test("a node under a mixed load keeps no handle and no timer of what has gone", {
  skip: process.platform === "linux" ? false : "needs /proc",
  timeout: 120_000,
}, async () => {
  const { rows, load } = await soak("node", 20, 1, () => {});
  for (const { name, flat, trend } of rows) {
    if (name === "file descriptors" || name === "timers and handles")
      assert.ok(flat, `${name} grew by ${trend.growth}`);
  }
  for (const part of ["tensors verified", "peer came and went", "stranger refused", "gateway request"])
    assert.ok(Number(load[part]) > 0, `the load had no ${part}`);
});
