/**
 * What all routes of one gateway share: the node, what is known of its traffic, who listens, who may come in.
 * It watches the node from its making on until `close`.
 */
import { randomBytes } from "node:crypto";
import type { UpgradeWebSocket } from "hono/ws";
import { formatAddress, type IncomingStream, type NodeEvent } from "../src/mod.ts";
import { Hosts } from "./access/hosts.ts";
import { RequestRate } from "./access/rate.ts";
import { Tokens } from "./access/tokens.ts";
import { plain } from "./errors.ts";
import { EventLog } from "./events/event_log.ts";
import { SseClients } from "./events/sse.ts";
import { TensorFeed } from "./events/tensor_feed.ts";
import { Latencies } from "./latencies.ts";
import { type GatewayLimits, gatewayLimits } from "./limits.ts";
import type { GatewayOptions } from "./options.ts";
import type { Entry } from "./traffic/entry.ts";
import { peerJson, streamJson, timeText } from "./traffic/json.ts";
import { Rates } from "./traffic/peer_counters.ts";
import { TrafficRecorder } from "./traffic/recorder.ts";
import type { GatewayNode } from "./traffic/traffic.ts";

const SECOND_MS = 1000;

export class GatewayState {
  readonly node: GatewayNode;
  readonly name: string | undefined;
  readonly limits: GatewayLimits;
  readonly tokens: Tokens;
  readonly hosts: Hosts;
  readonly rate: RequestRate;
  readonly recorder: TrafficRecorder;
  readonly rates: Rates;
  readonly log: EventLog;
  readonly sse: SseClients;
  readonly feed: TensorFeed;
  readonly startedAtMs = Date.now();
  /** Tells this run from others: ids of events begin with it. */
  readonly boot = randomBytes(6).toString("hex");
  /** Aborts when the gateway closes. */
  readonly closing = new AbortController();
  /** How the server at hand takes WebSockets; undefined: it does not. */
  upgrade: UpgradeWebSocket | undefined;
  /** Connections above the limit. */
  connectionsRefused = 0;
  taps = 0;
  uploads = 0;
  /** Those that are too large for one piece. */
  downloads = 0;
  /** Downloads that were cut off, since their clients took nothing. */
  downloadsStalled = 0;
  waiters = 0;
  /** What taps have missed, in tensors. */
  tapDropped = 0;
  /** `stream` events above what a second may have. */
  streamEventsDropped = 0;
  /** Connections that have become peers. */
  handshakesAccepted = 0;
  /** Connections that have not, by the code of why. */
  readonly refusals = new Map<string, number>();
  /** Requests that a route has answered with a problem, by its code. */
  readonly problems = new Map<string, number>();
  readonly latencies = new Latencies();
  /** By method, route and class of status; for metrics. */
  readonly requests = new Map<string, number>();
  readonly #stopObserving: () => void;
  readonly #timer: ReturnType<typeof setInterval>;
  #nodeClosed = false;
  #streamEvents = 0;
  #streamEventsDropped = 0;

  constructor(node: GatewayNode, options: GatewayOptions = {}) {
    this.node = node;
    this.name = options.name;
    this.limits = gatewayLimits(options.limits);
    this.tokens = new Tokens(options.tokens ?? []);
    this.hosts = new Hosts(options.hosts ?? [], options.origins ?? []);
    const { requestsPerSecond, requestBurst, rateAddresses } = this.limits;
    this.rate = new RequestRate(requestsPerSecond, requestBurst, rateAddresses);
    this.log = new EventLog(this.boot, this.limits.history);
    this.sse = new SseClients(this.limits);
    this.feed = new TensorFeed(this.limits.statisticsQueue);
    this.recorder = new TrafficRecorder(this.limits, {
      onStarted: (entry) => this.#streamEvent("started", entry),
      onEnded: (entry) => {
        this.#streamEvent("ended", entry);
        const { state, direction, startedAtMs, endedAtMs } = entry.stream;
        if (state === "done" && endedAtMs !== undefined)
          this.latencies.streamDone(direction, endedAtMs - startedAtMs);
      },
      onWhole: (entry) => this.feed.whole(entry),
    });
    this.rates = new Rates(this.recorder.peers, this.limits.historySeconds, this.startedAtMs);
    for (const peer of node.peers.list()) this.recorder.peers.joined(peer.id, this.startedAtMs);
    this.#stopObserving = node.observe(this.recorder);
    void this.#watch();
    if (options.takes) void this.#take();
    this.#timer = setInterval(() => this.#second(), SECOND_MS);
    (this.#timer as { unref?: () => void }).unref?.(); // it keeps no program alive
  }

  /** The node is open. */
  get ready(): boolean {
    return !this.#nodeClosed && !this.closing.signal.aborted;
  }

  close(): void {
    if (this.closing.signal.aborted) return;
    this.closing.abort();
    clearInterval(this.#timer);
    this.#stopObserving();
    this.sse.close();
  }

  #streamEvent(kind: "started" | "ended", entry: Entry): void {
    if (this.#streamEvents >= this.limits.streamEventsPerSecond) {
      this.#streamEventsDropped++;
      this.streamEventsDropped++;
      return;
    }
    this.#streamEvents++;
    this.log.add("stream", () => ({ kind, stream: streamJson(entry) }));
  }

  #second(): void {
    const { atMs, inBytes, outBytes, liveStreams, peers } = this.rates.take(Date.now());
    this.#streamEvents = 0;
    const dropped = this.#streamEventsDropped;
    this.#streamEventsDropped = 0;
    if (dropped > 0) this.log.add("dropped", () => ({ count: dropped }));
    this.log.add("rates", () => ({
      at: timeText(atMs),
      peers: [...peers].map(([id, [came, went]]) => ({
        id,
        inBytesPerSecond: came,
        outBytesPerSecond: went,
      })),
      inBytesPerSecond: inBytes,
      outBytesPerSecond: outBytes,
      liveStreams,
    }));
  }

  async #watch(): Promise<void> {
    for await (const event of this.node.events()) {
      if (this.closing.signal.aborted) return;
      this.#onNodeEvent(event);
    }
    this.#nodeClosed = true;
  }

  #onNodeEvent(event: NodeEvent): void {
    const { peers } = this.recorder;
    if (event.kind === "joined") {
      this.handshakesAccepted++;
      peers.joined(event.peer.id, Date.now());
    }
    if (event.kind === "named") peers.named(event.was, event.peer.id);
    if (event.kind === "joined" || event.kind === "left" || event.kind === "named") {
      const { kind } = event;
      const more =
        event.kind === "left"
          ? { reason: plain(event.reason) }
          : event.kind === "named"
            ? { was: event.was }
            : {};
      this.log.add("peer", () => ({ kind, peer: peerJson(event.peer, peers), ...more }));
    }
    if (event.kind === "refused") {
      const code = event.error?.code ?? "ASOC_HANDSHAKE_REFUSED";
      this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1); // as many as there are codes
      const at = timeText(Date.now());
      this.log.add("refused", () => ({
        at,
        address: formatAddress(event.address),
        code,
        reason: plain(event.error?.message ?? event.reason),
        nodeId: event.nodeId ?? null,
      }));
    }
  }

  async #take(): Promise<void> {
    for await (const stream of this.node.incoming) void drain(stream);
  }
}

/** Reads a stream to its end; why it failed is told elsewhere. */
async function drain(stream: IncomingStream): Promise<void> {
  try {
    for await (const _ of stream.chunks());
  } catch {
    // a failed stream is an event of the node
  }
}
