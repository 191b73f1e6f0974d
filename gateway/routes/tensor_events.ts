/** Events of topics: an event for each whole tensor, on request with statistics or its bytes. */
import { eventBytes, numberOf } from "../events/event_log.ts";
import { EVENT_STREAM_TYPE, sseResponse } from "../events/sse.ts";
import { clientGlob } from "../events/tensor_feed.ts";
import { addRoute, type GatewayApp, headOnly, pathText } from "../http.ts";
import { topicEventsQuery } from "../schemas.ts";
import type { GatewayState } from "../state.ts";
import type { Entry } from "../traffic/entry.ts";
import { streamJson } from "../traffic/json.ts";

/** Of the time of this thread, at most this part goes into statistics. */
const STATISTICS_SHARE = 0.1;

export function addTensorEventRoutes(app: GatewayApp, state: GatewayState): void {
  const bytesOf = makeEvents(state);
  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/topics/{topic}/events",
      summary: "Server-sent events: each tensor of the topics that fit a glob",
      tag: "topics",
      scope: "tap",
      tokenInQuery: true,
      query: topicEventsQuery,
      answer: ["text/event-stream"],
      timedAs: null,
    },
    (c, { stats, data, every = 1 }) => {
      const matches = clientGlob(pathText(c, "topic"));
      const head = headOnly(c, EVENT_STREAM_TYPE);
      if (head) return head;
      const wants = { stats: stats === "1", data: data === "1" };
      let stop = () => {};
      const missed = missedSince(state, c.req.header("last-event-id"), matches);
      let seen = missed?.entries.length ?? 0;
      const client = state.sse.open(c.env?.address ?? "", () => stop());
      const take = (entry: Entry) => {
        if (seen++ % every === 0) client.push(bytesOf(entry, wants));
      };
      const hello = eventBytes("hello", { nodeId: state.node.id, topic: pathText(c, "topic") });
      state.sse.dropped += missed?.lost ?? 0;
      client.begin(beginning(hello, missed, every, (entry) => bytesOf(entry, wants)));
      stop = state.feed.listen(matches, take, (count) => client.lost(count));
      return sseResponse(client, c.env);
    },
  );
}

interface Missed {
  /** The oldest first. */
  readonly entries: readonly Entry[];
  /** Tensors that are not listed any more, whatever their topic was: nobody knows it now. */
  readonly lost: number;
}

/** What passed since the event with that id; undefined: it is none of this run. */
function missedSince(
  { recorder, boot }: GatewayState,
  lastEventId: string | undefined,
  matches: (topic: string) => boolean,
): Missed | undefined {
  const after = numberOf(lastEventId ?? "", boot);
  if (after === undefined) return undefined;
  const listed = [...recorder.newestFirst()].filter(({ doneNumber }) => doneNumber > after);
  const entries = listed.filter(({ stream }) => matches(stream.topic));
  entries.sort((a, b) => a.doneNumber - b.doneNumber);
  return { entries, lost: Math.max(0, recorder.doneCount - after - listed.length) };
}

/** The greeting, then how much is lost, then what was missed. Each is made when there is room for it. */
function* beginning(
  hello: Uint8Array,
  missed: Missed | undefined,
  every: number,
  bytesOf: (entry: Entry) => Uint8Array,
): Generator<Uint8Array, void, undefined> {
  yield hello;
  if (!missed) return;
  if (missed.lost > 0) yield eventBytes("dropped", { count: missed.lost });
  for (const [index, entry] of missed.entries.entries()) if (index % every === 0) yield bytesOf(entry);
}

interface Wants {
  readonly stats: boolean;
  readonly data: boolean;
}

/** Makes the event of a tensor once for all clients that want the same of it. */
function makeEvents(state: GatewayState): (entry: Entry, wants: Wants) => Uint8Array {
  let last: { entry: Entry; texts: Map<string, Uint8Array> } | undefined;
  let restUntilMs = 0;
  const statisticsOf = (entry: Entry) => {
    const startMs = performance.now();
    if (startMs < restUntilMs) return undefined;
    const found = entry.statistics(state.limits.statisticsSample);
    const endMs = performance.now();
    restUntilMs = endMs + (endMs - startMs) * (1 / STATISTICS_SHARE - 1);
    return found;
  };
  return (entry, wants) => {
    if (last?.entry !== entry) last = { entry, texts: new Map() };
    const key = `${wants.stats}/${wants.data}`;
    const made = last.texts.get(key);
    if (made) return made;
    const event: Record<string, unknown> = { stream: streamJson(entry) };
    if (wants.stats) {
      const found = statisticsOf(entry);
      if (found) event.stats = found;
      else event.statsOmitted = true;
    }
    if (wants.data) {
      const held = entry.held(state.boot);
      if (held && held.bytes.length <= state.limits.eventDataBytes)
        event.data = Buffer.from(held.bytes.buffer, held.bytes.byteOffset, held.bytes.length).toString(
          "base64",
        );
      else event.dataOmitted = true;
    }
    const text = eventBytes("tensor", event, `${state.boot}-${entry.doneNumber}`);
    last.texts.set(key, text);
    return text;
  };
}
