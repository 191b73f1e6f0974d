/**
 * The gateway (RFC-0300): the tensor traffic of a node for whoever speaks HTTP. It sees what the node sends and receives,
 * gives tensors out as npy, safetensors, raw bytes or JSON, and sends what clients bring.
 *
 * It uses the node's public API only, never slows the node's streams for a client, and runs the same on Node.js, Bun
 * and Deno.
 *
 * @example
 * ```ts
 * import { join } from "asoc";
 * import { createGateway, serveGateway } from "asoc/gateway";
 * const node = await join({ apiKey: process.env.ASOC_API_KEY });
 * const gateway = createGateway(node, { takes: true });
 * const server = await serveGateway(gateway, { port: 8080 });
 * ```
 */
import type { Hono } from "hono";
import { makeApp } from "./app.ts";
import type { GatewayEnv, RequestInfo } from "./http.ts";
import type { GatewayOptions } from "./options.ts";
import { GatewayState } from "./state.ts";
import type { GatewayNode } from "./traffic/traffic.ts";

export { isLoopback } from "./access/hosts.ts";
export {
  formatTokens,
  makeToken,
  parseTokens,
  SCOPES,
  type Scope,
  type TokenRecord,
  tokenHash,
} from "./access/tokens.ts";
export { GatewayError, type GatewayErrorCode } from "./errors.ts";
export { DEFAULT_GATEWAY_LIMITS, type GatewayLimits } from "./limits.ts";
export type { GatewayOptions } from "./options.ts";
export { type GatewayServer, serveGateway } from "./serve/serve.ts";
export type { GatewayNode, TrafficObserver, TrafficStream } from "./traffic/traffic.ts";

export interface Gateway {
  /** To be mounted in another app, which then checks Host, Origin and addresses as it likes, beside our own checks. */
  readonly app: Hono<GatewayEnv>;
  /** Answers one request; `info` says who asks. */
  fetch(request: Request, info?: RequestInfo): Response | Promise<Response>;
  /** Ends all clients and stops watching the node, which stays open. */
  close(): void;
  /** @internal For the servers in `serve`. */
  readonly state: GatewayState;
}

/** A gateway to `node`. It watches from now on; nothing listens yet: see `serveGateway`. */
export function createGateway(node: GatewayNode, options: GatewayOptions = {}): Gateway {
  const state = new GatewayState(node, options);
  const app = makeApp(state);
  return {
    app,
    state,
    fetch: (request, info = {}) => app.fetch(request, info),
    close: () => state.close(),
  };
}
