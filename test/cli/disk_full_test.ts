/** `asoc serve --out` on a disk that fills up: what both sides are told, what is left on it, and that the node goes on. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, unlinkSync } from "node:fs";
import { test } from "node:test";
import { MiB, Peer } from "../process/peer.ts";
import { RUNTIMES } from "../support/process.ts";
import { SmallDisk, whyNoTmpfs } from "../support/tmpfs.ts";
import { event, Home, ready } from "./support.ts";

const skip = whyNoTmpfs() ?? false;

for (const runtime of RUNTIMES) {
  test(`serve --out on ${runtime}: a tensor that the disk has no room for fails on both sides with a code, leaves nothing behind, and the next one is taken once there is room`, {
    skip,
  }, async () => {
    using disk = new SmallDisk(24 * MiB);
    await using home = await Home.make();
    const serve = home.node(runtime, ["serve", "--json", "--port", "0", "--no-discovery", "--out", disk.dir]);
    const { id, address } = await ready(serve);
    await using sender = await Peer.start("node", {
      apiKey: home.key,
      community: "default",
      peers: [address],
    });
    await sender.event("joined", { id });

    await sender.send(id, { bytes: 16 * MiB });
    const first = await event(serve, "stream", "received");

    // One whose length is known is refused before it is sent, one whose length nobody knows in its midst.
    for (const cargo of [
      { bytes: 80 * MiB, seed: 2 },
      { bytes: 40 * MiB, seed: 2, paceMs: 1 },
    ]) {
      const from = serve.events.length;
      const sending = sender.begin(id, cargo);
      const refused = await sender.event("sendFailed", { id: sending });
      assert.equal(refused.code, "ASOC_STOPPED");
      assert.match(String(refused.message), /no room is left on the disk/);
      const failed = await event(serve, "stream", "failed", from);
      assert.equal(failed.code, "ASOC_DISK_FULL");
      assert.equal(readdirSync(disk.dir).length, 1, "half a file was left");
    }

    unlinkSync(String(first.file));
    const from = serve.events.length;
    const [third] = await sender.send(id, { bytes: 16 * MiB, seed: 3 });
    const received = await event(serve, "stream", "received", from);
    const content = readFileSync(String(received.file));
    assert.equal(createHash("sha256").update(content).digest("hex"), third?.sha256);
    assert.equal(serve.child.exitCode, null);
  });
}
