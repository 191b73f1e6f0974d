/** Tensors from every host to every other one, all the time, each with a topic of its own. */
import { setTimeout as delay } from "node:timers/promises";
import type { Peer } from "../process/peer.ts";
import type { Random } from "../sim/random.ts";
import { type Field, HOSTS } from "./field.ts";
import type { Ledger } from "./ledger.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const SIZES = [0, KiB, 64 * KiB, MiB, 3 * MiB + 1, 8 * MiB];
/** Sends under way from one host to another. */
const LANES = 2;
const SEEDS = 3;
/** Between two looks at what peers have said. */
const LOOK_MS = 10;
/** After a send to a peer that is not there. */
const AGAIN_MS = 100;

export class Load {
  readonly #field: Field;
  readonly #ledger: Ledger;
  readonly #random: Random;
  /** Of each process that has ever lived: up to where its events were read. */
  readonly #read = new Map<Peer, number>();
  readonly #lanes: Promise<void>[] = [];
  readonly #looking: Promise<void>;
  #stopped = false;
  #closed = false;
  #next = 1;

  constructor(field: Field, ledger: Ledger, random: Random) {
    this.#field = field;
    this.#ledger = ledger;
    this.#random = random;
    this.#looking = this.#look();
    for (const from of HOSTS)
      for (const to of HOSTS)
        for (let lane = 0; lane < LANES && from !== to; lane++) this.#lanes.push(this.#lane(from, to));
  }

  /** Begins nothing more, and resolves when all that was begun is over and has come, or the time is. */
  async finish(timeoutMs: number): Promise<void> {
    this.#stopped = true;
    const deadline = delay(timeoutMs, undefined, { ref: false });
    await Promise.race([Promise.all(this.#lanes), deadline]);
    const untilMs = performance.now() + 10_000;
    while (this.#ledger.outstanding > 0 && performance.now() < untilMs) await delay(LOOK_MS);
    this.#closed = true;
    await this.#looking;
  }

  async #lane(from: number, to: number): Promise<void> {
    const random = this.#random.fork();
    while (!this.#stopped) {
      const sender = this.#field.peer(from);
      if (isDead(sender)) {
        await delay(LOOK_MS); // it will be started again
        continue;
      }
      const bytes = random.pick(SIZES);
      const seed = random.between(1, SEEDS);
      const topic = `${random.pick(["chunks", "whole"])}/${from}${to}/${this.#next++}`;
      const priority = random.pick([0, 128, 128, 255]);
      const reread = random.chance(0.5);
      this.#ledger.begun(topic, to, bytes, seed);
      const { id } = this.#field.peer(to);
      sender.command({ cmd: "send", id: topic, to: id, bytes, seed, reread, options: { topic, priority } });
      const begunMs = performance.now();
      while (!this.#ledger.isOver(topic)) {
        if (isDead(sender)) {
          this.#readOf(sender);
          this.#ledger.voided(topic);
        } else await delay(LOOK_MS);
      }
      if (performance.now() - begunMs < AGAIN_MS) await delay(AGAIN_MS);
    }
  }

  async #look(): Promise<void> {
    while (!this.#closed) {
      for (const host of HOSTS)
        this.#read.set(this.#field.peer(host), this.#read.get(this.#field.peer(host)) ?? 0);
      for (const peer of this.#read.keys()) this.#readOf(peer);
      await delay(LOOK_MS);
    }
  }

  #readOf(peer: Peer): void {
    const { events } = peer.process;
    for (let at = this.#read.get(peer) ?? 0; at < events.length; at++) {
      this.#ledger.take(events[at] ?? {});
      this.#read.set(peer, at + 1);
    }
  }
}

function isDead({ process }: Peer): boolean {
  return process.child.exitCode !== null || process.child.signalCode !== null;
}
