/** Mutated requests to the gateway's server of this runtime over real sockets: whatever comes, it answers or hangs up, and goes on. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { createGateway, serveGateway } from "../../gateway/mod.ts";
import { mutated } from "./mutate.ts";
import { FuzzRandom } from "./random.ts";
import { HTTP, UploadNode } from "./targets/http.ts";

const REQUESTS = 400;
const AT_ONCE = 8;
/** An answer that has not come by then is not awaited: the request may be one that is not whole. */
const ANSWER_MS = 400;
const SEED = Number(process.env.ASOC_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));

/** An input of the target as bytes of HTTP/1.1, some of them damaged again. */
function onWire(input: Uint8Array, random: FuzzRandom): Uint8Array {
  const text = Buffer.from(input).toString("latin1");
  const end = text.indexOf("\n\n");
  const [first = "", ...headers] = (end < 0 ? text : text.slice(0, end)).split("\n");
  const body = end < 0 ? "" : text.slice(end + 2);
  const lines = [`${first} HTTP/1.1`, "host: localhost", ...headers];
  if (!random.oneIn(4)) lines.push(`content-length: ${random.oneIn(8) ? random.u32() : body.length}`);
  const bytes = Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body}`, "latin1");
  return random.oneIn(2) ? bytes : mutated(bytes, input, random);
}

/** The status that was answered; undefined: none was. */
function ask(port: number, bytes: Uint8Array): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
    socket.setEncoding("latin1");
    socket.on("data", (text) => {
      answer += text;
      if (/^HTTP\/1\.1 (?!100)\d{3} /.test(answer)) socket.destroy();
    });
    socket.on("error", () => {}); // hanging up is an answer
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(answer === "" ? undefined : Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1]));
    });
    socket.write(bytes);
  });
}

test(`a gateway's server survives ${REQUESTS} mutated requests (ASOC_FUZZ_SEED=${SEED})`, {
  timeout: 120_000,
}, async () => {
  const random = new FuzzRandom(SEED);
  const gateway = createGateway(new UploadNode(), { limits: { waitMs: 1, maxWaitMs: 1, uploadStallMs: 50 } });
  const server = await serveGateway(gateway, { port: 0 });
  try {
    const statuses = new Map<number | undefined, number>();
    const seeds = HTTP.seeds;
    let left = REQUESTS;
    const client = async () => {
      while (left-- > 0) {
        const input = HTTP.make?.(random, () => random.pick(seeds)) ?? random.pick(seeds);
        const bytes = onWire(input, random);
        const status = await ask(server.port, bytes);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        assert.notEqual(status, 500, `${Buffer.from(bytes).toString("hex")}`);
        assert.ok(status === undefined || (status >= 100 && status < 600), `status ${status}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    assert.ok((statuses.get(200) ?? 0) > 0 && (statuses.get(404) ?? 0) > 0, JSON.stringify([...statuses]));
    const response = await fetch(`${server.url}/v1/health`);
    assert.equal(((await response.json()) as { live: boolean }).live, true);
  } finally {
    await server.close();
    gateway.close();
  }
});
