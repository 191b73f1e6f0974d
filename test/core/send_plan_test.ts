import assert from "node:assert/strict";
import { test } from "node:test";
import { type SendOptions, SendPlan } from "../../src/core/send_plan.ts";
import { describeSource, type TensorSource } from "../../src/core/tensor/source.ts";
import { decodeRecords } from "../../src/core/wire/records/records.ts";
import { testCrypto } from "../support/core_crypto.ts";

const plan = (options: SendOptions = {}, source: TensorSource = new Float32Array(6), nowMs = 1000) =>
  new SendPlan(describeSource(source), options, testCrypto(), nowMs);
const opened = (made: SendPlan, baseOffset = 0, nowMs = 1000) => {
  const [record] = decodeRecords(made.at(baseOffset, nowMs).open);
  assert.ok(record?.kind === "open");
  return record;
};

test("SendPlan says of a tensor what its source and the options say", () => {
  const record = opened(
    plan({ topic: "train/w", priority: 7, metadata: { a: 1 }, step: 3, digest: "sha256" }),
  );
  assert.deepEqual(record.dtype, { code: 2, bits: 32, lanes: 1 });
  assert.deepEqual([record.shape, record.totalBytes, record.baseOffset], [[6], 24, 0]);
  assert.deepEqual([record.topic, record.priority, record.step, record.digest], ["train/w", 7, 3, 2]);
  assert.equal(record.userMetadata, '{"a":1}');
});

test("SendPlan keeps its transfer id, which is random unless it is given", () => {
  const one = plan();
  assert.deepEqual(opened(one).transferId, opened(one, 8).transferId);
  assert.notDeepEqual(plan().transferId, new SendPlan(describeSource([]), {}, testCrypto(2), 0).transferId);
  assert.deepEqual(
    plan({ transferId: "0001020304050607" }).transferId,
    Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7),
  );
});

test("SendPlan says at a later offset how much time is left, and at least 1 ms", () => {
  const made = plan({ deadlineMs: 500 });
  assert.equal(opened(made).deadlineMs, 500);
  assert.equal(opened(made, 4, 1400).deadlineMs, 100);
  assert.equal(opened(made, 4, 9000).deadlineMs, 1);
  assert.equal(made.at(0, 9000).deadlineAtMs, 1500);
});

test("SendPlan refuses options that cannot be, before anything is sent", () => {
  for (const options of [
    { priority: 256 },
    { priority: -1 },
    { priority: 1.5 },
    { topic: "x".repeat(256) },
    { metadata: "x".repeat(9000) },
    { deadlineMs: 2 ** 32 },
    { deadlineMs: -1 },
    { deadlineMs: Number.NaN },
    { transferId: "00" },
    { digest: "md5" },
  ])
    assert.throws(() => plan(options as SendOptions), RangeError, JSON.stringify(options));
  assert.throws(() => plan({ metadata: () => 1 }), TypeError);
  assert.throws(() => plan({ metadata: 1n }), TypeError);
});
