/** The sending side of tensor streams: when they may go, and how they end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { patternBytes } from "../../support/core_crypto.ts";
import { TensorPair } from "../../support/tensor_pair.ts";

test("Session.abandonStream() ends the wait for a receiver that never says that it has the tensor", () => {
  const pair = new TensorPair();
  pair.acceptor.mute = true;
  const sent = pair.dialler.send(patternBytes(100));
  pair.run();
  assert.deepEqual([sent.done, sent.settled], [true, false]);
  pair.dialler.session.abandonStream(sent);
  pair.run();
  assert.deepEqual([sent.settled, sent.error?.code], [true, "ASOC_CANCELLED"]);
  assert.equal(pair.dialler.said("reset").length, 0, "END was out");
});
