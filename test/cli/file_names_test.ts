import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cutText, MAX_NAME_BYTES, safeName, withoutExtension } from "../../src/cli/file_names.ts";

const RUNS = { seed: 20_261, numRuns: 5000 };

/** What strangers send: any text, and pieces that mean something to a file system, a shell or a terminal. */
const hostile = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc
    .array(
      fc.constantFrom(
        ..."/ \\ . .. ~ - -rf : * ? \" ' ` $ | < > & ; % ! \0 \n \r \t \x1b[2J \x7f CON nul com1 LPT¹ .npy a é \u202e \u200b \ud800 😀 가".split(
          " ",
        ),
        " ",
        "e\u0301",
        "x".repeat(255),
      ),
      { maxLength: 8 },
    )
    .map((pieces) => pieces.join("")),
);

test("safeName() keeps harmless names, and makes dots of slashes", () => {
  for (const name of [
    "weights",
    "model.layers.0.weight",
    "Größe (2)",
    "a-b_c+d=e@f,g~h#i[j]",
    "_hidden",
    "層",
  ])
    assert.equal(safeName(name, "none"), name);
  assert.equal(safeName("layers/0/weight", "none"), "layers.0.weight");
  assert.equal(safeName("", "none"), "none");
});

test("safeName() marks what it changed with the hash of the original", () => {
  assert.match(safeName("../../etc/passwd", "none"), /^_\.{6}etc\.passwd~[0-9a-f]{8}$/);
  assert.match(safeName("a:b", "none"), /^a_b~[0-9a-f]{8}$/);
  assert.notEqual(safeName("a:b", "none"), safeName("a?b", "none"));
  assert.equal(safeName("a:b", "none"), safeName("a:b", "none"));
  for (const [text, begins] of [
    [".bashrc", "_.bashrc~"],
    ["-rf", "_-rf~"],
    ["~", "_~"],
    ["~root", "_~root~"],
    ["a ", "a~"],
    [" ", "_~"],
    ["/", "_.~"],
    ["NUL", "_NUL~"],
    ["com1/weight", "_com1.weight~"],
    ["x\u202egpj", "x_gpj~"],
  ] as const)
    assert.ok(safeName(text, "none").startsWith(begins), safeName(text, "none"));
  assert.equal(safeName("console", "none"), "console");
});

test("safeName() cuts long names between characters, and keeps them apart", () => {
  const long = "é".repeat(127);
  assert.equal(Buffer.byteLength(safeName(long, "none")), MAX_NAME_BYTES - 1);
  assert.notEqual(safeName(`${long}a`, "none"), safeName(`${long}b`, "none"));
  assert.equal(safeName("a".repeat(MAX_NAME_BYTES), "none"), "a".repeat(MAX_NAME_BYTES));
});

test("safeName() never leaves the directory, hides a file, or looks like an option", () => {
  fc.assert(
    fc.property(hostile, (text) => {
      const name = safeName(text, "fallback");
      assert.ok(name.length > 0 && Buffer.byteLength(name) <= MAX_NAME_BYTES, name);
      assert.match(name, /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}._+=@,~ ()[\]#-]*$/u);
      assert.doesNotMatch(name, /^(con|prn|aux|nul|(com|lpt)[0-9¹²³])([. ]|$)/i);
      assert.ok(name.isWellFormed());
    }),
    RUNS,
  );
});

test("safeName() gives different names to topics that differ in more than slashes", () => {
  fc.assert(
    fc.property(hostile, hostile, (a, b) => {
      fc.pre(a !== "" && b !== "" && a.replaceAll("/", ".") !== b.replaceAll("/", "."));
      assert.notEqual(safeName(a, "fallback"), safeName(b, "fallback"));
    }),
    RUNS,
  );
});

test("withoutExtension() takes off what the content gives again, and no more", () => {
  assert.equal(withoutExtension("a.npy"), "a");
  assert.equal(withoutExtension("a.b.SafeTensors"), "a.b");
  assert.equal(withoutExtension("a.npy.bin"), "a.npy");
  assert.equal(withoutExtension("conftest.py"), "conftest.py");
  assert.equal(withoutExtension(".npy"), "");
});

test("cutText() keeps whole characters", () => {
  assert.equal(cutText("aé😀b", 7), "aé😀");
  assert.equal(cutText("aé😀b", 6), "aé");
  assert.equal(cutText("é", 1), "");
});
