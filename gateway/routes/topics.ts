/** Topics: what each had last, and what it has next. */
import { GatewayError } from "../errors.ts";
import { formatFor } from "../formats/negotiate.ts";
import { FORMATS, type Format, MEDIA_TYPES } from "../formats/representation.ts";
import {
  addRoute,
  type GatewayApp,
  type GatewayContext,
  headOnly,
  jsonResponse,
  pathText,
  TENSOR_TYPES,
} from "../http.ts";
import { dataQuery, nextQuery, topicsSchema } from "../schemas.ts";
import type { GatewayState } from "../state.ts";
import type { Entry } from "../traffic/entry.ts";
import { topicJson } from "../traffic/json.ts";
import { TENSOR_ROUTE, tensorResponse } from "./tensor_response.ts";

export function addTopicRoutes(app: GatewayApp, state: GatewayState): void {
  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/topics",
      summary: "Topics that were seen, the newest first",
      tag: "topics",
      scope: "read",
      answer: topicsSchema,
    },
    () => jsonResponse({ topics: state.recorder.topics().map(topicJson) }),
  );

  for (const format of [undefined, ...FORMATS]) {
    const suffix = format === undefined ? "" : `.${format}`;
    const answer = format === undefined ? TENSOR_TYPES : [MEDIA_TYPES[format]];
    addRoute(
      app,
      state,
      {
        method: "get",
        path: `/v1/topics/{topic}/latest${suffix}`,
        summary:
          format === undefined ? "The last tensor of a topic, as Accept says" : `The same as ${suffix}`,
        tag: "topics",
        scope: "read",
        query: dataQuery,
        answer,
        ...TENSOR_ROUTE,
        problems: [404, 406, 409, 410],
        timedAs: "tensor",
      },
      (c, { slice }) => tensorResponse(c, state, latest(state, pathText(c, "topic")), format, slice),
    );
    addRoute(
      app,
      state,
      {
        method: "get",
        path: `/v1/topics/{topic}/next${suffix}`,
        summary: format === undefined ? "Waits for the next tensor of a topic" : `The same as ${suffix}`,
        tag: "topics",
        scope: "read",
        query: nextQuery,
        answer,
        ...TENSOR_ROUTE,
        problems: [406, 504],
        timedAs: null,
      },
      (c, { slice, timeoutMs }) =>
        headOnly(c, MEDIA_TYPES[format ?? formatFor(c.req.header("accept"))]) ??
        next(c, state, format, slice, timeoutMs ?? state.limits.waitMs),
    );
  }
}

function latest(state: GatewayState, topic: string): Entry {
  const record = state.recorder.topic(topic);
  if (record) return record.last;
  throw new GatewayError(
    404,
    "GATEWAY_UNKNOWN_TOPIC",
    `No tensor with the topic ${JSON.stringify(topic.slice(0, 100))} was seen here`,
  );
}

async function next(
  c: GatewayContext,
  state: GatewayState,
  format: Format | undefined,
  slice: string | undefined,
  timeoutMs: number,
): Promise<Response> {
  if (state.waiters >= state.limits.maxWaiters)
    throw new GatewayError(503, "GATEWAY_TOO_MANY_CLIENTS", "Too many requests wait for a tensor");
  const waitMs = Math.min(timeoutMs, state.limits.maxWaitMs);
  const topic = pathText(c, "topic");
  let passed = 0;
  state.waiters++;
  try {
    const signals = [...(c.env?.left ? [c.env.left] : []), state.closing.signal, AbortSignal.timeout(waitMs)];
    const { entry, unkept } = await nextOf(state, topic, AbortSignal.any(signals));
    if (entry) return tensorResponse(c, state, entry, format, slice);
    passed = unkept;
  } finally {
    state.waiters--;
  }
  if (state.closing.signal.aborted) throw new GatewayError(503, "GATEWAY_CLOSED", "The gateway is closing");
  const but = passed === 0 ? "" : ` that was kept; ${passed} came too fast, or were too large`;
  throw new GatewayError(504, "GATEWAY_TIMEOUT", `No tensor came within ${waitMs} ms${but}`);
}

interface Next {
  /** Undefined: the signal was first. */
  readonly entry: Entry | undefined;
  /** Those before it whose bytes cannot be had. */
  readonly unkept: number;
}

function nextOf(state: GatewayState, topic: string, signal: AbortSignal): Promise<Next> {
  return new Promise((resolve) => {
    let unkept = 0;
    const settle = (entry: Entry | undefined) => {
      stop();
      signal.removeEventListener("abort", give);
      resolve({ entry, unkept });
    };
    const give = () => settle(undefined);
    const stop = state.feed.listen(
      (one) => one === topic,
      (entry) => {
        if (entry.available) settle(entry);
        else unkept++;
      },
    );
    signal.addEventListener("abort", give, { once: true });
    if (signal.aborted) give();
  });
}
