/** What every route goes through: who asks, what for, and how a route describes itself. */
import type { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Scope } from "./access/tokens.ts";
import { asGatewayError, GatewayError } from "./errors.ts";
import { MEDIA_TYPES } from "./formats/representation.ts";
import type { RouteClass } from "./latencies.ts";
import type { RequestInfo } from "./request_info.ts";
import { problemSchema } from "./schemas.ts";
import type { GatewayState } from "./state.ts";

export interface GatewayEnv {
  Bindings: RequestInfo;
  /** `upgraded`: it has become a WebSocket. */
  Variables: { upgraded?: boolean };
}
export type GatewayContext = Context<GatewayEnv>;
export type GatewayApp = OpenAPIHono<GatewayEnv>;

type QuerySchema = z.ZodObject;

/** One route: what it is called, who may use it, what goes in and out. */
export interface RouteSpec<Q extends QuerySchema> {
  readonly method: "get" | "post";
  /** As OpenAPI writes it, with `{name}` for what differs. */
  readonly path: string;
  readonly summary: string;
  readonly tag: string;
  /** Undefined: everybody may. */
  readonly scope: Scope | undefined;
  /** The token may come as `?access_token=`: browsers cannot set headers of an event source or a WebSocket. */
  readonly tokenInQuery?: boolean;
  readonly query?: Q;
  /** Of 200: a schema for JSON, or names of media types. */
  readonly answer: z.ZodType | readonly string[];
  /** Media types of the request's body. */
  readonly body?: readonly string[];
  /** Of the request. Accept is none: OpenAPI knows it by the media types of the answers. */
  readonly headers?: z.ZodObject;
  /** Of an answer that is no problem. */
  readonly answerHeaders?: AnswerHeaders;
  /** Answers Range: 206 beside 200, and 416. */
  readonly inParts?: boolean;
  /** 503 may also have the form of 200. */
  readonly answersUnready?: boolean;
  /** Statuses of problems beside those of every route. */
  readonly problems?: readonly number[];
  /** Statuses without a document. */
  readonly empty?: readonly number[];
  /** Which latency it belongs to; default "facts", null: none, since it waits for what comes. */
  readonly timedAs?: RouteClass | null;
  /** Not told in the document: another spelling of a route that is. */
  readonly hidden?: boolean;
}

/** Name, and what it says. Each is there. */
export type AnswerHeaders = Readonly<Record<string, string>>;

/** Names in a path. */
const PATH_TEXTS: Readonly<Record<string, string>> = {
  id: "its id",
  topic: "a topic, or a glob where the route says so; percent-encoded, slashes too",
};

const COMMON_PROBLEMS = [400, 401, 403, 429, 503];

/** Adds a route, and its description. */
export function addRoute<Q extends QuerySchema>(
  app: GatewayApp,
  state: GatewayState,
  spec: RouteSpec<Q>,
  handle: (c: GatewayContext, query: z.output<Q>) => Response | Promise<Response>,
): void {
  const path = spec.path.replaceAll(/\{(\w+)\}/g, ":$1");
  const routeClass = spec.timedAs === undefined ? "facts" : spec.timedAs;
  const handler = async (c: GatewayContext) => {
    const startMs = performance.now();
    try {
      checkAccess(c, state, spec.scope, spec.tokenInQuery === true);
      return await handle(c, readQuery(c, spec.query));
    } catch (error) {
      const { code } = asGatewayError(error); // as many as there are codes
      state.problems.set(code, (state.problems.get(code) ?? 0) + 1);
      throw error;
    } finally {
      if (routeClass !== null) state.latencies.requestAnswered(routeClass, performance.now() - startMs);
    }
  };
  if (spec.method === "get") app.get(path, handler);
  else app.post(path, handler);
  if (!spec.hidden) describe(app, spec);
}

