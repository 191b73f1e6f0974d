/**
 * What an adversary meets: a node on one runtime, a good peer of it on another, and a port for beacons. After every attack the
 * good peer's next tensor must arrive whole, over the one connection that it has had from the beginning.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { KeyInfo } from "../../src/mod.ts";
import { Peer, type PeerOptions } from "../process/peer.ts";
import { type Json, RUNTIMES, type RuntimeName } from "../support/process.ts";
import { speakTls } from "../support/raw_peer.ts";
import { X1Peer } from "../support/raw_x1.ts";

export const COMMUNITY = "adversary";
export const OTHER_KEY = "a key that nobody here has, of the same length";
/** Short, for speed; long enough for a busy machine to read a HELLO in. */
export const HANDSHAKE_MS = 1500;
const GOOD: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };
const TENSOR_BYTES = 256 * 1024;
const BEACON_PORT = 19_340;

export class Scene implements AsyncDisposable {
  readonly runtime: RuntimeName;
  readonly victim: Peer;
  readonly good: Peer;
  readonly beaconPort: number;
  readonly key: string;
  readonly tls: PeerOptions["tls"];

  private constructor(
    runtime: RuntimeName,
    victim: Peer,
    good: Peer,
    beaconPort: number,
    key: string,
    tls: PeerOptions["tls"],
  ) {
    this.runtime = runtime;
    this.victim = victim;
    this.good = good;
    this.beaconPort = beaconPort;
    this.key = key;
    this.tls = tls;
  }

  /** With `options.tls`, both nodes and the adversary speak TLS. */
  static async start(runtime: RuntimeName, key: string, options: PeerOptions = {}): Promise<Scene> {
    const { tls } = options;
    const beaconPort = BEACON_PORT + RUNTIMES.indexOf(runtime) + (tls ? RUNTIMES.length : 0);
    const limits = {
      handshakeTimeoutMs: HANDSHAKE_MS,
      reconnectMinMs: 60_000,
      reconnectMaxMs: 60_000,
      maxQueuedEvents: 65_536,
      maxTlsHandshakesPerSecond: 100_000, // what one attack uses up the next one would miss
    };
    const victim = await Peer.start(runtime, {
      apiKey: key,
      community: COMMUNITY,
      discovery: true,
      discoveryPort: beaconPort,
      limits,
      ...options,
    });
    try {
      const good = await Peer.start(GOOD[runtime], {
        apiKey: key,
        community: COMMUNITY,
        peers: [victim.address],
        limits: { handshakeTimeoutMs: HANDSHAKE_MS },
        tls,
      });
      if (tls) for (const { port } of [victim, good]) speakTls(port);
      await good.event("joined", { id: victim.id });
      await victim.event("joined", { id: good.id });
      return new Scene(runtime, victim, good, beaconPort, key, tls);
    } catch (error) {
      await victim[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** An adversary who holds the key: through the handshake of x1, as whoever it says it is. */
  async x1(options: { id?: Buffer; source?: string; initialCredit?: number; bootEpoch?: number } = {}) {
    const peer = await X1Peer.join(this.victim.port, { key: this.key, community: COMMUNITY, ...options });
    await peer.roundTrip();
    return peer;
  }

  /** The victim's next event of that kind with those fields, from `from` on. */
  says(kind: string, fields: Json, from = 0): Promise<Json> {
    return this.victim.event(kind, fields, 15_000, from);
  }

  /** Resident memory of the victim without its garbage, from the kernel. */
  async heldBytes(): Promise<number> {
    await this.victim.collect();
    const status = readFileSync(`/proc/${this.victim.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  }

  /** The good peer's tensors go on, on the connection that it had before. */
  async goesOn(): Promise<void> {
    const { victim, good } = this;
    const from = victim.mark;
    const sent = await good.send(victim.id, { bytes: TENSOR_BYTES }, 20_000);
    await victim.receives(sent, good.id, from, 20_000);
    assert.deepEqual(victim.all("left", { id: good.id }), [], "the good peer was cut off");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.good[Symbol.asyncDispose]();
    await this.victim[Symbol.asyncDispose]();
  }
}

/** The keys that `peer` has. */
export async function keysOf(peer: Peer): Promise<readonly KeyInfo[]> {
  const from = peer.mark;
  peer.command({ cmd: "keys", id: "keys" });
  return (await peer.event("keys", {}, 20_000, from)).keys as readonly KeyInfo[];
}
