/** Two gateways in one process, one of which asks for tokens: neither knows of the other, and each ends alone. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createGateway, makeToken, type Scope, serveGateway, tokenHash } from "../../gateway/mod.ts";
import { join } from "../../src/mod.ts";
import { getBytes, problemOf } from "./pair.ts";

const record = (token: string, scopes: Scope[]) => ({
  hash: tokenHash(token),
  scopes,
  name: "test",
  createdAt: new Date(0).toISOString(),
});

test("two gateways serve two nodes of one process, each with its own clients, tokens and end", async () => {
  const apiKey = randomBytes(32).toString("hex");
  const options = { apiKey, host: "127.0.0.1", discovery: false };
  await using a = await join(options);
  await using b = await join({ ...options, peers: [`127.0.0.1:${a.port}`] });
  await Promise.all([a.peers.wait(1), b.peers.wait(1)]);
  const [reader, sender] = [makeToken(), makeToken()];
  const tokens = [record(reader, ["read"]), record(sender, ["inject"])];
  const open = await serveGateway(createGateway(a, { takes: true }), { port: 0 });
  const guarded = await serveGateway(createGateway(b, { takes: true, tokens }), { port: 0 });

  const ask = (headers: Record<string, string>, path = "/v1/peers", method = "GET") =>
    fetch(guarded.url + path, { method, headers, ...(method === "POST" ? { body: "abc" } : {}) });
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const wrong: [what: Record<string, string>, status: number, path?: string, method?: string][] = [
    [{}, 401],
    [bearer(makeToken()), 401],
    [bearer(`${reader}x`), 401],
    [bearer(reader.slice(0, -1)), 401],
    [bearer("x".repeat(5000)), 401],
    [{ authorization: `Basic ${btoa(`a:${reader}`)}` }, 401],
    [{ authorization: "Bearer" }, 401],
    // A token in the query is for event streams only: it would be in logs, and in the Referer of pages.
    [{}, 401, `/v1/peers?access_token=${reader}`],
    [bearer(reader), 403, "/v1/topics/x", "POST"],
    [bearer(reader), 403, "/v1/events"],
    [bearer(sender), 403, "/v1/events"],
  ];
  for (const [headers, status, path, method] of wrong) {
    const problem = await problemOf(await ask(headers, path, method));
    assert.equal(problem.status, status, JSON.stringify([headers, path]).slice(0, 100));
    assert.doesNotMatch(problem.detail, new RegExp(`${reader}|${sender}`));
  }
  const health = (await (await ask({}, "/v1/health")).json()) as object;
  assert.deepEqual(health, { live: true, ready: true });
  assert.equal((await ask(bearer(reader))).status, 200);
  const sent = await ask(bearer(sender), "/v1/topics/from%2Fb", "POST");
  assert.equal(sent.status, 200, await sent.clone().text());
  assert.equal(Buffer.from(await getBytes(`${open.url}/v1/topics/from%2Fb/latest.bin`)).toString(), "abc");

  await guarded.close();
  await assert.rejects(fetch(guarded.url));
  assert.equal((await fetch(`${open.url}/v1/health`)).status, 200);
  await open.close();
  assert.equal(b.peers.list().length, 1, "the nodes go on");
});

test("off loopback a gateway without tokens does not listen", async () => {
  await using node = await join({
    apiKey: randomBytes(32).toString("hex"),
    host: "127.0.0.1",
    discovery: false,
  });
  const gateway = createGateway(node);
  await assert.rejects(serveGateway(gateway, { host: "0.0.0.0", port: 0 }), { code: "ASOC_CONFIG" });
  gateway.close();
});