function describe<Q extends QuerySchema>(app: GatewayApp, spec: RouteSpec<Q>): void {
  const names = [...spec.path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  const parameters = names.map((name) => ({
    name,
    in: "path" as const,
    required: true,
    description: PATH_TEXTS[name] ?? name,
    schema: { type: "string" as const, minLength: 1 },
  }));
  const statuses = [...COMMON_PROBLEMS, ...(spec.problems ?? []), ...(spec.inParts ? [416] : [])];
  const problems = [...new Set(statuses)].sort();
  const answer: Record<string, { schema: z.ZodType | BodySchema }> = Array.isArray(spec.answer)
    ? Object.fromEntries(spec.answer.map((type: string) => [type, { schema: bodySchema(type) }]))
    : { "application/json": { schema: spec.answer as z.ZodType } };
  app.openAPIRegistry.registerPath({
    method: spec.method,
    path: spec.path,
    summary: spec.summary,
    tags: [spec.tag],
    security: spec.scope === undefined ? [] : [{ bearer: [] }, {}],
    ...(spec.scope === undefined ? {} : { description: `Scope: ${spec.scope}.` }),
    request: {
      ...(spec.query ? { query: spec.query } : {}),
      ...(spec.headers ? { headers: spec.headers } : {}),
      ...(spec.body
        ? {
            body: {
              required: true,
              content: Object.fromEntries(spec.body.map((type) => [type, { schema: bodySchema(type) }])),
            },
          }
        : {}),
    },
    ...(parameters.length > 0 ? { parameters } : {}),
    responses: {
      200: { description: "OK", content: answer, ...headersOf(spec) },
      ...(spec.inParts
        ? {
            206: {
              description: "The part that Range asks for",
              content: answer,
              ...headersOf(spec, { "Content-Range": "Which part of how many bytes" }),
            },
          }
        : {}),
      // Of the HTTP server itself, which on some runtimes says nothing more.
      408: { description: "The headers took too long" },
      431: { description: "The request line and headers are too large" },
      ...Object.fromEntries(
        (spec.empty ?? []).map((status) => [status, { description: "No content", ...headersOf(spec) }]),
      ),
      ...Object.fromEntries(
        problems.map((status) => [
          status,
          {
            description: "Problem",
            content: {
              "application/problem+json": { schema: problemSchema },
              ...(status === 503 && spec.answersUnready ? answer : {}),
            },
          },
        ]),
      ),
    },
  });
}

function headersOf({ answerHeaders }: { readonly answerHeaders?: AnswerHeaders }, more: AnswerHeaders = {}) {
  const all = Object.entries({ ...answerHeaders, ...more });
  if (all.length === 0) return {};
  const schema = { type: "string" as const };
  return {
    headers: Object.fromEntries(
      all.map(([name, description]) => [name, { description, required: true, schema }]),
    ),
  };
}

type BodySchema = { type?: "string"; format?: "binary" };

function bodySchema(type: string): BodySchema {
  if (type === "application/json") return {};
  return type.startsWith("text/") ? { type: "string" } : { type: "string", format: "binary" };
}

export const TENSOR_TYPES = Object.values(MEDIA_TYPES);

/** The query as its schema has it. Throws GATEWAY_BAD_REQUEST. */
function readQuery<Q extends QuerySchema>(c: GatewayContext, schema: Q | undefined): z.output<Q> {
  if (!schema) return {} as z.output<Q>;
  const result = schema.safeParse(c.req.query());
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new GatewayError(
    400,
    "GATEWAY_BAD_REQUEST",
    `Cannot use query: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "is wrong"}`,
  );
}

/** Throws GATEWAY_UNAUTHORIZED, GATEWAY_FORBIDDEN_SCOPE. */
function checkAccess(
  c: GatewayContext,
  state: GatewayState,
  scope: Scope | undefined,
  tokenInQuery: boolean,
): void {
  if (scope === undefined || state.tokens.size === 0) return;
  const scopes = scopesOf(c, state, tokenInQuery);
  if (!scopes) {
    throw new GatewayError(401, "GATEWAY_UNAUTHORIZED", "This needs a token: Authorization: Bearer asoc_…", {
      headers: { "www-authenticate": 'Bearer realm="asoc"' },
    });
  }
  if (!scopes.has(scope))
    throw new GatewayError(403, "GATEWAY_FORBIDDEN_SCOPE", `This needs a token with the scope ${scope}`);
}

/** What the request's token may do; undefined: it has none, or a wrong one. */
export function scopesOf(c: GatewayContext, state: GatewayState, tokenInQuery = false) {
  const header = c.req.header("authorization");
  const bearer = header === undefined ? undefined : /^Bearer +(\S{1,100})$/i.exec(header)?.[1];
  const token = bearer ?? (tokenInQuery && header === undefined ? c.req.query("access_token") : undefined);
  return token === undefined ? undefined : state.tokens.scopesOf(token);
}

/** A part of the path. */
export function pathText(c: GatewayContext, name: string): string {
  return c.req.param(name) ?? "";
}

/** HEAD of what has no end, or has yet to come: its headers at once. Nothing is opened, nobody waits. */
export function headOnly(c: GatewayContext, type: string): Response | undefined {
  if (c.req.method !== "HEAD") return undefined;
  return new Response(null, { headers: { "content-type": type, "cache-control": "no-store" } });
}

export function jsonResponse(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
  });
}
