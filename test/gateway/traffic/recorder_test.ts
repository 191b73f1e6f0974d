import assert from "node:assert/strict";
import { test } from "node:test";
import { gatewayLimits } from "../../../gateway/limits.ts";
import type { Entry } from "../../../gateway/traffic/entry.ts";
import { TrafficRecorder } from "../../../gateway/traffic/recorder.ts";
import { end, fakeStream, PEER, pass } from "../fake_node.ts";

function recording(limits: Parameters<typeof gatewayLimits>[0] = {}) {
  const whole: Entry[] = [];
  const listener = { onStarted() {}, onEnded() {}, onWhole: (entry: Entry) => void whole.push(entry) };
  return { recorder: new TrafficRecorder(gatewayLimits(limits), listener), whole };
}

const filled = (count: number, value = 1) => new Uint8Array(count).fill(value);

test("TrafficRecorder keeps a tensor that passes", () => {
  const { recorder, whole } = recording();
  const stream = pass(recorder, { topic: "a", dtype: "uint8", shape: [3] }, filled(3, 7));
  const entry = recorder.find(stream.id);
  assert.equal(entry?.available, true);
  assert.deepEqual(entry?.capture?.bytes, filled(3, 7));
  assert.equal(recorder.topic("a")?.last, entry);
  assert.deepEqual(whole, [entry]);
});

test("a received tensor is whole when its reader has taken it, also after its end", () => {
  const { recorder, whole } = recording();
  const stream = fakeStream({ topic: "late", totalBytes: 4 });
  assert.equal(recorder.started(stream), true);
  end(recorder, stream, 4);
  assert.equal(recorder.find(stream.id)?.available, false);
  assert.equal(whole.length, 0);
  recorder.data(stream, filled(2), 0);
  recorder.data(stream, filled(2), 2);
  assert.equal(recorder.find(stream.id)?.available, true);
  assert.equal(whole.length, 1);
});

test("a tensor that its reader never takes gives way to what comes, and keeps the latest of its topic in place", () => {
  const { recorder, whole } = recording({ recentBytes: 10 });
  const first = pass(recorder, { topic: "t" }, filled(4));
  const unread = fakeStream({ topic: "t", totalBytes: 8 });
  recorder.started(unread);
  end(recorder, unread, 8);
  assert.equal(recorder.topic("t")?.last.stream, first);
  assert.equal(recorder.topic("t")?.count, 2);
  const next = pass(recorder, { topic: "t" }, filled(6));
  assert.equal(recorder.topic("t")?.last.stream, next);
  assert.deepEqual(
    whole.map(({ stream }) => stream.id),
    [first.id, unread.id, next.id],
  );
  assert.equal(recorder.recent.usedBytes, 10);
});

test("several targets of one send share its bytes, and one that fails takes nothing away", () => {
  const { recorder } = recording();
  const streams = [0, 1, 2].map(() =>
    fakeStream({ direction: "out", transferId: "ab", topic: "s", totalBytes: 4 }),
  );
  for (const stream of streams) recorder.started(stream);
  const [one, two, three] = streams;
  assert.ok(one && two && three);
  recorder.data(one, filled(2), 0);
  recorder.data(two, filled(2), 0);
  end(recorder, one, 2, new Error("gone"));
  recorder.data(two, filled(2), 2);
  recorder.data(three, filled(4), 0);
  end(recorder, two, 4);
  end(recorder, three, 4);
  assert.equal(recorder.recent.usedBytes, 4);
  assert.equal(recorder.find(one.id)?.available, false);
  assert.equal(recorder.find(two.id)?.available, true);
  assert.equal(recorder.find(three.id)?.available, true);
  assert.deepEqual(recorder.find(three.id)?.capture?.bytes, filled(4));
});

test("the oldest tensors make room under the budget, and say when they went", () => {
  const { recorder } = recording({ recentBytes: 100 });
  const streams = Array.from({ length: 10 }, (_, index) =>
    pass(recorder, { topic: `t${index}` }, filled(30)),
  );
  assert.ok(recorder.recent.usedBytes <= 100);
  assert.equal(recorder.recent.count, 3);
  assert.equal(recorder.recent.evicted, 7);
  const [first] = streams;
  const capture = first && recorder.find(first.id)?.capture;
  assert.equal(capture?.state, "gone");
  assert.ok((capture?.goneAtMs ?? 0) > 0);
});

