/**
 * Requests to the gateway's app, without a socket: an input is the text of one, `METHOD PATH`, headers, an empty line, the body.
 * Whatever is asked, the answer is one that RFC-0300 has, and says nothing of the inside.
 */
import { createGateway } from "../../../gateway/mod.ts";
import { ClosedError } from "../../../src/core/errors.ts";
import type { NodeStats, SendOutcome, TensorSource } from "../../../src/mod.ts";
import { FakeNode, PEER, pass } from "../../gateway/fake_node.ts";
import { mutated } from "../mutate.ts";
import type { FuzzRandom } from "../random.ts";
import { FuzzFault, type FuzzTarget, must, type Outcome } from "../target.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");
/** Characters of an answer that are looked at. */
const MAX_READ = 16 * 1024;
const ANSWER_MS = 10_000;
const ORIGIN = "http://localhost:8080";

/** Said by no answer: an upload fails at its peer with it. */
const SECRET = "a secret of the inside";

/** Takes what is uploaded, all of it, and counts nothing. */
export class UploadNode extends FakeNode {
  override readonly stats = new Proxy({} as NodeStats, {
    get: (_stats, name) => {
      if (name === "refusedBeacons") return new Map();
      if (name === "audited") return [];
      return name === "refusedConnections" || name === "taps" ? {} : 0;
    },
  });
  override async sendAll(source?: TensorSource): Promise<SendOutcome[]> {
    const data = source && "data" in source && !(source instanceof Uint8Array) ? source.data : source;
    const parts = typeof data === "function" ? data(0) : data;
    if (parts && Symbol.asyncIterator in parts)
      for await (const part of parts) must(part.length >= 0, "no part");
    const error = new ClosedError("ASOC_CLOSED", "The peer has left", { cause: new Error(SECRET) });
    return [{ peer: PEER, report: undefined, error }];
  }
}

const node = new UploadNode();
const gateway = createGateway(node, {
  limits: {
    waitMs: 1,
    maxWaitMs: 1,
    uploadStallMs: 5,
    maxBodyBytes: 4096,
    requestsPerSecond: 1e9,
    requestBurst: 1e9,
  },
});
for (const [index, topic] of ["train/loss", "a", "b/c/d"].entries()) {
  const bytes = new Uint8Array(new Float32Array([1, Number.NaN, 3, 4, 5, 6]).buffer);
  pass(node.observer, { topic, dtype: "float32", shape: [2, 3], streamId: index }, bytes);
}

const TOPICS = [
  "train%2Floss",
  "a",
  "b%2Fc%2Fd",
  "**",
  "*",
  "%2A%2A%2F*",
  "nope",
  "%00",
  "%c3%28",
  "..",
  "a%2F..%2Fb",
  "é",
];
const PATHS = [
  "/v1/node",
  "/v1/peers",
  `/v1/peers/${PEER.id}`,
  "/v1/streams",
  "/v1/streams/1",
  "/v1/streams/1/data",
  "/v1/streams/1/data.npy",
  "/v1/streams/1/stats",
  "/v1/topics",
  "/v1/metrics",
  "/v1/health",
  "/v1/openapi.json",
  "/docs",
  "/",
  "/assets/app.js",
  "/v1/events",
  ...[
    "",
    "/latest",
    "/latest.bin",
    "/latest.npy",
    "/latest.json",
    "/latest.safetensors",
    "/next",
    "/events",
    "/stream",
  ].map((tail) => `/v1/topics/TOPIC${tail}`),
  `/v1/peers/${PEER.id}/streams`,
];
const QUERIES = [
  "slice=0:1",
  "slice=:,::2",
  "slice=1:0:-1",
  "slice=...,0",
  "slice=99999999999999999999:",
  "limit=0",
  "limit=-1",
  "limit=1e9",
  "topic=**",
  "topic=%2A",
  "state=done",
  "state=",
  "since=x",
  "timeoutMs=0",
  "timeoutMs=NaN",
  "stats=1",
  "format=npy",
  "dtype=float32",
  "shape=2,3",
  "shape=-1",
  "metadata={}",
  "metadata={",
  "priority=256",
  "access_token=asoc_x",
  "every=0",
  "bins=1000000",
];
const HEADERS = [
  "accept: application/json",
  "accept: */*;q=0.1, application/x-npy;q=2",
  "accept: text/event-stream",
  "accept: ,;=",
  "range: bytes=0-3",
  "range: bytes=-0",
  "range: bytes=5-2,99999999999999999999-",
  "if-none-match: *",
  'if-none-match: "x", W/"y"',
  "host: localhost:1",
  "host: evil.example",
  "origin: null",
  "origin: http://localhost:8080",
  "content-type: application/x-npy",
  "content-type: application/vnd.safetensors",
  "content-type: application/json",
  "content-type: multipart/form-data; boundary=x",
  "content-length: 5",
  "asoc-dtype: float32",
  "asoc-dtype: float32x99999999999",
  "asoc-shape: 1,2",
  "asoc-shape: 99999999999,99999999999",
  "asoc-priority: 300",
  "asoc-metadata: [",
  "asoc-digest: sha256",
  "asoc-deadline-ms: -1",
  "last-event-id: 99999999999999999999",
  "upgrade: websocket",
  "authorization: Bearer asoc_1111111111111111111111111111111x",
];
const BODIES = [
  "",
  "a",
  "{}",
  "[1,2,3]",
  '{"dtype":"float32","shape":[1],"data":[1e999]}',
  "\x93NUMPY\x01\x00\x10\x00{'descr':",
  "{".repeat(400),
];

