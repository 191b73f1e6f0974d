/** Streams, live and recent, and the tensors of those that are in memory. */
import { GatewayError } from "../errors.ts";
import { clientGlob } from "../events/tensor_feed.ts";
import { FORMATS, MEDIA_TYPES } from "../formats/representation.ts";
import { addRoute, type GatewayApp, jsonResponse, pathText, TENSOR_TYPES } from "../http.ts";
import { dataQuery, streamSchema, streamsQuery, streamsSchema } from "../schemas.ts";
import type { GatewayState } from "../state.ts";
import type { Entry } from "../traffic/entry.ts";
import { streamJson } from "../traffic/json.ts";
import { lookUpPeer } from "./node.ts";
import { gone, TENSOR_ROUTE, tensorResponse } from "./tensor_response.ts";

const DEFAULT_ROWS = 100;

export function addStreamRoutes(app: GatewayApp, state: GatewayState): void {
  const { recorder } = state;

  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/streams",
      summary: "Live streams and the last that ended, the newest first",
      tag: "streams",
      scope: "read",
      query: streamsQuery,
      answer: streamsSchema,
    },
    (_, { peer, topic, direction, state: wanted, limit = DEFAULT_ROWS }) => {
      const peerId = peer === undefined ? undefined : (lookUpPeer(state, peer)?.id ?? peer);
      const matches = topic === undefined ? undefined : clientGlob(topic);
      const rows: ReturnType<typeof streamJson>[] = [];
      const nowMs = Date.now();
      for (const entry of recorder.newestFirst()) {
        if (rows.length >= limit) break;
        const { stream } = entry;
        const isOther = stream.peer.id !== peerId && stream.peer.dialledAs !== peer;
        if (peer !== undefined && isOther) continue;
        if (direction !== undefined && stream.direction !== direction) continue;
        if (wanted !== undefined && stream.state !== wanted) continue;
        if (matches && !matches(stream.topic)) continue;
        rows.push(streamJson(entry, nowMs));
      }
      return jsonResponse({ streams: rows });
    },
  );

  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/streams/{id}",
      summary: "One stream",
      tag: "streams",
      scope: "read",
      answer: streamSchema,
      problems: [404, 410],
    },
    (c) => jsonResponse(streamJson(findStream(state, pathText(c, "id")))),
  );

  for (const format of [undefined, ...FORMATS]) {
    addRoute(
      app,
      state,
      {
        method: "get",
        path: `/v1/streams/{id}/data${format === undefined ? "" : `.${format}`}`,
        summary: format === undefined ? "The tensor of a stream, as Accept says" : `The same as .${format}`,
        tag: "streams",
        scope: "read",
        query: dataQuery,
        answer: format === undefined ? TENSOR_TYPES : [MEDIA_TYPES[format]],
        ...TENSOR_ROUTE,
        problems: [404, 406, 409, 410],
        timedAs: "tensor",
      },
      (c, { slice }) => tensorResponse(c, state, findStream(state, pathText(c, "id")), format, slice),
    );
  }
}

/** Throws GATEWAY_UNKNOWN_STREAM, and GATEWAY_GONE for one that is listed no more. */
export function findStream(state: GatewayState, text: string): Entry {
  const id = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  const entry = state.recorder.find(id);
  if (entry) return entry;
  const goneAtMs = state.recorder.goneAtMs(id);
  if (goneAtMs !== undefined) throw gone(`Stream ${id} is not remembered any more`, goneAtMs);
  throw new GatewayError(
    404,
    "GATEWAY_UNKNOWN_STREAM",
    `No stream ${JSON.stringify(text.slice(0, 40))} was seen here`,
  );
}
