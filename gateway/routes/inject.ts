/** Uploads: tensors that clients bring go to peers, streamed through; the answer comes when the peers have acknowledged. */
import { z } from "@hono/zod-openapi";
import type { Peer, SendOptions, SendOutcome } from "../../src/mod.ts";
import { MAX_USER_METADATA_BYTES } from "../../src/mod.ts";
import { errorFacts, GatewayError, withMembers } from "../errors.ts";
import { addRoute, type GatewayApp, type GatewayContext, jsonResponse, pathText } from "../http.ts";
import { UploadBody } from "../inject/body.ts";
import { checkTopic, type UploadedTensor, uploadedTensors } from "../inject/tensors.ts";
import { resultsSchema, sendQuery } from "../schemas.ts";
import type { GatewayState } from "../state.ts";
import { findPeer } from "./node.ts";

const BODY_TYPES = [
  "application/x-npy",
  "application/vnd.safetensors",
  "application/octet-stream",
  "application/json",
];
const headers = z.object({
  "asoc-dtype": z.string().optional().openapi({ description: "Of raw bytes, such as float32" }),
  "asoc-shape": z.string().optional().openapi({ description: "Of raw bytes, such as 3,224,224" }),
  "asoc-priority": sendQuery.shape.priority.openapi({ description: "As the query; it wins over the header" }),
  "asoc-deadline-ms": sendQuery.shape.deadlineMs,
  "asoc-digest": sendQuery.shape.digest,
  "asoc-metadata": z.string().optional().openapi({ description: "JSON of at most 8,192 bytes" }),
});

type SendQuery = z.output<typeof sendQuery>;
type Results = z.output<typeof resultsSchema>["results"];

export function addInjectRoutes(app: GatewayApp, state: GatewayState): void {
  const common = {
    method: "post" as const,
    scope: "inject" as const,
    body: BODY_TYPES,
    headers,
    query: sendQuery,
    answer: resultsSchema,
    problems: [404, 408, 413, 415, 502],
    timedAs: "inject" as const,
  };
  addRoute(
    app,
    state,
    { ...common, path: "/v1/peers/{id}/streams", summary: "Sends a tensor to one peer", tag: "peers" },
    (c, query) => inject(c, state, query, () => [findPeer(state, pathText(c, "id"))], query.topic ?? ""),
  );
  addRoute(
    app,
    state,
    {
      ...common,
      path: "/v1/topics/{topic}",
      summary: "Sends a tensor with a topic to every peer, or to those of `to`",
      tag: "topics",
    },
    (c, query) => inject(c, state, query, () => targetsOf(state, query.to), pathText(c, "topic")),
  );
}

function targetsOf(state: GatewayState, to: string | undefined): Peer[] {
  if (to === undefined) {
    const everyone = state.node.peers.list().filter((peer) => peer.takesTensors);
    if (everyone.length === 0)
      throw new GatewayError(404, "GATEWAY_NO_PEERS", "No peer that takes tensors is connected");
    return [...everyone];
  }
  const names = to
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (names.length === 0 || names.length > state.limits.maxTargets)
    throw new GatewayError(400, "GATEWAY_BAD_REQUEST", `to: expected 1 to ${state.limits.maxTargets} peers`);
  const peers = new Map<string, Peer>();
  for (const name of names) {
    const peer = findPeer(state, name);
    peers.set(peer.id, peer);
  }
  return [...peers.values()];
}

