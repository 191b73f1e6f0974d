import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFor, isUnchanged, rangeOf } from "../../../gateway/formats/negotiate.ts";

test("formatFor() gives the best of what Accept names", () => {
  assert.equal(formatFor(undefined), "npy");
  assert.equal(formatFor("*/*"), "npy");
  assert.equal(formatFor("application/json"), "json");
  assert.equal(formatFor("application/json;q=0.5, application/vnd.safetensors;q=0.9"), "safetensors");
  assert.equal(formatFor("text/html, application/octet-stream;q=0.8, */*;q=0.1"), "bin");
  for (const none of ["image/png", "application/json;q=0", "x".repeat(2000)])
    assert.throws(() => formatFor(none), { code: "GATEWAY_NOT_ACCEPTABLE" }, none.slice(0, 20));
});

test("rangeOf() reads one range, and passes over what it does not know", () => {
  assert.equal(rangeOf(undefined, undefined, '"a"', 10), undefined);
  assert.deepEqual(rangeOf("bytes=2-4", undefined, '"a"', 10), { from: 2, to: 5 });
  assert.deepEqual(rangeOf("bytes=2-", undefined, '"a"', 10), { from: 2, to: 10 });
  assert.deepEqual(rangeOf("bytes=-3", undefined, '"a"', 10), { from: 7, to: 10 });
  assert.deepEqual(rangeOf("bytes=-30", undefined, '"a"', 10), { from: 0, to: 10 });
  assert.deepEqual(rangeOf("bytes=9-99", undefined, '"a"', 10), { from: 9, to: 10 });
  assert.deepEqual(rangeOf("bytes=0-0", '"a"', '"a"', 10), { from: 0, to: 1 });
  for (const other of ["bytes=0-1,3-4", "items=0-1", "bytes=-", "bytes=4-2", "bytes=a-b"])
    assert.equal(rangeOf(other, undefined, '"a"', 10), undefined, other);
  assert.equal(rangeOf("bytes=0-1", '"b"', '"a"', 10), undefined);
  for (const outside of ["bytes=10-", "bytes=-0", "bytes=9999999999999999-"])
    assert.throws(() => rangeOf(outside, undefined, '"a"', 10), { code: "GATEWAY_RANGE" }, outside);
});

test("isUnchanged() finds the tag among others", () => {
  assert.ok(isUnchanged('"x", W/"a"', '"a"'));
  assert.ok(isUnchanged("*", '"a"'));
  assert.ok(!isUnchanged(undefined, '"a"'));
  assert.ok(!isUnchanged('"b"', '"a"'));
});
