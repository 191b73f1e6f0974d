/** What a soak does to its subject all the time: tensors of all sizes, peers that come and go, strangers, clients of its gateway. */
import { setTimeout as delay } from "node:timers/promises";
import { type AsocNode, join } from "../../src/mod.ts";
import { Random } from "../sim/random.ts";
import { frame, freshId, hello, RawPeer, TYPE } from "../support/raw_peer.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const SIZES = [0, KiB, KiB, 64 * KiB, 256 * KiB, MiB, 8 * MiB];
const NOISE = new Uint8Array(16 * MiB).map((_byte, index) => (index * 31 + (index >>> 12)) & 0xff);
/** Strangers come from so many addresses, again and again. */
const STRANGERS = 200;

export interface Subject {
  readonly apiKey: string;
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly url: string;
}

export class Load {
  readonly counts: Record<string, number> = {};
  readonly #subject: Subject;
  readonly #random: Random;
  readonly #loops: Promise<void>[];
  readonly #stop = new AbortController();

  constructor(subject: Subject, seed: number) {
    this.#subject = subject;
    this.#random = new Random(seed);
    this.#loops = [
      this.#loop("steady peer", 0, () => this.#steady()),
      this.#loop("peer came and went", 300, () => this.#visit()),
      this.#loop("peer died in mid-tensor", 900, () => this.#dieInMidTensor()),
      this.#loop("stranger refused", 60, () => this.#knock()),
      this.#loop("gateway request", 40, () => this.#ask()),
      this.#loop("gateway client of events", 500, () => this.#listen()),
    ];
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
  }

  /** `act` again and again; its errors are counted, for a machine may be busy. */
  async #loop(name: string, restMs: number, act: () => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await act();
        this.#count(name);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const code = error instanceof Error && "code" in error ? error.code : String(error);
        this.#count(`${name}: ${code}`);
      }
      await delay(restMs);
    }
  }

  #count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by;
  }

  async #join(): Promise<AsocNode> {
    const { apiKey, address } = this.#subject;
    const node = await join({ apiKey, host: "127.0.0.1", discovery: false, peers: [address] });
    await node.peers.wait(1, { timeoutMs: 20_000 });
    return node;
  }

  #tensor(): { bytes: Uint8Array; topic: string } {
    const size = this.#random.pick(SIZES);
    const at = this.#random.between(0, NOISE.length - size);
    const topic = `${this.#random.pick(["chunks", "whole", "whole"])}/${this.#random.between(1, 20)}`;
    return { bytes: NOISE.subarray(at, at + size), topic };
  }

  /** One connection that lasts; both processors are not to be full. */
  async #steady(): Promise<void> {
    await using node = await this.#join();
    while (!this.#stop.signal.aborted) {
      const sends = Array.from({ length: this.#random.between(1, 8) }, () => {
        const { bytes, topic } = this.#tensor();
        return node.send(this.#subject.id, bytes, { topic, priority: this.#random.pick([0, 128, 255]) });
      });
      await Promise.all(sends);
      this.#count("tensors verified", sends.length);
      await delay(20);
    }
  }

  async #visit(): Promise<void> {
    await using node = await this.#join();
    for (let left = this.#random.between(0, 3); left > 0; left--) {
      const { bytes, topic } = this.#tensor();
      await node.send(this.#subject.id, bytes, { topic });
      this.#count("tensors verified");
    }
  }

  async #dieInMidTensor(): Promise<void> {
    const node = await this.#join();
    const sent = node.send(this.#subject.id, NOISE, { topic: "whole/died" }).catch(() => {});
    await delay(this.#random.between(0, 4));
    await node.abort();
    await sent;
  }

  async #knock(): Promise<void> {
    const number = this.#random.between(1, STRANGERS);
    using raw = await RawPeer.connect(this.#subject.port, `127.3.${number >> 8}.${number & 0xff || 255}`);
    const what = this.#random.pick([
      frame(TYPE.HELLO, 0, 0, hello("another key")),
      frame(TYPE.DATA, 1, 0, freshId()),
      new Uint8Array(0),
    ]);
    if (what.length > 0) raw.send(what);
    else raw.finish();
    await raw.ends();
  }

  async #ask(): Promise<void> {
    const path = this.#random.pick([
      "/v1/node",
      "/v1/peers",
      "/v1/streams",
      "/v1/topics",
      "/metrics",
      "/v1/topics/whole%2F1/latest.npy",
      "/v1/nothing",
    ]);
    const response = await fetch(new URL(path, this.#subject.url));
    await response.arrayBuffer();
  }

  async #listen(): Promise<void> {
    const leave = new AbortController();
    const response = await fetch(new URL("/v1/events", this.#subject.url), { signal: leave.signal });
    const reader = response.body?.getReader();
    await reader?.read();
    leave.abort();
    await reader?.cancel().catch(() => {});
  }
}
