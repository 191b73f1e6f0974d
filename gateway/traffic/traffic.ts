/** What the gateway sees of a node: its public API, of which a test needs to stand in for no more than this. */
import type { AsocNode, NodeEvent, NodeStats, Peer, PeerEvent } from "../../src/mod.ts";

/** One tensor on its way, in or out: a live object, whose numbers move. */
export interface TrafficStream {
  /** Unique in this node since its start. */
  readonly id: number;
  readonly direction: "in" | "out";
  readonly peer: Peer;
  /** The wire's; 0 until known. */
  readonly streamId: number;
  /** Hexadecimal; the same for all targets of one `sendAll`. Undefined with v1. */
  readonly transferId: string | undefined;
  readonly topic: string;
  readonly dtype: string | undefined;
  readonly shape: readonly number[];
  readonly totalBytes: number | undefined;
  readonly metadata: unknown;
  readonly priority: number;
  /** Unix time, as is `endedAtMs`. */
  readonly startedAtMs: number;
  readonly endedAtMs: number | undefined;
  readonly movedBytes: number;
  readonly state: "live" | "done" | "failed";
  /** Why it failed. */
  readonly error: unknown;
  /** Such as "crc32:0a1b2c3d", once done, where there is one. */
  readonly digest: string | undefined;
  /** Connections that broke under it. */
  readonly cuts: number;
}

export interface TrafficObserver {
  /** True: its bytes are wanted too, through `data`. */
  // biome-ignore lint/suspicious/noConfusingVoidType: an observer that wants no bytes need not return anything
  started?(stream: TrafficStream): boolean | void;
  /** `bytes` are valid during the call only. In order, without gaps, from offset 0; possibly all at once. */
  data?(stream: TrafficStream, bytes: Uint8Array, offset: number): void;
  ended?(stream: TrafficStream): void;
}

/** A node, as far as the gateway uses it. */
export interface GatewayNode
  extends Pick<AsocNode, "id" | "address" | "community" | "runtime" | "incoming" | "findPeer" | "sendAll"> {
  readonly stats: NodeStats;
  readonly peers: { list(): readonly Peer[]; events(): AsyncIterable<PeerEvent> };
  events(): AsyncIterable<NodeEvent>;
  observe(observer: TrafficObserver): () => void;
  traffic(): readonly TrafficStream[];
}
