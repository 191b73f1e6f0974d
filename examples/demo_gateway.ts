/**
 * `npm run demo -- --stay`: a fourth node with a gateway, which sends something to the three every second, until Ctrl-C; and
 * lines for curl and NumPy that show it.
 */
import { readFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import { createGateway, type GatewayServer, serveGateway } from "../gateway/mod.ts";
import { AsocError, decodeNpyHeader, isNeedMore, join } from "../src/mod.ts";

const HOST = "127.0.0.1";
const SEND_EVERY_MS = 1000;
const SIDE = 8;
const SINE = "examples/data/sine.npy";

/** Joins, serves, and sends until `stop` aborts. `port` undefined: 8080, or any free one when that is taken. */
export async function stay(
  community: string,
  ports: readonly number[],
  port: number | undefined,
  stop: AbortSignal,
  say: (text: string) => void,
): Promise<void> {
  const peers = ports.map((one) => `${HOST}:${one}`);
  await using node = await join({
    community,
    apiKey: process.env.ASOC_API_KEY,
    host: HOST,
    discovery: false,
    peers,
  });
  await node.peers.wait(ports.length, { timeoutMs: 10_000 });
  const gateway = createGateway(node, { takes: true });
  const server = await serve(gateway, port);
  try {
    tour(server.url, say);
    const sine = readFileSync(joinPath(import.meta.dirname, "..", SINE));
    const header = decodeNpyHeader(sine);
    if (isNeedMore(header)) throw new Error(`${SINE} is cut off`);
    const { shape, dataOffset } = header;
    for (let step = 0; !stop.aborted; step++) {
      await node.sendAll(digit(step), { topic: "digits", metadata: { step, shows: step % 10 } });
      const data = sine.subarray(dataOffset);
      await node.sendAll({ data, dtype: "float32", shape }, { topic: "demo/sine", step });
      await pause(SEND_EVERY_MS, stop);
    }
  } finally {
    await server.close();
  }
}

async function serve(
  gateway: ReturnType<typeof createGateway>,
  port: number | undefined,
): Promise<GatewayServer> {
  if (port !== undefined) return serveGateway(gateway, { host: HOST, port });
  return serveGateway(gateway, { host: HOST }).catch((error: unknown) => {
    if (error instanceof AsocError && error.code === "ASOC_PORT_IN_USE")
      return serveGateway(gateway, { host: HOST, port: 0 });
    throw error;
  });
}

function tour(url: string, say: (text: string) => void): void {
  for (const line of [
    "",
    `A fourth node sends to the three every second. Its dashboard: ${url}/`,
    "",
    `  curl -s ${url}/v1/peers`,
    `  curl -s "${url}/v1/streams?limit=3"`,
    `  curl -s ${url}/v1/topics/digits/latest.json`,
    `  curl -s -o sine.npy ${url}/v1/topics/demo%2Fsine/latest.npy`,
    `  curl -s "${url}/v1/topics/demo%2Fsine/latest.json?slice=0,:4"`,
    `  curl -s --data-binary @${SINE} ${url}/v1/topics/hello`,
    `  curl -sN "${url}/v1/topics/digits/events?stats=1"`,
    "",
    "NumPy:",
    "",
    "  import io, urllib.request, numpy as np",
    `  np.load(io.BytesIO(urllib.request.urlopen("${url}/v1/topics/digits/latest.npy").read()))`,
    "",
    "Ctrl-C ends it.",
  ])
    say(line);
}

/** A picture that turns: 8 × 8 float32. */
function digit(step: number) {
  const data = new Float32Array(SIDE * SIDE);
  const angle = (step * Math.PI) / 10;
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column < SIDE; column++) {
      const [x, y] = [column - (SIDE - 1) / 2, row - (SIDE - 1) / 2];
      const distance = Math.abs(x * Math.sin(angle) - y * Math.cos(angle));
      data[row * SIDE + column] = Math.max(0, 1 - distance / 1.5);
    }
  return { data, shape: [SIDE, SIDE] };
}

/** Resolves after `delayMs`, or when `stop` aborts. */
function pause(delayMs: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    stop.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
