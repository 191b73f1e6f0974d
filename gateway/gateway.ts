/** A gateway: an app over what it knows of a node. */
import type { Hono } from "hono";
import { makeApp } from "./app.ts";
import type { GatewayEnv } from "./http.ts";
import type { GatewayOptions } from "./options.ts";
import type { RequestInfo } from "./request_info.ts";
import { GatewayState } from "./state.ts";
import type { GatewayNode } from "./traffic/traffic.ts";

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
