/** What ERROR says of the frame that a connection ends for (RFC-0004, Errors). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionError } from "../../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { FrameType, HEADER_BYTES } from "../../../src/core/wire/header.ts";
import { decodeRecords } from "../../../src/core/wire/records/records.ts";
import { patternBytes } from "../../support/core_crypto.ts";
import { data, header } from "../../support/core_frames.ts";
import { TensorPair } from "../../support/tensor_pair.ts";
import type { TensorSide } from "../../support/tensor_side.ts";
import { MINIMAL_OPEN } from "../../support/x1_samples.ts";

/** Stream and frame seq of the ERROR that `frames` of a peer are answered with. */
function placeOfError(frames: (liar: TensorSide) => Uint8Array[]): readonly [number, number] | undefined {
  const pair = new TensorPair();
  pair.dialler.mute = true;
  pair.acceptor.onStream = () => {}; // nobody reads
  pair.acceptor.onReadable = () => {};
  pair.inject(pair.dialler, ...frames(pair.dialler));
  const { lastWords } = pair.acceptor.session;
  const [record] = lastWords ? decodeRecords(lastWords.subarray(HEADER_BYTES)) : [];
  return record?.kind === "error" ? [record.stream, record.frameSeq] : undefined;
}

const open = { ...MINIMAL_OPEN, totalBytes: 2 ** 50 };

test("ERROR names the stream and the seq of a DATA frame that is over the credit", () => {
  const place = placeOfError((liar) => [
    liar.control(5, open),
    data(5, 0, patternBytes(10)),
    data(5, 1, patternBytes(10)),
    header(FrameType.DATA, 5, 2, DEFAULT_LIMITS.initialCreditBytes),
  ]);
  assert.deepEqual(place, [5, 2]);
});

test("ERROR names the stream and the seq of a DATA frame that is too large", () => {
  assert.deepEqual(
    placeOfError((liar) => [liar.control(7, open), header(FrameType.DATA, 7, 0, 17 * 2 ** 20)]),
    [7, 0],
  );
});

test("ERROR names the CONTROL frame whose record may not come", () => {
  const place = placeOfError((liar) => {
    const first = liar.control(9, open);
    const second = liar.control(3, open);
    return [first, second];
  });
  // PROOF is a CONTROL frame, too, and whatever else went before these two is counted.
  assert.equal(place?.[0], 3);
  assert.ok((place?.[1] ?? 0) > 1, String(place));
});

test("ERROR says 0 where it is about no frame, and a loss or a time-out is not told at all", () => {
  const pair = new TensorPair();
  pair.acceptor.session.abort(new ConnectionError("ASOC_PEER_SILENT", "nothing came"), pair.nowMs);
  assert.equal(pair.acceptor.session.lastWords, undefined);
  assert.equal(
    placeOfError((liar) => [liar.control(1, open)]),
    undefined,
  );
});
