/** Inputs that once were a fault (`test/vectors/fuzz`): each is what it should be, for ever. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fromHex } from "../../src/core/wire/bytes.ts";
import { ROOT } from "../support/process.ts";
import { TARGETS } from "./targets.ts";

const FOLDER = join(ROOT, "test", "vectors", "fuzz");
const files = readdirSync(FOLDER).filter((file) => file.endsWith(".json"));

test("inputs that were found by fuzzing do no harm any more", async () => {
  assert.ok(files.length > 0, `no vector lies in ${FOLDER}`);
  for (const file of files) {
    const { target, hex } = JSON.parse(readFileSync(join(FOLDER, file), "utf8")) as {
      target: string;
      hex: string;
    };
    const known = TARGETS.find(({ name }) => name === target);
    assert.ok(known, `${file}: no target is called ${target}`);
    await known.run(fromHex(hex));
  }
  for (const target of TARGETS) target.finish?.();
});
