/** Clients of server-sent events. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SseClient } from "../../../gateway/events/sse.ts";
import { ask, fakeGateway, PEER } from "../stub_node.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The names of events in `text`. */
function names(text: string): string[] {
  return [...text.matchAll(/^event: (\w+)$/gm)].map(([, name = ""]) => name);
}

/** Reads until `text` holds what is wanted. */
async function readUntil(
  body: ReadableStream<Uint8Array> | null,
  isEnough: (text: string) => boolean,
): Promise<string> {
  assert.ok(body);
  const reader = body.getReader();
  let text = "";
  while (!isEnough(text)) {
    const { done, value } = await reader.read();
    if (done || !value) break;
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  return text;
}

test("SseClient gives the past whole, however short its queue is, and only then what was pushed", async () => {
  const client = new SseClient(2, () => {});
  const past = Array.from({ length: 50 }, (_, index) => encoder.encode(`p${index},`));
  client.begin(past);
  for (const name of ["a", "b", "c"]) client.push(encoder.encode(`${name},`));
  const text = await readUntil(client.body, (all) => all.endsWith("c,"));
  assert.ok(text.startsWith(past.map((bytes) => decoder.decode(bytes)).join("")));
  assert.ok(text.endsWith('event: dropped\ndata: {"count":1}\n\nb,c,'), text.slice(-60));
});

test("SseClient asks for the past only as its reader takes it", async () => {
  let made = 0;
  const client = new SseClient(2, () => {});
  client.begin(
    (function* () {
      for (;;) yield encoder.encode(String(made++));
    })(),
  );
  assert.ok(made < 5, `${made} were made for nobody`);
  await client.body.cancel();
});

test("SseClient says at once what was lost before it could be queued", async () => {
  let told = 0;
  const client = new SseClient(
    2,
    () => {},
    (count) => {
      told += count;
    },
  );
  client.lost(3);
  const text = await readUntil(client.body, (all) => all.includes("\n\n"));
  assert.equal(text, 'event: dropped\ndata: {"count":3}\n\n');
  assert.equal(told, 3);
});

test("Last-Event-ID brings back the whole history, not only as much as a queue holds", async () => {
  using fake = fakeGateway({ limits: { sseQueue: 16, history: 200 } });
  const { state } = fake.gateway;
  for (let index = 0; index < 150; index++) state.log.add("peer", () => ({ index }));
  const headers = { "last-event-id": `${state.boot}-0` };
  const { body } = await ask(fake.gateway, "/v1/events", { headers });
  const text = await readUntil(body, (all) => all.includes('{"index":149}'));
  assert.deepEqual(names(text), ["hello", ...Array(150).fill("peer")]);
});

test("what the history has lost is told before the rest of it, and counted", async () => {
  using fake = fakeGateway({ limits: { history: 10 } });
  const { state } = fake.gateway;
  for (let index = 0; index < 30; index++) state.log.add("peer", () => ({ index }));
  const headers = { "last-event-id": `${state.boot}-5` };
  const { body } = await ask(fake.gateway, "/v1/events", { headers });
  const text = await readUntil(body, (all) => all.includes('{"index":29}'));
  assert.deepEqual(names(text), ["hello", "dropped", ...Array(10).fill("peer")]);
  assert.ok(text.includes('data: {"count":15}'));
  assert.equal(state.sse.dropped, 15);
});

test("events of topics resume with all that is listed, and count what is not", async () => {
  using fake = fakeGateway({ limits: { sseQueue: 4, endedStreams: 20 } });
  const { state } = fake.gateway;
  for (let index = 0; index < 30; index++) fake.node.pass("t", Uint8Array.of(index));
  const headers = { "last-event-id": `${state.boot}-5` };
  const { body } = await ask(fake.gateway, "/v1/topics/t/events", { headers });
  const text = await readUntil(body, (all) => all.includes(`${state.boot}-30\n`));
  assert.deepEqual(names(text), ["hello", "dropped", ...Array(20).fill("tensor")]);
  assert.ok(text.includes('data: {"count":5}'));
});

test("last=1 begins with the newest tensor that there was, and its id goes on from now", async () => {
  using fake = fakeGateway();
  const opened = async (path: string, headers: Record<string, string> = {}) =>
    (await ask(fake.gateway, path, { headers })).body;
  const isTold = (text: string) => /^event: tensor\n.+\n\n/m.test(text);
  fake.node.pass("t/old", Uint8Array.of(1, 2, 3));
  fake.node.pass("t/new", Uint8Array.of(4, 5));
  fake.node.pass("other", Uint8Array.of(6));
  const path = "/v1/topics/t%2F*/events?stats=1&last=1";
  const text = await readUntil(await opened(path), isTold);
  const [, id = "", data = "{}"] = /^id: (\S+)\nevent: tensor\ndata: (.+)$/m.exec(text) ?? [];
  const told = JSON.parse(data) as { last: boolean; stream: { topic: string }; stats: { max: number } };
  assert.deepEqual([told.last, told.stream.topic, told.stats.max], [true, "t/new", 5]);
  assert.match(id, /-3$/);

  fake.node.pass("t/late", Uint8Array.of(7));
  const again = await readUntil(await opened(path, { "last-event-id": id }), isTold);
  assert.match(again, /"topic":"t\/late"/);
  assert.doesNotMatch(again, /"last"|dropped/);

  const waiting = await opened("/v1/topics/none/events?last=1");
  fake.node.pass("none", Uint8Array.of(8));
  assert.doesNotMatch(await readUntil(waiting, isTold), /"last"/);
});

test("a client with nothing to hear gets a comment at each heartbeat, and one with events none between", async () => {
  using fake = fakeGateway({ limits: { heartbeatMs: 5 } });
  const { body } = await ask(fake.gateway, "/v1/topics/quiet/events");
  const text = await readUntil(body, (all) => all.split(": still here\n\n").length > 3);
  assert.deepEqual(names(text), ["hello"]);
  assert.equal(fake.gateway.state.sse.size, 0, "who has gone is beaten for no more");
});

test("a peer that is named is told with what it was before", async () => {
  using fake = fakeGateway();
  const { body } = await ask(fake.gateway, "/v1/events");
  fake.node.emit({ kind: "named", peer: PEER, was: "10.0.0.1:9000" });
  const text = await readUntil(body, (all) => /^event: peer\n.+\n\n/m.test(all));
  const data = JSON.parse(/^event: peer\ndata: (.+)$/m.exec(text)?.[1] ?? "{}") as Record<string, unknown>;
  assert.deepEqual(
    [data.kind, data.was, (data.peer as { id: string }).id],
    ["named", "10.0.0.1:9000", PEER.id],
  );
});
