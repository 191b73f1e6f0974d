/** Who is told of tensors, and of those that were passed over. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { TensorFeed } from "../../../gateway/events/tensor_feed.ts";
import { Entry } from "../../../gateway/traffic/entry.ts";
import type { TrafficStream } from "../../../gateway/traffic/traffic.ts";
import { ask, fakeGateway } from "../stub_node.ts";

function tensorOf(topic: string): Entry {
  return new Entry({ topic } as TrafficStream, undefined); // the feed looks at no more of it
}

/** Until the feed has nothing left to tell. */
async function told(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await nextTurn();
}

test("TensorFeed tells each listener how many of its topics were passed over, before the rest", async () => {
  const feed = new TensorFeed(4);
  const heard: string[] = [];
  feed.listen(
    (topic) => topic === "a",
    () => heard.push("a"),
    (count) => heard.push(`missed ${count}`),
  );
  feed.listen(
    (topic) => topic === "b",
    () => heard.push("b"),
    () => heard.push("missed b"),
  );
  for (let index = 0; index < 7; index++) feed.whole(tensorOf("a"));
  feed.whole(tensorOf("b"));
  await told(10);
  assert.deepEqual(heard, ["missed 4", "a", "a", "a", "b"]);
  assert.equal(feed.dropped, 4);
});

test("TensorFeed remembers no more topics of what was passed over than may wait, and loses no count", async () => {
  const feed = new TensorFeed(4);
  let missed = 0;
  feed.listen(
    () => true,
    () => {},
    (count) => {
      missed += count;
    },
  );
  for (let index = 0; index < 104; index++) feed.whole(tensorOf(`t${index}`));
  await told(10);
  assert.equal(missed, 100);
});

test("a tap and a client of topic events learn in-band of tensors that were passed over", async () => {
  using fake = fakeGateway({ limits: { statisticsQueue: 2 } });
  const { gateway, node } = fake;
  const tap = (await ask(gateway, "/v1/topics/t/stream")).body?.getReader();
  const events = (await ask(gateway, "/v1/topics/t/events")).body?.getReader();
  assert.ok(tap && events);
  for (let index = 0; index < 5; index++) node.pass("t", Uint8Array.of(index));
  assert.deepEqual((await tap.read()).value, new Uint8Array(4)); // the mark that opens it
  const head = new TextDecoder().decode((await tap.read()).value);
  assert.match(head, /"dropped":3/);
  let text = "";
  while (!text.includes("event: tensor")) text += new TextDecoder().decode((await events.read()).value);
  assert.match(text, /event: dropped\ndata: \{"count":3\}/);
  const metrics = await (await ask(gateway, "/v1/metrics")).text();
  assert.match(metrics, /^asoc_gateway_feed_dropped_total 3$/m);
  assert.match(metrics, /^asoc_gateway_tap_dropped_total 3$/m);
  assert.match(metrics, /^asoc_gateway_events_dropped_total 3$/m);
});

test("a tap whose client has left before its answer is none", async () => {
  using fake = fakeGateway();
  await ask(fake.gateway, "/v1/topics/t/stream", {}, AbortSignal.abort());
  assert.deepEqual([fake.gateway.state.taps, fake.gateway.state.feed.listeners], [0, 0]);
});
