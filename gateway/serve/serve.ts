/** Listens for a gateway, with the HTTP server of the runtime at hand. */
import { AsocError } from "../../src/mod.ts";
import { isLoopback } from "../access/hosts.ts";
import type { Gateway } from "../gateway.ts";
import type { Listening } from "./listening.ts";
import { assertServes, checkMaterial, type ServeTls } from "./tls.ts";

export interface ServeOptions {
  /** Default "127.0.0.1". Anything off loopback wants tokens. */
  readonly host?: string | undefined;
  /** Default 8080; 0: any free one. */
  readonly port?: number | undefined;
  /** HTTPS with this certificate, TLS 1.2 or later, and no HTTP. */
  readonly tls?: ServeTls | undefined;
}

export interface GatewayServer {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** Ends all connections, and the gateway. */
  close(): Promise<void>;
}

export const DEFAULT_GATEWAY_PORT = 8080;

/** Rejects with ASOC_CONFIG off loopback without tokens, ASOC_PORT_IN_USE, ASOC_UNREACHABLE, ASOC_TLS_INSECURE. */
export async function serveGateway(gateway: Gateway, options: ServeOptions = {}): Promise<GatewayServer> {
  const { host = "127.0.0.1", port = DEFAULT_GATEWAY_PORT } = options;
  const tls = options.tls && checkMaterial(options.tls);
  const shown = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  if (!isLoopback(host) && gateway.state.tokens.size === 0) {
    throw new AsocError(
      "ASOC_CONFIG",
      `Cannot serve the gateway on ${shown}:${port}: off loopback it needs a token; \`asoc token\` makes one`,
    );
  }
  const { listen } = await serverAtHand();
  let listening: Listening;
  try {
    listening = await listen(gateway, host.replace(/^\[|\]$/g, ""), port, tls);
  } catch (error) {
    throw listenError(error, `${shown}:${port}`);
  }
  if (tls)
    await assertServes(tls, host.replace(/^\[|\]$/g, ""), listening.port).catch(async (error) => {
      await listening.close();
      throw error;
    });
  gateway.state.hosts.bound(host);
  return {
    host,
    port: listening.port,
    url: `${tls ? "https" : "http"}://${shown}:${listening.port}`,
    async close() {
      gateway.close();
      await new Promise((resolve) => setImmediate(resolve)); // WebSockets say why they end
      await listening.close();
    },
  };
}

/** Deno's own server tells neither of connections nor of headers that never end: it has Node.js' here. */
function serverAtHand(): Promise<{
  listen(gateway: Gateway, host: string, port: number, tls: ServeTls | undefined): Promise<Listening>;
}> {
  if ("Bun" in globalThis) return import("./bun.ts");
  return import("./node.ts");
}

function listenError(error: unknown, at: string): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const name = error instanceof Error ? error.name : "";
  if (code === "EADDRINUSE" || name === "AddrInUse") {
    return new AsocError("ASOC_PORT_IN_USE", `Cannot serve the gateway on ${at}: the port is in use`, {
      cause: error,
    });
  }
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || name === "AddrNotAvailable") {
    return new AsocError(
      "ASOC_UNREACHABLE",
      `Cannot serve the gateway on ${at}: this machine has no such address`,
      {
        cause: error,
      },
    );
  }
  return error;
}
