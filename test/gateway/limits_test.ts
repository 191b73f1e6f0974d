/** Limits of queries, which are fixed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DEFAULT_GATEWAY_LIMITS,
  gatewayLimits,
  MAX_QUERY_CHARACTERS,
  MAX_ROWS,
} from "../../gateway/limits.ts";
import { ask, fakeGateway } from "./stub_node.ts";

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
