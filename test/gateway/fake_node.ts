/** A node without sockets, whose traffic a test makes up. */
import type { GatewayNode, TrafficObserver, TrafficStream } from "../../gateway/mod.ts";
import type { IncomingStream, NodeEvent, NodeStats, Peer, SendOutcome } from "../../src/mod.ts";

export const PEER: Peer = {
  id: "11111111-1111-8111-8111-111111111111",
  nodeId: "11111111-1111-8111-8111-111111111111",
  address: { host: "10.0.0.1", port: 9000 },
  dialledAs: undefined,
  protocol: "x1",
  takesTensors: true,
  roundTripMs: 1.5,
  clockSkewMs: undefined,
};

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
export type FakeStream = Mutable<TrafficStream>;

let lastId = 0;

export function fakeStream(fields: Partial<TrafficStream> = {}): FakeStream {
  return {
    id: ++lastId,
    direction: "in",
    peer: PEER,
    streamId: 1,
    transferId: undefined,
    topic: "",
    dtype: undefined,
    shape: [],
    totalBytes: undefined,
    metadata: undefined,
    priority: 128,
    startedAtMs: Date.now(),
    endedAtMs: undefined,
    movedBytes: 0,
    state: "live",
    error: undefined,
    digest: undefined,
    cuts: 0,
    ...fields,
  };
}

/** A stream that passes whole: begins, has its bytes taken, and ends. */
export function pass(
  observer: TrafficObserver,
  fields: Partial<TrafficStream>,
  bytes: Uint8Array,
): FakeStream {
  const stream = fakeStream({ totalBytes: bytes.length, ...fields });
  const wanted = observer.started?.(stream) === true;
  if (wanted) observer.data?.(stream, bytes, 0);
  end(observer, stream, bytes.length);
  return stream;
}

export function end(
  observer: TrafficObserver,
  stream: FakeStream,
  movedBytes: number,
  error?: unknown,
): void {
  stream.movedBytes = movedBytes;
  stream.endedAtMs = Date.now();
  stream.state = error === undefined ? "done" : "failed";
  stream.error = error;
  observer.ended?.(stream);
}

export class FakeNode implements GatewayNode {
  readonly id = "22222222-2222-8222-8222-222222222222";
  readonly address = { host: "127.0.0.1", port: 9000 };
  readonly community = "test";
  readonly runtime = "fake 1";
  readonly stats = { connections: 1, refusedBeacons: new Map() } as unknown as NodeStats; // what a test asks for
  readonly peers = { list: () => [PEER] };
  readonly observers = new Set<TrafficObserver>();
  readonly incoming: AsyncIterable<IncomingStream> = { [Symbol.asyncIterator]: () => ({ next: never }) };

  events(): AsyncIterable<NodeEvent> {
    return { [Symbol.asyncIterator]: () => ({ next: never }) };
  }
  findPeer(text: string): Peer | undefined {
    return text === PEER.id ? PEER : undefined;
  }
  observe(observer: TrafficObserver): () => void {
    this.observers.add(observer);
    return () => this.observers.delete(observer);
  }
  get observer(): TrafficObserver {
    const [observer] = this.observers;
    if (!observer) throw new Error("nobody observes");
    return observer;
  }
  async sendAll(): Promise<SendOutcome[]> {
    throw new Error("a secret of the inside");
  }
}

function never(): Promise<never> {
  return new Promise(() => {});
}
