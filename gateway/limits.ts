/** Every number that a client of the gateway can push, in one place. Units stand in the names. */

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

export interface GatewayLimits {
  /** Memory for recent tensors; the oldest go first. 0: none is kept. */
  readonly recentBytes: number;
  /**
   * Bytes a second that are copied there, and how much more at once: what comes faster is not kept, so that a stream that
   * fills the link is not slowed by being remembered.
   */
  readonly captureBytesPerSecond: number;
  readonly captureBurstBytes: number;
  /** What downloads may hold beyond that, of tensors that have made room since, before new ones are refused. */
  readonly lentBytes: number;
  /** A download of which its client takes nothing for so long is cut off. */
  readonly downloadStallMs: number;
  /** Ended streams that are listed. */
  readonly endedStreams: number;
  /** Streams whose end is remembered, so that what is gone is told from what never was. */
  readonly goneStreams: number;
  readonly topics: number;
  /** Peers whose counters are kept after they have left. */
  readonly peers: number;
  readonly historySeconds: number;
  /** Events that `Last-Event-ID` can resume from. */
  readonly history: number;
  /** `stream` events a second; what is above is counted in a `dropped` event. */
  readonly streamEventsPerSecond: number;
  readonly maxSseClients: number;
  readonly maxSsePerAddress: number;
  /** Events that wait for one slow client; the oldest go first. */
  readonly sseQueue: number;
  readonly heartbeatMs: number;
  /** Clients that tap bytes, by chunked stream and WebSocket together. */
  readonly maxTaps: number;
  /** One that takes nothing, or a WebSocket that answers no ping, for so long is cut off. */
  readonly tapStallMs: number;
  /** Tensors, and their bytes, that wait for one such client; the oldest go first. One tensor may be larger. */
  readonly tapQueueTensors: number;
  readonly tapQueueBytes: number;
  /** The most that a socket of a WebSocket may hold unsent before the next tensor waits. */
  readonly webSocketAheadBytes: number;
  /** A tensor that an event carries as base64. */
  readonly eventDataBytes: number;
  /** Elements that statistics look at. */
  readonly statisticsSample: number;
  /** Tensors that wait for their statistics; the oldest go without. */
  readonly statisticsQueue: number;
  readonly maxBodyBytes: number;
  readonly maxJsonBytes: number;
  /** A tensor that is given out as JSON, in bytes of the tensor. */
  readonly jsonTensorBytes: number;
  /** Request line and headers, where the runtime lets us choose. */
  readonly maxHeaderBytes: number;
  /** A request may take so long for them, and a connection for the next request, where the runtime lets us choose. */
  readonly headersTimeoutMs: number;
  /** Connections at once, where the runtime tells us of them. */
  readonly maxClientConnections: number;
  readonly maxClientConnectionsPerAddress: number;
  readonly requestsPerSecond: number;
  readonly requestBurst: number;
  /** Addresses whose rate is remembered. */
  readonly rateAddresses: number;
  /** Requests that wait for the next tensor. */
  readonly maxWaiters: number;
  readonly waitMs: number;
  readonly maxWaitMs: number;
  /** Uploads at once. */
  readonly maxUploads: number;
  /** An upload that brings nothing for so long is ended. */
  readonly uploadStallMs: number;
  /** Targets of one injection. */
  readonly maxTargets: number;
  /** Tensors of one safetensors body. */
  readonly maxTensorsPerBody: number;
}

/** Fixed, since they are in the OpenAPI document: characters of a value in a query, and rows of one list. */
export const MAX_QUERY_CHARACTERS = 1024;
export const MAX_ROWS = 2000;

export const DEFAULT_GATEWAY_LIMITS: GatewayLimits = {
  recentBytes: 256 * MiB,
  captureBytesPerSecond: 64 * MiB,
  captureBurstBytes: 256 * MiB,
  lentBytes: 256 * MiB,
  downloadStallMs: 60_000,
  endedStreams: 1000,
  goneStreams: 16_384,
  topics: 4096,
  peers: 1024,
  historySeconds: 60,
  history: 4096,
  streamEventsPerSecond: 500,
  maxSseClients: 1000,
  maxSsePerAddress: 600,
  sseQueue: 1024,
  heartbeatMs: 15_000,
  maxTaps: 64,
  tapStallMs: 180_000,
  tapQueueTensors: 8,
  tapQueueBytes: 64 * MiB,
  webSocketAheadBytes: MiB,
  eventDataBytes: 256 * KiB,
  statisticsSample: 65_536,
  statisticsQueue: 64,
  maxBodyBytes: 8 * GiB,
  maxJsonBytes: 8 * MiB,
  jsonTensorBytes: MiB,
  maxHeaderBytes: 16 * KiB,
  headersTimeoutMs: 10_000,
  maxClientConnections: 4096,
  maxClientConnectionsPerAddress: 2048,
  requestsPerSecond: 1000,
  requestBurst: 2000,
  rateAddresses: 4096,
  maxWaiters: 1024,
  waitMs: 30_000,
  maxWaitMs: 120_000,
  maxUploads: 256,
  uploadStallMs: 60_000,
  maxTargets: 1024,
  maxTensorsPerBody: 4096,
};

/** The defaults with `overrides`. Throws TypeError for a limit that is none, RangeError for a value that cannot be. */
export function gatewayLimits(overrides: Partial<GatewayLimits> = {}): GatewayLimits {
  for (const [name, value] of Object.entries(overrides)) {
    if (!(name in DEFAULT_GATEWAY_LIMITS)) throw new TypeError(`limits.${name}: no such limit`);
    if (typeof value !== "number" || !(value >= 0))
      throw new RangeError(`limits.${name}: expected a number from 0, got ${String(value)}`);
  }
  return { ...DEFAULT_GATEWAY_LIMITS, ...overrides };
}
