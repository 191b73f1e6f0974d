/** Downloads whose clients are slow, or read nothing at all: what they hold is bounded, and comes back. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { afterEach, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { patternBytes } from "../support/core_crypto.ts";
import { RUNTIMES } from "../support/process.ts";
import { closed, GatewayPair, metric, problemOf, unreadGet, until } from "./pair.ts";

const MiB = 1024 * 1024;
/** More than what the sockets of both sides take. */
const TENSOR_BYTES = 24 * MiB;
const LIMITS = { recentBytes: 40 * MiB, lentBytes: 40 * MiB };
/** Until a client that takes nothing is cut off: all that is looked at before takes less. */
const STALL_MS = 6000;
/** The same where clients are slow. */
const SLOW_STALL_MS = 2000;
/** What a slow client reads at once, and how often: the last of it lies in the sockets for longer than SLOW_STALL_MS. */
const STEP_BYTES = 2 * MiB;
const STEP_MS = 500;

for (const runtime of RUNTIMES) {
  describe(`downloads from a gateway on ${runtime}`, () => {
    let pair: GatewayPair;
    async function start(downloadStallMs: number): Promise<string> {
      pair = await GatewayPair.start(runtime, { limits: { ...LIMITS, downloadStallMs } });
      return pair.near.url;
    }
    afterEach(async () => {
      await pair[Symbol.asyncDispose]();
      assert.equal(pair.near.process.stderr, "");
    });

    test("that take nothing hold a bounded number of bytes, and are cut off", async () => {
      const near = await start(STALL_MS);
      const sockets: Socket[] = [];
      for (let index = 0; index < 2; index++) {
        await pair.send("held", patternBytes(TENSOR_BYTES));
        const before = await metric(near, "gateway_downloads");
        sockets.push(await unreadGet(pair.near.port, "/v1/topics/held/latest.bin"));
        await until(
          () => metric(near, "gateway_downloads"),
          (count) => count === before + 1,
        );
      }
      await pair.send("held", new Uint8Array(TENSOR_BYTES));
      assert.equal(await metric(near, "gateway_lent_bytes"), 2 * TENSOR_BYTES);
      const refused = await fetch(`${near}/v1/topics/held/latest.bin`);
      assert.equal(refused.headers.get("retry-after"), "5");
      assert.equal((await problemOf(refused)).code, "GATEWAY_TOO_MANY_CLIENTS");
      const small = await fetch(`${near}/v1/topics/held/latest.bin?slice=0:1000`);
      assert.equal((await small.arrayBuffer()).byteLength, 1000);
      await until(
        () => metric(near, "gateway_lent_bytes"),
        (bytes) => bytes === 0,
      );
      assert.equal(await metric(near, "gateway_downloads"), 0);
      assert.equal(await metric(near, "gateway_downloads_stalled_total"), 2);
      for (const socket of sockets) {
        let got = 0;
        socket.on("data", (part) => {
          got += part.length;
        });
        await closed(socket.resume());
        assert.ok(got < TENSOR_BYTES, "it was cut off");
      }
      const whole = await fetch(`${near}/v1/topics/held/latest.bin`);
      assert.equal((await whole.arrayBuffer()).byteLength, TENSOR_BYTES);
    });

    test("that go on slowly are not cut off", async () => {
      await start(SLOW_STALL_MS);
      await pair.send("slow", patternBytes(TENSOR_BYTES));
      const socket = await unreadGet(pair.near.port, "/v1/topics/slow/latest.bin");
      const startMs = performance.now();
      let got = 0;
      let step = 0;
      for await (const part of socket) {
        got += (part as Uint8Array).length;
        if (got >= TENSOR_BYTES) break;
        if (got < step + STEP_BYTES) continue;
        step = got;
        await pause(STEP_MS); // it is slow
      }
      assert.ok(got >= TENSOR_BYTES, `${got} bytes came`);
      assert.ok(performance.now() - startMs > 1.5 * SLOW_STALL_MS);
    });
  });
}
