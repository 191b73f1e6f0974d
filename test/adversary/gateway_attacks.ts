/** Attacks on the gateway's HTTP (RFC-0300), by a client without a token, with too small a one, or with much patience. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { makeToken, type Scope, tokenHash } from "../../gateway/mod.ts";
import { problemOf, rawSocket, until } from "../gateway/pair.ts";
import { type Json, Process, type RuntimeName } from "../support/process.ts";
import { sha256 } from "../support/raw_peer.ts";
import type { Attack } from "./attack.ts";

const MiB = 1024 * 1024;
const SLOW_CLIENTS = 150;
const CLIENTS_OF_EVENTS = 20;
const UPLOAD_STALL_MS = 1500;
const MAX_BODY_BYTES = 8 * MiB;
const GUESSES = 150;

export class GatewayScene implements AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly reader: string;
  readonly chief: string;
  readonly process: Process;
  /** Its peer, which uploads go to. */
  readonly #far: Process;

  private constructor(process: Process, far: Process, { url, port }: Json, reader: string, chief: string) {
    this.process = process;
    this.#far = far;
    this.url = String(url);
    this.port = Number(port);
    this.reader = reader;
    this.chief = chief;
  }

  static async start(runtime: RuntimeName, key: string): Promise<GatewayScene> {
    const [reader, chief] = [makeToken(), makeToken()];
    const of = (token: string, name: string, scopes: Scope[]) => ({
      hash: tokenHash(token),
      scopes,
      name,
      createdAt: "2026-01-01T00:00:00Z",
    });
    const tokens = [of(reader, "reader", ["read", "tap"]), of(chief, "chief", ["admin"])];
    const limits = {
      maxSseClients: CLIENTS_OF_EVENTS,
      maxSsePerAddress: CLIENTS_OF_EVENTS,
      uploadStallMs: UPLOAD_STALL_MS,
      maxBodyBytes: MAX_BODY_BYTES,
    };
    const start = async (peers: string[], options: object) => {
      const args = [key, JSON.stringify(peers), JSON.stringify(options)];
      const process = Process.script(runtime, "test/gateway/gateway_peer.ts", args);
      return { process, ready: await process.waitFor(({ event }) => event === "ready", 60_000) };
    };
    const far = await start([], {});
    const near = await start([String(far.ready.address)], { tokens, limits });
    const scene = new GatewayScene(near.process, far.process, near.ready, reader, chief);
    await until(
      () => scene.metric("peers"),
      (count) => count === 1,
    );
    return scene;
  }

  get(path: string, token?: string, headers: Record<string, string> = {}): Promise<Response> {
    const authorization: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
    return fetch(`${this.url}${path}`, { headers: { ...authorization, ...headers } });
  }

  /** A counter of /metrics; with a label's value where it has several. */
  async metric(name: string): Promise<number> {
    const text = await (await this.get("/v1/metrics", this.chief)).text();
    return Number(
      text
        .split("\n")
        .find((line) => line.startsWith(`asoc_${name} `))
        ?.split(" ")
        .at(-1) ?? 0,
    );
  }

  /** Honest clients are served. */
  async goesOn(): Promise<void> {
    const response = await this.get("/v1/node", this.reader);
    assert.equal(response.status, 200);
    await response.arrayBuffer();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of [this.process, this.#far]) {
      process.child.stdin?.end();
      await process.exitWithin(10_000).catch(() => {});
      await process[Symbol.asyncDispose]();
    }
  }
}

/** The code of a refusal, which tells nothing of the inside. */
async function code(response: Response, status: number): Promise<string> {
  assert.equal(response.status, status);
  return (await problemOf(response)).code;
}

async function slowClients(scene: GatewayScene, head: string): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let each = 0; each < SLOW_CLIENTS; each++) {
    const socket = await rawSocket(scene.port);
    socket.on("error", () => {});
    socket.write(head);
    sockets.push(socket);
  }
  return sockets;
}

/** What is written by hand; `text` is complete. Resolves with the first line of the answer, "" where there is none. */
async function answered(scene: GatewayScene, text: string): Promise<string> {
  const [line = ""] = await answers(scene, text, 1);
  return line;
}

/** First lines of what comes until the other side closes, or until there are `most`. */
async function answers(
  scene: GatewayScene,
  text: string,
  most = Number.POSITIVE_INFINITY,
): Promise<string[]> {
  const socket = await rawSocket(scene.port);
  socket.on("error", () => {});
  let answer = "";
  const lines = () => [...answer.matchAll(/^HTTP\/1\.1 \d{3}[^\r]*(?=\r\n)/gm)].map(([line]) => line);
  socket.setEncoding("latin1").on("data", (part) => {
    answer += part;
    if (lines().length >= most) socket.destroy();
  });
  socket.on("end", () => socket.destroy());
  socket.write(text);
  await once(socket, "close");
  return lines();
}

