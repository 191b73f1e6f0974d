/**
 * A node with a gateway, as a process: `gateway_peer.ts KEY PEERS OPTIONS`, the last two as JSON. Whatever is said to it on stdin: it
 * collects its garbage. Ends with its stdin.
 */
import { createGateway, type GatewayOptions, serveGateway } from "../../gateway/mod.ts";
import { join } from "../../src/mod.ts";
import { collectGarbage } from "../support/collect_garbage.ts";

const [apiKey = "", peers = "[]", options = "{}"] = process.argv.slice(2);
const node = await join({
  apiKey,
  host: "127.0.0.1",
  peers: JSON.parse(peers) as string[],
  discovery: false,
});
const gateway = createGateway(node, { takes: true, ...(JSON.parse(options) as GatewayOptions) });
const server = await serveGateway(gateway, { port: 0 });
const { url, port } = server;
process.stdout.write(
  `${JSON.stringify({ event: "ready", id: node.id, address: `127.0.0.1:${node.port}`, url, port, pid: process.pid })}\n`,
);
process.stdin.on("data", () => {
  collectGarbage();
  process.stdout.write(`${JSON.stringify({ event: "collected" })}\n`);
});
process.stdin.once("end", async () => {
  await server.close();
  await node.close({ timeoutMs: 1000 }).catch(() => {});
  process.stdout.write(`${JSON.stringify({ event: "closed" })}\n`);
  process.exit(0);
});
