/**
 * The demo's last part: a tensor goes through a relay that cuts the connection in the middle of it, and arrives whole
 * over the next one.
 */
import { createHash, randomFillSync } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { join } from "../src/mod.ts";

const HOST = "127.0.0.1";
const TENSOR_BYTES = 64 * 1024 * 1024;
const CUT_AT_BYTES = 40 * 1024 * 1024;

export interface CutReport {
  readonly bytes: number;
  readonly sha256: string;
  /** How often the connection broke. */
  readonly cuts: number;
  /** What had gone through the relay when it cut, and what went through in all. */
  readonly cutAtBytes: number;
  readonly relayedBytes: number;
}

/** Passes bytes on to `port` and resets the first connection after so many of them. */
async function relayTo(port: number) {
  const relay = { port: 0, bytes: 0, cutAtBytes: 0, close: () => {} };
  const server = createServer((dialler) => {
    const listener = connect({ host: HOST, port });
    const pass = (from: Socket, to: Socket, counts: boolean) => {
      from.on("data", (part: Uint8Array) => {
        if (!to.destroyed && !to.write(part)) from.pause();
        if (!counts) return;
        relay.bytes += part.length;
        if (relay.cutAtBytes > 0 || relay.bytes < CUT_AT_BYTES) return;
        relay.cutAtBytes = relay.bytes;
        from.resetAndDestroy();
        to.resetAndDestroy();
      });
      to.on("drain", () => from.resume());
      from.on("end", () => to.end());
      from.on("close", () => to.destroy());
      from.on("error", () => {});
    };
    pass(dialler, listener, true);
    pass(listener, dialler, false);
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  relay.port = (server.address() as { port: number }).port;
  relay.close = () => server.close();
  return relay;
}

/** Sends one tensor to the node on `port`. */
export async function sendThroughCut(community: string, port: number): Promise<CutReport> {
  const relay = await relayTo(port);
  const node = await join({
    community,
    apiKey: process.env.ASOC_API_KEY,
    host: HOST,
    peers: [`${HOST}:${relay.port}`],
  });
  const bytes = randomFillSync(new Uint8Array(TENSOR_BYTES));
  const [peer] = await node.peers.wait(1);
  const { cuts } = await node.send(peer?.id ?? "", bytes, { topic: "demo/cut" });
  await node.close();
  relay.close();
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { bytes: bytes.length, sha256, cuts, cutAtBytes: relay.cutAtBytes, relayedBytes: relay.bytes };
}
