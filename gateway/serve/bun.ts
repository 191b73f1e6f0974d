/** Bun: its own server. */
import { upgradeWebSocket, websocket } from "hono/bun";
import type { Gateway } from "../gateway.ts";
import type { Listening } from "./listening.ts";
import type { ServeTls } from "./tls.ts";

/** Above this Bun would drop messages; what waits is bounded elsewhere. */
const BACKPRESSURE_BYTES = 1024 * 1024 * 1024;
const MAX_MESSAGE_BYTES = 4096;
/** The longest that Bun takes. */
const MAX_IDLE_SECONDS = 255;

export async function listen(
  gateway: Gateway,
  hostname: string,
  port: number,
  tls: ServeTls | undefined,
): Promise<Listening> {
  gateway.state.upgrade = upgradeWebSocket;
  const { limits } = gateway.state;
  const idleSeconds = seconds(limits.headersTimeoutMs);
  const server = Bun.serve({
    hostname,
    port,
    ...(tls ? { tls: { cert: tls.cert, key: tls.key } } : {}),
    // Of a connection between two requests. Before the first one Bun waits 10 to 12 s, whatever is said here.
    idleTimeout: idleSeconds,
    maxRequestBodySize: limits.maxBodyBytes,
    fetch: async (request, self) => {
      let quietSeconds = idleSeconds;
      self.timeout(request, 0); // bodies that come, and requests that wait, are watched elsewhere
      const response = await gateway.fetch(request, {
        address: self.requestIP(request)?.address,
        left: request.signal,
        allowQuiet: (quietMs) => {
          quietSeconds = seconds(quietMs);
        },
        cut: () => self.timeout(request, 1), // as soon as Bun looks again
        ...{ server: self }, // for WebSockets
      });
      self.timeout(request, quietSeconds);
      return response;
    },
    websocket: {
      ...(websocket as unknown as Bun.WebSocketHandler<undefined>), // hono types the socket's data as its own
      backpressureLimit: BACKPRESSURE_BYTES,
      maxPayloadLength: MAX_MESSAGE_BYTES,
      idleTimeout: 0,
      pong: (socket) => (socket.data as { onPong?: () => void } | undefined)?.onPong?.(),
    },
  });
  return { port: server.port ?? port, close: () => server.stop(true) };
}

function seconds(ms: number): number {
  return Math.min(MAX_IDLE_SECONDS, Math.ceil(ms / 1000));
}
