import assert from "node:assert/strict";
import { appendFile, readdir, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { Output } from "../../src/cli/output.ts";
import { readEarlier, TransferState } from "../../src/cli/transfer_state.ts";
import { Home } from "./support.ts";

const quiet = { write: () => {} };
const output = new Output(false, quiet, quiet);
const NODE = "11111111-1111-8111-8111-111111111111";

async function onlyFile(home: Home): Promise<string> {
  const [name = "", ...others] = await readdir(home.dir);
  assert.deepEqual(others, []);
  return home.path(name);
}

test("a TransferState keeps its ids and what is known of its tensors for the next run", async () => {
  await using home = await Home.make();
  const place = { dir: home.dir, stem: "file-a", fingerprint: "one" };
  const first = await TransferState.begin(place, undefined, NODE, output);
  assert.ok(!first.resumes);
  assert.match(first.transferId(0), /^[0-9a-f]{16}$/);
  assert.notEqual(first.transferId(0), first.transferId(1));
  assert.equal(first.groupId.length, 8);
  await first.noteEnded(0, "x", 7);
  first.noteThere(0, "x");
  await first.noteEnded(1, "x", 7);
  await first.noteEnded(1, "x", 8);
  assert.match(await readFile(await onlyFile(home), "utf8"), /"epoch":8\}\n$/, "written when that resolves");
  await first.leave();
  await appendFile(await onlyFile(home), '{"state":"there","tensor":1,"pe'); // cut short

  const earlier = await readEarlier(await onlyFile(home));
  const second = await TransferState.begin(place, earlier, NODE, output);
  assert.ok(second.resumes);
  assert.equal(second.transferId(1), first.transferId(1));
  assert.deepEqual(second.groupId, first.groupId);
  assert.ok(second.isThere(0, "x") && !second.isThere(0, "y") && !second.isThere(1, "x"));
  assert.deepEqual([second.endedEpoch(1, "x"), second.endedEpoch(2, "x")], [8, undefined]);
  await second.finish();
  assert.deepEqual(await readdir(home.dir), []);
});

test("a TransferState begins anew for another file or another node id, in the same place", async () => {
  await using home = await Home.make();
  const place = { dir: home.dir, stem: "file-a", fingerprint: "one" };
  let previous = await TransferState.begin(place, undefined, NODE, output);
  for (const [fingerprint, nodeId] of [
    ["two", NODE],
    ["two", NODE.replaceAll("1", "2")],
  ] as const) {
    previous.noteThere(0, "x");
    await previous.leave();
    const earlier = await readEarlier(await onlyFile(home));
    const next = await TransferState.begin({ ...place, fingerprint }, earlier, nodeId, output);
    assert.ok(!next.resumes && !next.isThere(0, "x"));
    assert.notEqual(next.transferId(0), previous.transferId(0));
    assert.equal(
      (await readFile(await onlyFile(home), "utf8")).split("\n").length,
      2,
      "the old lines are gone",
    );
    previous = next;
  }
  await previous.finish();
});

test("readEarlier() takes nothing that is not whole", async () => {
  await using home = await Home.make();
  for (const text of ["", "{}\n", '{"version":1,"nodeId":"x"', '{"version":2}\n', "\0\0\0\0"]) {
    await writeFile(home.path("a"), text);
    assert.equal(await readEarlier(home.path("a")), undefined, text);
  }
});
