/** The echo that `asoc serve` gives `asoc bench`, between two nodes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  EchoReplies,
  echoedNumber,
  echoRequest,
  isEchoRequest,
  MAX_ECHO_BYTES,
  MAX_REPLIES,
} from "../../src/cli/echo.ts";
import { join } from "../../src/mod.ts";

const options = { apiKey: "e".repeat(64), host: "127.0.0.1", discovery: false } as const;

test("echoedNumber() is the request's number in a reply, and undefined in anything else", () => {
  assert.equal(isEchoRequest(echoRequest(64, 7)), true);
  assert.equal(echoedNumber(echoRequest(64, 7)), undefined);
  assert.equal(isEchoRequest(new Uint8Array(64)), false);
  assert.equal(isEchoRequest(echoRequest(64, 7).subarray(0, 15)), false);
});

test("EchoReplies answers a request with its number and length", async () => {
  await using server = await join(options);
  await using client = await join({ ...options, peers: [`127.0.0.1:${server.port}`] });
  const replies = new EchoReplies();
  void (async () => {
    for await (const stream of server.incoming) {
      using tensor = await stream.tensor();
      await replies.answer(server, stream, tensor.bytes);
    }
  })();
  const [peer] = await client.peers.wait(1, { timeoutMs: 5000 });
  assert.ok(peer);
  await client.send(peer, echoRequest(1024, 77));
  for await (const stream of client.incoming) {
    using tensor = await stream.tensor();
    assert.equal(echoedNumber(tensor.bytes), 77);
    assert.equal(tensor.bytes.length, 1024);
    break;
  }
});

test("EchoReplies holds no more than its share for a peer that asks and does not read", {
  timeout: 20_000,
}, async () => {
  const server = await join(options);
  // A budget of one request: the client stops reading after the first replies, and never takes one.
  const limits = { memoryBudgetBytes: MAX_ECHO_BYTES };
  const client = await join({ ...options, peers: [`127.0.0.1:${server.port}`], limits });
  const replies = new EchoReplies();
  const overflow = new Promise<void>((resolve) => {
    void (async () => {
      for await (const stream of server.incoming) {
        void (async () => {
          const tensor = await stream.tensor();
          const answered = replies.answer(server, stream, tensor.bytes);
          if (replies.dropped > 0) resolve();
          await answered;
          tensor.release();
        })().catch(() => {});
      }
    })();
  });
  const [peer] = await client.peers.wait(1, { timeoutMs: 5000 });
  assert.ok(peer);
  const stop = new AbortController();
  const asking = (async () => {
    for (let number = 0; !stop.signal.aborted; number++)
      await client.send(peer, echoRequest(MAX_ECHO_BYTES, number));
  })().catch(() => {});
  await overflow;
  stop.abort();
  assert.equal(replies.underWay, MAX_REPLIES);
  await Promise.all([client.abort(), server.abort(), asking]);
});
