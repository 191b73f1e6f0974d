/** The node and its peers. */
import { formatAddress, type Peer, VERSION } from "../../src/mod.ts";
import { GatewayError } from "../errors.ts";
import { addRoute, type GatewayApp, jsonResponse, pathText, scopesOf } from "../http.ts";
import { healthSchema, historySchema, nodeSchema, peerSchema, peersSchema } from "../schemas.ts";
import type { GatewayState } from "../state.ts";
import { peerJson, timeText } from "../traffic/json.ts";
import { plainJson } from "./plain_json.ts";

export function addNodeRoutes(app: GatewayApp, state: GatewayState): void {
  const { node, recorder } = state;

  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/health",
      summary: "Whether the node is there",
      tag: "node",
      scope: undefined,
      answer: healthSchema,
      answersUnready: true,
    },
    (c) => {
      const { ready } = state;
      const mayKnowMore = state.tokens.size === 0 || scopesOf(c, state)?.has("read") === true;
      const more = {
        nodeId: node.id,
        runtime: node.runtime,
        version: VERSION,
        uptimeMs: Date.now() - state.startedAtMs,
        peers: node.peers.list().length,
        startedAt: timeText(state.startedAtMs),
      };
      return jsonResponse({ live: true, ready, ...(mayKnowMore ? more : {}) }, ready ? 200 : 503);
    },
  );

  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/node",
      summary: "The node and its counters",
      tag: "node",
      scope: "read",
      answer: nodeSchema,
    },
    () =>
      jsonResponse({
        id: node.id,
        ...(state.name === undefined ? {} : { name: state.name }),
        community: node.community,
        address: formatAddress(node.address),
        runtime: node.runtime,
        version: VERSION,
        startedAt: timeText(state.startedAtMs),
        stats: plainJson(node.stats),
      }),
  );

  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/peers",
      summary: "Connected peers",
      tag: "peers",
      scope: "read",
      answer: peersSchema,
    },
    () => jsonResponse({ peers: node.peers.list().map((peer) => peerJson(peer, recorder.peers)) }),
  );

  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/peers/{id}",
      summary: "One peer, by its id, the beginning of it, its name or HOST:PORT",
      tag: "peers",
      scope: "read",
      answer: peerSchema,
      problems: [404],
    },
    (c) => jsonResponse(peerJson(findPeer(state, pathText(c, "id")), recorder.peers)),
  );

  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/history",
      summary: "The rates of the last minute",
      tag: "node",
      scope: "read",
      answer: historySchema,
    },
    () => {
      const { seconds } = state.rates;
      const ids = new Set(seconds.flatMap((second) => [...second.peers.keys()]));
      for (const { id } of node.peers.list()) ids.add(id);
      const none = [0, 0] as const;
      return jsonResponse({
        seconds: seconds.map(({ atMs, inBytes, outBytes, liveStreams }) => ({
          at: timeText(atMs),
          in: inBytes,
          out: outBytes,
          live: liveStreams,
        })),
        peers: Object.fromEntries(
          [...ids].map((id) => [id, seconds.map(({ peers }) => peers.get(id) ?? none)]),
        ),
      });
    },
  );
}

/** Undefined: none of the connected ones. Throws GATEWAY_BAD_REQUEST for what fits several. */
export function lookUpPeer({ node }: GatewayState, text: string): Peer | undefined {
  try {
    return node.findPeer(text);
  } catch (error) {
    const why = error instanceof RangeError ? error.message : "it is none";
    throw new GatewayError(400, "GATEWAY_BAD_REQUEST", `Cannot find peer: ${why}`);
  }
}

/** Throws GATEWAY_UNKNOWN_PEER, and GATEWAY_BAD_REQUEST for what fits several. */
export function findPeer(state: GatewayState, text: string): Peer {
  const peer = lookUpPeer(state, text);
  if (peer) return peer;
  const shown = JSON.stringify(text.slice(0, 100));
  throw new GatewayError(404, "GATEWAY_UNKNOWN_PEER", `No peer ${shown} is connected`);
}
