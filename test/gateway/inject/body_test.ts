import assert from "node:assert/strict";
import { test } from "node:test";
import { UploadBody } from "../../../gateway/inject/body.ts";
import { concat } from "../bodies.ts";

const LIMITS = { maxBodyBytes: 100, uploadStallMs: 50 };

function bodyOf(parts: readonly Uint8Array[], options: { fails?: boolean; stalls?: boolean } = {}) {
  const rest = [...parts];
  let pulls = 0;
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        pulls++;
        const part = rest.shift();
        if (part) controller.enqueue(part);
        else if (options.fails) controller.error(new Error("connection reset"));
        else if (options.stalls) return new Promise(() => {});
        else controller.close();
        return undefined;
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, pulls: () => pulls };
}

const bytes = (...values: number[]) => new Uint8Array(values);

async function all(parts: AsyncIterable<Uint8Array>): Promise<number[]> {
  const got: Uint8Array[] = [];
  for await (const part of parts) got.push(part.slice());
  return [...concat(...got)];
}

test("UploadBody cuts a body where its reader says, whatever its parts are", async () => {
  const { stream } = bodyOf([bytes(1), bytes(), bytes(2, 3, 4), bytes(5, 6)]);
  const body = new UploadBody(stream, undefined, LIMITS);
  assert.deepEqual([...(await body.peek(2))], [1, 2]);
  assert.deepEqual([...(await body.take(1))], [1]);
  assert.deepEqual(await all(body.parts(2, false)), [2, 3]);
  assert.deepEqual(await all(body.parts(3, true)), [4, 5, 6]);
  assert.deepEqual(await all(body.parts(0, true)), []);
});

test("UploadBody reads a little ahead of who takes it, and no further", async () => {
  const large = { ...LIMITS, maxBodyBytes: 2 ** 30 };
  const part = new Uint8Array(2 ** 18);
  const { stream, pulls } = bodyOf(new Array(100).fill(part));
  const body = new UploadBody(stream, undefined, large);
  let taken = 0;
  for await (const one of body.parts(undefined, true)) {
    taken += one.length;
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(
      pulls() * part.length - taken <= 2 ** 20 + part.length,
      `${pulls()} pulls, ${taken} bytes taken`,
    );
  }
  assert.equal(taken, 100 * part.length);
});

test("UploadBody finds out that a body goes on before its last part is given", async () => {
  const { stream } = bodyOf([bytes(1, 2), bytes(3, 4)]);
  const body = new UploadBody(stream, undefined, LIMITS);
  const got: number[] = [];
  await assert.rejects(
    async () => {
      for await (const part of body.parts(3, true)) got.push(...part);
    },
    { code: "GATEWAY_BODY_TOO_LONG" },
  );
  assert.deepEqual(got, []); // both came at once
  assert.equal(body.failure?.code, "GATEWAY_BODY_TOO_LONG");
});

test("UploadBody says what is wrong with a body: cut off, broken, standing still, too large", async () => {
  const cases: [UploadBody, string][] = [
    [new UploadBody(bodyOf([bytes(1)]).stream, undefined, LIMITS), "GATEWAY_BODY_TRUNCATED"],
    [new UploadBody(bodyOf([bytes(1)], { fails: true }).stream, undefined, LIMITS), "GATEWAY_BODY_TRUNCATED"],
    [
      new UploadBody(bodyOf([bytes(1)], { stalls: true }).stream, undefined, LIMITS),
      "GATEWAY_UPLOAD_STALLED",
    ],
    [new UploadBody(bodyOf([new Uint8Array(101)]).stream, undefined, LIMITS), "GATEWAY_BODY_TOO_LARGE"],
    [new UploadBody(null, undefined, LIMITS), "GATEWAY_BODY_TRUNCATED"],
  ];
  for (const [body, code] of cases) await assert.rejects(all(body.parts(200, true)), { code }, code);
  assert.throws(() => new UploadBody(null, "101", LIMITS), { code: "GATEWAY_BODY_TOO_LARGE" });
  const long = new UploadBody(bodyOf([new Uint8Array(60)]).stream, undefined, LIMITS);
  await assert.rejects(long.takeAll(50), { code: "GATEWAY_BODY_TOO_LARGE" });
});
