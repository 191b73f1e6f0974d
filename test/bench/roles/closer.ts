/**
 * The control of floods and attacks: a bare server of the runtime that closes every connection at once, one that reads
 * everything and throws it away, and a bare socket that drops every datagram.
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { say, serveCommands } from "./role.ts";

const HOST = "127.0.0.1";
/** Bun.listen and Deno.listen, as much of them as is used here. */
interface Native {
  readonly Bun?: {
    listen(options: object): { readonly port: number };
  };
  readonly Deno?: {
    listen(options: object): {
      readonly addr: { readonly port: number };
      accept(): Promise<{ close(): void }>;
    };
  };
}
const { Bun, Deno } = globalThis as Native;
let count = 0;

async function listen(): Promise<number> {
  if (Bun) {
    const open = (socket: { terminate(): void }) => {
      count++;
      socket.terminate();
    };
    return Bun.listen({ hostname: HOST, port: 0, socket: { open, data() {} } }).port;
  }
  if (Deno) {
    const listener = Deno.listen({ hostname: HOST, port: 0 });
    void (async () => {
      for (;;) {
        const conn = await listener.accept().catch(() => undefined);
        count++;
        conn?.close();
      }
    })();
    return listener.addr.port;
  }
  const server = createServer((socket) => {
    count++;
    socket.destroy();
  });
  return new Promise((resolve) => {
    server.listen(0, HOST, () => resolve((server.address() as { port: number }).port));
  });
}

/** On Node.js alone, where the attacked node is. */
function sink(): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.resume();
  });
  return new Promise((resolve) => {
    server.listen(0, HOST, () => resolve((server.address() as { port: number }).port));
  });
}

const udp = createSocket("udp4");
udp.on("message", () => {});
await new Promise<void>((resolve) => udp.bind(0, HOST, resolve));
say({ event: "ready", port: await listen(), udpPort: udp.address().port, sinkPort: await sink() });
await serveCommands(({ cmd }) => {
  if (cmd === "stats") say({ event: "stats", closed: count });
});
