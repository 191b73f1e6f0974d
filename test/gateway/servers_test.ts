/** Gateways as their users meet them: two real nodes on each runtime, and requests over real sockets. */
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";
import { RUNTIMES } from "../support/process.ts";
import { BAD_BODIES, bytesOf, npyFile, safetensorsFile } from "./bodies.ts";
import {
  assertSameBytes,
  EventReader,
  GatewayPair,
  getBytes,
  getJson,
  parseTapped,
  problemOf,
  rawSocket,
  unreadGet,
  until,
} from "./pair.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
/** Of the near gateway. */
const LIMITS = { recentBytes: 8 * MiB, uploadStallMs: 5000 };

interface PeerRow {
  readonly id: string;
  readonly protocol: string;
  readonly runtime: string | null;
}
interface StreamRow {
  readonly id: number;
  readonly direction: string;
  readonly topic: string;
  readonly state: string;
  readonly shape: number[];
  readonly available: boolean;
  readonly digest: string | null;
  readonly error: { code: string } | null;
}

for (const runtime of RUNTIMES) {
  describe(`a gateway on ${runtime}`, () => {
    let pair: GatewayPair;
    let near = "";
    let far = "";
    before(async () => {
      pair = await GatewayPair.start(runtime, { limits: LIMITS });
      near = pair.near.url;
      far = pair.far.url;
    });
    after(async () => {
      await pair[Symbol.asyncDispose]();
      assert.equal(pair.near.process.stderr, "");
    });
    const streams = async (url: string, query: string) =>
      ((await getJson(`${url}/v1/streams?${query}`)) as { streams: StreamRow[] }).streams;

    test("says of itself and its peers what it knows", async () => {
      const health = (await getJson(`${near}/v1/health`)) as Record<string, unknown>;
      assert.equal(health.live, true);
      assert.equal(health.nodeId, pair.near.id);
      assert.match(String(health.runtime), new RegExp(`^${runtime} `));
      const node = (await getJson(`${near}/v1/node`)) as { id: string; stats: object };
      assert.equal(node.id, pair.near.id);
      const { peers } = (await getJson(`${near}/v1/peers`)) as { peers: PeerRow[] };
      assert.deepEqual(
        peers.map(({ id, protocol }) => [id, protocol]),
        [[pair.far.id, "x1"]],
      );
      // It says so in its session, as soon as that has begun.
      const said = await until(
        async () => ((await getJson(`${near}/v1/peers`)) as { peers: PeerRow[] }).peers[0]?.runtime ?? "",
        (text) => text !== "",
      );
      assert.match(said, new RegExp(`^${runtime} `));
      const peer = (await getJson(`${near}/v1/peers/${pair.far.id.slice(0, 13)}`)) as { id: string };
      assert.equal(peer.id, pair.far.id);
      const unknown = await problemOf(await fetch(`${near}/v1/peers/nobody`));
      assert.equal(unknown.code, "GATEWAY_UNKNOWN_PEER");
    });

    test("every format goes in, arrives at the far node, and comes out as every format", async () => {
      const values = Float32Array.from({ length: 6 }, (_, index) => index / 2);
      const bytes = bytesOf(values);
      const npy = npyFile("float32", [2, 3], bytes);
      const file = safetensorsFile([{ name: "t", dtype: "float32", shape: [2, 3], bytes }]);
      const data = [
        [0, 0.5, 1],
        [1.5, 2, 2.5],
      ];
      const bodies: [topic: string, body: Uint8Array | string, headers: Record<string, string>][] = [
        ["in/npy", npy, { "content-type": "application/x-npy" }],
        ["in/guessed", npy, {}],
        ["in/raw", bytes, { "asoc-dtype": "float32", "asoc-shape": "2,3" }],
        [
          "in/json",
          JSON.stringify({ dtype: "float32", shape: [2, 3], data }),
          { "content-type": "application/json" },
        ],
        ["in/file", file, { "content-type": "application/vnd.safetensors" }],
      ];
      for (const [topic, body, headers] of bodies) {
        const [result] = await pair.send(topic, body, headers);
        assert.equal(result?.ok, true, topic);
        assert.match(result?.digest ?? "", /^crc32:/);
        const came = topic === "in/file" ? "in/file/t" : topic;
        for (const url of [far, near]) {
          const at = `${url}/v1/topics/${encodeURIComponent(came)}/latest`;
          await until(
            async () => (await fetch(at)).status,
            (status) => status === 200,
          );
          assertSameBytes(await getBytes(`${at}.npy`), npy, came);
          assertSameBytes(await getBytes(at, { headers: { accept: "application/x-npy" } }), npy);
          assertSameBytes(await getBytes(`${at}.bin`), bytes);
          const json = (await getJson(`${at}.json`)) as { dtype: string; data: unknown };
          assert.deepEqual(json, { topic: came, dtype: "float32", shape: [2, 3], data });
          const named = safetensorsFile([{ name: came, dtype: "float32", shape: [2, 3], bytes }]);
          assertSameBytes(await getBytes(`${at}.safetensors`), named);
        }
      }
    });

    test("a safetensors body becomes one tensor for each of its own", async () => {
      const one = bytesOf(new Uint16Array([1, 2, 3]));
      const two = bytesOf(new Float64Array([4]));
      const file = safetensorsFile([
        { name: "layer.0", dtype: "uint16", shape: [3], bytes: one },
        { name: "layer.1", dtype: "float64", shape: [1], bytes: two },
        { name: "empty", dtype: "float32", shape: [0, 4], bytes: new Uint8Array(0) },
      ]);
      const results = await pair.send("model", file);
      assert.equal(results.length, 3);
      assertSameBytes(await getBytes(`${far}/v1/topics/model%2Flayer.0/latest.bin`), one);
      assertSameBytes(await getBytes(`${far}/v1/topics/model%2Flayer.1/latest.bin`), two);
      const empty = (await getJson(`${far}/v1/topics/model%2Fempty/latest.json`)) as { shape: number[] };
      assert.deepEqual(empty.shape, [0, 4]);
    });

    test("a big-endian npy arrives little-endian", async () => {
      const big = new Uint8Array(8);
      const view = new DataView(big.buffer);
      view.setFloat32(0, 1.5);
      view.setFloat32(4, -2);
      const text = "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }";
      const head = new Uint8Array([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length, 0]);
      await pair.send("swapped", Buffer.concat([head, Buffer.from(text), big]));
      const { data } = (await getJson(`${far}/v1/topics/swapped/latest.json`)) as { data: number[] };
      assert.deepEqual(data, [1.5, -2]);
    });

    test("gives slices, ranges and nothing that is there already", async () => {
      const values = Int32Array.from({ length: 600_000 }, (_, index) => index);
      await pair.send("large", bytesOf(values), { "asoc-dtype": "int32", "asoc-shape": "1000,600" });
      const at = `${near}/v1/topics/large/latest`;
      const rows = (await getJson(`${at}.json?slice=1:6:2,-1`)) as { data: number[] };
      assert.deepEqual(rows.data, [1199, 2399, 3599]);
      const npy = await getBytes(`${at}.npy`);
      const part = await fetch(`${at}.npy`, { headers: { range: "bytes=100-299" } });
      assert.equal(part.status, 206);
      assert.equal(part.headers.get("content-range"), `bytes 100-299/${npy.length}`);
      assertSameBytes(new Uint8Array(await part.arrayBuffer()), npy.slice(100, 300));
      const end = await fetch(`${at}.npy?slice=:,::3`, { headers: { range: "bytes=-5" } });
      assert.equal(end.status, 206);
      assert.deepEqual(
        new Uint8Array(await end.arrayBuffer()),
        (await getBytes(`${at}.npy?slice=:,::3`)).slice(-5),
      );
      const outside = await fetch(`${at}.npy`, { headers: { range: "bytes=99999999-" } });
      assert.equal(outside.status, 416);
      assert.equal((await problemOf(outside)).code, "GATEWAY_RANGE");
      const head = await fetch(`${at}.npy`, { method: "HEAD" });
      assert.equal(head.headers.get("content-length"), String(npy.length));
      const etag = head.headers.get("etag") ?? "";
      assert.match(etag, /^"[\w-]+"$/);
      const same = await fetch(`${at}.npy`, { headers: { "if-none-match": etag } });
      assert.equal(same.status, 304);
      assert.equal((await fetch(`${at}.bin`, { headers: { "if-none-match": etag } })).status, 200);
      const raw = await fetch(`${at}`, { headers: { accept: "application/octet-stream" } });
      assert.equal(raw.headers.get("asoc-dtype"), "int32");
      assert.equal(raw.headers.get("asoc-shape"), "1000,600");
      assert.equal(raw.headers.get("asoc-topic"), "large");
      assertSameBytes(new Uint8Array(await raw.arrayBuffer()), bytesOf(values));
      assert.equal((await problemOf(await fetch(`${at}.json`))).code, "GATEWAY_NOT_ACCEPTABLE");
      assert.equal((await problemOf(await fetch(`${at}.npy?slice=5000`))).code, "GATEWAY_BAD_SLICE");
      const picture = await fetch(at, { headers: { accept: "image/png" } });
      assert.equal((await problemOf(picture)).status, 406);
    });

    test("lists streams by what they are, and finds each again", async () => {
      await pair.send("listed/one", "abc");
      const [row] = await streams(near, "topic=listed/*&direction=out&state=done&limit=1");
      assert.ok(row);
      assert.equal(row.topic, "listed/one");
      assert.deepEqual(await getJson(`${near}/v1/streams/${row.id}`), row);
      assert.deepEqual(await streams(near, "peer=nobody"), []);
      const { id } = pair.far;
      for (const peer of [id, id.slice(0, 13), id.toUpperCase().replaceAll("-", "")])
        assert.deepEqual(await streams(near, `topic=listed/*&limit=1&peer=${peer}`), [row], peer);
      assert.equal(
        (await problemOf(await fetch(`${near}/v1/streams/999999`))).code,
        "GATEWAY_UNKNOWN_STREAM",
      );
      assert.equal(
        (await problemOf(await fetch(`${near}/v1/topics/unseen/latest`))).code,
        "GATEWAY_UNKNOWN_TOPIC",
      );
      assert.equal((await problemOf(await fetch(`${near}/v1/streams?limit=x`))).status, 400);
      assert.equal((await problemOf(await fetch(`${near}/v1/streams?topic=`))).code, "GATEWAY_BAD_GLOB");
      assert.equal((await problemOf(await fetch(`${near}/v1/nothing`))).status, 404);
      const wrong = await fetch(`${near}/v1/peers`, { method: "DELETE" });
      assert.equal(wrong.headers.get("allow"), "GET, HEAD");
      assert.equal((await problemOf(wrong)).status, 405);
    });

    test("what had to make room is gone, with when", async () => {
      await pair.send("old", new Uint8Array(MiB));
      const [row] = await streams(near, "topic=old");
      for (let index = 0; index < 9; index++) await pair.send("new", new Uint8Array(MiB).fill(index));
      const gone = await problemOf(await fetch(`${near}/v1/streams/${row?.id}/data`));
      assert.equal(gone.code, "GATEWAY_GONE");
      assert.ok(Date.parse(gone.goneAt ?? "") > 0);
      assert.equal((await problemOf(await fetch(`${near}/v1/topics/old/latest`))).status, 410);
    });

    test("every malformed body is refused with one reason, and harms nobody", async () => {
      for (const { what, type, body, headers = {}, status, code } of BAD_BODIES) {
        const response = await fetch(`${near}/v1/topics/bad`, {
          method: "POST",
          body: body as Uint8Array<ArrayBuffer>,
          headers: { "content-type": type, ...headers },
        });
        const problem = await problemOf(response);
        assert.equal(problem.status, status, `${what}: ${problem.detail}`);
        if (code !== "*") assert.equal(problem.code, code, `${what}: ${problem.detail}`);
      }
      assert.deepEqual(await streams(far, "topic=bad/**&state=done"), []);
      assert.deepEqual(await streams(far, "topic=bad&state=done"), []);
      const refused = await fetch(`${near}/v1/topics/${"x".repeat(256)}`, { method: "POST", body: "a" });
      assert.equal((await problemOf(refused)).status, 400);
      const nobody = await fetch(`${near}/v1/topics/x?to=nobody`, { method: "POST", body: "a" });
      assert.equal((await problemOf(nobody)).code, "GATEWAY_UNKNOWN_PEER");
    });

    test("a client that vanishes in the middle of its upload leaves nothing behind", async () => {
      const socket = await rawSocket(pair.near.port);
      socket.on("error", () => {});
      socket.write(
        "POST /v1/topics/vanished HTTP/1.1\r\nHost: localhost\r\nAsoc-Dtype: uint8\r\nAsoc-Shape: 4000000\r\n" +
          "Content-Type: application/octet-stream\r\nContent-Length: 4000000\r\n\r\n",
      );
      socket.write(new Uint8Array(MiB));
      await until(
        () => streams(far, "topic=vanished"),
        ([row]) => row?.state === "live",
      );
      socket.destroy();
      const [row] = await until(
        () => streams(far, "topic=vanished"),
        ([one]) => one?.state === "failed",
      );
      assert.equal(row?.available, false);
      await until(
        async () => await (await fetch(`${near}/metrics`)).text(),
        (text) => /^asoc_gateway_uploads 0$/m.test(text),
      );
      await pair.send("after", "still here");
    });

    test("a body without a length is streamed, and refused when it goes on or stops too early", async () => {
      const chunked = (bytes: number) =>
        new Promise<number>((resolve, reject) => {
          const sent = request(
            `${near}/v1/topics/chunked`,
            { method: "POST", headers: { "asoc-dtype": "uint8", "asoc-shape": "300000" } },
            (response) => {
              response.resume();
              resolve(response.statusCode ?? 0);
            },
          );
          sent.on("error", reject);
          for (let at = 0; at < bytes; at += 100_000)
            sent.write(new Uint8Array(Math.min(100_000, bytes - at)));
          sent.end();
        });
      assert.equal(await chunked(300_000), 200);
      assert.equal(await chunked(300_001), 400);
      assert.equal(await chunked(299_999), 400);
      const done = await streams(far, "topic=chunked&state=done");
      assert.equal(done.length, 1);
    });

    test("next waits for the next tensor of a topic, and not for ever", async () => {
      const waiting = getBytes(`${far}/v1/topics/soon/next.bin`);
      await until(
        async () => await (await fetch(`${far}/metrics`)).text(),
        (text) => /^asoc_gateway_waiters 1$/m.test(text),
      );
      await pair.send("soon", "here it is");
      assert.equal(Buffer.from(await waiting).toString(), "here it is");
      const never = await fetch(`${far}/v1/topics/never/next?timeoutMs=50`);
      assert.equal((await problemOf(never)).code, "GATEWAY_TIMEOUT");
    });

    test("tells events as they happen, and again from where a client was", async () => {
      let lastId = "";
      {
        await using events = await EventReader.open(`${near}/v1/events`);
        const hello = await events.next();
        assert.equal(hello.event, "hello");
        assert.equal(hello.data.nodeId, pair.near.id);
        await pair.send("told", "one");
        const isTold = ({ event, data }: { event: string; data: Record<string, unknown> }) =>
          event === "stream" && (data.stream as StreamRow).topic === "told";
        assert.equal((await events.next(isTold)).data.kind, "started");
        const ended = await events.next(isTold);
        assert.equal(ended.data.kind, "ended");
        assert.equal((ended.data.stream as StreamRow).state, "done");
        lastId = ended.id ?? "";
        const rates = await events.next(({ event }) => event === "rates");
        assert.ok(Array.isArray(rates.data.peers));
      }
      await pair.send("missed", "two");
      await using again = await EventReader.open(`${near}/v1/events`, { "last-event-id": lastId });
      assert.equal((await again.next()).event, "hello");
      const missed = await again.next(({ event }) => event === "stream");
      assert.equal((missed.data.stream as StreamRow).topic, "missed");
      const history = (await getJson(`${near}/v1/history`)) as { seconds: unknown[]; peers: object };
      assert.ok(history.seconds.length > 0);
    });

    test("tells of each tensor with statistics, or its bytes", async () => {
      await using statistics = await EventReader.open(`${far}/v1/topics/stat%2F*/events?stats=1`);
      await using data = await EventReader.open(`${far}/v1/topics/**/events?data=1`);
      await statistics.next();
      await data.next();
      await pair.send(
        "stat/x",
        bytesOf(new Float32Array([-3, 0, 0, 1, Number.NaN, Number.POSITIVE_INFINITY])),
        {
          "asoc-dtype": "float32",
        },
      );
      const told = await statistics.next(({ event }) => event === "tensor");
      const { stats } = told.data as { stats: Record<string, unknown> };
      const { count, min, max, nan, inf, zeros, l1, maxAbs } = stats;
      assert.deepEqual(
        { count, min, max, nan, inf, zeros, l1, maxAbs },
        { count: 6, min: -3, max: 1, nan: 1, inf: 1, zeros: 2, l1: 4, maxAbs: 3 },
      );
      const bytes = await data.next(({ event }) => event === "tensor");
      assert.equal(Buffer.from(String(bytes.data.data), "base64").length, 24);
    });

    test("200 clients of events that come and go leave nothing behind", async () => {
      const clients = async () => {
        const text = await (await fetch(`${near}/metrics`)).text();
        return Number(/^asoc_gateway_event_clients (\d+)$/m.exec(text)?.[1]);
      };
      await until(clients, (count) => count === 0);
      const sockets = await Promise.all(Array.from({ length: 200 }, () => rawSocket(pair.near.port)));
      for (const socket of sockets) {
        socket.on("error", () => {});
        socket.resume();
        socket.write("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
      }
      await until(clients, (count) => count === 200);
      await pair.send("crowd", "hello");
      for (const socket of sockets) socket.destroy();
      await until(clients, (count) => count === 0);
    });

    test("a tap gets the bytes as they pass, and one that stands still holds up nobody", async () => {
      const response = await fetch(`${far}/v1/topics/tap%2F**/stream`);
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      const stalled = await unreadGet(pair.far.port, "/v1/topics/tap%2F**/stream");
      let got = Buffer.alloc(0);
      const next = async () => {
        for (;;) {
          const tensor = parseTapped(got);
          if (tensor) {
            got = got.subarray(tensor.end);
            return tensor;
          }
          const { value, done } = await reader.read();
          assert.ok(!done && value);
          got = Buffer.concat([got, value]);
        }
      };
      await until(
        async () => await (await fetch(`${far}/metrics`)).text(),
        (text) => /^asoc_gateway_taps 2$/m.test(text),
      );
      for (let index = 0; index < 24; index++) {
        const body = new Uint8Array(MiB).fill(index);
        const [result] = await pair.send("tap/x", body);
        assert.equal(result?.ok, true);
        const tensor = await next();
        assert.equal(tensor.header.topic, "tap/x");
        assert.equal(tensor.header.dropped, 0);
        assertSameBytes(tensor.bytes, body);
      }
      await reader.cancel();
      await until(
        async () => await (await fetch(`${far}/metrics`)).text(),
        (text) => Number(/^asoc_gateway_tap_dropped_total (\d+)$/m.exec(text)?.[1]) > 0,
      );
      stalled.destroy();
      await until(
        async () => await (await fetch(`${far}/metrics`)).text(),
        (text) => /^asoc_gateway_taps 0$/m.test(text),
      );
    });

    test("a WebSocket gets one message for each tensor", async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${pair.far.port}/v1/topics/ws%2F*/ws`);
      socket.binaryType = "arraybuffer";
      const messages: Uint8Array[] = [];
      let wake = () => {};
      socket.onmessage = ({ data }) => {
        messages.push(new Uint8Array(data as ArrayBuffer));
        wake();
      };
      await new Promise((resolve, reject) => {
        socket.onopen = resolve;
        socket.onerror = reject;
      });
      for (let index = 0; index < 3; index++) {
        const arrived = new Promise<void>((resolve) => {
          wake = resolve;
        });
        await pair.send("ws/x", new Uint8Array(1000).fill(index));
        await arrived;
        const tensor = parseTapped(messages[index] ?? new Uint8Array(0));
        assert.deepEqual(tensor?.bytes, new Uint8Array(1000).fill(index));
      }
      socket.close();
      await until(
        async () => await (await fetch(`${far}/metrics`)).text(),
        (text) => /^asoc_gateway_taps 0$/m.test(text),
      );
      const plain = await fetch(`${far}/v1/topics/x/ws`);
      assert.equal((await problemOf(plain)).code, "GATEWAY_UPGRADE_REQUIRED");
    });

    test("answers to its own names and pages only", async () => {
      const ask = (headers: Record<string, string>) =>
        new Promise<number>((resolve, reject) => {
          const { port } = pair.near;
          const sent = request({ port, host: "127.0.0.1", path: "/v1/peers", headers }, (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          });
          sent.on("error", reject);
          sent.end();
        });
      assert.equal(await ask({ host: "localhost" }), 200);
      assert.equal(await ask({ host: `[::1]:${pair.near.port}` }), 200);
      assert.equal(await ask({ host: "evil.example" }), 403);
      assert.equal(await ask({ host: "localhost", origin: "https://evil.example" }), 403);
      assert.equal(await ask({ host: "localhost:1", origin: "http://localhost:1" }), 200);
    });

    test("describes itself, without a word from elsewhere", async () => {
      const document = (await getJson(`${near}/v1/openapi.json`)) as { openapi: string; paths: object };
      assert.equal(document.openapi, "3.1.0");
      assert.ok(Object.keys(document.paths).length > 20);
      const page = await fetch(`${near}/docs`);
      assert.match(page.headers.get("content-security-policy") ?? "", /^default-src 'self'/);
      const html = await page.text();
      assert.match(html, /\/v1\/topics\/\{topic\}\/latest/);
      assert.doesNotMatch(html, /https?:\/\//);
      assert.match(await (await fetch(`${near}/v1/metrics`)).text(), /^asoc_peers 1$/m);
    });

    test("a peer that dies in the middle of an upload ends it with its reason", async () => {
      const socket = await rawSocket(pair.near.port);
      let answer = "";
      const answered = new Promise<void>((resolve) => {
        socket.setEncoding("utf8").on("data", (text: string) => {
          answer += text;
          if (answer.includes("GATEWAY_")) resolve();
        });
        socket.on("error", () => resolve());
      });
      socket.write(
        "POST /v1/topics/orphaned HTTP/1.1\r\nHost: localhost\r\nAsoc-Dtype: uint8\r\nAsoc-Shape: 40000000\r\n" +
          "Content-Length: 40000000\r\n\r\n",
      );
      socket.write(new Uint8Array(MiB));
      await until(
        () => streams(far, "topic=orphaned"),
        ([row]) => row?.state === "live",
      );
      pair.far.process.kill("SIGKILL");
      for (let sent = 0; sent < 4 && !answer; sent++) socket.write(new Uint8Array(MiB));
      await answered;
      assert.match(answer, /^HTTP\/1\.1 502 /);
      assert.match(answer, /"code":"GATEWAY_SEND_FAILED"/);
      assert.match(answer, /"ok":false/);
      socket.destroy();
      const nobody = await until(
        async () => await fetch(`${near}/v1/topics/x`, { method: "POST", body: "a" }),
        (response) => response.status === 404,
      );
      assert.equal((await problemOf(nobody)).code, "GATEWAY_NO_PEERS");
    });
  });
}
