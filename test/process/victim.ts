/**
 * What bad input is sent to: a node, and a good peer on another runtime that sends it 64 MiB tensors all the time.
 * Whatever a test does to the node, those must go on and arrive whole.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after } from "node:test";
import type { Json, RuntimeName } from "../support/process.ts";
import { frame, freshId, idText, RawPeer, TYPE } from "../support/raw_peer.ts";
import { KEY, MiB, Peer, type PeerOptions, type Told } from "./peer.ts";

const GOOD: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };
const TENSOR_BYTES = 64 * MiB;

export class Victim {
  readonly peer: Peer;
  readonly #good: Peer;
  readonly #sending: string;

  private constructor(peer: Peer, good: Peer, sending: string) {
    this.peer = peer;
    this.#good = good;
    this.#sending = sending;
  }

  static async start(runtime: RuntimeName, options: PeerOptions): Promise<Victim> {
    const peer = await Peer.start(runtime, options);
    try {
      const { community } = options;
      const good = await Peer.start(GOOD[runtime], {
        peers: [peer.address],
        ...(community === undefined ? {} : { community }),
      });
      await good.event("joined", { dialledAs: peer.address });
      const sending = good.begin(peer.address, { bytes: TENSOR_BYTES, count: 1e6, paceMs: 1 });
      await peer.event("tensor", { peer: good.id });
      return new Victim(peer, good, sending);
    } catch (error) {
      await peer[Symbol.asyncDispose]();
      throw error;
    }
  }

  get port(): number {
    return this.peer.port;
  }

  /** A raw connection that is through its handshake, and the id that the node knows it by. */
  async join(): Promise<{ raw: RawPeer; id: string }> {
    const id = freshId();
    const raw = await RawPeer.join(this.port, KEY, id);
    raw.send(frame(TYPE.CONTROL, 0, 0)); // no CAPS: the node need not wait for any
    await this.peer.event("joined", { id: idText(id) });
    return { raw, id: idText(id) };
  }

  /** Awaits the end of a connection from `id`, with that code. */
  async left(id: string, code: string | undefined): Promise<Json> {
    const left = await this.peer.event("left", { id });
    assert.equal(left.code, code, `${left.reason}`);
    return left;
  }

  /** Resident memory of the process, from the kernel. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.peer.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  }

  /** The good peer's next tensor has come: it is not disturbed. */
  async goesOn(): Promise<void> {
    await this.peer.event("tensor", { peer: this.#good.id }, 20_000, this.peer.mark);
  }

  /** Ends the good peer's tensors; every one must have come whole, on the one connection that it ever had. */
  async finish(): Promise<number> {
    const { peer } = this;
    this.#good.command({ cmd: "stop" });
    await this.#good.event("sendDone", { id: this.#sending });
    const sent = this.#good.all("sent", { id: this.#sending }) as unknown as Told[];
    await peer.receives(sent, this.#good.id, 0);
    assert.equal(peer.all("tensor", { peer: this.#good.id }).length, sent.length);
    assert.equal(peer.all("joined", { id: this.#good.id }).length, 1, "the good peer had to come again");
    assert.deepEqual(peer.all("left", { id: this.#good.id }), []);
    assert.deepEqual(
      [...peer.all("tensorFailed", { peer: this.#good.id }), ...this.#good.all("sendFailed")],
      [],
    );
    await this.stop();
    return sent.length;
  }

  async stop(): Promise<void> {
    await this.#good[Symbol.asyncDispose]();
    await this.peer[Symbol.asyncDispose]();
  }
}

/** A victim that the first test which needs it starts; whatever becomes of the tests, its processes end with them. */
export function victimOn(runtime: RuntimeName, options: PeerOptions): () => Promise<Victim> {
  let victim: Promise<Victim> | undefined;
  after(async () => {
    await (await victim?.catch(() => undefined))?.stop();
  });
  return () => {
    victim ??= Victim.start(runtime, options);
    return victim;
  };
}
