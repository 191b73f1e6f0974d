/** GOAWAY of a session: what it says, and what comes of it (RFC-0006, GOAWAY). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MIN_STREAM_IDS } from "../../../src/core/limits.ts";
import { GoawayCode } from "../../../src/core/wire/records/goaway.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { TensorPair } from "../../support/tensor_pair.ts";

const MAX_ID = 0xffff_ffff;

test("GOAWAY says which stream of the other side was begun last, and how long its node waits", () => {
  const pair = new TensorPair();
  for (const bytes of [10, 20, 30]) pair.dialler.send(patternBytes(bytes));
  pair.run();
  pair.acceptor.session.close(pair.nowMs, GoawayCode.SHUTDOWN, 30_000);
  pair.run();
  const [said] = pair.acceptor.said("goaway");
  assert.deepEqual([said?.lastStream, said?.drainMs, said?.code], [5, 30_000, GoawayCode.SHUTDOWN]);
  assert.equal(pair.acceptor.arrived.length, 3);
});

test("GOAWAY of one who was sent nothing, and who waits as long as it takes, says 0 and 0; more than the field holds is its most", () => {
  const idle = new TensorPair();
  idle.dialler.session.close(idle.nowMs);
  idle.run();
  assert.deepEqual(
    idle.dialler.said("goaway").map(({ lastStream, drainMs }) => [lastStream, drainMs]),
    [[0, 0]],
  );
  const patient = new TensorPair();
  patient.dialler.session.close(patient.nowMs, GoawayCode.SHUTDOWN, Number.POSITIVE_INFINITY);
  patient.run();
  assert.equal(patient.dialler.said("goaway")[0]?.drainMs, MAX_ID);
});

test("a stream that is opened while GOAWAY is on its way is taken, although GOAWAY names an earlier one", () => {
  const pair = new TensorPair({ delayMs: () => 5 });
  pair.acceptor.session.close(pair.nowMs);
  pair.dialler.send(patternBytes(1000));
  pair.run();
  assert.equal(pair.acceptor.said("goaway")[0]?.lastStream, 0);
  assert.equal(pair.acceptor.arrived.length, 1);
});

test("a Session near the end of its ids is worn out, takes what is under way, and ends after GOAWAY 3 in order", () => {
  const ids = 2 * MIN_STREAM_IDS;
  const pair = new TensorPair({ firstStreamIds: { dialler: MAX_ID - ids } });
  const { dialler, acceptor } = pair;
  assert.equal(dialler.session.wornOut, false);
  const sent = [1, 2].map((value) => dialler.send(patternBytes(value * 1000)));
  const slow = dialler.send((async function* () {})());
  pair.run();
  assert.ok(dialler.session.wornOut && !acceptor.session.wornOut);
  dialler.session.close(pair.nowMs, GoawayCode.STREAM_IDS);
  pair.run();
  assert.deepEqual(
    acceptor.events.flatMap((event) => (event.kind === "goaway" ? [event.code] : [])),
    [GoawayCode.STREAM_IDS],
  );
  assert.throws(() => dialler.session.openStream(), { code: "ASOC_CLOSED" });
  assert.throws(() => acceptor.session.openStream(), { code: "ASOC_CLOSED" });
  assert.equal(dialler.closedWith(), undefined, "a stream is open");
  dialler.session.abandonStream(slow);
  pair.run();
  assert.deepEqual(
    sent.map(({ error }) => error),
    [undefined, undefined],
  );
  assert.deepEqual(
    acceptor.arrived.map(({ stream, bytes }) => [stream.id, bytes.length]),
    [
      [MAX_ID - ids, 1000],
      [MAX_ID - ids + 2, 2000],
    ],
  );
});
