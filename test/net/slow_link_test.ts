/**
 * A link so slow that one write takes longer than a send may stand still: it does not stand still, and arrives. Hosts in network
 * namespaces, the kernel's token bucket between them.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { Peer } from "../process/peer.ts";
import { Network, whyNoNamespaces } from "../support/netns.ts";
import { RUNTIMES } from "../support/process.ts";

const KiB = 1024;
const skip = whyNoNamespaces() ?? (spawnSync("tc", ["-V"]).error ? "needs iproute2 (the command tc)" : false);
/** The first write is of 256 KiB: more than 5 s at this rate. */
const RATE = "400kbit";
const LIMITS = { sendStallMs: 2500, silenceMs: 20_000, keepaliveMs: 1000 };

test(`256 KiB writes at ${RATE}/s with sendStallMs ${LIMITS.sendStallMs}: each runtime sends a tensor over it without a cut`, {
  skip,
  timeout: 90_000,
}, async () => {
  using network = new Network(2 * RUNTIMES.length);
  await Promise.all(
    RUNTIMES.map(async (runtime, index) => {
      const [from, to] = [network.host(2 * index), network.host(2 * index + 1)];
      const tbf = ["tbf", "rate", RATE, "burst", "16kb", "latency", "200ms"];
      const { status, stderr } = spawnSync(
        "tc",
        ["-n", from.netns, "qdisc", "replace", "dev", "eth0", "root", ...tbf],
        { encoding: "utf8" },
      );
      assert.equal(status, 0, stderr);
      const common = { community: "slow", host: "0.0.0.0", port: 9000, limits: LIMITS };
      await using receiver = await Peer.start("node", common, { netns: to.netns });
      const peers = [`${to.address}:9000`];
      await using sender = await Peer.start(runtime, { ...common, peers }, { netns: from.netns });
      await sender.event("joined", { id: receiver.id });
      const mark = receiver.mark;
      const [sent] = await sender.send(receiver.id, { bytes: 640 * KiB });
      assert.equal((sent as { cuts?: number } | undefined)?.cuts, 0);
      await receiver.receives(sent ? [sent] : [], sender.id, mark);
      for (const peer of [sender, receiver]) assert.deepEqual(peer.all("left"), []);
    }),
  );
});
