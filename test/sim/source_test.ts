/** Sends whose source is slow: they end when nobody is left to take its next part. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./world.ts";

/** One part, and then nothing for ever. */
async function* stuck(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(1000);
  await new Promise(() => {});
}

test("send() of a source that waits rejects when its connection is lost, not when the source goes on", async () => {
  const world = new World(31);
  const [a, b] = [await world.start(), await world.start()];
  await world.meet(1, a, b);
  const outcome = a.node.send(b.node.id, stuck()).then(
    () => "sent",
    (error: { code: string }) => error.code,
  );
  let code: string | undefined;
  void outcome.then((value) => {
    code = value;
  });
  await world.time.until(() => a.node.stats.payloadBytesOut === 1000, 1000);
  for (const connection of [...world.network.connections]) world.network.cut(connection);
  await world.time.until(() => code !== undefined, 1000);
  assert.equal(code, "ASOC_CONNECTION_LOST");
  await world.finish();
});

test("send() of a source that waits rejects at its signal", async () => {
  const world = new World(32);
  const [a, b] = [await world.start(), await world.start()];
  await world.meet(1, a, b);
  const controller = new AbortController();
  const reason = new Error("enough");
  let outcome: unknown;
  a.node.send(b.node.id, stuck(), { signal: controller.signal }).catch((error) => {
    outcome = error;
  });
  await world.time.until(() => a.node.stats.payloadBytesOut === 1000, 1000);
  controller.abort(reason);
  await world.time.until(() => outcome !== undefined, 1000);
  assert.equal(outcome, reason);
  await world.finish();
});

test("send() of a source that cannot be read again says that the outcome is unknown once all of it is out", async () => {
  const world = new World(33, { minLatencyMs: 50, maxLatencyMs: 60 });
  const [a, b] = [await world.start(), await world.start()];
  await world.meet(1, a, b);
  let outcome: { code?: string } | undefined;
  a.node.send(b.node.id, [new Uint8Array(1000)]).catch((error) => {
    outcome = error;
  });
  // END is in the kernel, and its ACK cannot be back.
  await world.time.until(() => a.node.stats.payloadBytesOut === 1000, 1000);
  await world.time.run(10);
  for (const connection of [...world.network.connections]) world.network.cut(connection);
  await world.time.until(() => outcome !== undefined, 1000);
  assert.equal(outcome?.code, "ASOC_OUTCOME_UNKNOWN");
  await world.finish();
});
