/** The receiving side of tensor streams: what it grants, confirms and refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KiB } from "../../../src/core/limits.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { TensorPair } from "../../support/tensor_pair.ts";

/** A source whose length nobody knows; the test writes it by hand. */
const UNKNOWN: Iterable<Uint8Array> = [];

test("InboundTensors confirms the small rests of many streams: none is held back for them", () => {
  const pair = new TensorPair({ cut: () => 300_000 });
  const urgent = pair.dialler.send(UNKNOWN, { priority: 200 });
  pair.dialler.session.write(urgent, patternBytes(10));
  pair.run();
  const streams = Array.from({ length: 24 }, () => pair.dialler.send(UNKNOWN, { priority: 1 }));
  for (const stream of streams) pair.dialler.session.write(stream, patternBytes(256 * KiB));
  pair.run();
  assert.ok(pair.acceptor.said("ack").length >= 20);
  for (const { promisedBytes } of streams) assert.equal(promisedBytes, 256 * KiB);
});
