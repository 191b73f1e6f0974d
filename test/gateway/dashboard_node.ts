/**
 * One node as a process, for the tests of the dashboard: joins with the options of its JSON argument, has a gateway if
 * told so, and sends tensors of several topics to everybody until it is ended. Prints `ready` once its ports are open.
 *
 * Argument: `{ options: JoinOptions, gatewayPort?: number, name?: string, withToken?: boolean }`.
 */
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { createGateway, makeToken, serveGateway, tokenHash } from "../../gateway/mod.ts";
import {
  type AsocNode,
  type IncomingStream,
  type JoinOptions,
  join,
  type TensorSource,
} from "../../src/mod.ts";

export interface DashboardNodeArgument {
  readonly options: JoinOptions;
  /** 0: any. Without it the node has no gateway. */
  readonly gatewayPort?: number;
  readonly name?: string;
  /** The gateway wants a token, told in `ready`. */
  readonly withToken?: boolean;
}

const HOST = "127.0.0.1";
/** Between two rounds of tensors. */
const ROUND_MS = 250;
/** The slow tensor: so many parts, one a round, so that its progress can be seen. */
const SLOW_PARTS = 12;
const SLOW_PART_BYTES = 256 * 1024;

/** Waves that move with every step, with one NaN in them. */
function activations(step: number): TensorSource {
  const [rows, columns] = [48, 96];
  const data = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      data[row * columns + column] =
        Math.sin((row + step) / 7) * Math.cos((column - 2 * step) / 11) * 3 +
        ((row * 31 + column * 17) % 13) / 20;
  data[7] = Number.NaN;
  return { data, shape: [rows, columns] };
}

/** Four axes, positive only. */
function cache(step: number): TensorSource {
  const shape = [2, 4, 96, 128];
  const data = new Float32Array(shape.reduce((product, length) => product * length, 1));
  for (let at = 0; at < data.length; at++) data[at] = Math.abs(Math.sin(at / 300 + step / 5)) * (at % 128);
  return { data, shape };
}

async function* slowly(): AsyncGenerator<Uint8Array> {
  for (let part = 0; part < SLOW_PARTS; part++) {
    yield new Uint8Array(SLOW_PART_BYTES).fill(part);
    await delay(ROUND_MS);
  }
}

/** Peers come and go in these tests; what does not arrive is sent again in the next round. */
async function tellAll(node: AsocNode, source: TensorSource, topic: string, step: number): Promise<void> {
  try {
    await node.sendAll(source, { topic, metadata: { step } });
  } catch {
    // nobody is there
  }
}

/** One slow tensor after the other, to one peer. */
async function sendSlowly(node: AsocNode): Promise<void> {
  const totalBytes = SLOW_PARTS * SLOW_PART_BYTES;
  const shape = [SLOW_PARTS, SLOW_PART_BYTES];
  for (;;) {
    const [peer] = await node.peers.wait(1);
    try {
      if (peer)
        await node.send(
          peer.id,
          { data: slowly(), dtype: "uint8", shape, totalBytes },
          { topic: "weights/block0", priority: 50 },
        );
    } catch {
      await delay(ROUND_MS); // it has left
    }
  }
}

async function sendForEver(node: AsocNode): Promise<void> {
  await node.peers.wait(1);
  void sendSlowly(node);
  for (let step = 0; ; step++) {
    await delay(ROUND_MS);
    await tellAll(node, activations(step), "layer3/out", step);
    if (step % 2 === 0) await tellAll(node, cache(step), "kv/layer0/k", step);
    if (step % 4 === 0)
      await tellAll(
        node,
        Float64Array.from({ length: 2000 }, () => step),
        "loss",
        step,
      );
  }
}

async function drain(stream: IncomingStream): Promise<void> {
  try {
    for await (const _ of stream.chunks());
  } catch {
    // its sender was ended
  }
}

const argument = JSON.parse(process.argv[2] ?? "{}") as DashboardNodeArgument;
const node = await join(argument.options);
let url: string | undefined;
let token: string | undefined;
if (argument.gatewayPort === undefined) {
  void (async () => {
    for await (const stream of node.incoming) void drain(stream);
  })();
} else {
  token = argument.withToken ? makeToken() : undefined;
  const gateway = createGateway(node, {
    takes: true,
    name: argument.name,
    tokens: token
      ? [{ hash: tokenHash(token), scopes: ["tap"], name: "a test", createdAt: new Date().toISOString() }]
      : [],
  });
  const server = await serveGateway(gateway, { host: HOST, port: argument.gatewayPort });
  url = `${server.url}/`;
}
process.stdout.write(`${JSON.stringify({ event: "ready", id: node.id, port: node.port, url, token })}\n`);
await sendForEver(node);
