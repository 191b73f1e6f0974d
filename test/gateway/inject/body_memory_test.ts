/** Bodies of uploads as they are read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { UploadBody } from "../../../gateway/inject/body.ts";

const LIMITS = { maxBodyBytes: 64 * 1024 * 1024, uploadStallMs: 1000 };

function bodyOf(parts: Iterable<Uint8Array>): UploadBody {
  const iterator = parts[Symbol.iterator]();
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  return new UploadBody(stream, undefined, LIMITS);
}

function* counted(bytes: number, partBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes; at += partBytes)
    yield Uint8Array.from({ length: Math.min(partBytes, bytes - at) }, (_, index) => (at + index) % 251);
}

function isCounted(bytes: Uint8Array, from = 0): boolean {
  return bytes.every((value, index) => value === (from + index) % 251);
}

test("UploadBody.peek() copies what comes in small parts a few times at most, not once for every part", async () => {
  const bytes = 64 * 1024;
  const body = bodyOf(counted(bytes, 16));
  const original = Uint8Array.prototype.set;
  let copied = 0;
  Uint8Array.prototype.set = function (source, offset) {
    copied += source.length;
    original.call(this, source, offset);
  };
  let head: Uint8Array;
  try {
    head = await body.peek(bytes);
  } finally {
    Uint8Array.prototype.set = original;
  }
  assert.equal(head.length, bytes);
  assert.ok(isCounted(head));
  assert.ok(copied <= 4 * bytes, `${copied} bytes were copied for ${bytes}`);
});

test("UploadBody: bytes that were given out stay as they are while more comes", async () => {
  const body = bodyOf(counted(5000, 7));
  const first = await body.take(10);
  const second = await body.peek(100);
  const third = await body.take(3000);
  assert.ok(isCounted(first) && isCounted(second, 10) && isCounted(third, 10));
  assert.deepEqual([first.length, second.length, third.length], [10, 100, 3000]);
  let at = 3010;
  for await (const part of body.parts(undefined, true)) {
    assert.ok(isCounted(part, at));
    at += part.length;
  }
  assert.equal(at, 5000);
});

test("UploadBody.takeAll() has all, and refuses one byte more", async () => {
  const all = await bodyOf(counted(3000, 11)).takeAll(3000);
  assert.ok(all.length === 3000 && isCounted(all));
  await assert.rejects(bodyOf(counted(3001, 11)).takeAll(3000), { code: "GATEWAY_BODY_TOO_LARGE" });
});
