import assert from "node:assert/strict";
import { readdir, readFile, unlink } from "node:fs/promises";
import { test } from "node:test";
import { NewFile, removeTemporaries } from "../../src/cli/new_file.ts";
import { Home, noise } from "./support.ts";

async function placed(dir: string, name: string, bytes: Uint8Array): Promise<string> {
  const file = await NewFile.create(dir);
  await file.write(bytes);
  await file.close({ sync: true });
  const path = await file.place(name, "bin");
  await file.remove(); // not any more
  return path;
}

test("a NewFile shows itself when it is placed, under a name that nothing had", async () => {
  await using home = await Home.make();
  await home.file("a.bin", "mine");
  for (let number = 2; number < 6; number++)
    assert.equal(await placed(home.dir, "a", noise(10, number)), home.path(`a-${number}.bin`));
  assert.equal(await readFile(home.path("a.bin"), "utf8"), "mine");
  assert.ok((await readFile(home.path("a-5.bin"))).equals(noise(10, 5)));
  await unlink(home.path("a-5.bin"));
  assert.equal(await placed(home.dir, "a", noise(1)), home.path("a-5.bin"));
  assert.equal(await placed(home.dir, "a.2", noise(1)), home.path("a.2.bin"));
});

test("a NewFile that is not placed leaves nothing behind, also at a forced end", async () => {
  await using home = await Home.make();
  const [first, second] = [await NewFile.create(home.dir), await NewFile.create(home.dir, "part")];
  await first.write(noise(100));
  assert.equal(first.bytes, 100);
  assert.match((await readdir(home.dir)).sort().join(" "), /\.tmp/);
  await first.remove();
  await first.remove();
  assert.match((await readdir(home.dir)).join(), /^\.asoc-[0-9a-f]{16}\.part$/);
  removeTemporaries();
  assert.deepEqual(await readdir(home.dir), []);
  await second.remove();
});
