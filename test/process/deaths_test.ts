/**
 * kill -9 at either end of a transfer, and what its other end makes of it (RFC-0006, Resume). In mid-tensor on all nine pairs of
 * runtimes, three pairs at a time, and more often with ASOC_CUTS; the rest on three.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { Relay } from "../support/relay.ts";
import { MiB, Peer, type PeerOptions } from "./peer.ts";
import { noMemoryIsHeld, Shipment } from "./shipment.ts";

const NEXT: Record<RuntimeName, RuntimeName> = { node: "bun", bun: "deno", deno: "node" };
/** Back again soon, so that a test need not wait for the usual seconds. */
const SOON = { reconnectMinMs: 20, reconnectMaxMs: 60, reconnectProvenMs: 20, reconnectCapMs: 200 };
const RESUME_MS = 1500;
/** How often a receiver of each pair is killed, in each of two ways. */
const ROUNDS = Math.max(1, Math.floor(Number(process.env.ASOC_CUTS ?? 36) / 36));

/** A receiver, and a sender that reaches it through a relay. */
class Scene implements AsyncDisposable {
  readonly relay: Relay;
  readonly sender: Peer;
  receiver: Peer;
  readonly #options: PeerOptions;

  private constructor(relay: Relay, sender: Peer, receiver: Peer, options: PeerOptions) {
    this.relay = relay;
    this.sender = sender;
    this.receiver = receiver;
    this.#options = options;
  }

  static async make(from: RuntimeName, to: RuntimeName, options: PeerOptions = {}): Promise<Scene> {
    const receiver = await Peer.start(to, options);
    const relay = await Relay.start(receiver.port);
    const sender = await Peer.start(from, { peers: [relay.address], limits: SOON });
    await sender.event("joined", { id: receiver.id });
    return new Scene(relay, sender, receiver, options);
  }

  ship(bytes: number, reread = false): Shipment {
    return new Shipment(this.sender, this.receiver, this.receiver.id, [{ bytes, reread }]);
  }

