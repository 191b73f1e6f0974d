/** Bun: its own server. */
import { upgradeWebSocket, websocket } from "hono/bun";
import type { Gateway } from "../gateway.ts";
import type { Listening } from "./listening.ts";
import type { ServeTls } from "./tls.ts";

/** Above this Bun would drop messages; what waits is bounded elsewhere. */
const BACKPRESSURE_BYTES = 1024 * 1024 * 1024;
const MAX_MESSAGE_BYTES = 4096;

export async function listen(
  gateway: Gateway,
  hostname: string,
  port: number,
  tls: ServeTls | undefined,
): Promise<Listening> {
  gateway.state.upgrade = upgradeWebSocket;
  const server = Bun.serve({
    hostname,
    port,
    ...(tls ? { tls: { cert: tls.cert, key: tls.key } } : {}),
    idleTimeout: 0, // it would end quiet event streams
    maxRequestBodySize: gateway.state.limits.maxBodyBytes,
    fetch: (request, self) => {
      const info = { address: self.requestIP(request)?.address, left: request.signal, server: self };
      return gateway.fetch(request, info);
    },
    websocket: {
      ...(websocket as unknown as Bun.WebSocketHandler<undefined>), // hono types the socket's data as its own
      backpressureLimit: BACKPRESSURE_BYTES,
      maxPayloadLength: MAX_MESSAGE_BYTES,
      idleTimeout: 0,
    },
  });
  return { port: server.port ?? port, close: () => server.stop(true) };
}
