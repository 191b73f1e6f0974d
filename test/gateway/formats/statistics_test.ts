import assert from "node:assert/strict";
import { test } from "node:test";
import { statistics } from "../../../gateway/formats/statistics.ts";
import { bytesOf } from "../bodies.ts";

test("statistics() looks at a sample that is spread over all of a large tensor", () => {
  const values = Float32Array.from({ length: 1_000_000 }, (_, index) => index);
  const found = statistics("float32", bytesOf(values), 65_536);
  assert.equal(found?.count, 1_000_000);
  assert.ok((found?.sampled ?? 0) <= 65_536 && (found?.sampled ?? 0) > 60_000);
  assert.ok(Math.abs((found?.mean ?? 0) - 500_000) < 1000);
  assert.equal(
    found?.histogram?.counts.reduce((sum, one) => sum + one, 0),
    found?.sampled,
  );
});

test("statistics() has no numbers that JSON has not", () => {
  const { MAX_VALUE, NaN: nan, POSITIVE_INFINITY: inf } = Number;
  for (const values of [[MAX_VALUE, MAX_VALUE], [-MAX_VALUE, MAX_VALUE], [nan], [inf, -inf], [0, -0], []]) {
    const found = statistics("float64", bytesOf(Float64Array.from(values)), 100);
    const text = JSON.stringify(found);
    assert.deepEqual(JSON.parse(text), found && { ...found, min: found.min === 0 ? 0 : found.min }, text);
  }
  assert.equal(statistics("float64", new Uint8Array(0), 100)?.histogram, null);
  assert.equal(statistics("opaque8", new Uint8Array(4), 100), undefined);
  assert.equal(statistics(undefined, new Uint8Array([1, 2]), 100)?.max, 2);
});