function make(random: FuzzRandom, pick: () => Uint8Array): Uint8Array {
  if (random.oneIn(4)) return mutated(pick(), pick(), random);
  const method = random.pick(["GET", "GET", "GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE"]);
  const path = random.pick(PATHS).replace("TOPIC", random.pick(TOPICS));
  const queries = Array.from({ length: random.below(3) }, () => random.pick(QUERIES)).join("&");
  const headers = Array.from({ length: random.below(4) }, () => random.pick(HEADERS));
  const text = [`${method} ${path}${queries ? `?${queries}` : ""}`, ...headers, "", random.pick(BODIES)].join(
    "\n",
  );
  return random.oneIn(3) ? mutated(encoder.encode(text), pick(), random) : encoder.encode(text);
}

/** The request of a text; undefined where no server would make one of it. */
function requestOf(input: Uint8Array): Request | undefined {
  // Characters as bytes, as HTTP has them.
  let text = "";
  for (const byte of input) text += String.fromCharCode(byte);
  const end = text.indexOf("\n\n");
  const [first = "", ...lines] = (end < 0 ? text : text.slice(0, end)).split("\n");
  const [method = "", path = ""] = first.split(" ");
  const body = Uint8Array.from(end < 0 ? [] : input.subarray(end + 2));
  try {
    const headers = new Headers({ host: "localhost:8080" });
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers.set(line.slice(0, colon), line.slice(colon + 1).trim());
    }
    const url = new URL(path, ORIGIN);
    if (url.origin !== ORIGIN) return undefined;
    return new Request(url.href, { method, headers, ...(method === "POST" ? { body } : {}) });
  } catch {
    return undefined;
  }
}

/** What streams until its client leaves: its first part may never come. */
const ENDLESS = /\/(events|stream|next)$/;

async function textOf(response: Response): Promise<string> {
  let text = "";
  const reader = response.body?.getReader();
  while (reader && text.length < MAX_READ) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += decoder.decode(value.subarray(0, MAX_READ));
  }
  await reader?.cancel();
  return text;
}

async function answer(request: Request): Promise<Outcome> {
  const { pathname } = new URL(request.url);
  const response = await gateway.fetch(request, { address: "127.0.0.1" });
  const { status } = response;
  if (status < 400 && ENDLESS.test(pathname)) {
    await response.body?.cancel();
    return { label: `${request.method} ${status} endless` };
  }
  const text = await textOf(response);
  const isPage = !pathname.startsWith("/v1/");
  must(!text.includes(SECRET), "it tells what an error inside says");
  must(isPage || !/node_modules|\.ts:\d+/.test(text), `it shows the inside: ${text.slice(0, 200)}`);
  let code = "";
  if (status >= 400 && request.method !== "HEAD") {
    const type = response.headers.get("content-type");
    must(type === "application/problem+json", `status ${status} as ${type}`);
    ({ code } = JSON.parse(text) as { code: string });
    must(/^(ASOC|GATEWAY)_[A-Z_]+$/.test(code), `no stable code: ${code}`);
  }
  must(status !== 500, `an error that nobody has foreseen: ${text.slice(0, 200)}`);
  must(status < 500 || code !== "" || request.method === "HEAD", `status ${status} without a code`);
  return { label: `${request.method} ${status} ${code}` };
}

async function run(input: Uint8Array): Promise<Outcome> {
  const request = requestOf(input);
  if (!request) return { label: "no request" };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new FuzzFault(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
  });
  return Promise.race([answer(request), late]).finally(() => clearTimeout(timer));
}

export const HTTP: FuzzTarget = {
  name: "http",
  share: 5,
  seeds: PATHS.slice(0, 12).map((path) => encoder.encode(`GET ${path}\naccept: */*\n\n`)),
  make,
  run,
  finish() {
    gateway.close();
  },
};
