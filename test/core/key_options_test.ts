/** Keys as users hand them in. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { entryOf } from "../../src/core/key_options.ts";

test("entryOf() copies a key, also a Buffer, whose slice() shares its memory", () => {
  for (const own of [Buffer.from("a key"), new TextEncoder().encode("a key")]) {
    const { key } = entryOf({ key: own });
    key?.fill(0);
    assert.equal(new TextDecoder().decode(own), "a key");
  }
});
