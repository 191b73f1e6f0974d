/**
 * `Roads` for deliveries over pairs of sessions, one after the other: each breaks after as many bytes as the test says.
 * The receiver keeps its transfers from one connection to the next, as a node does.
 */
import type { ResumeAnswer, Roads } from "../../src/core/delivery.ts";
import type { Driver } from "../../src/core/driver.ts";
import { ConnectionError } from "../../src/core/errors.ts";
import { DEFAULT_LIMITS, type Limits, type Timing } from "../../src/core/limits.ts";
import { Outgoing, unknownPeer } from "../../src/core/outgoing.ts";
import type { SendOptions, SendPlan } from "../../src/core/send_plan.ts";
import type { OutboundStream } from "../../src/core/session/outbound.ts";
import { Transfers } from "../../src/core/transfers.ts";
import { fromHex } from "../../src/core/wire/bytes.ts";
import { TestClock } from "./core_clock.ts";
import { TensorPair } from "./tensor_pair.ts";

export const PEER_ID = "peer";
const PEER = {
  id: PEER_ID,
  nodeId: PEER_ID,
  address: { host: "10.0.0.1", port: 1 },
  dialledAs: undefined,
  protocol: "x1" as const,
  takesTensors: true,
  roundTripMs: undefined,
  clockSkewMs: undefined,
};

interface Owner {
  pair: TensorPair | undefined;
}

export class TensorRoads implements Roads {
  readonly clock = new TestClock();
  readonly limits: Limits & Timing;
  /** Every connection that there was. */
  readonly pairs: TensorPair[] = [];
  /** Tensors that were handed over. */
  readonly delivered: Uint8Array[] = [];
  readonly failed: string[] = [];
  /** Bytes after which the connections break, the next one first; then they hold. */
  breaks: number[] = [];
  /** Only the sender notices that a connection broke. */
  halfOpen = false;
  /** RESUME? is not answered. */
  silent = false;
  /** No connection is made any more. */
  down = false;
  bootEpoch = 1;
  transfers: Transfers<Owner, undefined>;
  readonly #outgoing = new Map<OutboundStream, Outgoing>();
  #asked: { resolve(answer: ResumeAnswer): void; reject(error: unknown): void } | undefined;

  constructor(limits: Partial<Limits & Timing> = {}) {
    this.limits = { ...DEFAULT_LIMITS, ...limits };
    this.transfers = this.#transfers();
  }

  #transfers(): Transfers<Owner, undefined> {
    return new Transfers(this.limits, this.clock, (stream) => {
      stream.dropMemory();
      this.failed.push(stream.description.transferId);
    });
  }

  /** The receiver is started again and has forgotten everything. */
  restart(): void {
    this.bootEpoch++;
    this.transfers = this.#transfers();
  }

  get pair(): TensorPair {
    const pair = this.pairs.at(-1);
    if (!pair) throw new Error("no connection");
    return pair;
  }

  connect(): void {
    const { transfers, bootEpoch } = this;
    const owner: Owner = { pair: undefined };
    const book = transfers.bookOf(PEER_ID, owner, () => {});
    const startMs = this.clock.nowMs();
    const pair = new TensorPair({ limits: this.limits, books: { acceptor: book }, startMs, bootEpoch });
    owner.pair = pair;
    this.pairs.push(pair);
    pair.breakAt = this.breaks.shift() ?? Number.POSITIVE_INFINITY;
    pair.halfOpen = this.halfOpen;
    const { dialler, acceptor } = pair;
    acceptor.onReadable = (stream) => {
      const before = acceptor.arrived.length;
      acceptor.take(stream);
      for (const { bytes } of acceptor.arrived.slice(before)) this.delivered.push(bytes);
    };
    acceptor.onEvent = (event) => {
      if (event.kind === "resumeAsked" && !this.silent) this.#answer(pair, event.transferId);
      else if (event.kind === "cut") {
        transfers.forget(PEER_ID, event.stream.description.transferId);
        transfers.suspend(PEER_ID, event.stream, undefined);
      }
    };
    dialler.onEvent = (event) => {
      if (event.kind === "sent") this.#outgoing.get(event.stream)?.notify();
      else if (event.kind === "resumeAnswered") this.#asked?.resolve({ offset: event.offset, bootEpoch });
      else if (event.kind === "closed")
        this.#asked?.reject(new ConnectionError("ASOC_CONNECTION_LOST", "lost"));
    };
  }

  #answer(pair: TensorPair, transferId: string): void {
    const state = this.transfers.stateOf(PEER_ID, transferId);
    if (state.kind === "arriving") {
      state.owner.pair?.breakOff();
      this.#answer(pair, transferId);
      return;
    }
    const offset = state.kind === "delivered" ? undefined : state.kind === "suspended" ? state.offset : 0;
    pair.acceptor.session.answerResume(fromHex(transferId), offset);
  }

  // --- Roads

  open(_peerId: string, options: SendOptions, plan: SendPlan, baseOffset: number): Outgoing {
    const { pair } = this;
    const { session } = pair.dialler;
    if (session.closed) throw unknownPeer(PEER_ID, []);
    const driver = { session, nowMs: () => this.clock.nowMs(), pump: () => pair.run() } as unknown as Driver;
    const outgoing = new Outgoing(driver, PEER, options, plan.at(baseOffset, this.clock.nowMs()), {
      checksOrder: () => true,
      release: (stream) => this.#outgoing.delete(stream),
    });
    this.#outgoing.set(outgoing.stream, outgoing);
    return outgoing;
  }

  road(_peerId: string, timeoutMs: number): Promise<void> {
    if (this.down) {
      return new Promise((_, reject) => {
        const error = new ConnectionError("ASOC_CONNECTION_LOST", "no connection in time");
        this.clock.after(timeoutMs, () => reject(error));
      });
    }
    if (this.pairs.length === 0 || this.pair.dialler.session.closed) this.connect();
    return Promise.resolve();
  }

  peer(): typeof PEER {
    return PEER;
  }

  askResume(_peerId: string, transferId: Uint8Array): Promise<ResumeAnswer> | undefined {
    const { pair } = this;
    return new Promise((resolve, reject) => {
      this.#asked = { resolve, reject };
      pair.dialler.session.askResume(transferId);
      pair.run();
    });
  }
}
