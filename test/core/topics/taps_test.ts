import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { type TapRequest, Taps } from "../../../src/core/topics/taps.ts";
import { compileGlob } from "../../../src/core/wire/glob.ts";

const tapsWith = (...allowed: string[]) => new Taps({ allowed, limits: DEFAULT_LIMITS });
const tap = (glob: string, oneIn = 1, bytesPerSecond = 0): TapRequest => ({ glob, oneIn, bytesPerSecond });
const tensor = (topic: string, byteCount = 100, from?: string) => ({
  topic,
  byteCount,
  priority: 128,
  parties: from === undefined ? [] : [from],
});

test("Taps give a copy of what fits to each peer that asked for it", () => {
  const taps = tapsWith("**");
  assert.equal(taps.any, false);
  assert.equal(taps.handleTap("p", tap("train/*"), 0), true);
  assert.equal(taps.handleTap("q", tap("**"), 0), true);
  assert.equal(taps.any, true);
  assert.deepEqual(taps.wants(tensor("train/loss"), 0), ["p", "q"]);
  assert.deepEqual(taps.wants(tensor("other"), 0), ["q"]);
  assert.deepEqual(taps.counters, { taps: 2, copies: 3, droppedByRate: 0, droppedBusy: 0, refused: 0 });
});

test("Taps grant what is allowed letter by letter, anything if ** is, and a topic that fits an allowed glob", () => {
  for (const [allowed, glob, granted] of [
    [["train/*"], "train/*", true],
    [["train/*"], "train/loss", true],
    [["train/*"], "train/a/b", false],
    [["train/*"], "train/l*", false],
    [["train/**"], "train/*", false],
    [["train/**"], "train/a/b", true],
    [["*"], "*", true],
    [["*"], "**", false],
    [["*"], "a", true],
    [["**"], "*", true],
    [["**"], "a/**/b", true],
    [["a", "b/*"], "b/c", true],
    [["a"], "a", true],
    [["a"], "A", false],
    [[], "a", false],
  ] as const) {
    const taps = tapsWith(...allowed);
    assert.equal(taps.handleTap("p", tap(glob), 0), granted, `${glob} of ${allowed}`);
    assert.deepEqual([taps.counters.refused, taps.counters.taps], granted ? [0, 1] : [1, 0]);
  }
});

test("Taps refuse what is no TAP, and do not throw at it", () => {
  const taps = tapsWith("**");
  for (const glob of ["", "a".repeat(256), "\ud800"]) assert.equal(taps.handleTap("p", tap(glob), 0), false);
  for (const oneIn of [0, -1, 1.5, Number.NaN]) assert.equal(taps.handleTap("p", tap("a", oneIn), 0), false);
  for (const rate of [-1, 0.5, Number.NaN]) assert.equal(taps.handleTap("p", tap("a", 1, rate), 0), false);
  assert.equal(taps.counters.refused, 10);
  assert.equal(taps.any, false);
  assert.throws(() => tapsWith(""), { name: "RangeError" });
});

test("Taps hold no more of one peer than the limit, and let it replace those it has", () => {
  const taps = new Taps({ allowed: ["**"], limits: { maxTapsPerPeer: 2 } });
  for (const glob of ["a", "b"]) assert.equal(taps.handleTap("p", tap(glob), 0), true);
  assert.equal(taps.handleTap("p", tap("c"), 0), false);
  assert.equal(taps.handleTap("q", tap("c"), 0), true);
  assert.equal(taps.handleTap("p", tap("b", 2), 0), true);
  taps.handleUntap("p", "a");
  assert.equal(taps.handleTap("p", tap("c"), 0), true);
  assert.deepEqual([taps.counters.taps, taps.counters.refused], [3, 1]);
});

test("UNTAP ends one tap, and the end of the peer all of them", () => {
  const taps = tapsWith("**");
  for (const glob of ["a", "b"]) taps.handleTap("p", tap(glob), 0);
  taps.handleUntap("p", "a");
  taps.handleUntap("p", "never asked for");
  taps.handleUntap("nobody", "a");
  assert.deepEqual(taps.wants(tensor("a"), 0), []);
  assert.deepEqual(taps.wants(tensor("b"), 0), ["p"]);
  taps.handleTap("q", tap("b"), 0);
  taps.handleUntap("q", "b");
  taps.forget("p");
  assert.deepEqual(taps.wants(tensor("b"), 0), []);
  assert.deepEqual([taps.any, taps.counters.taps], [false, 0]);
});

test("a peer gets one copy however many of its taps fit", () => {
  const taps = tapsWith("**");
  for (const glob of ["**", "a", "*"]) taps.handleTap("p", tap(glob), 0);
  assert.deepEqual(taps.wants(tensor("a"), 0), ["p"]);
  assert.equal(taps.counters.copies, 1);
});

test("a tap of one in N gets the first and then every N-th", () => {
  const taps = tapsWith("**");
  taps.handleTap("p", tap("a", 3), 0);
  const got = [1, 2, 3, 4, 5, 6, 7].filter(() => {
    taps.wants(tensor("b"), 0); // does not fit and does not count
    return taps.wants(tensor("a"), 0).length > 0;
  });
  assert.deepEqual(got, [1, 4, 7]);
});

