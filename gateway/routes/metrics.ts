/** Counters in Prometheus' text form. No label has values that clients or peers choose. */
import { Counter, Gauge, type Metric, Registry } from "prom-client";
import { addRoute, type GatewayApp } from "../http.ts";
import type { GatewayState } from "../state.ts";

export function addMetricsRoutes(app: GatewayApp, state: GatewayState): void {
  const registry = makeRegistry(state);
  for (const path of ["/v1/metrics", "/metrics"]) {
    addRoute(
      app,
      state,
      {
        method: "get",
        path,
        summary: "Counters for Prometheus",
        tag: "node",
        scope: "read",
        answer: ["text/plain"],
        timedAs: "metrics",
        hidden: path === "/metrics",
      },
      async () =>
        new Response(await registry.metrics(), {
          headers: { "content-type": registry.contentType, "cache-control": "no-store" },
        }),
    );
  }
}

type Value = readonly [labels: Record<string, string>, value: number];
type Values = Iterable<Value>;

function makeRegistry(state: GatewayState): Registry {
  const registry = new Registry();
  registry.registerMetric(state.latencies.streams);
  registry.registerMetric(state.latencies.requests);
  const registers = [registry];
  const { node, recorder } = state;
  const none = {};

  const add = (
    kind: typeof Counter | typeof Gauge,
    name: string,
    help: string,
    values: () => Values,
    labelNames: string[] = [],
  ): Metric =>
    new kind({
      name: `asoc_${name}`,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [labels, value] of values()) this.inc(labels, value);
      },
    });
  const counter = (name: string, help: string, value: () => number) =>
    add(Counter, name, help, () => [[none, value()]]);
  const gauge = (name: string, help: string, value: () => number) =>
    add(Gauge, name, help, () => [[none, value()]]);

  const { counts } = recorder;
  add(
    Counter,
    "stream_bytes_total",
    "Tensor bytes of streams that have ended",
    () => directions(counts.bytesIn, counts.bytesOut),
    ["direction"],
  );
  add(
    Counter,
    "streams_total",
    "Streams that have started",
    () => directions(counts.startedIn, counts.startedOut),
    ["direction"],
  );
  add(
    Counter,
    "streams_failed_total",
    "Streams that have failed",
    () => directions(counts.failedIn, counts.failedOut),
    ["direction"],
  );
  gauge("streams_live", "Streams under way", () => recorder.liveStreams);
  gauge("peers", "Peers with an open connection", () => node.peers.list().length);
  gauge("topics", "Topics that are remembered", () => recorder.topicCount);
  gauge("connections", "Open connections", () => node.stats.connections);
  add(
    Counter,
    "payload_bytes_total",
    "Payload bytes of frames",
    () => directions(node.stats.payloadBytesIn, node.stats.payloadBytesOut),
    ["direction"],
  );
  add(Counter, "frames_total", "Frames", () => directions(node.stats.framesIn, node.stats.framesOut), [
    "direction",
  ]);
  counter("control_frames_total", "Control frames that came", () => node.stats.controlFrames);
  counter(
    "unknown_frames_total",
    "Frames of unknown types that were passed over",
    () => node.stats.unknownFrames,
  );
  counter("credit_stalls_total", "Times a stream waited for credit", () => node.stats.creditStalls);
  counter("copied_bytes_total", "Payload bytes that were copied on arrival", () => node.stats.copiedBytes);
  add(
    Counter,
    "handshakes_total",
    "Connections that became peers, and those that did not, by why",
    () => handshakeValues(state),
    ["outcome", "reason"],
  );
  add(
    Counter,
    "refused_connections_total",
    "Connections that were not let in, by the code of why",
    () => labelled("code", state.refusals),
    ["code"],
  );
  add(
    Counter,
    "audit_events_total",
    "Security events, by name, outcome and the code of why (RFC-0103)",
    () => auditValues(state),
    ["what", "outcome", "reason"],
  );
  counter(
    "audit_dropped_total",
    "Security events that readers were too slow for",
    () => node.stats.auditDropped ?? 0,
  );
  add(Counter, "beacons_refused_total", "Beacons that were refused, by why", () => beaconValues(state), [
    "reason",
  ]);
  gauge("memory_used_bytes", "Tensor memory in use", () => node.stats.memoryUsedBytes);
  gauge("memory_idle_bytes", "Tensor memory that waits to be used again", () => node.stats.memoryIdleBytes);
  add(
    Counter,
    "buffers_total",
    "Tensor buffers, used again and fresh",
    () =>
      labelled(
        "kind",
        new Map([
          ["reused", node.stats.buffersReused],
          ["fresh", node.stats.buffersAllocated],
        ]),
      ),
    ["kind"],
  );
  gauge("gateway_recent_bytes", "Bytes of recent tensors in memory", () => recorder.recent.usedBytes);
  gauge("gateway_recent_tensors", "Recent tensors in memory", () => recorder.recent.count);
  counter(
    "gateway_recent_evicted_total",
    "Recent tensors that made room for newer ones",
    () => recorder.recent.evicted,
  );
  counter(
    "gateway_recent_skipped_total",
    "Tensors that came too fast to be kept",
    () => recorder.recent.skipped,
  );
  counter(
    "gateway_recent_refused_total",
    "Tensors that there was no room for",
    () => recorder.recent.refused,
  );
  gauge(
    "gateway_lent_bytes",
    "Bytes of tensors that have made room and are still being downloaded",
    () => recorder.recent.lentBytes,
  );
  gauge("gateway_downloads", "Downloads of more than one piece under way", () => state.downloads);
  counter(
    "gateway_downloads_stalled_total",
    "Downloads that were cut off because their clients took nothing",
    () => state.downloadsStalled,
  );
  gauge("gateway_event_clients", "Clients that listen to events", () => state.sse.size);
  counter(
    "gateway_event_clients_refused_total",
    "Clients of events that were too many",
    () => state.sse.refused,
  );
  gauge("gateway_taps", "Clients that tap bytes", () => state.taps);
  counter("gateway_tap_dropped_total", "Tensors that taps have missed", () => state.tapDropped);
  counter(
    "gateway_feed_dropped_total",
    "Tensors that came faster than clients could be told of",
    () => state.feed.dropped,
  );
  counter("gateway_events_dropped_total", "Events that clients have missed", () => state.sse.dropped);
  counter(
    "gateway_stream_events_dropped_total",
    "Stream events above those of one second",
    () => state.streamEventsDropped,
  );
  gauge("gateway_uploads", "Uploads under way", () => state.uploads);
  gauge("gateway_waiters", "Requests that wait for the next tensor", () => state.waiters);
  counter(
    "gateway_connections_refused_total",
    "Connections of clients that were too many",
    () => state.connectionsRefused,
  );
  counter("gateway_rate_limited_total", "Requests that were too many", () => state.rate.refused);
  add(
    Counter,
    "gateway_requests_total",
    "Requests, by method and class of status",
    () => requestValues(state),
    ["method", "status"],
  );
  add(
    Counter,
    "gateway_problems_total",
    "Requests that were refused or failed, by the code of why",
    () => problemValues(state),
    ["code"],
  );
  return registry;
}

