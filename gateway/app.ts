/** The app: what every request passes before its route, and all routes. */
import { OpenAPIHono } from "@hono/zod-openapi";
import { cors } from "hono/cors";
import { noteRefusal } from "./access/audit.ts";
import { asGatewayError, GatewayError, problem } from "./errors.ts";
import type { GatewayApp, GatewayEnv } from "./http.ts";
import { addDashboardRoutes } from "./routes/dashboard.ts";
import { addDocsRoutes } from "./routes/docs.ts";
import { addEventRoutes } from "./routes/events.ts";
import { addInjectRoutes } from "./routes/inject.ts";
import { addMetricsRoutes } from "./routes/metrics.ts";
import { addNodeRoutes } from "./routes/node.ts";
import { addStreamRoutes } from "./routes/streams.ts";
import { addTapRoutes } from "./routes/tap.ts";
import { addTensorEventRoutes } from "./routes/tensor_events.ts";
import { addTopicRoutes } from "./routes/topics.ts";
import type { GatewayState } from "./state.ts";

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};
const EXPOSED_HEADERS = [
  "ETag",
  "Accept-Ranges",
  "Content-Range",
  ...["Dtype", "Shape", "Topic", "Peer", "Stream"].map((name) => `Asoc-${name}`),
];

export function makeApp(state: GatewayState): GatewayApp {
  const app: GatewayApp = new OpenAPIHono<GatewayEnv>();
  app.onError((error, c) => {
    const { method, path } = c.req;
    noteRefusal(state.node, asGatewayError(error), { method, path, address: c.env?.address });
    return problem(error);
  });
  app.notFound(() => problem(new GatewayError(404, "GATEWAY_NOT_FOUND", "There is no such page")));
  app.use(async (c, next) => {
    // Before: of an upgraded connection nothing can be read or said any more.
    const origin = c.req.header("origin");
    await next();
    if (c.get("upgraded")) return;
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) c.res.headers.set(name, value);
    if (origin !== undefined && state.hosts.allowsOrigin(origin))
      c.res.headers.set("cross-origin-resource-policy", "cross-origin");
    count(state, c.req.method, c.res.status);
  });
  app.use(async (c, next) => {
    const host = c.req.header("host") ?? new URL(c.req.url).host;
    state.hosts.checkHost(host);
    state.hosts.checkOrigin(c.req.header("origin"), host);
    state.rate.check(c.env?.address ?? "", performance.now());
    if (!state.ready && state.closing.signal.aborted)
      throw new GatewayError(503, "GATEWAY_CLOSED", "The gateway is closing");
    await next();
  });
  const shared = cors({
    origin: (origin) => (state.hosts.allowsOrigin(origin) ? origin : null),
    allowHeaders: ["Authorization", "Content-Type", "If-None-Match", "Range", "Last-Event-ID"].concat(
      ["Dtype", "Shape", "Priority", "Metadata", "Digest", "Deadline-Ms"].map((name) => `Asoc-${name}`),
    ),
    allowMethods: ["GET", "HEAD", "POST"],
    exposeHeaders: EXPOSED_HEADERS,
    maxAge: 600,
  });
  // What answers a WebSocket may not be touched; and it is no CORS request (RFC-0300, section 8.2).
  app.use(async (c, next) => {
    if (c.req.method !== "GET" || !isUpgrade(c.req.header("upgrade"))) return shared(c, next);
    await next();
    if (!c.get("upgraded")) await shared(c, async () => {});
  });
  addNodeRoutes(app, state);
  addStreamRoutes(app, state);
  addTopicRoutes(app, state);
  addInjectRoutes(app, state);
  addEventRoutes(app, state);
  addTensorEventRoutes(app, state);
  addTapRoutes(app, state);
  addMetricsRoutes(app, state);
  addDocsRoutes(app, state);
  addDashboardRoutes(app);
  refuseOtherMethods(app);
  return app;
}

function isUpgrade(header: string | undefined): boolean {
  return header?.toLowerCase() === "websocket";
}

/** A path that there is, with a method that it has not: 405 with those that it has. */
function refuseOtherMethods(app: GatewayApp): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    if (method === "ALL") continue;
    const known = methods.get(path) ?? new Set();
    known.add(method);
    if (method === "GET") known.add("HEAD");
    methods.set(path, known);
  }
  for (const [path, known] of methods) {
    app.all(path, () => {
      throw new GatewayError(
        405,
        "GATEWAY_METHOD_NOT_ALLOWED",
        `Here one can ${[...known].join(", ")} only`,
        {
          headers: { allow: [...known].join(", ") },
        },
      );
    });
  }
}

function count(state: GatewayState, method: string, status: number): void {
  const known = ["GET", "HEAD", "POST", "OPTIONS"].includes(method) ? method : "other";
  const key = `${known} ${Math.floor(status / 100)}xx`;
  state.requests.set(key, (state.requests.get(key) ?? 0) + 1);
}
