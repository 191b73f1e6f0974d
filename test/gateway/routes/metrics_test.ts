/** What Prometheus reads. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { AsocError } from "../../../src/mod.ts";
import { ask, fakeGateway, PEER } from "../stub_node.ts";

async function metricsOf(gateway: Parameters<typeof ask>[0]): Promise<string> {
  return await (await ask(gateway, "/v1/metrics")).text();
}

function has(text: string, line: string): void {
  assert.ok(text.split("\n").includes(line), `no ${line} in\n${text.slice(0, 8000)}`);
}

test("metrics count handshakes by outcome and reason, and reasons of no code as one of a few", async () => {
  using fake = fakeGateway();
  const { gateway, node } = fake;
  node.emit({ kind: "joined", peer: PEER });
  node.stats.refusedConnections = {
    ASOC_WRONG_KEY: 2,
    "too many attempts": 3,
    "too many TLS handshakes": 6,
    'a stranger\'s "words"': 4,
    "and more of them": 1,
  };
  await nextTurn();
  const text = await metricsOf(gateway);
  has(text, 'asoc_handshakes_total{outcome="accepted",reason=""} 1');
  has(text, 'asoc_handshakes_total{outcome="refused",reason="ASOC_WRONG_KEY"} 2');
  has(text, 'asoc_handshakes_total{outcome="refused",reason="attempts"} 3');
  has(text, 'asoc_handshakes_total{outcome="refused",reason="tls-handshakes"} 6');
  has(text, 'asoc_handshakes_total{outcome="refused",reason="other"} 5');
});

test("metrics tell the node's pool", async () => {
  using fake = fakeGateway();
  Object.assign(fake.node.stats, {
    memoryUsedBytes: 10,
    memoryIdleBytes: 20,
    buffersReused: 3,
    buffersAllocated: 4,
  });
  const text = await metricsOf(fake.gateway);
  has(text, "asoc_memory_used_bytes 10");
  has(text, "asoc_memory_idle_bytes 20");
  has(text, 'asoc_buffers_total{kind="reused"} 3');
  has(text, 'asoc_buffers_total{kind="fresh"} 4');
});

test("metrics have the durations of streams by direction", async () => {
  using fake = fakeGateway();
  const startedAtMs = Date.now() - 500;
  fake.node.pass("t", new Uint8Array(1), { startedAtMs, endedAtMs: startedAtMs + 200 });
  fake.node.pass("t", new Uint8Array(1), { startedAtMs, endedAtMs: startedAtMs + 5, direction: "out" });
  const text = await metricsOf(fake.gateway);
  has(text, 'asoc_stream_duration_seconds_bucket{le="0.1",direction="in"} 0');
  has(text, 'asoc_stream_duration_seconds_bucket{le="0.25",direction="in"} 1');
  has(text, 'asoc_stream_duration_seconds_sum{direction="in"} 0.2');
  has(text, 'asoc_stream_duration_seconds_count{direction="out"} 1');
});

test("metrics have the time of requests by class, without those that wait", async () => {
  using fake = fakeGateway();
  const { gateway, node } = fake;
  node.pass("t", new Uint8Array(1));
  await ask(gateway, "/v1/node");
  await ask(gateway, "/v1/peers");
  await ask(gateway, "/v1/topics/t/latest.npy");
  await ask(gateway, "/v1/topics/t/next?timeoutMs=0");
  const text = await metricsOf(gateway);
  has(text, 'asoc_gateway_request_duration_seconds_count{class="facts"} 2');
  has(text, 'asoc_gateway_request_duration_seconds_count{class="tensor"} 1');
});

test("metrics count problems by their code, wherever a request was refused", async () => {
  using fake = fakeGateway({ limits: { maxTaps: 0 } });
  const { gateway, node } = fake;
  node.sendAll = () => Promise.reject(new AsocError("ASOC_CLOSED", "Cannot send: the node is closed"));
  await ask(gateway, "/v1/peers/nobody");
  await ask(gateway, "/v1/topics/t/stream");
  await ask(gateway, "/v1/node", { headers: { host: "example.org" } });
  await ask(gateway, "/v1/node", { headers: { origin: "https://example.org" } });
  await ask(gateway, "/v1/topics/t", { method: "POST", body: "x" });
  const text = await metricsOf(gateway);
  for (const code of ["UNKNOWN_PEER", "TOO_MANY_CLIENTS", "FORBIDDEN_HOST", "FORBIDDEN_ORIGIN"])
    has(text, `asoc_gateway_problems_total{code="GATEWAY_${code}"} 1`);
  has(text, 'asoc_gateway_problems_total{code="GATEWAY_RATE_LIMITED"} 0');
});

test("metrics count security events by name, outcome and code, and refused beacons by why", async () => {
  using fake = fakeGateway();
  const { gateway, node } = fake;
  node.stats.audited = [
    { what: "handshake.refused", outcome: "refused", reason: "ASOC_WRONG_KEY", count: 3 },
    { what: "handshake.accepted", outcome: "accepted", reason: undefined, count: 2 },
  ];
  node.stats.auditDropped = 4;
  node.stats.refusedBeacons = new Map([["table", { count: 5, lastAddress: "192.0.2.1" }]]);
  const text = await metricsOf(gateway);
  has(text, 'asoc_audit_events_total{what="handshake.refused",outcome="refused",reason="ASOC_WRONG_KEY"} 3');
  has(text, 'asoc_audit_events_total{what="handshake.accepted",outcome="accepted",reason=""} 2');
  has(text, "asoc_audit_dropped_total 4");
  has(text, 'asoc_beacons_refused_total{reason="table"} 5');
});
