/** Events of the node: peers, streams, refusals, rates. */
import { type EventLog, eventBytes } from "../events/event_log.ts";
import { EVENT_STREAM_TYPE, sseResponse } from "../events/sse.ts";
import { addRoute, type GatewayApp, headOnly } from "../http.ts";
import { lastEventHeaders, tokenQuery } from "../schemas.ts";
import type { GatewayState } from "../state.ts";
import { timeText } from "../traffic/json.ts";

export function addEventRoutes(app: GatewayApp, state: GatewayState): void {
  const { log } = state;
  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/events",
      summary: "Server-sent events: hello, peer, stream, refused, rates, dropped",
      tag: "events",
      scope: "tap",
      tokenInQuery: true,
      query: tokenQuery,
      headers: lastEventHeaders,
      answer: ["text/event-stream"],
      timedAs: null,
    },
    (c) => {
      const head = headOnly(c, EVENT_STREAM_TYPE);
      if (head) return head;
      let stop = () => {};
      const client = state.sse.open(c.env?.address ?? "", () => stop());
      const lastEventId = c.req.header("last-event-id");
      const past = lastEventId === undefined ? undefined : log.since(lastEventId);
      const nodeId = state.node.id;
      const hello = { nodeId, startedAt: timeText(state.startedAtMs), lastEventId: log.lastId };
      client.begin(beginning(eventBytes("hello", hello), past));
      state.sse.dropped += past?.lost ?? 0;
      stop = log.listen((event) => client.push(event.bytes));
      return sseResponse(client, c.env);
    },
  );
}

/** The greeting, then how much of the past is lost, then the rest of it. */
function* beginning(
  hello: Uint8Array,
  past: ReturnType<EventLog["since"]> | undefined,
): Generator<Uint8Array, void, undefined> {
  yield hello;
  if (!past) return;
  if (past.lost > 0) yield eventBytes("dropped", { count: past.lost });
  for (const event of past.events) yield event.bytes;
}
