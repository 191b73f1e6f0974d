/** The firewall rules of docs/firewall, as they stand there, on a host with a node: who is let in meets it, and who is not does not. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { Peer, type PeerOptions } from "../process/peer.ts";
import { Network, whyNoFilters } from "../support/netns.ts";
import { ROOT, type RuntimeName } from "../support/process.ts";

const skip = whyNoFilters() ?? false;
/** The allowed host's address stands in the files: 10.77.0.2 is the second host of a network of these tests. */
const GUARDED = 0;
const ALLOWED = 1;
const STRANGER = 2;
const FOUND_MS = 8000;

function load(netns: string, file: string): void {
  const path = join(ROOT, "docs", "firewall", file);
  const { status, stderr } = spawnSync("ip", ["netns", "exec", netns, "nft", "-f", path], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
}

function start(network: Network, runtime: RuntimeName, host: number, options: PeerOptions): Promise<Peer> {
  const { netns, address } = network.host(host);
  const limits = { dialTimeoutMs: 1500, reconnectMinMs: 100, reconnectMaxMs: 200 };
  return Peer.start(
    runtime,
    { community: "firewall", host: address, port: 9000, limits, ...options },
    { netns },
  );
}

/** Packets that the rules of a host have dropped. */
function dropped(netns: string): number {
  const { stdout } = spawnSync("ip", ["netns", "exec", netns, "nft", "list", "ruleset"], {
    encoding: "utf8",
  });
  return [...stdout.matchAll(/counter packets (\d+) bytes \d+ drop/g)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
}

test("node.nft lets a host of its networks in, by session and by beacon, and drops another's", {
  skip,
}, async () => {
  using network = new Network(3);
  const { netns, address } = network.host(GUARDED);
  load(netns, "node.nft");
  load(netns, "node.nft"); // again: it replaces itself
  const open = { host: "0.0.0.0", discovery: true, discoveryPort: 9999 };
  await using guarded = await start(network, "node", GUARDED, open);
  await using allowed = await start(network, "bun", ALLOWED, open);
  await guarded.event("joined", { id: allowed.id }, FOUND_MS);
  await allowed.event("joined", { id: guarded.id });
  const [sent] = await allowed.send(guarded.id, { bytes: 100_000 });
  await guarded.event("tensor", { sha256: sent?.sha256 });
  await using stranger = await start(network, "deno", STRANGER, {
    peers: [`${address}:9000`],
    discovery: true,
  });
  const failed = await stranger.event("dialFailed");
  assert.equal(failed.code, "ASOC_DIAL_TIMEOUT");
  // It is dropped where it comes in; that the guarded node dials a stranger is what its own rules would have to say.
  assert.ok(dropped(netns) > 0);
  assert.deepEqual(guarded.all("refused"), [], "the node has not even seen it");
});

test("static_peers.nft lets the named peers in, and no beacon through", { skip }, async () => {
  using network = new Network(3);
  const { netns, address } = network.host(GUARDED);
  load(netns, "static_peers.nft");
  await using guarded = await start(network, "node", GUARDED, { discovery: false });
  const peers = [`${address}:9000`];
  await using allowed = await start(network, "bun", ALLOWED, { peers, discovery: false });
  await guarded.event("joined", { id: allowed.id }, FOUND_MS);
  await using stranger = await start(network, "deno", STRANGER, { peers, discovery: false });
  assert.equal((await stranger.event("dialFailed")).code, "ASOC_DIAL_TIMEOUT");
  assert.deepEqual(guarded.all("joined", { id: stranger.id }), []);
});
