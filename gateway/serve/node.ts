/** Node.js: @hono/node-server, and ws for WebSockets. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type HttpBindings, serve, upgradeWebSocket, type WebSocketServerLike } from "@hono/node-server";
import { WebSocketServer } from "ws";
import type { Gateway } from "../gateway.ts";
import type { RequestInfo } from "../http.ts";
import type { Listening } from "./listening.ts";
import { IncomingParts } from "./node_body.ts";
import { answerRefused } from "./node_refusals.ts";
import type { ServeTls } from "./tls.ts";

/** A client may take so long for its headers; its body is watched as it is read. */
const HEADERS_TIMEOUT_MS = 20_000;
/** What a client of a WebSocket may send: nothing is expected. */
const MAX_MESSAGE_BYTES = 4096;

export function listen(
  gateway: Gateway,
  host: string,
  port: number,
  tls: ServeTls | undefined,
): Promise<Listening> {
  const { maxHeaderBytes } = gateway.state.limits;
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
          readBody: () => new IncomingParts(incoming as IncomingMessage), // no HTTP/2 here
        });
        return gateway.fetch(request, info);
      },
      hostname: host,
      port,
      overrideGlobalObjects: false,
      createServer: tls ? createSecureServer : createServer,
      serverOptions: {
        ...(tls ? { cert: tls.cert, key: tls.key } : {}),
        maxHeaderSize: maxHeaderBytes,
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: 0,
      },
      websocket: { server: sockets as unknown as WebSocketServerLike }, // the types differ in one optional field
    }) as Server;
    const { problems } = gateway.state;
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
