import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GatewayError } from "../../../gateway/errors.ts";
import { parseSlice, slicedRun } from "../../../gateway/formats/slice.ts";

function taken(bytes: Uint8Array, shape: readonly number[], unit: number, text: string): number[] {
  const run = slicedRun(bytes, shape, unit, parseSlice(text, shape));
  return [...run.blocks(0, run.length)].flatMap((block) => [...block]);
}

const counted = (count: number) => Uint8Array.from({ length: count }, (_, index) => index);

test("parseSlice() gives the shapes that NumPy gives", () => {
  const cases: [text: string, shape: number[]][] = [
    ["0", [3, 4]],
    [":,1", [2, 4]],
    ["...,::2", [2, 3, 2]],
    ["-1,0:2", [2, 4]],
    ["1,2,3", []],
    ["5:", [0, 3, 4]],
    ["...", [2, 3, 4]],
    [":", [2, 3, 4]],
    ["0:2,", [2, 3, 4]],
    ["-5:5:9", [1, 3, 4]],
  ];
  for (const [text, shape] of cases) assert.deepEqual(parseSlice(text, [2, 3, 4]).shape, shape, text);
  assert.deepEqual(parseSlice("...", []).shape, []);
});

test("parseSlice() refuses what is outside, and what is no slice", () => {
  for (const text of [
    "2",
    "-3",
    ":,:,:,:",
    "...,...",
    "a",
    "",
    "::0",
    "::-1",
    "0:1:2:3",
    "1.5",
    "9".repeat(30),
    " : : ",
    ":,".repeat(600),
  ])
    assert.throws(
      () => parseSlice(text, [2, 3, 4]),
      (error) => error instanceof GatewayError && error.code === "GATEWAY_BAD_SLICE",
      text,
    );
});

test("slicedRun() takes what element after element would, in blocks from anywhere to anywhere", () => {
  const axis = fc.record({
    size: fc.integer({ min: 0, max: 5 }),
    start: fc.integer({ min: -6, max: 6 }),
    stop: fc.integer({ min: -6, max: 6 }),
    step: fc.integer({ min: 1, max: 3 }),
    whole: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(axis, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(1, 2, 3),
      fc.nat(),
      fc.nat(),
      (axes, unit, a, b) => {
        const shape = axes.map(({ size }) => size);
        const bytes = counted(shape.reduce((product, size) => product * size, unit));
        const text = axes
          .map(({ whole, start, stop, step }) => (whole ? ":" : `${start}:${stop}:${step}`))
          .join(",");
        let expected: number[] = [0];
        for (const [at, { size, whole, start, stop, step }] of axes.entries()) {
          const stride = shape.slice(at + 1).reduce((product, one) => product * one, unit);
          const indices = Array.from({ length: size }, (_, index) => index).slice(
            whole ? 0 : start,
            whole ? size : stop,
          );
          const kept = indices.filter((_, index) => whole || index % step === 0);
          expected = expected.flatMap((place) => kept.map((index) => place + index * stride));
        }
        const all = expected.flatMap((place) => [...bytes.subarray(place, place + unit)]);
        assert.deepEqual(taken(bytes, shape, unit, text), all);
        const run = slicedRun(bytes, shape, unit, parseSlice(text, shape));
        assert.equal(run.length, all.length);
        const [from = 0, to = 0] = [a % (all.length + 1), b % (all.length + 1)].sort((x, y) => x - y);
        assert.deepEqual(
          [...run.blocks(from, to)].flatMap((block) => [...block]),
          all.slice(from, to),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test("a dimension of nothing costs nothing, however huge the others are", () => {
  assert.deepEqual(taken(new Uint8Array(0), [2 ** 50, 0], 4, "::2"), []);
});
