/** Sending from a source that is slow, while the other side says something. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sendTo } from "../../src/core/outgoing.ts";
import { SendPlan } from "../../src/core/send_plan.ts";
import { describeSource } from "../../src/core/tensor/source.ts";
import { settled } from "../support/core_conn.ts";
import { patternBytes, testCrypto } from "../support/core_crypto.ts";
import { PEER_ID, TensorRoads } from "../support/tensor_roads.ts";

test("sendTo() of a stream that was stopped between two parts fails with the receiver's reason, although RESET is still on its way", async () => {
  const roads = new TensorRoads();
  roads.connect();
  const { dialler, acceptor } = roads.pair;
  let goOn = () => {};
  const stopped = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  async function* parts() {
    yield patternBytes(1000);
    await stopped;
    yield patternBytes(1000);
  }
  const plan = new SendPlan(describeSource(parts()), {}, testCrypto(), roads.clock.nowMs());
  const outgoing = roads.open(PEER_ID, {}, plan, 0);
  const sent = sendTo([outgoing], parts(), undefined);
  await settled();
  const [stream] = acceptor.streams;
  assert.equal(stream?.receivedBytes, 1000);
  dialler.blocked = true;
  if (stream) acceptor.session.giveUp(stream, "had enough");
  roads.pair.run();
  assert.equal(outgoing.stream.abandoned, true);
  goOn();
  await settled();
  dialler.blocked = false;
  roads.pair.run();
  const [error] = await sent;
  assert.equal((error as { code?: string }).code, "ASOC_STOPPED");
  assert.match(String(error), /had enough/);
});
