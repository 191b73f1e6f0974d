/**
 * One seeded life of a community: two to five nodes, tensors among them, and faults.
 *
 * Everything follows from the seed: who there is, how they find each other, what is sent when, and what breaks.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { IncomingStream } from "../../src/core/incoming.ts";
import type { SendOptions } from "../../src/core/send_plan.ts";
import type { Peer } from "../../src/core/swarm/swarm.ts";
import { Ledger, MAX_TENSOR_BYTES } from "./ledger.ts";
import type { NetworkOptions, SimHost } from "./network.ts";
import { Random } from "./random.ts";
import { type SimNode, World } from "./world.ts";

type Joining = "discovery" | "static" | "hybrid";

/** A close that waits this long loses nothing by itself. */
const PATIENCE_MS = 600_000;
/** All time-outs of a node in a row, and the slowest reader, come to less. */
const MAX_END_MS = 300_000;
/** How often each thing happens, out of 100. */
const HABITS = [
  ["send", 55],
  ["sendAll", 10],
  ["cancel", 6],
  ["cut", 12],
  ["partition", 5],
  ["leave", 12],
] as const;

export interface Outcome {
  sends: number;
  received: number;
  failedStreams: number;
  cuts: number;
}

class Scenario {
  readonly #random: Random;
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #joining: Joining;
  readonly #hosts: SimHost[] = [];
  /** They speak version 1 only. */
  readonly #legacy = new Set<SimHost>();
  readonly #live = new Map<SimHost, SimNode>();
  /** Everything that has begun and must end. */
  readonly #tasks = new Set<Promise<void>>();
  readonly outcome: Outcome = { sends: 0, received: 0, failedStreams: 0, cuts: 0 };
  #ending = false;
  #partitions = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(seed: number) {
    const random = new Random(seed);
    this.#random = random;
    this.#world = new World(random.between(0, 0xffff_ffff), quality(random));
    this.#ledger = new Ledger(this.#world.network);
    this.#joining = random.pick(["discovery", "static", "hybrid"]);
  }

  async run(): Promise<void> {
    const { time } = this.#world;
    const random = this.#random;
    const count = random.between(2, 5);
    for (let i = 0; i < count; i++) {
      const host = this.#world.host();
      this.#hosts.push(host);
      if (random.chance(0.15)) this.#legacy.add(host);
    }
    for (const host of this.#hosts) await time.settle(this.#join(host, undefined));
    await time.run(random.between(0, 4000));
    const steps = random.between(6, 18);
    for (let step = 0; step < steps; step++) {
      await time.run(random.chance(0.4) ? random.between(0, 20) : random.between(0, 4000));
      this.#act();
      if (this.#failure) throw this.#failure.error;
    }
    this.#heal();
    await time.run(random.between(0, 6000));
    this.#ending = true;
    for (const node of [...this.#live.values()]) this.#leave(node, random.chance(0.2));
    // A task may bring others about.
    const endMs = time.nowMs() + MAX_END_MS;
    while (this.#tasks.size > 0) await time.settle(Promise.all(this.#tasks));
    assert.ok(
      time.nowMs() < endMs,
      `it took ${time.nowMs() - endMs + MAX_END_MS} ms to close all on a whole network`,
    );
    if (this.#failure) throw this.#failure.error;
    await this.#world.finish();
    this.#ledger.check();
  }

  #act(): void {
    let draw = this.#random.between(0, 99);
    const habit = HABITS.find(([, share]) => {
      draw -= share;
      return draw < 0;
    });
    const from = this.#live.size > 0 ? this.#random.pick([...this.#live.values()]) : undefined;
    switch (habit?.[0]) {
      case "send":
      case "cancel":
        if (from) this.#send(from, habit[0] === "cancel");
        break;
      case "sendAll":
        if (from) this.#task(this.#sendAll(from));
        break;
      case "cut":
        this.#cut();
        break;
      case "partition":
        this.#partition();
        break;
      case "leave":
        if (from && this.#live.size > 1) this.#leave(from, this.#random.chance(0.5));
        break;
    }
  }

  // --- nodes

  async #join(host: SimHost, nodeId: string | undefined): Promise<void> {
    const others = this.#hosts.filter((other) => other !== host);
    const known = this.#joining === "static" ? others : [this.#random.pick(others)];
    const node = await this.#world.launch({
      on: host,
      nodeId,
      discovery: this.#joining !== "static",
      // For ever: whoever has proven itself may not come back without.
      ...(this.#legacy.has(host) ? { extension: false } : {}),
      limits: { memoryBudgetBytes: this.#random.pick([4 * 2 ** 30, 16 * 2 ** 20]), resumeMs: 40_000 },
      peers: this.#joining === "discovery" ? [] : known.map((other) => this.#world.addressOf(other)),
    });
    this.#live.set(host, node);
    this.#task(this.#receive(node));
  }

  /** It goes, at once or gracefully, and may come back with the same or another id. */
  #leave(node: SimNode, atOnce: boolean): void {
    const { host } = node;
    this.#live.delete(host);
    const timeoutMs = this.#random.chance(0.7) ? PATIENCE_MS : this.#random.between(0, 2000);
    if (atOnce || timeoutMs < PATIENCE_MS) this.#ledger.hurried.add(node);
    // A v0.1 peer cannot tell who answers where it dials: another id there would be a doubt that its wire cannot settle.
    const nodeId = this.#random.chance(0.5) || this.#legacy.size > 0 ? node.node.id : undefined;
    const awayMs = this.#random.chance(0.3) ? 0 : this.#random.between(0, 20_000);
    const returns = this.#random.chance(0.8);
    const leave = async () => {
      // A close that lost something says so; the books show whether that is true.
      await (atOnce ? node.node.abort() : node.node.close({ timeoutMs }).catch(() => {}));
      await this.#world.time.sleep(awayMs);
      if (returns && !this.#ending) await this.#join(host, nodeId);
    };
    this.#task(leave());
  }

  // --- tensors

  #size(): number {
    const random = this.#random;
    const most = random.pick([
      0,
      100,
      5000,
      5000,
      50_000,
      50_000,
      100_000,
      100_000,
      400_000,
      MAX_TENSOR_BYTES,
    ]);
    return most === 0 ? 0 : random.between(16, most);
  }

  #options(byteCount: number): SendOptions {
    const random = this.#random;
    const chunkBytes = random.pick([undefined, 1000, 16_384, 65_536, 500_000]);
    return {
      ...(chunkBytes === undefined || byteCount / chunkBytes > 300 ? {} : { chunkBytes }),
      priority: random.pick([128, 128, 0, 200, 255]),
      digest: random.pick(["crc32", "crc32", "none", "sha256"]),
      deadlineMs: random.chance(0.1) ? random.between(1, 20_000) : 0,
      topic: random.pick(["", "layer3/k"]),
    };
  }

  /** Where a peer's address points. */
  #hostOf(peer: Peer): SimHost {
    const host = this.#hosts.find(({ address }) => address === peer.address.host);
    assert.ok(host, `no host has ${peer.address.host}`);
    return host;
  }

  #send(from: SimNode, cancels: boolean): void {
    const peers = from.node.peers.list();
    if (peers.length === 0) return;
    const peer = this.#random.pick(peers);
    const byteCount = this.#size();
    const { number, bytes } = this.#ledger.make(from, byteCount);
    const controller = new AbortController();
    if (cancels) {
      this.#ledger.cancelling.add(from);
      this.#world.time.after(this.#random.between(0, 200), () =>
        controller.abort(new Error("changed my mind")),
      );
    }
    const source = this.#random.chance(0.7) ? bytes : this.#inParts(bytes);
    const sending = from.node.send(peer, source, {
      ...this.#options(byteCount),
      metadata: number,
      signal: controller.signal,
    });
    const record = { from, toId: peer.id, toHost: this.#hostOf(peer), number, byteCount };
    this.outcome.sends++;
    const settled = (resolved: boolean, verified: boolean) =>
      this.#ledger.settled({ ...record, resolved, verified, sinceMs: this.#world.time.nowMs() });
    this.#task(
      sending.then(
        ({ delivery }) => settled(true, delivery === "verified"),
        () => settled(false, false),
      ),
    );
  }

  async #sendAll(from: SimNode): Promise<void> {
    const byteCount = this.#size();
    const { number, bytes } = this.#ledger.make(from, byteCount);
    const source = this.#random.chance(0.5) ? bytes : this.#inParts(bytes);
    const sinceMs = this.#world.time.nowMs(); // one receiver may have had it all long before the slowest
    for (const { peer, report, error } of await from.node.sendAll(source, {
      ...this.#options(byteCount),
      metadata: number,
    })) {
      this.outcome.sends++;
      this.#ledger.settled({
        from,
        toId: peer.id,
        toHost: this.#hostOf(peer),
        number,
        byteCount,
        resolved: error === undefined,
        verified: report?.delivery === "verified",
        sinceMs,
      });
    }
  }

  async *#inParts(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    const random = this.#random.fork();
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.slice(at, at + random.between(1, 2 + bytes.length));
      at += part.length;
      if (random.chance(0.3)) await this.#world.time.sleep(random.between(0, 300));
      yield part;
      part.fill(0xee); // it is ours again
    }
  }

  async #receive(to: SimNode): Promise<void> {
    for await (const stream of to.node.incoming) this.#task(this.#read(to, stream));
  }

  async #read(to: SimNode, stream: IncomingStream): Promise<void> {
    const { time } = this.#world;
    const random = this.#random.fork();
    const { host } = stream.peer.address;
    const slow = random.chance(0.05);
    const pause = () => (random.chance(0.3) ? time.sleep(random.between(0, slow ? 5000 : 300)) : undefined);
    await pause();
    if (stream.description && random.chance(0.05)) {
      this.#ledger.declined(to, stream.metadata);
      stream.cancel("not today"); // its sender learns of it, unless all had come
      return;
    }
    try {
      if (random.chance(0.5)) {
        using tensor = await stream.tensor(
          random.chance(0.05) ? { into: new Uint8Array(MAX_TENSOR_BYTES) } : {},
        );
        this.#ledger.came(to, host, tensor.bytes);
        await pause();
      } else {
        const parts: Uint8Array[] = [];
        for await (const part of stream.chunks()) {
          parts.push(part.slice());
          await pause();
        }
        this.#ledger.came(to, host, new Uint8Array(Buffer.concat(parts)));
      }
      this.outcome.received++;
    } catch (error) {
      this.outcome.failedStreams++;
      this.#ledger.failed(error);
    }
  }

  // --- faults

  #cut(): void {
    const { network } = this.#world;
    if (network.connections.size === 0) return;
    this.outcome.cuts++;
    network.cut(this.#random.pick([...network.connections]));
  }

  #partition(): void {
    const { network, time } = this.#world;
    const [one, other]: [SimHost[], SimHost[]] = [[], []];
    for (const host of this.#hosts) (this.#random.chance(0.5) ? one : other).push(host);
    network.partition(one, other);
    this.#ledger.healedMs = Number.POSITIVE_INFINITY;
    const round = ++this.#partitions;
    time.after(this.#random.between(500, 25_000), () => {
      if (round === this.#partitions) this.#heal();
    });
  }

  #heal(): void {
    if (this.#ledger.healedMs !== Number.POSITIVE_INFINITY) return;
    this.#partitions++;
    this.#world.network.heal();
    this.#ledger.healedMs = this.#world.time.nowMs();
  }

  #task(task: Promise<void>): void {
    const noted = task
      .catch((error) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#tasks.delete(noted));
    this.#tasks.add(noted);
  }
}

function quality(random: Random): Partial<NetworkOptions> {
  return {
    maxLatencyMs: random.pick([3, 30, 200]),
    bytesPerMs: random.pick([2000, 20_000, 1_000_000]),
    windowBytes: random.pick([20_000, 100_000, 500_000]),
    segmentBytes: random.pick([5000, 60_000]),
    cutChance: random.pick([0, 0.1, 0.3]),
    datagramLoss: random.pick([0, 0.2]),
    datagramCopies: random.pick([0, 0.2]),
  };
}

/** Runs one seed; throws what went wrong. */
export async function runSeed(seed: number): Promise<Outcome> {
  const scenario = new Scenario(seed);
  await scenario.run();
  return scenario.outcome;
}
