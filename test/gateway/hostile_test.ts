/** What clients and peers can do wrong, on purpose or not: each ends in one clear reason, and nobody else is touched. */
import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import type { Socket } from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { patternBytes, seededRandom } from "../support/core_crypto.ts";
import { RUNTIMES } from "../support/process.ts";
import { bytesOf, npyFile, safetensorsFile } from "./bodies.ts";
import {
  EventReader,
  GatewayPair,
  getJson,
  handlesOf,
  heldBytes,
  metric,
  problemOf,
  rawSocket,
  unreadGet,
  until,
} from "./pair.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
/** Of the near gateway. */
const CLIENTS = 220;
const LIMITS = { recentBytes: 48 * MiB, maxSseClients: CLIENTS, maxSsePerAddress: CLIENTS };
const SOAK_CLIENTS = 200;
const SOAK_ROUNDS = 4;
/** Memory of a process varies by so much on its own. */
const MOST_GROWN_BYTES = 64 * MiB;

const reaches = (url: string, name: string, value: number) =>
  until(
    () => metric(url, name),
    (now) => now === value,
  );

/** All that comes until the other side, or `accept`, has had enough. */
function answerOf(socket: Socket, accept: (text: string) => boolean = () => false): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const settle = () => {
      resolve(text);
      socket.destroy();
    };
    socket.on("data", (part) => {
      text += part.toString("latin1");
      if (accept(text)) settle();
    });
    for (const event of ["end", "error", "close"]) socket.on(event, settle);
  });
}