test("a tap with a rate loses what is over it, and another tap of the same peer may have room", () => {
  const taps = tapsWith("**");
  taps.handleTap("p", tap("a", 1, 1000), 0);
  assert.deepEqual(taps.wants(tensor("a", 1000), 0), ["p"]);
  assert.deepEqual(taps.wants(tensor("a", 1000), 500), []);
  assert.equal(taps.counters.droppedByRate, 1);
  assert.deepEqual(taps.wants(tensor("a", 1000), 1000), ["p"]);
  taps.handleTap("p", tap("*"), 1000);
  assert.deepEqual(taps.wants(tensor("a", 1000), 1000), ["p"]);
  assert.equal(taps.counters.droppedByRate, 1);
});

test("a copy that the peer's queue had no room for is counted as dropped and not as a copy", () => {
  const taps = tapsWith("**");
  taps.handleTap("p", tap("a"), 0);
  taps.wants(tensor("a"), 0);
  taps.wants(tensor("a"), 0);
  taps.handleBusy();
  assert.deepEqual([taps.counters.copies, taps.counters.droppedBusy], [1, 1]);
});

test("nobody gets a copy of what it has sent, and that does not count as one in N", () => {
  const taps = tapsWith("**");
  taps.handleTap("p", tap("a", 2), 0);
  assert.deepEqual(taps.wants(tensor("a", 100, "p"), 0), []);
  assert.deepEqual(taps.wants(tensor("a", 100, "q"), 0), ["p"]);
});

test("nodes that all tap each other do not pass copies round and round", () => {
  const names = ["x", "y", "z"];
  const nodes = new Map(names.map((name) => [name, tapsWith("**")]));
  for (const [name, taps] of nodes)
    for (const other of names) if (other !== name) taps.handleTap(other, tap("**"), 0);
  const under: { at: string; priority: number; parties: string[] }[] = [
    { at: "x", priority: 128, parties: [] },
  ];
  let copies = 0;
  for (let next = under.shift(); next; next = under.shift()) {
    const { at, priority, parties } = next;
    for (const to of nodes.get(at)?.wants({ topic: "a", byteCount: 1, priority, parties }, 0) ?? []) {
      copies++;
      assert.ok(copies < 100, "no end");
      under.push({ at: to, priority: 0, parties: [at] });
    }
  }
  assert.equal(copies, 2);
});

test("a glob that is granted fits no topic that no allowed glob fits", () => {
  const text = (maxLength: number) =>
    fc.string({ unit: fc.constantFrom("a", "b", "/", "*"), minLength: 1, maxLength });
  const topics = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 6 }), {
    maxLength: 30,
  });
  fc.assert(
    fc.property(fc.array(text(4), { maxLength: 3 }), text(4), topics, (allowed, glob, some) => {
      if (!tapsWith(...allowed).handleTap("p", tap(glob), 0)) return;
      for (const topic of [...some, glob.replaceAll("*", ""), glob.replaceAll("*", "a")]) {
        if (!compileGlob(glob)(topic)) continue;
        assert.ok(
          allowed.some((one) => compileGlob(one)(topic)),
          `${glob} fits ${topic}, ${allowed} does not`,
        );
      }
    }),
    { numRuns: 1000 },
  );
});

test("Taps name each peer once, and only for a tap of its own that fits and is due", () => {
  const step = fc.oneof(
    fc.record({
      peer: fc.constantFrom("p", "q", "r"),
      glob: fc.constantFrom("a", "a/*", "**", "*"),
      oneIn: fc.integer({ min: 1, max: 4 }),
      rate: fc.constantFrom(0, 500, 5000),
    }),
    fc.record({
      topic: fc.constantFrom("a", "a/b", "a/b/c"),
      byteCount: fc.nat(2000),
      from: fc.constantFrom(undefined, "p", "q"),
      afterMs: fc.nat(800),
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const taps = tapsWith("**");
      const asked = new Map<string, { glob: string; oneIn: number; rate: number; seen: number }[]>();
      let nowMs = 0;
      let copies = 0;
      let dropped = 0;
      for (const one of steps) {
        if ("peer" in one) {
          const { peer, glob, oneIn, rate } = one;
          taps.handleTap(peer, tap(glob, oneIn, rate), nowMs);
          const others = (asked.get(peer) ?? []).filter((held) => held.glob !== glob);
          asked.set(peer, [...others, { glob, oneIn, rate, seen: 0 }]);
          continue;
        }
        nowMs += one.afterMs;
        const { topic, byteCount, from } = one;
        const got = taps.wants(
          { topic, byteCount, priority: 1, parties: from === undefined ? [] : [from] },
          nowMs,
        );
        assert.equal(new Set(got).size, got.length);
        copies += got.length;
        for (const [peer, held] of asked) {
          if (peer === from) {
            assert.ok(!got.includes(peer));
            continue;
          }
          const due = held
            .filter(({ glob }) => compileGlob(glob)(topic))
            .filter((fitting) => fitting.seen++ % fitting.oneIn === 0);
          if (due.some(({ rate }) => rate === 0)) assert.ok(got.includes(peer));
          if (due.length === 0) assert.ok(!got.includes(peer));
          else if (!got.includes(peer)) dropped++;
        }
      }
      assert.equal(taps.counters.copies, copies);
      assert.equal(taps.counters.droppedByRate, dropped);
    }),
    { numRuns: 500 },
  );
});
