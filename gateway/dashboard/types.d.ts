/** What the dashboard reads of the gateway's JSON (RFC-0300). Times named `…At` and `since` are ISO 8601. */

export interface NodeInfo {
  id: string;
  name?: string | null;
  community: string;
  address: string;
  runtime: string;
  version: string;
  startedAt: string;
}

export interface Peer {
  id: string;
  nodeId: string | null;
  name?: string | null;
  address: string;
  runtime: string | null;
  protocol: string;
  since: string | null;
  roundTripMs: number | null;
  clockSkewMs: number | null;
  receivedBytes: number;
  sentBytes: number;
  receivedStreams: number;
  sentStreams: number;
  liveStreams: number;
}

export type StreamState = "live" | "done" | "failed";

export interface Stream {
  id: number | string;
  direction: "in" | "out";
  peer: string;
  streamId: number;
  transferId: string | null;
  topic: string;
  dtype: string | null;
  shape: number[];
  totalBytes: number | null;
  movedBytes: number;
  state: StreamState;
  priority: number;
  startedAt: string;
  endedAt: string | null;
  durationMs: number | null;
  bytesPerSecond: number | null;
  digest: string | null;
  error: { code: string; message: string } | null;
  cuts: number;
  available: boolean;
  metadata: unknown;
}

export interface Topic {
  topic: string;
  count: number;
  bytes: number;
  lastAt: string;
  lastStream: number | string;
  dtype: string | null;
  shape: number[];
  available: boolean;
}

/** One second of traffic, as `/v1/history` and the event `rates` tell it; rates in bytes per second. */
export interface History {
  seconds: { at: string; in: number; out: number; live: number }[];
  peers: Record<string, [number, number][]>;
}

export interface Rates {
  at: string;
  peers: { id: string; inBytesPerSecond: number; outBytesPerSecond: number }[];
  inBytesPerSecond: number;
  outBytesPerSecond: number;
  liveStreams: number;
}

export interface Hello {
  nodeId: string;
  startedAt: string;
  lastEventId?: string | null;
}

export interface Histogram {
  from: number;
  to: number;
  counts: number[];
}

/** NaN and infinities are counted; every other figure is over the finite elements that were sampled. */
export interface Stats {
  count: number;
  sampled: number;
  min: number | null;
  max: number | null;
  mean: number | null;
  std: number | null;
  nan: number;
  inf: number;
  zeros?: number;
  l1: number | null;
  l2: number | null;
  maxAbs: number | null;
  histogram: Histogram | null;
}

export interface TensorEvent {
  stream: Stream;
  stats?: Stats | null;
  /** It passed before the page listened. */
  last?: boolean;
}

/** JSON of a tensor or of a slice of it. */
export interface TensorJson {
  topic: string;
  dtype: string;
  shape: number[];
  data: unknown;
}

export type Selection =
  | { readonly kind: "node" }
  | { readonly kind: "peer"; readonly id: string }
  | { readonly kind: "stream"; readonly id: string }
  | { readonly kind: "topic"; readonly id: string };

export interface LogEntry {
  readonly atMs: number;
  readonly what: string;
  readonly detail: string;
}