test("what is larger than the budget, or lies about its length, is not kept", () => {
  const { recorder } = recording({ recentBytes: 100 });
  const large = pass(recorder, {}, filled(101));
  assert.equal(recorder.find(large.id)?.capture, undefined);
  const unknown = fakeStream();
  recorder.started(unknown);
  for (let at = 0; at < 200; at += 50) recorder.data(unknown, filled(50), at);
  end(recorder, unknown, 200);
  assert.equal(recorder.find(unknown.id)?.available, false);
  const more = fakeStream({ totalBytes: 4 });
  recorder.started(more);
  recorder.data(more, filled(5), 0);
  assert.equal(recorder.find(more.id)?.capture?.state, "gone");
  const huge = fakeStream({ totalBytes: 2 ** 52 });
  assert.equal(recorder.started(huge), false);
  assert.equal(recorder.recent.usedBytes, 0);
  const none = recording({ recentBytes: 0 }).recorder;
  assert.equal(none.started(fakeStream({ totalBytes: 0 })), false);
});

test("a tensor of unknown length is joined when it is asked for", () => {
  const { recorder } = recording();
  const stream = fakeStream();
  recorder.started(stream);
  const part = filled(2, 1);
  recorder.data(stream, part, 0);
  part.fill(9); // it was valid during the call only
  recorder.data(stream, filled(1, 3), 2);
  end(recorder, stream, 3);
  assert.deepEqual(recorder.find(stream.id)?.capture?.bytes, new Uint8Array([1, 1, 3]));
});

test("a failed stream keeps nothing", () => {
  const { recorder, whole } = recording();
  const stream = fakeStream({ totalBytes: 4, topic: "f" });
  recorder.started(stream);
  recorder.data(stream, filled(4), 0);
  end(recorder, stream, 4, new Error("no"));
  assert.equal(recorder.recent.usedBytes, 0);
  assert.equal(recorder.topic("f"), undefined);
  assert.equal(whole.length, 0);
});

test("ended streams, topics and what is remembered of the gone are bounded", () => {
  const { recorder } = recording({ endedStreams: 5, goneStreams: 3, topics: 4 });
  const streams = Array.from({ length: 20 }, (_, index) => pass(recorder, { topic: `t${index}` }, filled(1)));
  assert.equal([...recorder.newestFirst()].length, 5);
  assert.equal(recorder.topicCount, 4);
  const gone = streams.map(({ id }) => recorder.goneAtMs(id) !== undefined);
  assert.deepEqual(gone.slice(0, 15), [...new Array(12).fill(false), true, true, true]);
  assert.equal(recorder.recent.count, 5);
  assert.equal(recorder.liveStreams, 0);
});

test("the counters of a peer hold live streams too, and go over to its new name", () => {
  const { recorder } = recording();
  recorder.peers.joined("10.0.0.1:9000", 5);
  const unnamed = { ...PEER, id: "10.0.0.1:9000", nodeId: undefined };
  pass(recorder, { peer: unnamed, direction: "out" }, filled(10));
  const live = fakeStream({ peer: unnamed, movedBytes: 3 });
  recorder.started(live);
  recorder.peers.named("10.0.0.1:9000", PEER.id);
  const { sentBytes, receivedBytes, sentStreams, receivedStreams, liveStreams } = recorder.peers.totals(
    PEER.id,
  );
  assert.deepEqual([sentBytes, receivedBytes, sentStreams, receivedStreams, liveStreams], [10, 3, 1, 1, 1]);
  end(recorder, live, 8);
  assert.deepEqual([recorder.peers.totals(PEER.id).receivedBytes, recorder.peers.sinceMs(PEER.id)], [8, 5]);
});

test("what comes faster than it may be copied is not kept, and the topic's latest stays one that can be had", () => {
  const { recorder } = recording({ captureBytesPerSecond: 100, captureBurstBytes: 250 });
  for (let count = 0; count < 5; count++) pass(recorder, { topic: "t" }, new Uint8Array(100).fill(count));
  assert.equal(recorder.recent.count, 2);
  assert.equal(recorder.recent.skipped, 3);
  const latest = recorder.topic("t")?.last;
  assert.deepEqual([latest?.capture?.bytes[0], recorder.topic("t")?.count], [1, 5]);
});
