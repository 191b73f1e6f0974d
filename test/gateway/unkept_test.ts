/** Tensors that come too fast to be kept: what taps, `latest` and `next` make of them. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { GatewayPair, getBytes, getJson, metric, parseTapped, problemOf, until } from "./pair.ts";

const KiB = 1024;
/** More than may be copied at once: it is never kept. */
const LARGE = new Uint8Array(64 * KiB);
const LIMITS = { captureBurstBytes: 16 * KiB, captureBytesPerSecond: 16 * KiB };

for (const runtime of RUNTIMES) {
  describe(`tensors that come too fast for a gateway on ${runtime}`, () => {
    let pair: GatewayPair;
    let near = "";
    before(async () => {
      pair = await GatewayPair.start(runtime, { limits: LIMITS });
      near = pair.near.url;
    });
    after(() => pair[Symbol.asyncDispose]());

    test("are in a tap without their bytes, which it says, and leave the latest in its place", async () => {
      const response = await fetch(`${near}/v1/topics/fast/stream`);
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      await pair.send("fast", "small");
      await pair.send("fast", LARGE);
      let got = Buffer.alloc(0);
      const headers: { bytes: number; omittedBytes?: number }[] = [];
      while (headers.length < 2) {
        const { value } = await reader.read();
        got = Buffer.concat([got, value ?? new Uint8Array(0)]);
        for (let tensor = parseTapped(got); tensor; tensor = parseTapped(got)) {
          headers.push(tensor.header);
          got = got.subarray(tensor.end);
        }
      }
      await reader.cancel();
      const said = headers.map(({ bytes, omittedBytes }) => [bytes, omittedBytes]);
      assert.deepEqual(said, [
        [5, undefined],
        [0, LARGE.length],
      ]);
      assert.equal(Buffer.from(await getBytes(`${near}/v1/topics/fast/latest.bin`)).toString(), "small");
      const { streams } = (await getJson(`${near}/v1/streams?topic=fast&limit=1`)) as {
        streams: { id: number; available: boolean }[];
      };
      assert.equal(streams[0]?.available, false);
      const gone = await problemOf(await fetch(`${near}/v1/streams/${streams[0]?.id}/data`));
      assert.equal(gone.code, "GATEWAY_GONE");
    });

    test("are not what next waits for", async () => {
      const waiting = (query = "") =>
        fetch(`${near}/v1/topics/next/next.bin${query}`).then(async (response) => ({
          status: response.status,
          text: await response.text(),
        }));
      const waits = () =>
        until(
          () => metric(near, "gateway_waiters"),
          (count) => count === 1,
        );
      const first = waiting();
      await waits();
      await pair.send("next", LARGE);
      await pair.send("next", "small");
      assert.deepEqual(await first, { status: 200, text: "small" });
      const second = waiting("?timeoutMs=5000");
      await waits();
      await pair.send("next", LARGE);
      const { status, text } = await second;
      assert.equal(status, 504);
      assert.match(text, /GATEWAY_TIMEOUT/);
      assert.match(text, /1 came too fast/);
    });
  });
}
