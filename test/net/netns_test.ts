/**
 * Discovery and tensors among hosts: network namespaces on a bridge, one runtime each, with the ports and times that users
 * get by default (RFC-0001, Discovery).
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MiB, Peer, type PeerOptions } from "../process/peer.ts";
import { Network, whyNoNamespaces } from "../support/netns.ts";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";

const skip = whyNoNamespaces() ?? false;
const FIND_MS = 5000;

let network: Network;
const peers: Peer[] = [];

function start(runtime: RuntimeName, host: number, options: PeerOptions = {}): Promise<Peer> {
  const defaults = { community: "hosts", host: "0.0.0.0", port: 9000, discovery: true, discoveryPort: 9999 };
  return Peer.start(runtime, { ...defaults, ...options }, { netns: network.host(host).netns });
}

/** Each lists each other by its id within the time, from now. */
async function findEachOther(all: readonly Peer[]): Promise<void> {
  const pairs = all.flatMap((one) =>
    all.filter((other) => other !== one).map((other) => [one, other] as const),
  );
  await Promise.all(pairs.map(([one, other]) => one.event("joined", { id: other.id }, FIND_MS)));
}

if (!skip) {
  before(async () => {
    network = new Network(3);
    peers.push(...(await Promise.all(RUNTIMES.map((runtime, host) => start(runtime, host)))));
  });
  after(async () => {
    for (const peer of peers) await peer[Symbol.asyncDispose]();
    network[Symbol.dispose]();
  });
}

test("three hosts, one runtime each, find all others within 5 s", { skip }, async () => {
  await findEachOther(peers);
});

test("8 MiB go whole from every host to every other", { skip }, async () => {
  for (const one of peers) {
    for (const other of peers) {
      if (one === other) continue;
      const from = other.mark;
      await other.receives(
        await one.send(other.id, { bytes: 8 * MiB, seed: one.port + other.mark }),
        one.id,
        from,
      );
    }
  }
});

test("another key or another community stays out, and is counted", { skip }, async () => {
  const [first] = peers;
  assert.ok(first);
  await using otherKey = await start("bun", 0, { port: 9001, apiKey: "another key" });
  await using elsewhere = await start("deno", 1, { port: 9001, community: "elsewhere" });
  const refused = (stats: Record<string, unknown>, reason: string) =>
    Number((stats.refusedBeacons as Record<string, { count: number } | undefined>)[reason]?.count ?? 0);
  for (const [one, reason] of [
    [otherKey, "signature"],
    [elsewhere, "community"],
  ] as const) {
    // Two beacons of each of three others at least: they were heard, again and again.
    await one.statsUntil((stats) => refused(stats, reason) >= 6);
    assert.deepEqual([...one.all("joined"), ...one.all("dialFailed")], []);
  }
  const stats = await first.statsUntil(
    (now) => refused(now, "signature") > 1 && refused(now, "community") > 1,
  );
  assert.deepEqual(stats.refusedConnections, {});
  for (const peer of peers) assert.equal(peer.all("joined").length, 2);
});

test("two nodes on one host share the discovery port, and all find them", { skip }, async () => {
  await using second = await start("node", 1, { port: 9001 });
  await using third = await start("deno", 1, { port: 9002 });
  await findEachOther([second, third]);
  for (const peer of peers) {
    await peer.event("joined", { id: second.id }, FIND_MS);
    await peer.event("joined", { id: third.id }, FIND_MS);
    await second.event("joined", { id: peer.id }, FIND_MS);
    await third.event("joined", { id: peer.id }, FIND_MS);
    const from = second.mark;
    await second.receives(await peer.send(second.id, { bytes: MiB }), peer.id, from);
  }
  await Promise.all([second.close(), third.close()]);
  for (const peer of peers) {
    for (const gone of [second, third]) await peer.event("left", { id: gone.id });
  }
});

test("hosts that are cut off and killed are stale after about 20 s: an idle one, and one that was sending", {
  skip,
}, async () => {
  const [onNode, onBun, onDeno] = peers;
  assert.ok(onNode && onBun && onDeno);
  const cut = async (host: number, peer: Peer) => {
    network.setLink(host, "down");
    await peer.kill();
  };
  const from = onNode.mark;
  // The last that is heard of it is a tensor, not a beacon.
  await onNode.receives(await onDeno.send(onNode.id, { bytes: 8 * MiB }), onDeno.id, from);
  const startedMs = performance.now();
  await Promise.all([cut(1, onBun), cut(2, onDeno)]);
  for (const gone of [onBun, onDeno]) {
    const left = await onNode.event("left", { id: gone.id }, 25_000);
    assert.equal(left.code, "ASOC_PEER_SILENT", String(left.reason));
  }
  const tookMs = performance.now() - startedMs;
  assert.ok(tookMs > 10_000 && tookMs < 22_000, `${tookMs} ms`);
  assert.equal((await onNode.stats()).connections, 0);
});