  /** kill -9 of the receiver, seen by the sender; the same node again on the same port. */
  async restartReceiver(): Promise<Peer> {
    const { id, port, runtime } = this.receiver;
    await this.receiver.kill();
    const from = this.sender.mark;
    this.relay.cut("reset");
    await this.sender.event("dialFailed", {}, 20_000, from);
    this.receiver = await Peer.start(runtime, { ...this.#options, port, nodeId: id });
    await this.sender.event("joined", { id }, 20_000, from);
    return this.receiver;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of [this.sender, this.receiver, this.relay]) await each[Symbol.asyncDispose]();
  }
}

/** `check` of each runtime and the one that is `step` places behind it, at once. */
async function eachOf(
  step: number,
  check: (from: RuntimeName, to: RuntimeName) => Promise<void>,
): Promise<void> {
  await Promise.all(
    RUNTIMES.map((from, index) => check(from, RUNTIMES[(index + step) % RUNTIMES.length] ?? from)),
  );
}

/** `each`, as often as there are cuts for. */
function times<T>(each: readonly T[]): T[] {
  return Array.from({ length: ROUNDS }, () => each).flat();
}

/** Three pairs at a time, three times make nine. */
for (const step of RUNTIMES.keys()) {
  const pairs = RUNTIMES.map(
    (from, index) => `${from} to ${RUNTIMES[(index + step) % RUNTIMES.length]}`,
  ).join(", ");

  test(`kill -9 of a receiver in mid-tensor: its successor gets all of it again, once (${pairs})`, () =>
    eachOf(step, async (from, to) => {
      await using scene = await Scene.make(from, to);
      for (const reread of times([false, true])) {
        const tensor = scene.ship(64 * MiB, reread); // far more than all kernels' buffers hold
        await scene.relay.cutAfter(10 * MiB, "still");
        const successor = await scene.restartReceiver();
        const [cuts] = await tensor.deliveredTo(successor);
        assert.ok(Number(cuts) > 0);
        await noMemoryIsHeld(successor, scene.sender);
      }
    }));

  test(`kill -9 of a sender in mid-tensor: its tensor fails at the receiver after resumeMs, others go on (${pairs})`, () =>
    eachOf(step, async (from, to) => {
      await using scene = await Scene.make(from, to, { limits: { resumeMs: RESUME_MS } });
      const { receiver, sender, relay } = scene;
      await using other = await Peer.start(to, { peers: [receiver.address] });
      await other.event("joined", { id: receiver.id });
      scene.ship(16 * MiB);
      const going = new Shipment(other, receiver, receiver.id, [
        { bytes: 16 * MiB, reread: true, paceMs: 30 },
      ]);
      await relay.cutAfter(10 * MiB, "still");
      const killedMs = performance.now(); // the receiver may know of it before we do
      await sender.kill();
      relay.cut("reset");
      await receiver.event("left", { id: sender.id });
      const failed = await receiver.event("tensorFailed", { peer: sender.id });
      const tookMs = performance.now() - killedMs;
      assert.equal(failed.code, "ASOC_INCOMPLETE_STREAM", String(failed.message));
      assert.ok(tookMs > RESUME_MS - 100 && tookMs < RESUME_MS + 4000, `${tookMs} ms`);
      assert.deepEqual(await going.delivered(), [0]);
      assert.deepEqual(receiver.all("tensor", { peer: sender.id }), []);
      await noMemoryIsHeld(receiver, other);
    }));
}

/** All of it may go without a word of the receiver's. */
const CREDITED_BYTES = 4 * MiB;

for (const to of RUNTIMES) {
  const from = NEXT[to];

  test(`kill -9 of a receiver on ${to} that had all of it and could not say so: ${from} says ASOC_OUTCOME_UNKNOWN`, async () => {
    await using scene = await Scene.make(from, to);
    const first = scene.receiver;
    const tensor = scene.ship(CREDITED_BYTES);
    await scene.relay.cutAfter(2 * MiB, "deaf");
    await first.event("tensor", { bytes: CREDITED_BYTES });
    const successor = await scene.restartReceiver();
    const failed = await tensor.failed();
    assert.equal(failed.code, "ASOC_OUTCOME_UNKNOWN", String(failed.message));
    await scene.ship(MiB).delivered();
    assert.deepEqual(
      successor.all("tensor").map(({ bytes }) => bytes),
      [MiB],
      "it is not sent again by itself",
    );
    await noMemoryIsHeld(successor, scene.sender);
  });

  test(`${from} learns after a cut that ${to} has had all of it: verified, and delivered once`, async () => {
    await using scene = await Scene.make(from, to);
    for (const how of ["reset", "fin"] as const) {
      const mark = scene.receiver.mark;
      const tensor = scene.ship(CREDITED_BYTES);
      await scene.relay.cutAfter(2 * MiB, "deaf");
      await scene.receiver.event("tensor", { bytes: CREDITED_BYTES }, 20_000, mark);
      scene.relay.cut(how);
      assert.deepEqual(await tensor.delivered(), [1]);
      await noMemoryIsHeld(scene.receiver, scene.sender);
    }
  });

  test(`${from} resumes towards ${to} although each next connection is cut a little later: in the handshake, in RESUME`, async () => {
    await using scene = await Scene.make(from, to);
    const { relay, receiver, sender } = scene;
    const cargo = { bytes: 16 * MiB };
    const shipment = new Shipment(sender, receiver, receiver.id, [
      cargo,
      { ...cargo, reread: true, chunks: true },
    ]);
    await relay.cutAfter(8 * MiB, "reset");
    for (let bytes = 20; bytes < 2500; bytes += 1 + Math.floor(bytes / 3))
      await relay.cutAfter(bytes, "reset");
    await shipment.delivered();
    const moreBytes = relay.passedBytes - shipment.bytes;
    assert.ok(moreBytes < 8 * MiB, `${moreBytes} bytes more`);
    assert.deepEqual(receiver.all("streamFailed"), []);
    await noMemoryIsHeld(receiver, sender);
  });
}