const HEAD = "Host: localhost\r\n";
/** Requests as no client sends them. */
const REQUESTS: readonly (readonly [what: string, text: string])[] = [
  ["noise", "\x00\x01\x02\xff\xfe not HTTP\r\n\r\n"],
  ["a method that is none", `${"X".repeat(300)} / HTTP/1.1\r\n${HEAD}\r\n`],
  ["a Host of somebody else", "GET /v1/peers HTTP/1.1\r\nHost: evil.example\r\n\r\n"],
  ["a Host with a user", "GET /v1/peers HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n"],
  ["a huge Host", `GET /v1/peers HTTP/1.1\r\nHost: ${"a".repeat(4000)}\r\n\r\n`],
  ["an Origin of somebody else", `GET /v1/peers HTTP/1.1\r\n${HEAD}Origin: https://evil.example\r\n\r\n`],
  ["an Origin without a page", `GET /v1/peers HTTP/1.1\r\n${HEAD}Origin: null\r\n\r\n`],
  ["huge headers", `GET /v1/peers HTTP/1.1\r\n${HEAD}X-Long: ${"a".repeat(128 * KiB)}\r\n\r\n`],
  ["many headers", `GET /v1/peers HTTP/1.1\r\n${HEAD}${"X-Many: a\r\n".repeat(5000)}\r\n`],
  ["a path that is too long", `GET /v1/streams?topic=${"a".repeat(128 * KiB)} HTTP/1.1\r\n${HEAD}\r\n`],
  ["a path out of the assets", `GET /assets/..%2f..%2fhttp.ts HTTP/1.1\r\n${HEAD}\r\n`],
  ["a path with half a character", `GET /v1/topics/%c3%28%/latest HTTP/1.1\r\n${HEAD}\r\n`],
  ["a negative length", `POST /v1/topics/x HTTP/1.1\r\n${HEAD}Content-Length: -5\r\n\r\nhello`],
  [
    "a length beyond counting",
    `POST /v1/topics/x HTTP/1.1\r\n${HEAD}Content-Length: 99999999999999999999999\r\n\r\n`,
  ],
  [
    "a length beyond the limit",
    `POST /v1/topics/x HTTP/1.1\r\n${HEAD}Content-Length: 99999999999999\r\n\r\n`,
  ],
  [
    "two lengths",
    `POST /v1/topics/x HTTP/1.1\r\n${HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
  ],
  [
    "a chunk that is none",
    `POST /v1/topics/x HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n`,
  ],
  ["metadata that is no JSON", `POST /v1/topics/x?metadata={ HTTP/1.1\r\n${HEAD}Content-Length: 1\r\n\r\na`],
];

/** Globs that would take a naive matcher for ever. */
const GLOBS = [
  "*".repeat(255),
  "**/".repeat(80),
  `${"a*".repeat(120)}b`,
  `${"**/a/".repeat(50)}b`,
  "?".repeat(255),
  "[".repeat(255),
  "{a,".repeat(80),
  `${"(a+)+".repeat(50)}$`,
  "a".repeat(1000),
  "\\".repeat(200),
  "/".repeat(255),
];

interface StreamRow {
  readonly topic: string;
  readonly state: string;
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
    // Whatever happened, others are served, and nothing is left open.
    afterEach(async () => {
      await pair.send("after", "still here");
      for (const url of [near, far])
        for (const name of ["uploads", "waiters", "taps", "event_clients"])
          await reaches(url, `gateway_${name}`, 0);
      await reaches(far, "streams_live", 0);
    });
    after(async () => {
      await pair[Symbol.asyncDispose]();
      assert.equal(pair.near.process.stderr, "");
      assert.equal(pair.far.process.stderr, "");
    });
    const streams = async (url: string, query: string) =>
      ((await getJson(`${url}/v1/streams?${query}`)) as { streams: StreamRow[] }).streams;

    test("tensor files that were tampered with are sent whole or refused", async () => {
      const random = seededRandom(7);
      const data = patternBytes(24);
      const files = [
        npyFile("float32", [2, 3], data),
        safetensorsFile([
          { name: "a", dtype: "float32", shape: [2], bytes: data.slice(0, 8) },
          { name: "b", dtype: "int16", shape: [8], bytes: data.slice(8) },
        ]),
      ];
      const types = ["application/x-npy", "application/vnd.safetensors"];
      const statuses = new Set<number>();
      for (let round = 0; round < 120; round++) {
        const [file = files[0], type = ""] = [files[round % 2], types[round % 2]];
        const body = Uint8Array.from(file ?? []);
        for (let change = 0; change <= round % 3; change++)
          body[Math.floor(random() * (body.length - 24))] = Math.floor(random() * 256);
        const sent = round % 5 === 0 ? body.subarray(0, Math.floor(random() * body.length)) : body;
        const response = await fetch(`${near}/v1/topics/tampered`, {
          method: "POST",
          body: sent as Uint8Array<ArrayBuffer>,
          headers: { "content-type": type },
        });
        statuses.add(response.status);
        if (response.status === 200) await response.arrayBuffer();
        else assert.ok((await problemOf(response)).status < 500);
      }
      assert.ok(statuses.has(400), `${[...statuses]}`);
    });

    test("requests that are none, and those that others make a browser send, are refused", async () => {
      for (const [what, text] of REQUESTS) {
        const socket = await rawSocket(pair.near.port);
        socket.setTimeout(10_000, () => socket.destroy());
        socket.write(Buffer.from(text, "latin1"));
        const answer = await answerOf(socket, (so) => /\r\n\r\n(.+|)$/s.test(so) && !/100 Continue/.test(so));
        // A server may also hang up on what is no HTTP.
        if (answer !== "") assert.match(answer, /^HTTP\/1\.[01] 4\d\d /, what);
        assert.doesNotMatch(answer, /node_modules|\.ts:\d| {4}at /, what);
      }
      assert.deepEqual(await streams(far, "topic=x&state=done"), []);
    });

    test("globs that could take for ever do not", async () => {
      await pair.send("a".repeat(255), "x");
      await pair.send("a/".repeat(127), "x");
      const startMs = performance.now();
      for (const glob of GLOBS) {
        const response = await fetch(`${near}/v1/streams?topic=${encodeURIComponent(glob)}`);
        if (response.status !== 200) assert.equal((await problemOf(response)).status, 400, glob.slice(0, 20));
        else await response.arrayBuffer();
        for (const kind of ["events", "stream"]) {
          const stopping = new AbortController();
          const url = `${near}/v1/topics/${encodeURIComponent(glob)}/${kind}`;
          const open = await fetch(url, { signal: stopping.signal });
          if (open.status !== 200) assert.equal((await problemOf(open)).status, 400, glob.slice(0, 20));
          stopping.abort();
        }
      }
      assert.ok(performance.now() - startMs < 10_000);
      for (const topic of ["never", "%00", "%F0%9F%98%80", "a".repeat(2000)]) {
        const response = await fetch(`${near}/v1/topics/${topic}/latest`);
        assert.equal((await problemOf(response)).code, "GATEWAY_UNKNOWN_TOPIC");
      }
    });

    test("a slow reader gets the whole of a tensor that has had to make room since", async () => {
      const large = patternBytes(32 * MiB);
      await pair.send("large", large);
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        request(`${near}/v1/topics/large/latest.bin`, resolve).on("error", reject).end();
      });
      for (let index = 0; index < 3; index++) await pair.send("newer", new Uint8Array(32 * MiB).fill(index));
      const gone = await problemOf(await fetch(`${near}/v1/topics/large/latest.bin`));
      assert.equal(gone.code, "GATEWAY_GONE");
      const parts: Uint8Array[] = [];
      for await (const part of answer) parts.push(part as Uint8Array);
      const body = Buffer.concat(parts);
      assert.ok(body.equals(large), `${body.length} bytes came, not those that were sent`);
    });

    test("clients that vanish while they download, wait, tap or listen leave nothing behind", async () => {
      await pair.send("large", new Uint8Array(32 * MiB));
      // Deno says nothing of a client that is gone before it has an answer: it is waited for as long as it has asked.
      const paths = ["large/latest.bin", "never/next?timeoutMs=6000", "**/stream", "**/events?stats=1"];
      const sockets: Socket[] = [];
      for (const path of paths) {
        for (let index = 0; index < 8; index++) {
          const at = `/v1/topics/${path.replaceAll("**/", "**%2F*/")}`;
          sockets.push(await unreadGet(pair.near.port, at));
        }
      }
      await reaches(near, "gateway_waiters", 8);
      await reaches(near, "gateway_taps", 8);
      await reaches(near, "gateway_event_clients", 8);
      for (const [index, socket] of sockets.entries()) {
        socket.on("error", () => {});
        if (index % 2 === 0) socket.resetAndDestroy();
        else socket.destroy();
      }
    });

    test("more clients of events than the limit are refused, and those there are go on", async () => {
      const readers: EventReader[] = [];
      for (let index = 0; index < CLIENTS; index++) readers.push(await EventReader.open(`${near}/v1/events`));
      for (let index = 0; index < 20; index++) {
        const refused = await fetch(`${near}/v1/events`);
        assert.equal(refused.headers.get("retry-after"), "5");
        const problem = await problemOf(refused);
        assert.equal(problem.status, 503);
        assert.equal(problem.code, "GATEWAY_TOO_MANY_CLIENTS");
      }
      assert.equal(await metric(near, "gateway_event_clients"), CLIENTS);
      assert.equal(await metric(near, "gateway_event_clients_refused_total"), 20);
      await pair.send("told", "to all");
      const heard = ({ event, data }: { event: string; data: Record<string, unknown> }) =>
        event === "stream" && (data.stream as StreamRow).topic === "told";
      await Promise.all(readers.map((reader) => reader.next(heard)));
      await Promise.all(readers.map((reader) => reader[Symbol.asyncDispose]()));
      await reaches(near, "gateway_event_clients", 0);
      await using again = await EventReader.open(`${near}/v1/events`);
      assert.equal((await again.next()).event, "hello");
    });

    test(`${SOAK_CLIENTS} clients that come and go leave handles and memory where they were`, async () => {
      const { pid } = pair.near;
      const round = async () => {
        const paths = ["events", "topics/**/events?stats=1"];
        const readers = await Promise.all(
          Array.from({ length: SOAK_CLIENTS }, (_, index) =>
            EventReader.open(`${near}/v1/${paths[index % 2]}`),
          ),
        );
        await pair.send("soak", bytesOf(new Float32Array(1000)), { "asoc-dtype": "float32" });
        await Promise.all(
          readers.map((reader) => reader.next(({ event }) => event === "stream" || event === "tensor")),
        );
        await Promise.all(readers.map((reader) => reader[Symbol.asyncDispose]()));
        await reaches(near, "gateway_event_clients", 0);
      };
      await round();
      const handles = await handlesOf(pid, Number.POSITIVE_INFINITY);
      const heldBefore = await heldBytes(pair.near);
      for (let index = 0; index < SOAK_ROUNDS; index++) await round();
      // Connections that fetch keeps open for the next request come and go.
      assert.ok((await handlesOf(pid, handles + 5)) <= handles + 5);
      const grownBytes = (await heldBytes(pair.near)) - heldBefore;
      assert.ok(grownBytes < MOST_GROWN_BYTES, `${grownBytes} bytes more`);
    });

    test("a peer that leaves in the middle of an upload is one clear reason", async () => {
      await using other = await GatewayPair.start(runtime);
      const socket = await rawSocket(other.near.port);
      const answer = answerOf(socket, (text) => text.endsWith("}"));
      socket.write(
        `POST /v1/topics/left HTTP/1.1\r\n${HEAD}Asoc-Dtype: uint8\r\nAsoc-Shape: 64000000\r\nContent-Length: 64000000\r\n\r\n`,
      );
      socket.write(new Uint8Array(2 * MiB));
      await until(
        () => streams(other.far.url, "topic=left"),
        ([row]) => row?.state === "live",
      );
      other.far.process.child.stdin?.end();
      const text = await answer;
      assert.match(text, /^HTTP\/1\.1 502 /);
      assert.match(text, /application\/problem\+json/);
      assert.match(text, /"code":"(GATEWAY|ASOC)_/);
      await reaches(other.near.url, "gateway_uploads", 0);
      await reaches(other.near.url, "streams_live", 0);
      const nobody = await fetch(`${other.near.url}/v1/topics/left`, { method: "POST", body: "a" });
      assert.equal((await problemOf(nobody)).status, 404);
    });
  });
}
