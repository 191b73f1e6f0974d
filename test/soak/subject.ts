/**
 * The process whose memory, handles and timers a soak watches: a node with a gateway that takes everything. Prints a sample
 * for each line on stdin, after a collection of garbage where the runtime lets itself be told.
 *
 * Argument: the options of `join`.
 */
import { createInterface } from "node:readline";
import { createGateway, serveGateway } from "../../gateway/mod.ts";
import { type JoinOptions, join } from "../../src/mod.ts";

/** What the runtimes offer beyond node:process. */
interface Collectors {
  readonly gc?: () => void;
  readonly Bun?: { gc(force: boolean): void };
}
const { gc, Bun } = globalThis as Collectors;

const node = await join(JSON.parse(process.argv[2] ?? "{}") as JoinOptions);
// What is remembered on purpose is full long before the warm-up ends.
const remembered = {
  recentBytes: 32 * 1024 * 1024,
  endedStreams: 64,
  goneStreams: 64,
  topics: 32,
  peers: 8,
  historySeconds: 5,
  history: 64,
};
const gateway = createGateway(node, { takes: false, limits: remembered });
const server = await serveGateway(gateway, { port: 0 });
let tensors = 0;
let failed = 0;

async function takeAll(): Promise<void> {
  for await (const stream of node.incoming) {
    void (async () => {
      try {
        if (stream.topic.startsWith("chunks/")) for await (const _chunk of stream.chunks());
        else (await stream.tensor()).release();
        tensors++;
      } catch {
        failed++; // its sender went away in mid-tensor
      }
    })();
  }
}
void takeAll();

function sample(): void {
  gc?.();
  Bun?.gc(true);
  const { heapUsed, external } = process.memoryUsage();
  const resources = process.getActiveResourcesInfo?.() ?? [];
  const kinds: Record<string, number> = {};
  for (const kind of resources) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const { connections, memoryUsedBytes, refusedConnections } = node.stats;
  const refused = Object.values(refusedConnections).reduce((sum, count) => sum + count, 0);
  const counts = { tensors, failed, connections, memoryUsedBytes, refused };
  process.stdout.write(
    `${JSON.stringify({ event: "sample", heapBytes: heapUsed, externalBytes: external, resources: resources.length, kinds, ...counts })}\n`,
  );
}

createInterface({ input: process.stdin })
  .on("line", sample)
  .on("close", () => process.exit(0));
process.stdout.write(
  `${JSON.stringify({ event: "ready", id: node.id, address: `127.0.0.1:${node.port}`, port: node.port, url: server.url })}\n`,
);
