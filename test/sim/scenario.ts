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
/** A memory budget that a few tensors use up. */
const TIGHT_BYTES = 16 * 2 ** 20;
/** Steps between two looks at the memory of all nodes. */
const LOOK_STEPS = 64;
/** How long a sender that was started again waits for its receiver. */
const REJOIN_MS = 30_000;
/** All time-outs of a node in a row, and the slowest reader, come to less. */
const MAX_END_MS = 300_000;
/** How often each thing happens, out of 100. */
const HABITS = [
  ["send", 50],
  ["sendAll", 10],
  ["cancel", 5],
  ["cut", 8],
  ["forget", 5],
  ["partition", 4],
  ["mute", 3],
  ["restart", 4],
  ["leave", 11],
] as const;

export interface Outcome {
  sends: number;
  received: number;
  failedStreams: number;
  cuts: number;
  /** Connections that one end went on to believe in. */
  halfOpen: number;
  /** Transfers that a sender began, died in, and went on with. */
  restarts: number;
  /** Why sends failed, and how often. */
  readonly failures: ReadonlyMap<string, number>;
}

class Scenario {
  readonly #random: Random;
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #joining: Joining;
  readonly #detachReleased: boolean;
  readonly #hosts: SimHost[] = [];
  /** They speak version 1 only. */
  readonly #legacy = new Set<SimHost>();
  readonly #live = new Map<SimHost, SimNode>();
  /** What each node may hold of tensors. */
  readonly #budgets = new Map<SimNode, number>();
  /** Everything that has begun and must end. */
  readonly #tasks = new Set<Promise<void>>();
  readonly outcome: Outcome;
  #ending = false;
  #partitions = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(seed: number, detachReleased: boolean) {
    const random = new Random(seed);
    this.#random = random;
    this.#world = new World(random.between(0, 0xffff_ffff), quality(random));
    this.#ledger = new Ledger(this.#world.network);
    this.outcome = {
      sends: 0,
      received: 0,
      failedStreams: 0,
      cuts: 0,
      halfOpen: 0,
      restarts: 0,
      failures: this.#ledger.failures,
    };
    this.#joining = random.pick(["discovery", "static", "hybrid"]);
    this.#detachReleased = detachReleased;
    let steps = 0;
    this.#world.time.watch = () => {
      if (++steps % LOOK_STEPS === 0) this.#checkMemory();
    };
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
      this.#checkMemory();
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
      case "forget":
        this.#forget();
        break;
      case "partition":
      case "mute":
        this.#part(habit[0] === "mute");
        break;
      case "restart":
        if (from) this.#restart(from);
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
    const memoryBudgetBytes = this.#random.pick([4 * 2 ** 30, TIGHT_BYTES]);
    const node = await this.#world.launch({
      on: host,
      nodeId,
      discovery: this.#joining !== "static",
      // For ever: whoever has proven itself may not come back without.
      ...(this.#legacy.has(host) ? { extension: false } : {}),
      limits: { memoryBudgetBytes, resumeMs: 40_000 },
      detachReleased: this.#detachReleased,
      peers: this.#joining === "discovery" ? [] : known.map((other) => this.#world.addressOf(other)),
    });
    this.#live.set(host, node);
    this.#budgets.set(node, memoryBudgetBytes);
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
        (error) => {
          settled(false, false);
          this.#ledger.sendFailed(error, controller.signal.reason);
        },
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
      if (error !== undefined) this.#ledger.sendFailed(error);
      assert.ok((report === undefined) === (error !== undefined), "a send has either a report or an error");
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

  /** A node dies while it sends a tensor, comes back under its id, and sends it again under the id of the transfer. */
  #restart(from: SimNode): void {
    const { time } = this.#world;
    const random = this.#random;
    const peers = from.node.peers.list().filter(({ protocol }) => protocol === "x1");
    if (peers.length === 0) return;
    const peer = random.pick(peers);
    const toHost = this.#hostOf(peer);
    const to = this.#live.get(toHost);
    if (to?.node.id !== peer.id) return;
    const byteCount = Math.max(50_000, this.#size());
    const { number, bytes } = this.#ledger.make(from, byteCount);
    const transferId = Buffer.from(random.bytes(8)).toString("hex");
    const options = { ...this.#options(byteCount), metadata: number, transferId };
    const record = { from, toId: peer.id, toHost, number, byteCount };
    const send = async ({ node }: SimNode): Promise<void> => {
      this.outcome.sends++;
      let verified = false;
      try {
        verified = (await node.send(peer.id, bytes, options)).delivery === "verified";
      } catch (error) {
        this.#ledger.sendFailed(error);
      }
      this.#ledger.settled({ ...record, resolved: verified, verified, sinceMs: time.nowMs() });
    };
    this.#task(send(from));
    const awayMs = random.between(0, 5000);
    const { host } = from;
    const again = async () => {
      await time.sleep(random.between(0, 2000));
      if (this.#live.get(host) !== from || this.#ending) return;
      this.#live.delete(host);
      this.#ledger.hurried.add(from);
      await from.node.abort();
      await time.sleep(awayMs);
      if (this.#ending) return;
      await this.#join(host, from.node.id);
      const successor = this.#live.get(host);
      if (!successor) return;
      const look = () => successor.node.findPeer(peer.id);
      const there = await successor.node.peers.waitFor(look, { timeoutMs: REJOIN_MS }).catch(() => undefined);
      if (!there || this.#live.get(toHost) !== to) return;
      this.outcome.restarts++;
      this.#ledger.sentAgain(number);
      await send(successor);
    };
    this.#task(again());
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
      this.#ledger.failed(error, this.#budgets.get(to) === TIGHT_BYTES);
    }
  }

  // --- faults

  #cut(): void {
    const { network } = this.#world;
    if (network.connections.size === 0) return;
    this.outcome.cuts++;
    network.cut(this.#random.pick([...network.connections]));
  }

  #forget(): void {
    const { network } = this.#world;
    if (network.connections.size === 0) return;
    this.outcome.halfOpen++;
    network.forget(this.#random.pick([...network.connections]));
  }

  /** Two parts of the network lose each other for a while, or (`isOneWay`) one of them hears the other and is not heard. */
  #part(isOneWay: boolean): void {
    const { network, time } = this.#world;
    const [one, other]: [SimHost[], SimHost[]] = [[], []];
    for (const host of this.#hosts) (this.#random.chance(0.5) ? one : other).push(host);
    if (isOneWay) network.mute(one, other);
    else network.partition(one, other);
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

  #checkMemory(): void {
    for (const [{ node, host }, memoryBudgetBytes] of this.#budgets) {
      const { memoryUsedBytes } = node.stats;
      assert.ok(
        memoryUsedBytes <= memoryBudgetBytes,
        `${host}: ${memoryUsedBytes} bytes of memory are in use, at most ${memoryBudgetBytes}`,
      );
    }
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

/** Runs one seed; throws what went wrong. `detachReleased`: as the option of `join`, at each node. */
export async function runSeed(seed: number, detachReleased = false): Promise<Outcome> {
  const scenario = new Scenario(seed, detachReleased);
  await scenario.run();
  return scenario.outcome;
}
