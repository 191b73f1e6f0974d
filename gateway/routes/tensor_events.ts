/** Events of topics: an event for each whole tensor, on request with statistics or its bytes. */
import { eventBytes, numberOf } from "../events/event_log.ts";
import { EVENT_STREAM_TYPE, sseResponse } from "../events/sse.ts";
import { clientGlob } from "../events/tensor_feed.ts";
import { addRoute, type GatewayApp, headOnly, pathText } from "../http.ts";
import { lastEventHeaders, topicEventsQuery } from "../schemas.ts";
import type { GatewayState } from "../state.ts";
import type { Entry } from "../traffic/entry.ts";
import { streamJson } from "../traffic/json.ts";

/** Of the time of this thread, at most this part goes into statistics. */
const STATISTICS_SHARE = 0.1;

export function addTensorEventRoutes(app: GatewayApp, state: GatewayState): void {
  const { eventOf, lastEventOf } = makeEvents(state);
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
      headers: lastEventHeaders,
      answer: ["text/event-stream"],
      timedAs: null,
    },
    (c, { stats, data, last, every = 1 }) => {
      const matches = clientGlob(pathText(c, "topic"));
      const head = headOnly(c, EVENT_STREAM_TYPE);
      if (head) return head;
      const wants = { stats: stats === "1", data: data === "1" };
      let stop = () => {};
      const missed = missedSince(state, c.req.header("last-event-id"), matches);
      let seen = missed?.entries.length ?? 0;
      const latest = last === "1" && !missed ? newestOf(state, matches) : undefined;
      const client = state.sse.open(c.env?.address ?? "", () => stop());
      const take = (entry: Entry) => {
        if (entry === latest) return; // it was on its way when this client came
        if (seen++ % every === 0) client.push(eventOf(entry, wants));
      };
      const hello = eventBytes("hello", { nodeId: state.node.id, topic: pathText(c, "topic") });
      state.sse.dropped += missed?.lost ?? 0;
      const before = latest ? [hello, lastEventOf(latest, wants)] : [hello];
      client.begin(beginning(before, missed, every, (entry) => eventOf(entry, wants)));
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

/** The newest tensor that there is of the topics that fit. */
function newestOf({ recorder }: GatewayState, matches: (topic: string) => boolean): Entry | undefined {
  const entry = recorder.topics().find(({ topic }) => matches(topic))?.last;
  return entry?.capture?.state === "live" ? undefined : entry; // it will be told
}

/** The greeting, then how much is lost, then what was missed. Each is made when there is room for it. */
function* beginning(
  first: readonly Uint8Array[],
  missed: Missed | undefined,
  every: number,
  bytesOf: (entry: Entry) => Uint8Array,
): Generator<Uint8Array, void, undefined> {
  yield* first;
  if (!missed) return;
  if (missed.lost > 0) yield eventBytes("dropped", { count: missed.lost });
  for (const [index, entry] of missed.entries.entries()) if (index % every === 0) yield bytesOf(entry);
}

interface Wants {
  readonly stats: boolean;
  readonly data: boolean;
}

interface TensorEvents {
  /** Made once for all clients that want the same of it. */
  eventOf(entry: Entry, wants: Wants): Uint8Array;
  /** Of one that passed before its client came: once for each, so it need not wait for its statistics' turn. */
  lastEventOf(entry: Entry, wants: Wants): Uint8Array;
}

function makeEvents(state: GatewayState): TensorEvents {
  let newest: { entry: Entry; texts: Map<string, Uint8Array> } | undefined;
  let restUntilMs = 0;
  const statisticsOf = (entry: Entry, isUrgent: boolean) => {
    const startMs = performance.now();
    if (startMs < restUntilMs && !isUrgent) return undefined;
    const found = entry.statistics(state.limits.statisticsSample);
    const endMs = performance.now();
    restUntilMs = Math.max(restUntilMs, endMs + (endMs - startMs) * (1 / STATISTICS_SHARE - 1));
    return found;
  };
  const dataOf = (entry: Entry, wants: Wants, isUrgent: boolean) => {
    const event: Record<string, unknown> = { stream: streamJson(entry) };
    if (wants.stats) {
      const found = statisticsOf(entry, isUrgent);
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
    return event;
  };
  return {
    eventOf(entry, wants) {
      if (newest?.entry !== entry) newest = { entry, texts: new Map() };
      const key = `${wants.stats}/${wants.data}`;
      const made = newest.texts.get(key);
      if (made) return made;
      const text = eventBytes("tensor", dataOf(entry, wants, false), `${state.boot}-${entry.doneNumber}`);
      newest.texts.set(key, text);
      return text;
    },
    lastEventOf(entry, wants) {
      // Its id is that of now: who comes back with it has missed nothing of before.
      const id = `${state.boot}-${state.recorder.doneCount}`;
      return eventBytes("tensor", { ...dataOf(entry, wants, true), last: true }, id);
    },
  };
}