/** Sends a body that does not say its length, in chunks, until the other side has had enough; or `mostBytes` of it. */
async function sendsChunks(scene: GatewayScene, head: string, mostBytes: number): Promise<number> {
  const socket = await rawSocket(scene.port);
  let over = false;
  socket.on("error", () => {});
  socket.on("data", () => {
    over = true;
  });
  socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
  const chunk = Buffer.concat([
    Buffer.from(`${MiB.toString(16)}\r\n`),
    Buffer.alloc(MiB),
    Buffer.from("\r\n"),
  ]);
  let sentBytes = 0;
  for (; sentBytes < mostBytes && !over; sentBytes += MiB)
    await new Promise<void>((resolve) => {
      socket.write(chunk, (error) => {
        over ||= Boolean(error);
        resolve();
      });
    });
  socket.destroy();
  return sentBytes;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

export const GATEWAY_ATTACKS: readonly Attack<GatewayScene>[] = [
  {
    title: "a page whose name resolves to this machine (DNS rebinding) is refused",
    outcome: "refused",
    play: async (scene) => {
      const head = (host: string) =>
        `GET /v1/peers HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${scene.reader}\r\n\r\n`;
      for (const host of [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
      ])
        assert.match(await answered(scene, head(host)), / 40[03] /, host);
      assert.match(await answered(scene, head("localhost")), / 200 /);
      return "GATEWAY_FORBIDDEN_HOST";
    },
  },
  {
    title: "a page of another origin is refused",
    outcome: "refused",
    play: async (scene) =>
      code(await scene.get("/v1/peers", scene.reader, { origin: "https://evil.example" }), 403),
  },
  {
    title: "no token, a wrong one, and one of too small a scope are refused",
    outcome: "refused",
    play: async (scene) => {
      const none = await code(await scene.get("/v1/peers"), 401);
      const wrong = [
        makeToken(),
        `${scene.chief}x`,
        scene.chief.toLowerCase(),
        "asoc_",
        tokenHash(scene.chief),
      ];
      for (const token of wrong) await code(await scene.get("/v1/peers", token), 401);
      const small = await code(
        await fetch(`${scene.url}/v1/topics/x`, {
          method: "POST",
          body: "a",
          headers: { authorization: `Bearer ${scene.reader}` },
        }),
        403,
      );
      return `${none}, ${small}`;
    },
  },
  {
    title: "the time of a refusal does not tell how much of a token is right",
    outcome: "refused",
    play: async (scene) => {
      const last = scene.chief.at(-1) === "1" ? "2" : "1";
      const near = scene.chief.slice(0, -1) + last;
      const far = makeToken();
      const times: Record<string, number[]> = { near: [], far: [] };
      for (let each = 0; each < GUESSES; each++) {
        for (const [name, token] of each % 2
          ? [
              ["near", near],
              ["far", far],
            ]
          : [
              ["far", far],
              ["near", near],
            ]) {
          const startMs = performance.now();
          const response = await scene.get("/v1/peers", token);
          await response.arrayBuffer();
          times[name ?? ""]?.push(performance.now() - startMs);
        }
      }
      const ratio = median(times.near ?? []) / median(times.far ?? []);
      // Only the hashes are compared, in constant time: what is left is noise.
      assert.ok(ratio > 0.5 && ratio < 2, `${ratio}`);
      return "GATEWAY_UNAUTHORIZED";
    },
  },
  {
    title: "clients that never end their headers do not keep others out",
    outcome: "bounded",
    play: async (scene) => {
      const sockets = await slowClients(scene, "GET /v1/peers HTTP/1.1\r\nHost: localhost\r\nX-Slow: a");
      for (const socket of sockets) socket.write("a");
      for (let each = 0; each < 10; each++) await scene.goesOn();
      for (const socket of sockets) socket.destroy();
      return "others are served";
    },
  },
  {
    title: "an upload that stands still is ended",
    outcome: "bounded",
    play: async (scene) => {
      const head = [
        "POST /v1/topics/slow HTTP/1.1",
        "Host: localhost",
        `Authorization: Bearer ${scene.chief}`,
        "Asoc-Dtype: uint8",
        "Content-Length: 1000000",
      ];
      const sockets = await slowClients(scene, `${head.join("\r\n")}\r\n\r\n`);
      for (const socket of sockets) socket.write("abc");
      await until(
        () => scene.metric("gateway_uploads"),
        (count) => count > SLOW_CLIENTS / 2,
      );
      await scene.goesOn();
      await until(
        () => scene.metric("gateway_uploads"),
        (count) => count === 0,
      );
      for (const socket of sockets) socket.destroy();
      return "asoc_gateway_uploads 0";
    },
  },
  {
    title: "a body over the limit is refused",
    outcome: "refused",
    play: async (scene) => {
      const head = `POST /v1/topics/large HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${scene.chief}\r\n`;
      const line = await answered(scene, `${head}Content-Length: ${2 ** 40}\r\n\r\n`);
      assert.match(line, / 413 /);
      const most = 64 * MiB;
      const sentBytes = await sendsChunks(scene, head, most);
      assert.ok(sentBytes < most, "a body without a length is read to its end");
      const passedOn = async () => {
        const response = await scene.get("/v1/streams?topic=large", scene.chief);
        return ((await response.json()) as { streams: { state: string; movedBytes: number }[] }).streams;
      };
      const [large] = await until(passedOn, ([one]) => one?.state === "failed");
      assert.ok(Number(large?.movedBytes) <= MAX_BODY_BYTES, `${large?.movedBytes} bytes were passed on`);
      return "413";
    },
  },
  {
    title: "clients of events that read nothing, and more of them than the limit, do not keep others out",
    outcome: "bounded",
    play: async (scene) => {
      const head = `GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${scene.reader}\r\n\r\n`;
      const sockets: Socket[] = [];
      for (let each = 0; each < CLIENTS_OF_EVENTS; each++) {
        const socket = await rawSocket(scene.port);
        socket.on("error", () => {});
        socket.pause();
        socket.write(head);
        sockets.push(socket);
      }
      await until(
        () => scene.metric("gateway_event_clients"),
        (count) => count === CLIENTS_OF_EVENTS,
      );
      const refused = await code(await scene.get("/v1/events", scene.reader), 503);
      await scene.goesOn();
      for (const socket of sockets) socket.destroy();
      await until(
        () => scene.metric("gateway_event_clients"),
        (count) => count === 0,
      );
      return refused;
    },
  },
  {
    title: "a request that says its length twice, or in two ways, is refused",
    outcome: "refused",
    play: async (scene) => {
      const common = `HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${scene.chief}\r\n`;
      const length = (bytes: number | string) => `Content-Length: ${bytes}\r\n`;
      const chunked = "Transfer-Encoding: chunked\r\n";
      const chunks = "5\r\nhello\r\n0\r\n\r\n";
      // What one of two readers takes for the body the other one takes for this.
      const smuggled = `GET /v1/health ${common}\r\n`;
      for (const [lengths, body] of [
        [length(5) + length(6), `hello${smuggled}`],
        [length("5, 6"), `hello${smuggled}`],
        [length(chunks.length) + chunked, chunks + smuggled],
        [chunked + length(0), chunks + smuggled],
        [length(0) + chunked, smuggled],
        [`${length(0)}Transfer-Encoding: xchunked\r\n`, smuggled],
      ]) {
        const lines = await answers(scene, `POST /v1/topics/lengths ${common}${lengths}\r\n${body}`);
        assert.match(lines.join(), /^HTTP\/1\.1 400 [^,]*$/, `${lengths}: ${lines}`);
      }
      const response = await scene.get("/v1/streams?topic=lengths", scene.chief);
      assert.deepEqual(((await response.json()) as { streams: unknown[] }).streams, []);
      return "400";
    },
  },
  {
    title: "no answer, metric or document shows the key or a token",
    outcome: "refused",
    play: async (scene) => {
      const secrets = [scene.chief, scene.reader, tokenHash(scene.chief), tokenHash(scene.reader), KEY];
      const keepsQuiet = async (path: string, response: Response) => {
        const head = JSON.stringify([...response.headers]);
        const isEndless = /event-stream/.test(response.headers.get("content-type") ?? "");
        const text = head + (isEndless ? "" : await response.text());
        if (isEndless) await response.body?.cancel();
        for (const secret of secrets) assert.ok(!text.includes(secret), path);
      };
      const document = (await (await scene.get("/v1/openapi.json", scene.chief)).json()) as {
        paths: Record<string, { get?: unknown }>;
      };
      const routes = Object.entries(document.paths).filter(([path, { get }]) => get && !path.includes("{"));
      assert.ok(routes.length >= 6, `${routes.length} routes`);
      for (const path of ["/", "/v1/openapi.json", ...routes.map(([path]) => path)]) {
        const response = await scene.get(path, scene.chief);
        assert.equal(response.status, 200, path);
        await keepsQuiet(path, response);
      }
      for (const [path, status, token] of [
        ["/v1/no", 404, scene.chief],
        ["/v1/peers/no", 404, scene.chief],
        ["/v1/streams?limit=no", 400, scene.chief],
        ["/v1/peers", 401, tokenHash(scene.chief)],
        ["/v1/peers", 401, `${scene.reader}x`],
      ] as const) {
        const response = await scene.get(path, token);
        assert.equal(response.status, status, path);
        await keepsQuiet(path, response);
      }
      return "nothing";
    },
  },
];

/** The shared key of these tests: no answer may show it. */
export const KEY = sha256(Buffer.from("the key of the gateway that is attacked"));
