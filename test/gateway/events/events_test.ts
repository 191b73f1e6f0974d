/** Events and taps by themselves: what is dropped, what is given again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventLog } from "../../../gateway/events/event_log.ts";
import { SseClient, SseClients } from "../../../gateway/events/sse.ts";
import { TapQueue } from "../../../gateway/events/tap_queue.ts";
import { gatewayLimits } from "../../../gateway/limits.ts";
import { TrafficRecorder } from "../../../gateway/traffic/recorder.ts";
import { pass } from "../fake_node.ts";
import { parseTapped } from "../pair.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

test("EventLog gives again what came after an id, and says how many are lost", () => {
  const log = new EventLog("boot", 10);
  for (let index = 1; index <= 100; index++) log.add("n", () => ({ index }));
  assert.equal(log.lastId, "boot-100");
  assert.deepEqual(
    log.since("boot-98").events.map(({ number }) => number),
    [99, 100],
  );
  assert.deepEqual(log.since("boot-98").lost, 0);
  const old = log.since("boot-50");
  assert.deepEqual([old.events.length, old.lost], [10, 40]);
  for (const other of ["else-98", "boot-101", "boot--1", "", "boot-1e9", "x".repeat(100)])
    assert.deepEqual(log.since(other), { events: [], lost: 0 }, other);
});

test("an event is made into text once, and only if somebody wants it", () => {
  const log = new EventLog("b", 10);
  let made = 0;
  log.add("n", () => ({ made: ++made }));
  assert.equal(made, 0);
  log.listen((event) => void event.bytes);
  log.add("n", () => ({ made: ++made }));
  assert.equal(made, 1);
  const [, second] = log.since("b-0").events;
  assert.equal(text(second?.bytes), 'id: b-2\nevent: n\ndata: {"made":1}\n\n');
});

test("a slow client of events loses the oldest, and is told how many", async () => {
  const client = new SseClient(3, () => {});
  for (let index = 0; index < 10; index++) client.push(new TextEncoder().encode(`${index}`));
  const reader = client.body.getReader();
  const got: string[] = [];
  for (let count = 0; count < 6; count++) got.push(text((await reader.read()).value));
  // Two were with the connection already, three wait.
  assert.deepEqual(got, ["0", "1", 'event: dropped\ndata: {"count":5}\n\n', "7", "8", "9"]);
  await reader.cancel();
});

test("SseClients bounds clients, in all and of each address, and forgets those who leave", async () => {
  const clients = new SseClients(gatewayLimits({ maxSseClients: 3, maxSsePerAddress: 2 }));
  let ended = 0;
  const open = (address: string) => clients.open(address, () => ended++);
  const first = open("a");
  open("a");
  assert.throws(() => open("a"), { code: "GATEWAY_TOO_MANY_CLIENTS" });
  open("b");
  assert.throws(() => open("c"), { code: "GATEWAY_TOO_MANY_CLIENTS" });
  await first.body.cancel();
  first.close();
  open("a");
  assert.equal(ended, 1);
  clients.close();
  assert.deepEqual([ended, clients.size, clients.refused], [4, 0, 2]);
});

test("a tap's queue drops the oldest tensors, by number and by bytes, and says so with the next", async () => {
  const listener = { onStarted() {}, onEnded() {}, onWhole() {} };
  const recorder = new TrafficRecorder(gatewayLimits(), listener);
  const entryOf = (bytes: number) => {
    const entry = recorder.find(pass(recorder, { topic: "t" }, new Uint8Array(bytes)).id);
    assert.ok(entry);
    return entry;
  };
  let dropped = 0;
  const queue = new TapQueue(3, 100, () => dropped++);
  for (let index = 1; index <= 5; index++) queue.push(entryOf(index));
  assert.deepEqual([queue.length, dropped], [3, 2]);
  const next = async () => {
    const tensor = await queue.next();
    assert.ok(tensor);
    return parseTapped(new Uint8Array([...tensor.head, ...tensor.bytes]))?.header;
  };
  const third = await next();
  assert.deepEqual([third?.bytes, third?.dropped], [3, 2]);
  assert.equal((await next())?.dropped, 0);
  queue.push(entryOf(99));
  assert.deepEqual([queue.length, dropped], [1, 3]);
  queue.push(entryOf(500)); // larger than the queue may be: alone it may
  assert.deepEqual([queue.length, dropped], [1, 4]);
  assert.equal((await next())?.dropped, 2);
  const waiting = queue.next();
  queue.close();
  assert.equal(await waiting, undefined);
});
