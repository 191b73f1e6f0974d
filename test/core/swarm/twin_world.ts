/**
 * Two swarms, the wires between them and nothing else: what is sent on one wire arrives in order, wires do not wait for
 * each other, and chance says what happens next. Retired links say GOAWAY and close as `Connections` does it.
 */
import assert from "node:assert/strict";
import { ConnectionError } from "../../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import type { Address } from "../../../src/core/runtime.ts";
import { type Link, Swarm, type Target } from "../../../src/core/swarm/swarm.ts";
import { Random } from "../../sim/random.ts";

type Message = "hello" | "proof" | "ping" | "pong" | "goaway" | "drained" | "fin" | "lost";
const LOST = new ConnectionError("ASOC_CONNECTION_LOST", "lost");

export class TwinNode {
  readonly swarm: Swarm;
  readonly id: string;
  readonly addresses: readonly Address[];
  /** Whether the other one is its peer, by its events. */
  joined = false;
  timesLeft = 0;
  dials = 0;

  constructor(id: string, host: string, random: Random) {
    this.id = id;
    this.addresses = [
      { host, port: 1 },
      { host, port: 2 },
    ];
    this.swarm = new Swarm({ nodeId: id, limits: DEFAULT_LIMITS, random: () => random.next() });
  }
}

export class Wire {
  readonly dialler: TwinNode;
  readonly acceptor: TwinNode;
  readonly target: Target;
  readonly address: Address;
  readonly links = new Map<TwinNode, Link>();
  readonly #waiting = new Map<TwinNode, Message[]>();
  readonly #finSent = new Set<TwinNode>();
  isCut = false;

  constructor(dialler: TwinNode, acceptor: TwinNode, target: Target, address: Address) {
    this.dialler = dialler;
    this.acceptor = acceptor;
    this.target = target;
    this.address = address;
    this.send(dialler, "hello");
  }

  other(node: TwinNode): TwinNode {
    return node === this.dialler ? this.acceptor : this.dialler;
  }
  /** Who has something to read. */
  get readers(): TwinNode[] {
    return [this.dialler, this.acceptor].filter((node) => this.waiting(node).length > 0);
  }
  waiting(node: TwinNode): Message[] {
    const messages = this.#waiting.get(node) ?? [];
    this.#waiting.set(node, messages);
    return messages;
  }
  send(from: TwinNode, message: Message): void {
    if (!this.isCut) this.waiting(this.other(from)).push(message);
  }
  fin(from: TwinNode): void {
    if (!this.#finSent.has(from)) this.send(from, "fin");
    this.#finSent.add(from);
  }
  /** What is on its way is lost; each side hears of it when it does. */
  cut(): void {
    if (this.isCut) return;
    this.isCut = true;
    for (const node of [this.dialler, this.acceptor]) this.waiting(node).splice(0, Infinity, "lost");
  }
}

export class TwinWorld {
  readonly random: Random;
  readonly nodes: readonly [TwinNode, TwinNode];
  readonly wires: Wire[] = [];
  nowMs = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    const ids = this.random.chance(0.5) ? (["a", "b"] as const) : (["b", "a"] as const);
    this.nodes = [
      new TwinNode(ids[0], "10.0.0.1", this.random.fork()),
      new TwinNode(ids[1], "10.0.0.2", this.random.fork()),
    ];
  }

  other(node: TwinNode): TwinNode {
    return this.nodes[0] === node ? this.nodes[1] : this.nodes[0];
  }

  get open(): Wire[] {
    return this.wires.filter((wire) => wire.links.size > 0 || wire.readers.length > 0);
  }

  /** One message arrives, whichever; false: none is on its way. */
  deliver(): boolean {
    const choices = this.wires.flatMap((wire) => wire.readers.map((node) => [wire, node] as const));
    if (choices.length === 0) return false;
    const [wire, node] = this.random.pick(choices);
    const message = wire.waiting(node).shift();
    assert.ok(message);
    this.#handle(wire, node, message);
    this.pump(node);
    return true;
  }

  #handle(wire: Wire, node: TwinNode, message: Message): void {
    const { swarm } = node;
    const other = wire.other(node);
    const link = wire.links.get(node);
    switch (message) {
      case "hello":
        wire.send(node, "proof");
        break;
      case "proof":
        if (node === wire.dialler) {
          wire.links.set(node, swarm.handleDialled(wire.target, wire.address, other.id));
          wire.send(node, "proof");
        } else wire.links.set(node, swarm.handleAccepted(other.id, { host: "10.9.9.9", port: 50_000 }, true));
        break;
      case "ping":
        wire.send(node, "pong");
        break;
      case "pong":
        if (link) swarm.handleConfirmed(link);
        break;
      case "goaway":
        if (link) swarm.handleGoaway(link, "duplicate", this.nowMs);
        break;
      case "drained":
        wire.fin(node);
        break;
      case "fin":
        wire.fin(node);
        if (link) swarm.handleClosed(link, undefined, this.nowMs);
        wire.links.delete(node);
        break;
      case "lost":
        if (link) swarm.handleClosed(link, LOST, this.nowMs);
        else if (node === wire.dialler) swarm.handleDialFailed(wire.target, LOST, this.nowMs);
        wire.links.delete(node);
        break;
    }
  }

  /** What `Connections` and `AsocNode` do after each input, and what must hold then. */
  pump(node: TwinNode): void {
    const { swarm } = node;
    const other = this.other(node);
    for (let probe = swarm.pollProbe(); probe; probe = swarm.pollProbe())
      this.#wireOf(node, probe).send(node, "ping");
    for (let link = swarm.pollRetire(); link; link = swarm.pollRetire()) {
      const wire = this.#wireOf(node, link);
      wire.send(node, "goaway");
      wire.waiting(node).push("drained");
    }
    for (let dial = swarm.pollDial(this.nowMs); dial; dial = swarm.pollDial(this.nowMs)) {
      node.dials++;
      this.wires.push(new Wire(node, other, dial.target, dial.address));
    }
    for (let event = swarm.pollEvent(); event; event = swarm.pollEvent()) {
      if (event.kind === "joined") {
        assert.equal(node.joined, false, "joined twice");
        node.joined = true;
      } else if (event.kind === "left") {
        assert.equal(node.joined, true, "left before it joined");
        assert.equal(swarm.links.size, 0, "left while a link lives");
        node.joined = false;
        node.timesLeft++;
      }
    }
    assert.equal(node.joined, swarm.links.size > 0, "joined while no link lives");
    const usable = [...swarm.links.values()].filter((link) => !link.duplicate && !link.leaving);
    assert.ok(usable.length <= 1, `${usable.length} links stay`);
    assert.equal(swarm.route(other.id), usable[0]);
  }

  #wireOf(node: TwinNode, link: Link): Wire {
    const wire = this.wires.find(({ links }) => links.get(node) === link);
    assert.ok(wire, "the swarm names a link that is closed");
    return wire;
  }

  /** Lets time pass to the next dial; false: none is to come. */
  wait(): boolean {
    const due = this.nodes.map(({ swarm }) => swarm.pollDeadline()).filter((at) => at !== undefined);
    if (due.length === 0) return false;
    this.nowMs = Math.max(this.nowMs, Math.min(...due));
    for (const node of this.nodes) this.pump(node);
    return true;
  }
}