async function inject(
  c: GatewayContext,
  state: GatewayState,
  query: SendQuery,
  targets: () => readonly Peer[],
  topic: string,
): Promise<Response> {
  const { limits } = state;
  let body: UploadBody | undefined;
  const results: Results = [];
  if (state.uploads >= limits.maxUploads)
    throw new GatewayError(
      503,
      "GATEWAY_TOO_MANY_CLIENTS",
      `At most ${limits.maxUploads} uploads go at once`,
    );
  state.uploads++;
  try {
    checkTopic(topic);
    const options = sendOptions(c, query);
    const peers = targets();
    body = new UploadBody(c.env?.readBody?.() ?? c.req.raw.body, c.req.header("content-length"), limits);
    const description = {
      contentType: c.req.header("content-type"),
      dtype: c.req.header("asoc-dtype"),
      shape: c.req.header("asoc-shape"),
      topic,
    };
    const { left } = c.env ?? {};
    const signal = AbortSignal.any([...(left ? [left] : []), state.closing.signal]);
    for await (const tensor of uploadedTensors(body, description, limits)) {
      results.push(...(await sendOne(state, peers, tensor, { ...options, topic: tensor.topic, signal })));
      if (body.failure) throw body.failure;
      if (signal.aborted)
        throw new GatewayError(503, "GATEWAY_CLOSED", "The gateway is closing, or the client has left");
      if (results.slice(-peers.length).every(({ ok }) => !ok)) {
        // What is left of the body has nowhere to go.
        throw new GatewayError(502, "GATEWAY_SEND_FAILED", failureText(results));
      }
    }
    return jsonResponse({ results });
  } catch (error) {
    await body?.cancel();
    // Tensors before the one that failed may have arrived: its client wants to know which.
    throw results.length > 0 ? withMembers(error, { results }) : error;
  } finally {
    state.uploads--;
  }
}

function failureText(results: Results): string {
  const last = results.at(-1)?.error;
  return `Cannot send: ${last ? last.message : "no peer has taken it"}`;
}

async function sendOne(
  state: GatewayState,
  peers: readonly Peer[],
  tensor: UploadedTensor,
  options: SendOptions,
): Promise<Results> {
  const { dtype, shape, totalBytes, parts, name } = tensor;
  const startMs = performance.now();
  const source = dtype === undefined ? { data: parts, totalBytes } : { data: parts, dtype, shape };
  let outcomes: SendOutcome[];
  try {
    outcomes = await state.node.sendAll(source, { ...options, to: peers });
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError)
      throw new GatewayError(400, "GATEWAY_BAD_REQUEST", `Cannot send: ${error.message}`);
    throw error;
  }
  const durationMs = Math.round((performance.now() - startMs) * 1000) / 1000;
  return outcomes.map(({ peer, report, error }) => ({
    peer: peer.id,
    tensor: name,
    ok: report !== undefined,
    streamId: report?.streamId ?? null,
    bytes: report?.bytes ?? null,
    delivery: report?.delivery ?? null,
    digest: report?.digest ?? null,
    durationMs,
    error: report ? null : (errorFacts(error) ?? { code: "ASOC_CANCELLED", message: "It was given up" }),
  }));
}

/** Of the query, or of headers. */
function sendOptions(c: GatewayContext, query: SendQuery): SendOptions {
  const given = sendQuery.safeParse({
    priority: c.req.header("asoc-priority"),
    deadlineMs: c.req.header("asoc-deadline-ms"),
    digest: c.req.header("asoc-digest"),
    metadata: c.req.header("asoc-metadata"),
  });
  if (!given.success) {
    const [issue] = given.error.issues;
    throw new GatewayError(
      400,
      "GATEWAY_BAD_REQUEST",
      `Header for ${issue?.path.join(".")}: ${issue?.message}`,
    );
  }
  const { priority, deadlineMs, digest, metadata } = { ...given.data, ...withoutUndefined(query) };
  return {
    ...(priority === undefined ? {} : { priority }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(digest === undefined ? {} : { digest }),
    ...(metadata === undefined ? {} : { metadata: parseMetadata(metadata) }),
  };
}

function withoutUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as Partial<T>;
}

function parseMetadata(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (Buffer.byteLength(JSON.stringify(value)) <= MAX_USER_METADATA_BYTES) return value;
  } catch {
    // said below
  }
  throw new GatewayError(
    400,
    "GATEWAY_BAD_REQUEST",
    `metadata: expected JSON of at most ${MAX_USER_METADATA_BYTES} bytes`,
  );
}
