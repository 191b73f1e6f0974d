import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileGlob } from "../../../src/core/wire/glob.ts";

const fits = (glob: string, topic: string) => compileGlob(glob)(topic);

test("compileGlob() without a star takes that topic and no other", () => {
  assert.equal(fits("train/loss", "train/loss"), true);
  for (const topic of ["", "train", "train/los", "train/losss", "Train/loss", "xtrain/loss"]) {
    assert.equal(fits("train/loss", topic), false, topic);
  }
});

test("compileGlob() lets * stand for any run within a segment, and for none", () => {
  for (const [glob, topic, expected] of [
    ["*", "", true],
    ["*", "loss", true],
    ["*", "train/loss", false],
    ["train/*", "train/loss", true],
    ["train/*", "train/", true],
    ["train/*", "train", false],
    ["train/*", "train/a/b", false],
    ["*/loss", "train/loss", true],
    ["*/loss", "a/b/loss", false],
    ["train/*/w", "train/layer1/w", true],
    ["train/*/w", "train//w", true],
    ["train/*/w", "train/a/b/w", false],
    ["layer*", "layer", true],
    ["layer*", "layer12", true],
    ["l*r*2", "layer12", true],
    ["l*r*2", "layer/2", false],
    ["*ab", "aab", true],
    ["*aab", "aaaab", true],
  ] as const) {
    assert.equal(fits(glob, topic), expected, `${glob} ${topic}`);
  }
});

test("compileGlob() lets ** cross segments", () => {
  for (const [glob, topic, expected] of [
    ["**", "", true],
    ["**", "a/b/c", true],
    ["train/**", "train/a/b", true],
    ["train/**", "train/", true],
    ["train/**", "train", false],
    ["**/loss", "a/b/loss", true],
    ["**/loss", "loss", false],
    ["a/**/z", "a/b/c/z", true],
    ["a/**/z", "a/z", false],
    ["a**z", "a/b/z", true],
    ["a***z", "a/b/z", true],
    ["a/*/**", "a/b/c/d", true],
    ["a/*/**", "a/b", false],
    ["**/*.npy", "a/b.npy", true],
    ["*/**/*", "a/b", false],
    ["*/**/*", "a/b/c", true],
  ] as const) {
    assert.equal(fits(glob, topic), expected, `${glob} ${topic}`);
  }
});

test("compileGlob() takes every other character as it is", () => {
  for (const text of ["a.b", "a?b", "[ab]", "a\\*b", "{a,b}", "^a$", "(a|b)+", "ä/😀", "\0"]) {
    if (!text.includes("*")) assert.equal(fits(text, text), true, text);
    assert.equal(fits(`*${text}`, `x${text}`), true, text);
  }
  assert.equal(fits("a.b", "axb"), false);
  assert.equal(fits("a?b", "axb"), false);
  assert.equal(fits("*a.b", "xaxb"), false);
  assert.equal(fits("*😀", "ä😀"), true);
  assert.equal(fits("😀*", "ä😀"), false);
});

/** The rules as they are written, tried one after the other. */
function naive(glob: string, topic: string): boolean {
  if (glob === "") return topic === "";
  if (glob[0] !== "*") return topic[0] === glob[0] && naive(glob.slice(1), topic.slice(1));
  const stars = glob.length - glob.replace(/^\*+/, "").length;
  const rest = glob.slice(stars);
  for (let taken = 0; taken <= topic.length; taken++) {
    if (stars === 1 && topic.slice(0, taken).includes("/")) return false;
    if (naive(rest, topic.slice(taken))) return true;
  }
  return false;
}

test("compileGlob() says what trying one rule after the other says", () => {
  const text = (characters: string, maxLength: number) =>
    fc.string({ unit: fc.constantFrom(...characters), maxLength });
  fc.assert(
    fc.property(text("ab/**", 9), text("ab/", 12), (glob, topic) => {
      fc.pre(glob !== "");
      assert.equal(fits(glob, topic), naive(glob, topic), `${glob} ${topic}`);
    }),
    { numRuns: 3000 },
  );
});

test("compileGlob() carries places over the edges of its words", () => {
  for (const length of [30, 31, 32, 33, 63, 64, 65, 200, 253]) {
    const text = "abcdefg".repeat(40).slice(0, length);
    assert.equal(fits(`${text}*`, text), true, `${length}`);
    assert.equal(fits(`*${text}`, text), true, `${length}`);
    assert.equal(fits(`**${text}`, `${text}/${text}`), true, `${length}`);
    assert.equal(fits(`*${text}`, `${text}x`), false, `${length}`);
    assert.equal(fits(`*${text}`, text.slice(1)), false, `${length}`);
  }
});

test("compileGlob() needs no more time for a bomb than for any other glob", () => {
  const topic = "a".repeat(200_000);
  const bombs = [
    "*a*a*a*a*b",
    `${"*a".repeat(126)}*b`,
    `${"**a".repeat(84)}**b`,
    `${"*a**".repeat(60)}b`,
    `*${"a".repeat(253)}b`,
  ];
  for (const bomb of bombs) {
    const started = performance.now();
    assert.equal(fits(bomb, topic), false);
    const ms = performance.now() - started;
    assert.ok(ms < 2000, `${bomb.slice(0, 20)}: ${ms.toFixed(0)} ms for ${topic.length} characters`);
  }
});

test("compileGlob() refuses globs that are empty, too long or no text", () => {
  const refused = [
    ["", "glob: 0 bytes, expected 1 to 255"],
    ["a".repeat(256), "glob: 256 bytes, expected 1 to 255"],
    ["ä".repeat(128), "glob: 256 bytes, expected 1 to 255"],
    ["\ud800*", "glob: expected well-formed text, got a lone surrogate"],
  ] as const;
  for (const [glob, message] of refused) {
    assert.throws(() => compileGlob(glob), { name: "RangeError", message });
  }
  assert.equal(fits("*".repeat(255), "a/b"), true);
});
