/** Limits of queries, which are fixed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DEFAULT_GATEWAY_LIMITS,
  gatewayLimits,
  MAX_QUERY_CHARACTERS,
  MAX_ROWS,
} from "../../gateway/limits.ts";
import { safetensorsFile } from "./bodies.ts";
import { problemOf } from "./pair.ts";
import { ask, fakeGateway, verified } from "./stub_node.ts";

test("a query with too many rows or characters is refused", async () => {
  using fake = fakeGateway();
  const statusOf = async (query: string) => (await ask(fake.gateway, `/v1/streams?${query}`)).status;
  assert.equal(await statusOf(`limit=${MAX_ROWS}`), 200);
  assert.equal(await statusOf(`limit=${MAX_ROWS + 1}`), 400);
  assert.equal(await statusOf(`peer=${"a".repeat(MAX_QUERY_CHARACTERS)}`), 200);
  assert.equal(await statusOf(`peer=${"a".repeat(MAX_QUERY_CHARACTERS + 1)}`), 400);
});

test("gatewayLimits() refuses a limit that there is not", () => {
  assert.throws(() => gatewayLimits({ maxRows: 1 } as object), TypeError);
  assert.deepEqual(gatewayLimits(), DEFAULT_GATEWAY_LIMITS);
});

const post = (body: string | Uint8Array, headers: Record<string, string> = {}): RequestInit => ({
  method: "POST",
  body: body as Uint8Array<ArrayBuffer>,
  headers,
});

test("more uploads at once than maxUploads are refused, and one that ends gives its place back", async () => {
  using fake = fakeGateway({ limits: { maxUploads: 1 } });
  let finish = () => {};
  fake.node.sendAll = () =>
    new Promise((resolve) => {
      finish = () => resolve(verified(1));
    });
  const first = ask(fake.gateway, "/v1/topics/t", post("a"));
  const second = await problemOf(await ask(fake.gateway, "/v1/topics/t", post("b")));
  assert.deepEqual([second.status, second.code], [503, "GATEWAY_TOO_MANY_CLIENTS"]);
  while (fake.gateway.state.uploads === 0) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  finish();
  assert.equal((await first).status, 200);
  fake.node.sendAll = () => Promise.resolve(verified(1));
  assert.equal((await ask(fake.gateway, "/v1/topics/t", post("c"))).status, 200);
});

test("more requests in next than maxWaiters are refused, and one that ends gives its place back", async () => {
  using fake = fakeGateway({ limits: { maxWaiters: 1 } });
  const first = ask(fake.gateway, "/v1/topics/t/next.bin");
  const second = await problemOf(await ask(fake.gateway, "/v1/topics/t/next.bin"));
  assert.deepEqual([second.status, second.code], [503, "GATEWAY_TOO_MANY_CLIENTS"]);
  fake.node.pass("t", Uint8Array.of(1));
  assert.equal((await first).status, 200);
  assert.equal((await ask(fake.gateway, "/v1/topics/t/next.bin?timeoutMs=1")).status, 504);
});

test("a request waits no longer than maxWaitMs, whatever it asks for", async () => {
  using fake = fakeGateway({ limits: { maxWaitMs: 1 } });
  const { status } = await ask(fake.gateway, "/v1/topics/t/next?timeoutMs=120000");
  assert.equal(status, 504);
});

test("more targets, tensors or JSON than the limits are refused", async () => {
  using fake = fakeGateway({ limits: { maxTargets: 2, maxTensorsPerBody: 1, maxJsonBytes: 40 } });
  fake.node.sendAll = () => Promise.resolve(verified(1));
  const targets = (names: string) => ask(fake.gateway, `/v1/topics/t?to=${names}`, post("a"));
  assert.equal((await targets("peer-1,peer-1")).status, 200);
  const many = await problemOf(await targets("peer-1,peer-1,peer-1"));
  assert.deepEqual([many.status, many.code], [400, "GATEWAY_BAD_REQUEST"]);

  const tensor = (name: string) => ({ name, dtype: "uint8", shape: [1], bytes: Uint8Array.of(1) });
  const file = (...names: string[]) =>
    post(safetensorsFile(names.map(tensor)), { "content-type": "application/vnd.safetensors" });
  const tensors = await problemOf(await ask(fake.gateway, "/v1/topics/t", file("a", "b")));
  assert.deepEqual([tensors.status, tensors.code], [413, "GATEWAY_BODY_TOO_LARGE"]);

  const json = (data: number[]) =>
    ask(fake.gateway, "/v1/topics/t", post(JSON.stringify({ data }), { "content-type": "application/json" }));
  assert.equal((await json([1])).status, 200);
  const long = await problemOf(await json(Array<number>(40).fill(1)));
  assert.deepEqual([long.status, long.code], [413, "GATEWAY_BODY_TOO_LARGE"]);
});
