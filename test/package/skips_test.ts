import assert from "node:assert/strict";
import { test } from "node:test";
import { unexpectedSkips } from "../../scripts/skips.ts";

test("unexpectedSkips() counts what a machine that has everything would have run, on each runner", () => {
  const node = [
    "✔ one (1ms)",
    "﹣ charts (0.1ms) # /usr/bin/chromium is not there",
    "  ﹣ three hosts (0.1ms) # needs network namespaces: Operation not permitted",
    "﹣ a small disk (0.1ms) # mounting is not allowed here",
    "﹣ without a reason (0.1ms) # SKIP",
    "ℹ skipped 4",
  ];
  assert.equal(unexpectedSkips(4, node.join("\n")), 2);
  assert.equal(unexpectedSkips(1, "(skip) one\n 1 skip\n"), 1);
  assert.equal(unexpectedSkips(1, "one ... ignored (0ms)\n"), 1);
  assert.equal(unexpectedSkips(0, "✔ one (1ms)\n"), 0);
});
