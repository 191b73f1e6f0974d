/** A node as far as a gateway uses it, moved by a test: it has no sockets, and its streams are what the test says. */
import { createGateway, type Gateway, type GatewayOptions } from "../../gateway/mod.ts";
import type { GatewayNode, TrafficObserver, TrafficStream } from "../../gateway/traffic/traffic.ts";
import type { NodeEvent, Peer, SendOutcome } from "../../src/mod.ts";

export const PEER = {
  id: "peer-1",
  nodeId: "peer-1",
  address: { host: "127.0.0.1", port: 1 },
  protocol: "x1",
  takesTensors: true,
} as unknown as Peer; // what the gateway reads of one

type SendAll = GatewayNode["sendAll"];
type MutableStream = { -readonly [Key in keyof TrafficStream]: TrafficStream[Key] };

export class FakeNode {
  readonly id = "node-1";
  readonly address = { host: "127.0.0.1", port: 7000 };
  readonly community = "test";
  readonly runtime = "test 1.0";
  readonly stats: Record<string, unknown> = {
    connections: 1,
    memoryUsedBytes: 0,
    memoryIdleBytes: 0,
    buffersReused: 0,
    buffersAllocated: 0,
    refusedConnections: {},
  };
  readonly peers = { list: () => [PEER] };
  observer: TrafficObserver | undefined;
  sendAll: SendAll = () => Promise.resolve([]);
  #lastId = 0;
  readonly #events: NodeEvent[] = [];
  #wake = () => {};

  findPeer(text: string): Peer | undefined {
    return text === PEER.id ? PEER : undefined;
  }
  observe(observer: TrafficObserver): () => void {
    this.observer = observer;
    return () => {
      this.observer = undefined;
    };
  }
  get incoming(): AsyncIterable<never> {
    return nothing();
  }
  async *events(): AsyncGenerator<NodeEvent> {
    for (;;) {
      for (let event = this.#events.shift(); event; event = this.#events.shift()) yield event;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
  /** The gateway hears it from `events()`. */
  emit(event: NodeEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  /** A tensor of `bytes` passes whole, from its beginning to its end. */
  pass(topic: string, bytes: Uint8Array, more: Partial<TrafficStream> = {}): TrafficStream {
    const startedAtMs = Date.now();
    const stream: MutableStream = {
      id: ++this.#lastId,
      direction: "in",
      peer: PEER,
      streamId: 1,
      transferId: undefined,
      topic,
      dtype: "uint8",
      shape: [bytes.length],
      totalBytes: bytes.length,
      metadata: undefined,
      priority: 128,
      startedAtMs,
      endedAtMs: undefined,
      movedBytes: 0,
      state: "live",
      error: undefined,
      digest: undefined,
      cuts: 0,
      ...more,
    };
    this.observer?.started?.(stream);
    stream.movedBytes = bytes.length;
    this.observer?.data?.(stream, bytes, 0);
    stream.state = "done";
    stream.endedAtMs = more.endedAtMs ?? startedAtMs;
    this.observer?.ended?.(stream);
    return stream;
  }
}

async function* nothing(): AsyncGenerator<never> {}

/** A gateway to a fake node, closed at the end of its scope. */
export function fakeGateway(options: GatewayOptions = {}): Disposable & { node: FakeNode; gateway: Gateway } {
  const node = new FakeNode();
  const gateway = createGateway(node as unknown as GatewayNode, options); // as far as it is used
  return { node, gateway, [Symbol.dispose]: () => gateway.close() };
}

/** A request as a program on this machine sends it. */
export function ask(
  gateway: Gateway,
  path: string,
  init: RequestInit = {},
  left?: AbortSignal,
): Promise<Response> {
  const request = new Request(`http://localhost${path}`, init);
  return Promise.resolve(gateway.fetch(request, { address: "127.0.0.1", left }));
}

/** What a peer that has taken it all answers. */
export function verified(bytes: number): SendOutcome[] {
  const report = { streamId: 1, bytes, delivery: "verified", digest: "crc32:00000000" };
  return [{ peer: PEER, report, error: undefined }] as unknown as SendOutcome[]; // what the gateway reads of them
}
