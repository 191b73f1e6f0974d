/** A gateway whose node has several peers, in this process: what they hear of an injection, and what it tells of them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { type AsocNode, type JoinOptions, join, type TensorDescription } from "../../src/mod.ts";
import { PythonPeer } from "../interop/v01_python.ts";
import { RUNTIMES } from "../support/process.ts";
import { EventReader, GatewayPair, getJson, metric, type SseEvent, until } from "./pair.ts";

const MiB = 1024 * 1024;
/** More than a receiver that reads nothing gives credit for. */
const LARGE_BYTES = 64 * MiB;

const skip = spawnSync("python3", ["--version"]).status === 0 ? false : "needs python3";

interface Result {
  readonly peer: string;
  readonly ok: boolean;
  readonly delivery: string | null;
  readonly error: { code: string } | null;
}

for (const runtime of RUNTIMES) {
  describe(`peers of a gateway on ${runtime}`, () => {
    let pair: GatewayPair;
    let near = "";
    before(async () => {
      pair = await GatewayPair.start(runtime);
      near = pair.near.url;
    });
    after(() => pair[Symbol.asyncDispose]());

    const joins = async (options: Partial<JoinOptions> = {}): Promise<AsocNode> =>
      join({
        apiKey: pair.key,
        host: "127.0.0.1",
        peers: [pair.near.address],
        discovery: false,
        ...options,
      });
    const connected = (id: string) =>
      until(
        async () => (await getJson(`${near}/v1/peers`)) as { peers: { id: string }[] },
        ({ peers }) => peers.some((peer) => peer.id === id),
      );
    const post = async (query: string, body: Uint8Array | string, headers: Record<string, string> = {}) => {
      const response = await fetch(`${near}/v1/topics/to%2Fmany?${query}`, {
        method: "POST",
        body: body as Uint8Array<ArrayBuffer>,
        headers,
      });
      const { results = [] } = (await response.json()) as { results?: Result[] };
      return { status: response.status, results };
    };

    test("of two targets one may fail: 200, and each says how it went", async () => {
      await using third = await joins();
      await connected(third.id);
      const refusing = (async () => {
        for await (const stream of third.incoming) return stream.cancel("not today");
      })();
      const { status, results } = await post(`to=${pair.far.id},${third.id}`, new Uint8Array(LARGE_BYTES));
      await refusing;
      assert.equal(status, 200);
      const of = (id: string) => results.find(({ peer }) => peer === id);
      assert.deepEqual([of(pair.far.id)?.ok, of(pair.far.id)?.delivery], [true, "verified"]);
      assert.deepEqual([of(third.id)?.ok, of(third.id)?.error?.code], [false, "ASOC_STOPPED"]);
    });

    test("options of the query and of headers reach the far node, and the query wins", async () => {
      await using third = await joins();
      await connected(third.id);
      const headers = {
        "asoc-priority": "7",
        "asoc-deadline-ms": "60000",
        "asoc-digest": "sha256",
        "asoc-metadata": '{"step":1}',
      };
      const query = new URLSearchParams({
        to: third.id,
        priority: "9",
        deadlineMs: "50000",
        digest: "none",
        metadata: "[2]",
      });
      const seen: TensorDescription[] = [];
      const reading = (async () => {
        for await (const stream of third.incoming) {
          if (stream.description) seen.push(stream.description);
          for await (const _ of stream.chunks());
          if (seen.length === 2) return;
        }
      })();
      assert.equal((await post(`to=${third.id}`, "a", headers)).status, 200);
      assert.equal((await post(String(query), "b", headers)).status, 200);
      await reading;
      const facts = seen.map(({ priority, deadlineMs, digest, metadata }) => [
        priority,
        Math.ceil(deadlineMs / 1000), // what was left when the stream was opened
        digest,
        metadata,
      ]);
      assert.deepEqual(facts, [
        [7, 60, "sha256", { step: 1 }],
        [9, 50, "none", [2]],
      ]);
    });

    test("events tell of peers that join and leave, and of connections that were refused", async () => {
      await using events = await EventReader.open(`${near}/v1/events`);
      const heard = (kind: string) =>
        events.next(({ event, data }: SseEvent) => event === "peer" && data.kind === kind);
      const third = await joins();
      const joined = await heard("joined");
      assert.equal((joined.data.peer as { id: string }).id, third.id);
      await third.close();
      const left = await heard("left");
      assert.equal((left.data.peer as { id: string }).id, third.id);
      assert.ok(String(left.data.reason).length > 0);
      await using stranger = await joins({ apiKey: randomBytes(32).toString("hex") });
      assert.ok(stranger.id);
      const { data } = await events.next(({ event }) => event === "refused");
      assert.match(String(data.address), /^127\.0\.0\.1:\d+$/);
      assert.match(String(data.code), /^ASOC_/);
    });

    test("metrics are those of the node: frames, payload, and streams that wait for credit", async () => {
      await using third = await joins({ limits: { initialCreditBytes: 64 * 1024 } });
      await connected(third.id);
      const value = (name: string) => metric(near, `${name}\\{direction="out"\\}`);
      const [frames, payload] = [await value("frames_total"), await value("payload_bytes_total")];
      const stalls = await metric(near, "credit_stalls_total");
      const sending = post(`to=${third.id}`, new Uint8Array(LARGE_BYTES));
      for await (const stream of third.incoming) {
        // It reads only when its sender has had to wait.
        await until(
          () => metric(near, "credit_stalls_total"),
          (now) => now > stalls,
        );
        for await (const _ of stream.chunks());
        break;
      }
      assert.equal((await sending).status, 200);
      assert.ok((await value("payload_bytes_total")) - payload >= LARGE_BYTES);
      assert.ok((await value("frames_total")) - frames >= LARGE_BYTES / MiB);
    });

    test("a v0.1 peer is told as one, and is sent to without being asked what became of it", {
      skip,
    }, async () => {
      const { community } = (await getJson(`${near}/v1/node`)) as { community: string };
      await using python = await PythonPeer.start({
        "api-key": pair.key,
        community,
        peers: pair.near.address,
      });
      await connected(python.id);
      const { peers } = (await getJson(`${near}/v1/peers`)) as { peers: { id: string; protocol: string }[] };
      assert.equal(peers.find(({ id }) => id === python.id)?.protocol, "v0.1");
      const { status, results } = await post(`to=${python.id}`, "by the gateway");
      assert.equal(status, 200);
      assert.deepEqual([results[0]?.ok, results[0]?.delivery], [true, "kernel"]);
      await python.process.waitFor((event) => event.event === "tensor" && event.bytes === 14);
    });
  });
}
