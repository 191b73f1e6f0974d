/** HELLO, ACCEPT, and beacons as discovery judges them: one instance that lives through all inputs (RFC-0001). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Discovery } from "../../../src/core/discovery/discovery.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { ACCEPT_BYTES, decodeAccept, encodeAccept, isX1Token } from "../../../src/core/wire/accept.ts";
import { decodeBeacon, encodeBeacon, isAuthenticBeacon } from "../../../src/core/wire/beacon.ts";
import { fromHex, toHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { decodeHello, encodeHello, HELLO_BYTES } from "../../../src/core/wire/hello.ts";
import { testCrypto } from "../../support/core_crypto.ts";
import { ROOT } from "../../support/process.ts";
import { mutated } from "../mutate.ts";
import { type FuzzTarget, must, type Outcome } from "../target.ts";

const KEY_TEXT = "test-secret-key";
const COMMUNITY = "test-cluster";
const key = utf8(KEY_TEXT);
const crypto = testCrypto();
/** The clock of the vectors. */
const UNIX_S = 1_735_689_600;
const MAX_TRACKED = 64;

const v1 = JSON.parse(readFileSync(join(ROOT, "test", "vectors", "v1.json"), "utf8")) as {
  hello: { payload: string }[];
  helloRejected: { payload: string }[];
  accept: { payload: string }[];
  acceptRejected: { payload: string }[];
  discovery: { message: string }[];
  discoveryRejected: { message: string }[];
};
const seedsOf = (list: readonly { payload: string }[]) => list.map(({ payload }) => fromHex(payload));

export const HELLO: FuzzTarget = {
  name: "hello",
  share: 15,
  seeds: [...seedsOf(v1.hello), ...seedsOf(v1.helloRejected)],
  run(input): Outcome {
    if (input.length !== HELLO_BYTES) return { label: "length" }; // refused on its header
    const { nodeId, challenge, authentic } = decodeHello(input, key, crypto);
    const again = encodeHello({ nodeId, challenge }, key, crypto);
    must((toHex(again) === toHex(input)) === authentic, "authentic is what we would write, and nothing else");
    return { label: String(authentic), detail: () => toHex(nodeId) + challenge };
  },
};

export const ACCEPT: FuzzTarget = {
  name: "accept",
  share: 15,
  seeds: [...seedsOf(v1.accept), ...seedsOf(v1.acceptRejected)],
  run(input): Outcome {
    if (input.length !== ACCEPT_BYTES) return { label: "length" };
    const { token, authentic } = decodeAccept(input, key, crypto);
    must((toHex(encodeAccept(token, key, crypto)) === toHex(input)) === authentic, "as with HELLO");
    return { label: `${authentic} ${isX1Token(token, key, crypto)}`, detail: () => toHex(token) };
  },
};

const limits = { ...DEFAULT_LIMITS, maxDiscoveredPeers: MAX_TRACKED, maxReplayEntries: 4 * MAX_TRACKED };
const discovery = new Discovery(
  { nodeId: new Uint8Array(16).fill(7), community: COMMUNITY, key, tcpPort: 9000, limits, crypto },
  0,
);
let nowMs = 0;
let judged = 0;
let followed = 0;

function judge(input: Uint8Array): Outcome {
  nowMs += 50;
  const sum = () => [...discovery.refused.values()].reduce((all, { count }) => all + count, 0);
  const before = sum();
  const from = { host: `10.0.${(input[20] ?? 0) % 4}.${input[30] ?? 0}`, port: 9999 };
  discovery.handleDatagram(input, from, nowMs, UNIX_S);
  const refused = sum() - before;
  let found = 0;
  for (let event = discovery.pollEvent(); event; event = discovery.pollEvent())
    if (event.kind === "found") found++;
  judged++;
  followed += found;
  must(refused + found <= 1, "one beacon counts twice");
  if (nowMs % 20_000 === 0) discovery.handleTimeout(nowMs);
  const beacon = decodeBeacon(input);
  must((beacon !== undefined) === (input.length === 50), "another length is a beacon");
  const authentic = beacon !== undefined && isAuthenticBeacon(input, key, crypto);
  if (beacon)
    must((toHex(encodeBeacon(beacon, key, crypto)) === toHex(input)) === authentic, "as with HELLO");
  must(found === 0 || authentic, "a beacon that is not authentic has led to a peer");
  // What discovery makes of it depends on what came before: only what is read is compared.
  return { label: beacon ? `beacon ${authentic}` : "length", detail: () => JSON.stringify(beacon ?? null) };
}

export const BEACONS: FuzzTarget = {
  name: "beacons",
  share: 50,
  seeds: [...v1.discovery, ...v1.discoveryRejected].map(({ message }) => fromHex(message)),
  /** Signed anew, so that what is behind the signature is reached. */
  make(random, pick) {
    const made = mutated(pick(), pick(), random);
    const beacon = decodeBeacon(made);
    if (!beacon || random.oneIn(3)) return made;
    const communityHash = crypto.sha256(utf8(COMMUNITY)).slice(0, 8);
    const unixS = UNIX_S + random.below(130) - 65;
    return encodeBeacon({ ...beacon, communityHash, unixS }, key, crypto);
  },
  run: judge,
  finish() {
    must(discovery.refused.size <= 8, "reasons grow");
    must(judged < 2000 || followed > 0, "no beacon was good: what lies behind the checks was not reached");
  },
};
