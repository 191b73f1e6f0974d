/** Several tensors at once from one node to another, with names, priorities and sources of both kinds: and what must come of them. */
import assert from "node:assert/strict";
import type { SendCommand } from "../support/peer_script.ts";
import type { Json } from "../support/process.ts";
import type { Peer } from "./peer.ts";

export interface Cargo extends Pick<SendCommand, "reread" | "paceMs" | "restAt"> {
  readonly priority?: number;
  readonly bytes: number;
  /** Read chunk by chunk; otherwise it is assembled. */
  readonly chunks?: boolean;
}

let nextTopic = 1;

export class Shipment {
  readonly #from: Peer;
  readonly #to: Peer;
  readonly #cargo: { readonly topic: string; readonly bytes: number }[] = [];
  readonly #mark: number;

  /** Begins to send; `name` is what the sender calls the receiver. */
  constructor(from: Peer, to: Peer, name: string, cargo: readonly Cargo[]) {
    this.#from = from;
    this.#to = to;
    this.#mark = to.mark;
    const sends: SendCommand[] = [];
    for (const [index, { chunks = false, priority = 128, ...fields }] of cargo.entries()) {
      const topic = `${chunks ? "chunks" : "whole"}/${nextTopic++}`;
      this.#cargo.push({ topic, bytes: fields.bytes });
      sends.push({
        cmd: "send",
        id: topic,
        to: name,
        ...fields,
        options: { topic, priority },
        seed: index + 1,
      });
    }
    from.command(...sends);
  }

  get bytes(): number {
    return this.#cargo.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The receiver knows of all of them: from now on the connection may break. */
  async begun(): Promise<void> {
    const started = () => this.#to.all("streamStarted", { peer: this.#from.id }, this.#mark).length;
    await this.#to.process.waitUntil(() => started() >= this.#cargo.length);
  }

  /**
   * Every send says "verified", each tensor has come once with the bytes that were sent, and none has failed. Returns how
   * often each was cut.
   */
  delivered(timeoutMs = 120_000): Promise<number[]> {
    return this.deliveredTo(this.#to, timeoutMs);
  }

  /** The same of another process in the receiver's place. */
  async deliveredTo(to: Peer, timeoutMs = 120_000): Promise<number[]> {
    const cuts: number[] = [];
    for (const { topic, bytes } of this.#cargo) {
      await this.#from.event("sendDone", { id: topic }, timeoutMs);
      assert.deepEqual(this.#from.all("sendFailed", { id: topic }), [], `${topic} was not sent`);
      const [sent = {}] = this.#from.all("sent", { id: topic });
      assert.equal(sent.delivery, "verified", topic);
      await to.event("tensor", { topic }, timeoutMs);
      const came = to.all("tensor", { topic });
      const told = ({ sha256 }: Json) => ({ bytes, sha256 });
      assert.deepEqual(
        came.map(({ bytes, sha256 }) => ({ bytes, sha256 })),
        [told(sent)],
        `${topic}: ${JSON.stringify(sent)}`,
      );
      assert.deepEqual(to.all("tensorFailed", { topic }), []);
      cuts.push(Number(sent.cuts));
    }
    return cuts;
  }

  /** How the first of its sends failed. */
  failed(timeoutMs = 20_000): Promise<Json> {
    return this.#from.event("sendFailed", { id: this.#cargo[0]?.topic }, timeoutMs);
  }
}

/** Nothing is held any more, at either end. */
export async function noMemoryIsHeld(...peers: readonly Peer[]): Promise<void> {
  for (const peer of peers) await peer.statsUntil((stats) => stats.memoryUsedBytes === 0);
}
