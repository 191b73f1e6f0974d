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
export { createGateway, type Gateway } from "./gateway.ts";
export { DEFAULT_GATEWAY_LIMITS, type GatewayLimits } from "./limits.ts";
export type { GatewayOptions } from "./options.ts";
export { type GatewayServer, serveGateway } from "./serve/serve.ts";
export type { ServeTls } from "./serve/tls.ts";
export type { GatewayNode, TrafficObserver, TrafficStream } from "./traffic/traffic.ts";