function directions(inValue: number, outValue: number): Values {
  return [
    [{ direction: "in" }, inValue],
    [{ direction: "out" }, outValue],
  ];
}

function labelled(label: string, values: ReadonlyMap<string, number>): Values {
  return [...values].map(([key, value]) => [{ [label]: key }, value] as const);
}

function requestValues(state: GatewayState): Values {
  return [...state.requests].map(([key, value]) => {
    const [method = "", status = ""] = key.split(" ");
    return [{ method, status }, value] as const;
  });
}

/** Reasons of the node that are no codes; all others are "other". */
const REASONS = new Map([
  ["blocked", "blocked"],
  ["too many attempts", "attempts"],
  ["too many handshakes", "handshakes"],
  ["too many TLS handshakes", "tls-handshakes"],
  ["too many connections", "connections"],
]);

/** The node counts refusals since its start, also those at its door that have no error. */
function* handshakeValues({ node, handshakesAccepted }: GatewayState): Generator<Value, void, undefined> {
  yield [{ outcome: "accepted", reason: "" }, handshakesAccepted];
  for (const [name, value] of Object.entries(node.stats.refusedConnections)) {
    const reason = REASONS.get(name) ?? (/^ASOC_[A-Z_]{1,40}$/.test(name) ? name : "other");
    yield [{ outcome: "refused", reason }, value];
  }
}

/** As many as there are names and codes. */
function auditValues({ node }: GatewayState): Values {
  return (node.stats.audited ?? []).map(
    ({ what, outcome, reason = "", count }) => [{ what, outcome, reason }, count] as const,
  );
}

function beaconValues({ node }: GatewayState): Values {
  return [...(node.stats.refusedBeacons ?? [])].map(([reason, { count }]) => [{ reason }, count] as const);
}

/** Those of routes, and those that did not get as far. */
function problemValues({ problems, hosts, rate }: GatewayState): Values {
  const all = new Map(problems);
  all.set("GATEWAY_FORBIDDEN_HOST", hosts.refusedHosts);
  all.set("GATEWAY_FORBIDDEN_ORIGIN", hosts.refusedOrigins);
  all.set("GATEWAY_RATE_LIMITED", rate.refused);
  return labelled("code", all);
}
