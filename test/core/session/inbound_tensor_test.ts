/** One arriving tensor: its memory, and the ways to read it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { patternBytes } from "../../support/core_crypto.ts";
import { TensorPair } from "../../support/tensor_pair.ts";
import type { TensorSide } from "../../support/tensor_side.ts";

const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;
/** A source whose length nobody knows; the test writes it by hand. */
const UNKNOWN: Iterable<Uint8Array> = [];

function only(side: TensorSide) {
  const [stream] = side.streams;
  assert.ok(stream, "no stream came");
  return stream;
}

test("InboundTensor.readInto() refuses memory that is smaller than what came of a tensor of unknown length", () => {
  for (const ended of [false, true]) {
    const pair = new TensorPair();
    pair.acceptor.onStream = () => {};
    pair.acceptor.onReadable = () => {};
    const sent = pair.dialler.send(UNKNOWN);
    pair.dialler.session.write(sent, patternBytes(100_000));
    if (ended) pair.dialler.session.endStream(sent);
    pair.run();
    assert.throws(
      () => only(pair.acceptor).readInto(new Uint8Array(99_999)),
      hasCode("ASOC_TENSOR_TOO_LARGE"),
    );
    pair.dialler.session.endStream(sent);
    pair.run();
    assert.equal(pair.acceptor.closedWith(), undefined);
  }
});
