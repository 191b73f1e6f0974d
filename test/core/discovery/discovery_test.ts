import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type BeaconRefusal,
  Discovery,
  type DiscoveryEvent,
  describeRefused,
} from "../../../src/core/discovery/discovery.ts";
import { DEFAULT_LIMITS, type Limits, type Timing } from "../../../src/core/limits.ts";
import { BEACON_BYTES, communityHash, decodeBeacon, encodeBeacon } from "../../../src/core/wire/beacon.ts";
import { fromHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { formatNodeId, parseNodeId } from "../../../src/core/wire/node_id.ts";
import { testCrypto } from "../../support/core_crypto.ts";
import { vectors } from "../../support/core_vectors.ts";

const crypto = testCrypto();
const OWN_ID = new Uint8Array(16).fill(1);
const PEER_ID = new Uint8Array(16).fill(2);
const PEER = formatNodeId(PEER_ID);
const HOST = "10.0.0.2";
const NOW_S = 1_700_000_000;

function discoveryWith(
  limits: Partial<Limits & Timing> = {},
  nowMs = 0,
  community = "lab",
  key = "k",
): Discovery {
  const config = {
    nodeId: OWN_ID,
    community,
    key: utf8(key),
    tcpPort: 9000,
    limits: { ...DEFAULT_LIMITS, ...limits },
    crypto,
  };
  return new Discovery(config, nowMs);
}

interface Fields {
  nodeId?: Uint8Array;
  community?: string;
  key?: string;
  port?: number;
  unixS?: number;
  challenge?: number;
}

function beacon({
  nodeId = PEER_ID,
  community = "lab",
  key = "k",
  port = 9000,
  unixS = NOW_S,
  challenge = 1,
}: Fields = {}): Uint8Array {
  const fields = { communityHash: communityHash(community, crypto), nodeId, tcpPort: port, unixS, challenge };
  return encodeBeacon(fields, utf8(key), crypto);
}

function hear(
  discovery: Discovery,
  packet: Uint8Array,
  nowMs = 0,
  host = HOST,
  unixS = NOW_S,
): DiscoveryEvent[] {
  discovery.handleDatagram(packet, { host, port: 9999 }, nowMs, unixS);
  return drain(discovery);
}

function drain(discovery: Discovery): DiscoveryEvent[] {
  const events: DiscoveryEvent[] = [];
  for (let event = discovery.pollEvent(); event; event = discovery.pollEvent()) events.push(event);
  return events;
}

const counts = (discovery: Discovery) =>
  Object.fromEntries([...discovery.refused].map(([reason, { count }]) => [reason, count]));
const found = (port = 9000, host = HOST) => [{ kind: "found", nodeId: PEER, address: { host, port } }];

test("Discovery finds the node of an authentic beacon, at the datagram's source and the beacon's port", () => {
  const discovery = discoveryWith();
  assert.deepEqual(hear(discovery, beacon({ port: 1234 })), found(1234));
  assert.equal(discovery.refused.size, 0);
});

test("Discovery accepts the golden beacons", () => {
  for (const { community, apiKey, nodeId, port, timestamp, message } of vectors.discovery) {
    const discovery = discoveryWith({}, 0, community, apiKey);
    const events = hear(discovery, fromHex(message), 0, HOST, timestamp);
    const id = formatNodeId(fromHex(nodeId));
    if (port === 0) assert.deepEqual(counts(discovery), { port: 1 });
    else assert.deepEqual(events, [{ kind: "found", nodeId: id, address: { host: HOST, port } }]);
  }
});

test("Discovery refuses the golden rejected beacons", () => {
  for (const { community, apiKey, message, why } of vectors.discoveryRejected) {
    const discovery = discoveryWith({}, 0, community, apiKey);
    assert.deepEqual(hear(discovery, fromHex(message), 0, HOST, 1_735_689_600), [], why);
    assert.equal(discovery.refused.size, 1, why);
  }
});

const REFUSALS: Record<
  Exclude<BeaconRefusal, "replay" | "nodeRate" | "addressRate" | "table" | "overload">,
  Uint8Array
> = {
  length: beacon().subarray(0, 49),
  community: beacon({ community: "other" }),
  signature: beacon({ key: "another" }),
  clock: beacon({ unixS: NOW_S + 61 }),
  port: beacon({ port: 0 }),
};

for (const [reason, packet] of Object.entries(REFUSALS)) {
  test(`Discovery refuses a beacon for its ${reason}, in silence, and counts it with its address`, () => {
    const discovery = discoveryWith();
    assert.deepEqual(hear(discovery, packet), []);
    assert.deepEqual(counts(discovery), { [reason]: 1 });
    assert.equal(discovery.refused.get(reason as BeaconRefusal)?.lastAddress, HOST);
    assert.deepEqual(hear(discovery, beacon({ challenge: 2 }), 1000), found(), "the next good one is taken");
  });
}

test("Discovery names the first reason that holds: length, community, signature, clock", () => {
  const discovery = discoveryWith();
  hear(discovery, beacon({ community: "other", key: "another", unixS: 0 }));
  hear(discovery, beacon({ key: "another", unixS: 0 }));
  hear(discovery, beacon({ unixS: 0, port: 0 }));
  assert.deepEqual([...discovery.refused.keys()], ["community", "signature", "clock"]);
});

test("Discovery takes clocks up to 60 s away and says how far off a refused one is", () => {
  for (const skewS of [-60, 0, 60])
    assert.deepEqual(hear(discoveryWith(), beacon({ unixS: NOW_S + skewS })), found());
  for (const skewS of [-61, 94]) {
    const discovery = discoveryWith();
    assert.deepEqual(hear(discovery, beacon({ unixS: NOW_S + skewS })), []);
    assert.equal(discovery.refused.get("clock")?.skewS, skewS);
  }
});

test("Discovery does not count its own beacons as refused, but counts them", () => {
  const discovery = discoveryWith();
  assert.deepEqual(hear(discovery, beacon({ nodeId: OWN_ID })), []);
  assert.equal(discovery.refused.size, 0);
  assert.equal(discovery.ownBeaconsSeen, 1);
});

test("Discovery takes a copy of a beacon within 1 s for a duplicate, by another address too", () => {
  const discovery = discoveryWith();
  hear(discovery, beacon());
  assert.deepEqual(hear(discovery, beacon(), 0), found());
  assert.deepEqual(hear(discovery, beacon(), 999, "192.168.0.2"), found(9000, "192.168.0.2"));
  assert.equal(discovery.refused.size, 0);
});

test("Discovery refuses a copy of a beacon after 1 s as replayed, until its clock is too old anyway", () => {
  const discovery = discoveryWith();
  hear(discovery, beacon({ unixS: NOW_S + 60 }));
  for (let nowMs = 1000; nowMs < 120_000; nowMs += 17_000) {
    assert.deepEqual(hear(discovery, beacon({ unixS: NOW_S + 60 }), nowMs, HOST, NOW_S + nowMs / 1000), []);
  }
  assert.deepEqual(counts(discovery), { replay: 7 });
  hear(discovery, beacon({ unixS: NOW_S + 60 }), 121_000, HOST, NOW_S + 121);
  assert.deepEqual(counts(discovery), { replay: 7, clock: 1 });
});

test("Discovery refuses more than one new beacon a second from one node", () => {
  const discovery = discoveryWith();
  hear(discovery, beacon({ challenge: 1 }), 0);
  assert.deepEqual(hear(discovery, beacon({ challenge: 2 }), 999), []);
  assert.deepEqual(counts(discovery), { nodeRate: 1 });
  assert.deepEqual(hear(discovery, beacon({ challenge: 3 }), 1000), found());
});

test("Discovery refuses more than ten new nodes a second at one address, and hears other addresses", () => {
  const discovery = discoveryWith();
  const other = (i: number) => beacon({ nodeId: new Uint8Array(16).fill(10 + i), challenge: i });
  for (let i = 0; i < 12; i++) hear(discovery, other(i));
  assert.deepEqual(counts(discovery), { addressRate: 2 });
  assert.deepEqual(hear(discovery, beacon()), []);
  assert.deepEqual(hear(discovery, beacon({ challenge: 2 }), 1000), found());
  const elsewhere = discoveryWith();
  for (let i = 0; i < 12; i++) hear(elsewhere, other(i));
  assert.deepEqual(hear(elsewhere, beacon(), 0, "10.0.0.3"), found(9000, "10.0.0.3"));
});

test("Discovery lets nobody without the key use up an address's share of beacons", () => {
  const discovery = discoveryWith();
  for (let i = 0; i < 50; i++)
    hear(discovery, i % 2 ? new Uint8Array(3) : beacon({ key: "another", challenge: i }));
  assert.deepEqual(hear(discovery, beacon()), found());
  assert.deepEqual(counts(discovery), { length: 25, signature: 25 });
});

test("Discovery calls a node stale 15 s after its last beacon, once, and finds it again", () => {
  const discovery = discoveryWith();
  hear(discovery, beacon({ challenge: 1 }), 0);
  hear(discovery, beacon({ challenge: 2 }), 3000);
  discovery.handleTimeout(17_999);
  assert.deepEqual(drain(discovery), []);
  discovery.handleTimeout(18_000);
  discovery.handleTimeout(30_000);
  assert.deepEqual(drain(discovery), [{ kind: "stale", nodeId: PEER }]);
  assert.deepEqual(hear(discovery, beacon({ challenge: 3 }), 31_000), found());
});

test("Discovery sends a beacon at once and every 3 s, each with its own challenge, authentic for others", () => {
  const discovery = discoveryWith({}, 500);
  assert.equal(discovery.pollDeadline(), 500);
  const challenges = new Set<number>();
  for (let i = 0; i < 5; i++) {
    const nowMs = 500 + 3000 * i;
    assert.equal(discovery.pollBeacon(nowMs - 1, NOW_S), undefined);
    const packet = discovery.pollBeacon(nowMs, NOW_S + i);
    assert.equal(packet?.length, BEACON_BYTES);
    const decoded = decodeBeacon(packet ?? new Uint8Array());
    assert.equal(decoded?.unixS, NOW_S + i);
    challenges.add(decoded?.challenge ?? -1);
    assert.equal(discovery.pollBeacon(nowMs, NOW_S), undefined);
    assert.equal(discovery.pollDeadline(), nowMs + 3000);
  }
  assert.equal(challenges.size, 5);
});

test("Discovery of one node finds another by the beacon that it sends", () => {
  const config = {
    nodeId: PEER_ID,
    community: "lab",
    key: utf8("k"),
    tcpPort: 4321,
    limits: DEFAULT_LIMITS,
    crypto,
  };
  const packet = new Discovery(config, 0).pollBeacon(0, NOW_S);
  assert.deepEqual(hear(discoveryWith(), packet ?? new Uint8Array()), found(4321));
});

test("Discovery.pollDeadline() names the moment when a node goes stale, if that is sooner", () => {
  const discovery = discoveryWith({ peerStaleMs: 1000 });
  discovery.pollBeacon(0, NOW_S);
  hear(discovery, beacon(), 200);
  assert.equal(discovery.pollDeadline(), 1200);
});

test("Discovery remembers no more nodes and addresses than its limits", () => {
  const nodes = discoveryWith({ maxDiscoveredPeers: 2 });
  for (let i = 0; i < 4; i++)
    hear(nodes, beacon({ nodeId: new Uint8Array(16).fill(10 + i), challenge: i }), 0, `10.0.1.${i}`);
  nodes.handleTimeout(15_000);
  assert.equal(drain(nodes).length, 2);
  const addresses = discoveryWith({ maxAddressesPerPeer: 2 });
  const events = [1, 2, 3, 4].flatMap((i) => hear(addresses, beacon(), 0, `10.0.1.${i}`));
  assert.equal(events.length, 2);
});

test("describeRefused() says why nobody was found", () => {
  const discovery = discoveryWith();
  assert.equal(describeRefused(discovery.refused), undefined);
  for (let i = 0; i < 3; i++) hear(discovery, beacon({ key: "another" }));
  hear(discovery, beacon({ unixS: NOW_S - 94 }));
  assert.equal(describeRefused(discovery.refused), "3 with another key, 1 with a clock 94 s off");
});

test("describeRefused() has a phrase for every reason", () => {
  const reasons: BeaconRefusal[] = [
    "length",
    "community",
    "signature",
    "clock",
    "replay",
    "nodeRate",
    "addressRate",
    "port",
    "table",
    "overload",
  ];
  const refused = new Map(reasons.map((reason) => [reason, { count: 1, lastAddress: HOST, skewS: -70 }]));
  assert.equal(
    describeRefused(refused),
    "1 of another length, 1 of another community, 1 with another key, 1 with a clock 70 s off, 1 repeated, " +
      "1 too often from one node, 1 too often from one address, 1 with port 0, " +
      "1 for which there was no room, 1 s in which more came than are read",
  );
});

test("Discovery's node ids are those that parseNodeId() takes", () => {
  const [event] = hear(discoveryWith(), beacon());
  assert.deepEqual(parseNodeId(event?.nodeId ?? ""), PEER_ID);
});

test("Discovery counts a beacon for which its table, or that of a peer's addresses, has no room, and names who sent it", () => {
  const told: string[] = [];
  const discovery = discoveryWith({ maxAddressesPerPeer: 1 });
  assert.deepEqual(hear(discovery, beacon({ challenge: 1 })), found());
  assert.deepEqual(hear(discovery, beacon({ challenge: 2 }), 1000, "192.0.2.99"), []);
  assert.deepEqual(counts(discovery), { table: 1 });
  const config = { limits: { ...DEFAULT_LIMITS, maxDiscoveredPeers: 0 }, crypto, tcpPort: 9000 };
  const full = new Discovery(
    {
      ...config,
      nodeId: OWN_ID,
      community: "lab",
      key: utf8("k"),
      refused: (reason, from, nodeId) => told.push(`${reason} ${from.host} ${nodeId}`),
    },
    0,
  );
  assert.deepEqual(hear(full, beacon()), []);
  assert.deepEqual(told, [`table ${HOST} ${PEER}`]);
});
