/**
 * Discovery as a node uses it: beacons under the keys of its ring, and peers that are found, or go stale, for its swarm.
 */
import type { KeyRing } from "./auth/key_ring.ts";
import type { Connections } from "./connections.ts";
import {
  type BeaconRefusal,
  Discovery,
  type DiscoveryEvent,
  type RefusedBeacons,
} from "./discovery/discovery.ts";
import { DiscoveryLoop } from "./discovery_loop.ts";
import type { Doorkeeper } from "./doorkeeper.ts";
import type { NodeConfig } from "./node_events.ts";
import type { Clock, Runtime, Timer } from "./runtime.ts";
import type { Swarm } from "./swarm/swarm.ts";

interface Surroundings {
  readonly ring: KeyRing;
  readonly door: Doorkeeper;
  readonly swarm: Swarm;
  readonly connections: Connections;
  /** The swarm has news. */
  changed(): void;
}

export class NodeDiscovery {
  readonly #clock: Clock;
  readonly #around: Surroundings;
  readonly #discovery: Discovery;
  /** Discovered peers without beacons whose connections were not silent for long enough when we looked. */
  readonly #staleChecks = new Map<string, Timer>();
  #loop: DiscoveryLoop | undefined;
  #closing = false;

  private constructor(clock: Clock, discovery: Discovery, around: Surroundings) {
    this.#clock = clock;
    this.#discovery = discovery;
    this.#around = around;
  }

  /** Opens the port of discovery; the node listens on `tcpPort`. Rejects with ASOC_PORT_IN_USE. */
  static async start(
    runtime: Runtime,
    config: NodeConfig,
    tcpPort: number,
    around: Surroundings,
  ): Promise<NodeDiscovery> {
    const { nodeId, community, limits, host, discoveryPort } = config;
    const { crypto, clock } = runtime;
    const { ring, door, connections } = around;
    const key = {
      signers: () => ring.signers(clock.unixMs()).map((one) => one.key),
      verifying: () => ring.verifying(clock.unixMs()).map((one) => one.key),
      heard: (id: string, one: Uint8Array) => connections.heardKey(id, one),
    };
    const refused = door.beaconRefused;
    const discovery = new Discovery(
      { nodeId, community, key, tcpPort, limits, crypto, refused },
      clock.nowMs(),
    );
    const started = new NodeDiscovery(clock, discovery, around);
    started.#loop = await DiscoveryLoop.start(
      discovery,
      runtime,
      host,
      discoveryPort,
      limits.maxDatagramsPerSecond,
      (event) => started.#onDiscovery(event),
    );
    return started;
  }

  /** See `Discovery.ownBeaconsSeen`. */
  get ownBeaconsSeen(): number {
    return this.#discovery.ownBeaconsSeen;
  }
  /** Refused beacons by reason. */
  get refused(): ReadonlyMap<BeaconRefusal, RefusedBeacons> {
    return this.#discovery.refused;
  }

  close(): Promise<void> | undefined {
    this.#closing = true;
    for (const check of this.#staleChecks.values()) check.cancel();
    return this.#loop?.close();
  }

  #onDiscovery(event: DiscoveryEvent): void {
    this.#staleChecks.get(event.nodeId)?.cancel();
    this.#staleChecks.delete(event.nodeId);
    if (event.kind === "found") {
      this.#around.swarm.handleFound(event.nodeId, event.address, this.#clock.nowMs());
    } else {
      this.#around.swarm.handleStale(event.nodeId);
      this.#endSilent(event.nodeId);
    }
    this.#around.changed();
  }

  #endSilent(nodeId: string): void {
    this.#staleChecks.delete(nodeId);
    const againMs = this.#around.connections.endSilent(nodeId);
    if (againMs === undefined || this.#closing) return;
    const check = this.#clock.after(againMs, () => this.#endSilent(nodeId));
    this.#staleChecks.set(nodeId, check);
  }
}
