/** Node.js, and Deno by its node: modules: @hono/node-server, and ws for WebSockets. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type HttpBindings, serve, upgradeWebSocket, type WebSocketServerLike } from "@hono/node-server";
import { WebSocketServer } from "ws";
import type { Gateway } from "../gateway.ts";
import type { RequestInfo } from "../request_info.ts";
import { capConnections } from "./connections.ts";
import type { Listening } from "./listening.ts";
import { IncomingParts } from "./node_body.ts";
import { answerRefused } from "./node_refusals.ts";
import type { ServeTls } from "./tls.ts";

/** Headers that are late are looked for so often within what they may take. */
const LOOKS_WITHIN_HEADERS = 10;
/** What a client of a WebSocket may send: nothing is expected. */
const MAX_MESSAGE_BYTES = 4096;

/** All else that asks for another protocol gets its answer in this one. */
function isWebSocket({ url, headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === "websocket" && /\/ws(\?|$)/.test(url ?? "");
}

export function listen(
  gateway: Gateway,
  host: string,
  port: number,
  tls: ServeTls | undefined,
): Promise<Listening> {
  const { limits, problems } = gateway.state;
  const { maxHeaderBytes, headersTimeoutMs } = limits;
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  gateway.state.upgrade = upgradeWebSocket as NonNullable<typeof gateway.state.upgrade>;
  return new Promise((resolve, reject) => {
    const server = serve({
      fetch: (request, env) => {
        const { incoming } = env as HttpBindings;
        // The same object: the server finds in it what a WebSocket waits for.
        const info = Object.defineProperty(env as HttpBindings & RequestInfo, "left", {
          get: () => request.signal, // made when it is asked for
        });
        Object.assign(info, {
          address: incoming.socket.remoteAddress,
          cut: () => incoming.socket.destroy(),
          readBody: () => new IncomingParts(incoming as IncomingMessage), // no HTTP/2 here
        });
        return gateway.fetch(request, info);
      },
      hostname: host,
      port,
      overrideGlobalObjects: false,
      createServer: tls ? createSecureServer : createServer,
      serverOptions: {
        ...(tls ? { cert: tls.cert, key: tls.key, handshakeTimeout: headersTimeoutMs } : {}),
        maxHeaderSize: maxHeaderBytes,
        headersTimeout: headersTimeoutMs,
        connectionsCheckingInterval: Math.ceil(headersTimeoutMs / LOOKS_WITHIN_HEADERS),
        requestTimeout: 0, // a body is watched as it is read
        shouldUpgradeCallback: isWebSocket,
      },
      websocket: { server: sockets as unknown as WebSocketServerLike }, // the types differ in one optional field
    }) as Server;
    capConnections(server, limits, () => {
      gateway.state.connectionsRefused++;
    });
    answerRefused(server, maxHeaderBytes, ({ code }) => problems.set(code, (problems.get(code) ?? 0) + 1));
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      const at = server.address();
      resolve({
        port: typeof at === "object" && at ? at.port : port,
        close: () =>
          new Promise((closed) => {
            for (const client of sockets.clients) client.terminate();
            sockets.close();
            server.close(() => closed());
            server.closeAllConnections();
          }),
      });
    });
  });
}
