/** The app without a server: access, headers, limits, and what it says of errors inside. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createGateway, type GatewayOptions, makeToken, type Scope, tokenHash } from "../../gateway/mod.ts";
import { FakeNode, PEER, pass } from "./fake_node.ts";

function made(options: GatewayOptions = {}) {
  const node = new FakeNode();
  const gateway = createGateway(node, options);
  const ask = (path: string, init: RequestInit = {}, address = "127.0.0.1") => {
    const headers = new Headers(init.headers);
    if (!headers.has("host")) headers.set("host", "localhost:8080");
    return gateway.fetch(new Request(`http://localhost:8080${path}`, { ...init, headers }), { address });
  };
  const code = async (path: string, init: RequestInit = {}) =>
    ((await (await ask(path, init)).json()) as { code: string }).code;
  return { node, gateway, ask, code, [Symbol.dispose]: () => gateway.close() };
}

function tokenWith(...scopes: Scope[]) {
  const token = makeToken();
  return { token, record: { hash: tokenHash(token), scopes, name: "", createdAt: new Date().toISOString() } };
}

test("every route asks for the scope that it needs, and for no token where there are none", async () => {
  const [reader, tapper, sender] = [tokenWith("read"), tokenWith("tap"), tokenWith("inject")];
  using guarded = made({ tokens: [reader.record, tapper.record, sender.record] });
  const status = async (path: string, token?: string, method = "GET") => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const response = await guarded.ask(path, {
      method,
      headers,
      ...(method === "POST" ? { body: "{}" } : {}),
    });
    await response.body?.cancel();
    return response.status;
  };
  assert.equal(await status("/v1/peers"), 401);
  assert.equal(await status("/v1/peers", "asoc_wrong"), 401);
  assert.equal(await status("/v1/peers", reader.token), 200);
  assert.equal(await status("/v1/events", reader.token), 403);
  assert.equal(await status("/v1/events", tapper.token), 200);
  assert.equal(await status("/v1/topics/x", tapper.token, "POST"), 403);
  assert.equal(await status("/v1/peers/nobody/streams", sender.token, "POST"), 404);
  assert.equal(await status("/metrics"), 401);
  assert.equal(await status("/v1/openapi.json"), 200);
  assert.equal(await status(`/v1/events?access_token=${tapper.token}`), 200);
  assert.equal(await status(`/v1/peers?access_token=${reader.token}`), 401);
  const health = (await (await guarded.ask("/v1/health")).json()) as object;
  assert.deepEqual(health, { live: true, ready: true });
  using open = made();
  assert.equal((await open.ask("/v1/peers")).status, 200);
});

test("every answer has the headers that keep a browser safe", async () => {
  using gateway = made({ origins: ["https://page.example"] });
  for (const path of ["/v1/peers", "/nothing", "/v1/streams/1/data", "/docs"]) {
    const { headers } = await gateway.ask(path);
    assert.match(headers.get("content-security-policy") ?? "", /^default-src 'self';/, path);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("access-control-allow-origin"), null);
  }
  const allowed = await gateway.ask("/v1/peers", { headers: { origin: "https://page.example" } });
  assert.equal(allowed.headers.get("access-control-allow-origin"), "https://page.example");
  const preflight = await gateway.ask("/v1/topics/x", {
    method: "OPTIONS",
    headers: { origin: "https://page.example", "access-control-request-method": "POST" },
  });
  assert.equal(preflight.status, 204);
  assert.equal(
    await gateway.code("/v1/peers", { headers: { origin: "https://evil.example" } }),
    "GATEWAY_FORBIDDEN_ORIGIN",
  );
  assert.equal(
    await gateway.code("/v1/peers", { headers: { host: "evil.example" } }),
    "GATEWAY_FORBIDDEN_HOST",
  );
});

test("an error inside says nothing of the inside", async () => {
  using gateway = made();
  const response = await gateway.ask("/v1/topics/x", { method: "POST", body: "abc" });
  assert.equal(response.status, 500);
  const text = await response.text();
  assert.doesNotMatch(text, /secret/);
  assert.match(text, /GATEWAY_FAILED/);
});

test("too many requests of one address are refused, and others are not", async () => {
  using gateway = made({ limits: { requestBurst: 3, requestsPerSecond: 0 } });
  for (let count = 0; count < 3; count++) assert.equal((await gateway.ask("/v1/health")).status, 200);
  const refused = await gateway.ask("/v1/health");
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "1");
  assert.equal((await gateway.ask("/v1/health", {}, "10.0.0.9")).status, 200);
});

test("a gateway that closes ends its clients, and answers that it has", async () => {
  const gateway = made();
  const events = await gateway.ask("/v1/events");
  const tap = await gateway.ask("/v1/topics/**/stream");
  const waiting = gateway.ask("/v1/topics/x/next");
  const endOf = async (response: Response) => {
    for await (const _ of response.body as unknown as AsyncIterable<Uint8Array>);
  };
  const ends = [endOf(events), endOf(tap)];
  gateway.gateway.close();
  await Promise.all(ends);
  assert.equal((await waiting).status, 503);
  assert.equal(await gateway.code("/v1/peers"), "GATEWAY_CLOSED");
  assert.equal(gateway.node.observers.size, 0);
  assert.deepEqual([gateway.gateway.state.taps, gateway.gateway.state.waiters], [0, 0]);
});

