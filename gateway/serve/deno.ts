/** Deno: its own server. */
import { upgradeWebSocket } from "hono/deno";
import type { Gateway } from "../gateway.ts";
import type { Listening } from "./listening.ts";
import type { ServeTls } from "./tls.ts";

/** The part of Deno's API that is used here, typed because the other runtimes' compilers do not know it. */
interface DenoServe {
  serve(
    options: { hostname: string; port: number; onListen: () => void; onError: (error: unknown) => Response },
    handler: (
      request: Request,
      info: { remoteAddr: { hostname?: string }; completed: Promise<void> },
    ) => Response | Promise<Response>,
  ): {
    readonly addr: { readonly port: number };
    shutdown(): Promise<void>;
    readonly finished: Promise<void>;
  };
}

/** Open connections may take so long to end on their own. */
const SHUTDOWN_MS = 500;

export async function listen(
  gateway: Gateway,
  hostname: string,
  port: number,
  tls: ServeTls | undefined,
): Promise<Listening> {
  gateway.state.upgrade = upgradeWebSocket as NonNullable<typeof gateway.state.upgrade>;
  const { serve } = (globalThis as unknown as { Deno: DenoServe }).Deno;
  const aborting = new AbortController();
  const options = {
    hostname,
    port,
    ...(tls ? { cert: tls.cert, key: tls.key } : {}),
    signal: aborting.signal,
    onListen: () => {},
    onError: () => new Response(null, { status: 500 }),
  };
  const server = serve(options, (request, info) => {
    // The signal of the request aborts after a success, too.
    const leaving = new AbortController();
    info.completed.catch(() => leaving.abort());
    return gateway.fetch(request, { address: info.remoteAddr.hostname, left: leaving.signal });
  });
  return {
    port: server.addr.port,
    async close() {
      const timer = setTimeout(() => aborting.abort(), SHUTDOWN_MS);
      await server.shutdown();
      clearTimeout(timer);
    },
  };
}
