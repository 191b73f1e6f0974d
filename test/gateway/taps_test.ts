/** Clients that tap bytes, and are slow, or gone without a word: they are found out, and give their places back. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { makeToken, tokenHash } from "../../gateway/mod.ts";
import { RUNTIMES } from "../support/process.ts";
import {
  assertSameBytes,
  closed,
  GatewayPair,
  metric,
  parseTapped,
  rawSocket,
  unreadGet,
  until,
} from "./pair.ts";

const MiB = 1024 * 1024;
const STALL_MS = 1000;
const HEARTBEAT_MS = 100;
const LIMITS = { heartbeatMs: HEARTBEAT_MS, tapStallMs: STALL_MS };
/** More than sockets, queues and the server hold for one client. */
const MANY = 24;

/** A handshake by hand: its client answers no ping. */
function upgrade(socket: Socket, path: string, headers: readonly string[] = ["Host: localhost"]): void {
  const lines = [
    `GET ${path} HTTP/1.1`,
    ...headers,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
}

/** What came until the other side, or `accept`, has had enough. */
async function read(socket: Socket, accept: (text: string) => boolean = () => false): Promise<string> {
  let text = "";
  for await (const part of socket.setEncoding("latin1")) {
    text += part as string;
    if (accept(text)) break;
  }
  return text;
}

for (const runtime of RUNTIMES) {
  describe(`taps of a gateway on ${runtime}`, () => {
    let pair: GatewayPair;
    let near = "";
    before(async () => {
      pair = await GatewayPair.start(runtime, { limits: LIMITS });
      near = pair.near.url;
    });
    after(async () => {
      await pair[Symbol.asyncDispose]();
      assert.equal(pair.near.process.stderr, "");
    });
    const taps = (count: number) =>
      until(
        () => metric(near, "gateway_taps"),
        (now) => now === count,
      );

    test("a stream of bytes has a mark at each heartbeat, and goes on behind it", async () => {
      const response = await fetch(`${near}/v1/topics/marked/stream`);
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      let got = Buffer.alloc(0);
      const startMs = performance.now();
      const more = async () => {
        const { value } = await reader.read();
        got = Buffer.concat([got, value ?? new Uint8Array(0)]);
      };
      // Longer than a client may be without progress: it takes the marks.
      while (performance.now() - startMs < 2 * STALL_MS) await more();
      assert.ok(got.length >= 4 * 8, `${got.length} bytes`);
      assert.ok(got.every((byte) => byte === 0));
      await pair.send("marked", "behind");
      for (;;) {
        const tensor = parseTapped(got);
        if (tensor) {
          assertSameBytes(tensor.bytes, Buffer.from("behind"));
          break;
        }
        await more();
      }
      await reader.cancel();
      await taps(0);
    });

    test("a client that takes nothing of its stream is cut off, by WebSocket too", async () => {
      const stream = await unreadGet(pair.near.port, "/v1/topics/stalled/stream");
      const socket = await rawSocket(pair.near.port);
      const ends = Promise.all([closed(stream), closed(socket)]);
      upgrade(socket, "/v1/topics/stalled/ws");
      socket.pause();
      await taps(2);
      for (let index = 0; index < MANY; index++) await pair.send("stalled", new Uint8Array(MiB));
      await taps(0);
      stream.resume();
      socket.resume();
      await ends;
    });

    test("a WebSocket is pinged, and cut off when it answers no ping", async () => {
      const silent = await rawSocket(pair.near.port);
      silent.on("error", () => {});
      upgrade(silent, "/v1/topics/pinged/ws");
      const text = await read(silent);
      assert.match(text, /^HTTP\/1\.1 101 /);
      assert.ok(text.split("\x89\x00").length > 3, "pings came");
      await taps(0);
    });

    test("a WebSocket that answers pings stays, and hears 1001 when the gateway closes", async () => {
      const stallMs = 3 * STALL_MS; // this process answers the pings, and may be slow
      await using other = await GatewayPair.start(runtime, { limits: { ...LIMITS, tapStallMs: stallMs } });
      const socket = new WebSocket(`ws://127.0.0.1:${other.near.port}/v1/topics/kept/ws`);
      socket.binaryType = "arraybuffer";
      await new Promise((resolve) => socket.addEventListener("open", resolve));
      const startMs = performance.now();
      // Nothing is awaited but time.
      await until(
        () => metric(other.near.url, "gateway_taps"),
        (count) => count !== 1 || performance.now() - startMs > 2 * stallMs,
      );
      const message = new Promise<Uint8Array>((resolve) => {
        socket.onmessage = ({ data }) => resolve(new Uint8Array(data as ArrayBuffer));
      });
      await other.send("kept", "still here");
      assert.deepEqual(parseTapped(await message)?.bytes, new Uint8Array(Buffer.from("still here")));
      const closing = new Promise<CloseEvent>((resolve) => {
        socket.onclose = resolve;
      });
      other.near.process.child.stdin?.end();
      assert.equal((await closing).code, 1001);
    });

    test("Host, Origin and token are checked before an upgrade, and nothing else asks for one in vain", async () => {
      const token = makeToken();
      const record = {
        hash: tokenHash(token),
        scopes: ["tap" as const],
        name: "t",
        createdAt: "2026-11-24T09:30:00.000Z",
      };
      await using other = await GatewayPair.start(runtime, { tokens: [record] }, token);
      const answer = async (path: string, ...headers: string[]) => {
        const socket = await rawSocket(other.near.port);
        upgrade(socket, path, headers);
        return read(socket, (text) => text.includes("\r\n\r\n"));
      };
      const path = "/v1/topics/x/ws";
      const wrong: [status: number, path: string, ...headers: string[]][] = [
        [403, `${path}?access_token=${token}`, "Host: evil.example"],
        [403, `${path}?access_token=${token}`, "Host: localhost", "Origin: https://evil.example"],
        [401, path, "Host: localhost"],
        [401, `${path}?access_token=${makeToken()}`, "Host: localhost"],
      ];
      for (const [status, at, ...headers] of wrong) {
        const text = await answer(at, ...headers);
        assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} `), at);
        assert.match(text, /^x-content-type-options: nosniff/im);
      }
      // Nothing else becomes a WebSocket, or another protocol.
      for (const protocol of ["websocket", "h2c"]) {
        const socket = await rawSocket(other.near.port);
        const lines = ["Host: localhost", "Connection: Upgrade", `Upgrade: ${protocol}`];
        socket.write(`GET /v1/health HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
        const text = await read(socket, (so) => so.endsWith("}"));
        assert.match(text, /^HTTP\/1\.1 200 /, protocol);
        assert.match(text, /"live":true/, protocol);
        assert.match(text, /^x-content-type-options: nosniff/im);
      }
      const problems = await fetch(`${other.near.url}/metrics`, {
        headers: { authorization: `Bearer ${token}` },
      });
      const metrics = await problems.text();
      assert.match(metrics, /^asoc_gateway_problems_total\{code="GATEWAY_FORBIDDEN_HOST"\} 1$/m);
      assert.match(metrics, /^asoc_gateway_problems_total\{code="GATEWAY_UNAUTHORIZED"\} 2$/m);
      assert.match(metrics, /^asoc_gateway_requests_total\{method="GET",status="4xx"\} 4$/m);
      const open = await answer(
        `${path}?access_token=${token}`,
        "Host: localhost",
        "Origin: http://localhost",
      );
      assert.match(open, /^HTTP\/1\.1 101 /);
    });
  });
}