test("a client that leaves its tap or its events gives its place back", async () => {
  using gateway = made({ limits: { maxTaps: 1, maxSseClients: 1 } });
  for (const path of ["/v1/topics/**/stream", "/v1/events", "/v1/topics/**/events"]) {
    for (let round = 0; round < 3; round++) {
      const response = await gateway.ask(path);
      assert.equal(response.status, 200, path);
      assert.equal((await gateway.ask(path)).status, 503);
      await response.body?.cancel();
    }
  }
  assert.equal(gateway.gateway.state.feed.listeners, 0);
  assert.equal(gateway.gateway.state.log.listeners, 0);
});

test("more stream events than a client could follow become a count", async () => {
  using gateway = made({ limits: { streamEventsPerSecond: 10 } });
  const response = await gateway.ask("/v1/events");
  for (let index = 0; index < 50; index++) pass(gateway.node.observer, { topic: "many" }, new Uint8Array(1));
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(part, { stream: true });
    if (/event: rates/.test(text)) break;
  }
  assert.equal(text.match(/event: stream\n/g)?.length, 10);
  assert.match(text, /event: dropped\ndata: \{"count":90\}/);
});

test("hostile globs and topics cost little and break nothing", async () => {
  using gateway = made();
  for (let index = 0; index < 200; index++)
    pass(gateway.node.observer, { topic: "a".repeat(200) + index }, new Uint8Array(1));
  const startMs = performance.now();
  const bomb = encodeURIComponent(`${"*a".repeat(120)}b`);
  assert.equal((await gateway.ask(`/v1/streams?topic=${bomb}&limit=2000`)).status, 200);
  assert.ok(performance.now() - startMs < 5000);
  for (const topic of ["%00", "%ff", "..%2F..%2Fetc", "%25", "__proto__", "a%0d%0ab", "%F0%9F%A6%80"]) {
    const response = await gateway.ask(`/v1/topics/${topic}/latest`);
    assert.equal(response.status, 404, topic);
    await response.body?.cancel();
  }
  for (const path of ["/assets/..%2F..%2Fmod.ts", "/assets/%2e%2e/mod.ts", "/assets/.hidden", "/assets/a//b"])
    assert.equal((await gateway.ask(path)).status, 404, path);
  pass(gateway.node.observer, { topic: "__proto__" }, new Uint8Array(1));
  assert.equal((await gateway.ask("/v1/topics/__proto__/latest.bin")).status, 200);
});

test("a peer is given with null for what is not known", async () => {
  using gateway = made();
  const peer = (await (await gateway.ask(`/v1/peers/${PEER.id}`)).json()) as Record<string, unknown>;
  assert.equal(peer.clockSkewMs, null);
  assert.equal(peer.runtime, null);
  assert.equal(peer.roundTripMs, 1.5);
  assert.ok(Object.values(peer).every((value) => value !== undefined));
});
