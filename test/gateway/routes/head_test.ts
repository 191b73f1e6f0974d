/** HEAD of what has no end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, fakeGateway } from "../stub_node.ts";

const ENDLESS = ["/v1/events", "/v1/topics/x/events", "/v1/topics/x/stream"];

for (const path of ENDLESS) {
  test(`HEAD ${path} answers at once and leaves nobody behind`, async () => {
    using fake = fakeGateway();
    const { gateway } = fake;
    const response = await ask(gateway, path, { method: "HEAD" });
    assert.equal(response.status, 200);
    assert.match(
      response.headers.get("content-type") ?? "",
      /^(text\/event-stream|application\/octet-stream)/,
    );
    assert.equal(response.body, null);
    const { sse, taps, feed, log } = gateway.state;
    assert.deepEqual([sse.size, taps, feed.listeners, log.listeners], [0, 0, 0, 0]);
  });
}

test("HEAD of the next tensor does not wait for it", async () => {
  using fake = fakeGateway();
  const response = await ask(fake.gateway, "/v1/topics/x/next.npy?timeoutMs=120000", { method: "HEAD" });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/x-npy");
  assert.deepEqual([fake.gateway.state.waiters, fake.gateway.state.feed.listeners], [0, 0]);
});

test("HEAD refuses what GET refuses: a wrong glob, a type that there is not, a WebSocket", async () => {
  using fake = fakeGateway();
  const statusOf = async (path: string, headers: Record<string, string> = {}) =>
    (await ask(fake.gateway, path, { method: "HEAD", headers })).status;
  const long = "a".repeat(300);
  assert.equal(await statusOf(`/v1/topics/${long}/events`), 400);
  assert.equal(await statusOf(`/v1/topics/${long}/stream`), 400);
  assert.equal(await statusOf("/v1/topics/x/next", { accept: "image/png" }), 406);
  assert.equal(await statusOf("/v1/topics/x/ws", { upgrade: "websocket" }), 426);
  assert.equal(fake.gateway.state.taps, 0);
});
