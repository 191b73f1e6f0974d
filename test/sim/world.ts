/** Whole nodes on a simulated network, and the check that nothing of them is left. */
import assert from "node:assert/strict";
import type { IncomingStream } from "../../src/core/incoming.ts";
import { AsocNode } from "../../src/core/node.ts";
import type { NodeEvent } from "../../src/core/node_events.ts";
import { type JoinOptions, nodeConfig } from "../../src/join.ts";
import { VirtualTime } from "./clock.ts";
import { Network, type NetworkOptions, type SimHost } from "./network.ts";
import { Random } from "./random.ts";
import { type SimRuntime, simRuntime } from "./runtime.ts";

export const KEY = "a key of the simulated community";
export const PORT = 9000;

export interface StartOptions extends Partial<JoinOptions> {
  /** Default: a new host of its own. */
  readonly on?: SimHost;
  /** How far the host's wall clock is off. */
  readonly skewS?: number;
}

/** One node and what it was seen to do. */
export interface SimNode {
  readonly node: AsocNode;
  readonly host: SimHost;
  readonly runtime: SimRuntime;
  /** Everything that happened at it, with the time. */
  readonly events: (NodeEvent & { readonly atMs: number })[];
}

export class World {
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly network: Network;
  readonly nodes: SimNode[] = [];

  constructor(seed: number, options: Partial<NetworkOptions> = {}) {
    this.random = new Random(seed);
    this.network = new Network(this.time, this.random.fork(), options);
  }

  /** A host 10.0.0.n of its own. */
  host(directRead = this.random.chance(0.5)): SimHost {
    return this.network.addHost([`10.0.0.${this.network.hosts.length + 1}`], directRead);
  }

  /** A node on port 9000 of its host. */
  start(options: StartOptions = {}): Promise<SimNode> {
    return this.time.settle(this.launch(options));
  }

  /** The same without stepping the time: for those whom the steps run. */
  async launch(options: StartOptions = {}): Promise<SimNode> {
    const { on, skewS, ...join } = options;
    const host = on ?? this.host();
    const runtime = simRuntime(host, skewS);
    const config = nodeConfig({ apiKey: KEY, port: PORT, ...join }, runtime);
    const node = await AsocNode.start(runtime, config);
    const started: SimNode = { node, host, runtime, events: [] };
    this.nodes.push(started);
    void this.#record(started);
    return started;
  }

  /** HOST:PORT of a host's node. */
  addressOf(host: SimHost): string {
    return `${host.address}:${PORT}`;
  }

  /** Waits until each node has that many peers. */
  async meet(count: number, ...nodes: readonly SimNode[]): Promise<void> {
    await this.time.until(() => nodes.every(({ node }) => node.peers.size >= count));
  }

  /** Sends `bytes` and returns what the other node received, or throws what either side did. */
  async exchange(from: SimNode, to: SimNode, bytes: Uint8Array): Promise<Uint8Array> {
    const peer = from.node.peers.list().find(({ address }) => address.host === to.host.address);
    assert.ok(peer, `${from.host} has no connection to ${to.host}`);
    const received = this.nextStream(to).then((stream) => stream.tensor());
    const [tensor] = await this.time.settle(Promise.all([received, from.node.send(peer, bytes)]));
    const copy = tensor.bytes.slice();
    tensor.release();
    return copy;
  }

  /** The next stream that arrives at a node; it takes exactly one. */
  async nextStream({ node }: SimNode): Promise<IncomingStream> {
    const { value, done } = await node.incoming[Symbol.asyncIterator]().next();
    if (done) throw new Error("the node closed before a stream came");
    return value;
  }

  /** Closes what is open and checks that nothing is left: no timer, connection, port or memory. */
  async finish(): Promise<void> {
    await this.time.settle(Promise.allSettled(this.nodes.map(({ node }) => node.close())));
    await this.time.run(0);
    for (const { node, runtime, host } of this.nodes) {
      assert.equal(runtime.clock.liveTimers, 0, `${host}: timers are left`);
      assert.equal(node.peers.size, 0, `${host}: peers are left`);
      assert.equal(node.stats.connections, 0, `${host}: sessions are left`);
      assert.equal(node.stats.memoryUsedBytes, 0, `${host}: memory is in use`);
      assert.equal(host.listeners.size + host.sockets.size, 0, `${host}: ports are left`);
    }
    await this.time.run(100); // what is on its way to the other ends
    assert.equal(this.network.connections.size, 0, "connections are left");
  }

  async #record({ node, events }: SimNode): Promise<void> {
    for await (const event of node.events()) events.push({ ...event, atMs: this.time.nowMs() });
  }
}

/** Events of one kind, typed. */
export function eventsOf<K extends NodeEvent["kind"]>(
  { events }: SimNode,
  kind: K,
): (Extract<NodeEvent, { kind: K }> & { readonly atMs: number })[] {
  return events.filter((event) => event.kind === kind) as (Extract<NodeEvent, { kind: K }> & {
    readonly atMs: number;
  })[];
}
