/** What the gateway's JSON looks like: the source of its OpenAPI document. */
import { z } from "@hono/zod-openapi";
import { MAX_QUERY_CHARACTERS, MAX_ROWS } from "./limits.ts";

const count = z.int().min(0);
const bytes = z.int().min(0);
const time = z.iso.datetime();

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int().min(400).max(599),
    code: z.string().regex(/^(ASOC|GATEWAY)_[A-Z0-9_]+$/),
    detail: z.string(),
    goneAt: time.nullable().optional(),
    results: z.array(z.unknown()).optional(),
  })
  .openapi("Problem");

export const healthSchema = z
  .object({
    live: z.boolean(),
    ready: z.boolean(),
    nodeId: z.string().optional(),
    runtime: z.string().optional(),
    version: z.string().optional(),
    uptimeMs: count.optional(),
    peers: count.optional(),
    startedAt: time.optional(),
  })
  .openapi("Health", { description: "Without a token only `live` and `ready`, where tokens are asked for." });

export const nodeSchema = z
  .object({
    id: z.string(),
    name: z.string().optional(),
    community: z.string(),
    address: z.string(),
    runtime: z.string(),
    version: z.string(),
    startedAt: time,
    stats: z.record(z.string(), z.unknown()),
  })
  .openapi("Node");

export const peerSchema = z
  .object({
    id: z.string().openapi({ description: "The node id, or HOST:PORT while it is unknown." }),
    nodeId: z.string().nullable(),
    address: z.string(),
    runtime: z
      .string()
      .nullable()
      .openapi({ description: "As the peer says it; null for a v0.1 peer, and until it has been said." }),
    protocol: z.enum(["x1", "v0.1"]),
    takesTensors: z
      .boolean()
      .openapi({ description: "False for a node that only sends or looks, such as `asoc send`." }),
    tls: z
      .object({
        protocol: z.string(),
        certificateSha256: z.string().nullable(),
        verified: z.enum(["certificate", "proof", "nothing"]),
      })
      .nullable()
      .openapi({
        description:
          "Null where the connection is not encrypted; `verified` is what rules out a man in the middle.",
      }),
    since: time.nullable(),
    roundTripMs: z.number().nullable(),
    clockSkewMs: z.number().nullable(),
    receivedBytes: bytes,
    sentBytes: bytes,
    receivedStreams: count,
    sentStreams: count,
    liveStreams: count,
  })
  .openapi("Peer");

export const peersSchema = z.object({ peers: z.array(peerSchema) }).openapi("Peers");

const errorSchema = z.object({ code: z.string(), message: z.string() });

export const streamSchema = z
  .object({
    id: count.openapi({ description: "Unique in the node since its start; not the wire's number." }),
    direction: z.enum(["in", "out"]),
    peer: z.string(),
    streamId: count,
    transferId: z.string().nullable(),
    topic: z.string(),
    dtype: z.string().nullable(),
    shape: z.array(count),
    totalBytes: bytes.nullable(),
    movedBytes: bytes,
    state: z.enum(["live", "done", "failed"]),
    priority: count,
    startedAt: time,
    endedAt: time.nullable(),
    durationMs: z.number().min(0).nullable(),
    bytesPerSecond: z.number().min(0).nullable(),
    digest: z.string().nullable(),
    error: errorSchema.nullable(),
    cuts: count,
    available: z.boolean().openapi({ description: "Its bytes can be had." }),
    metadata: z.unknown(),
  })
  .openapi("Stream");

export const streamsSchema = z.object({ streams: z.array(streamSchema) }).openapi("Streams");

export const topicsSchema = z
  .object({
    topics: z.array(
      z
        .object({
          topic: z.string(),
          count,
          bytes,
          lastAt: time,
          lastStream: count,
          dtype: z.string().nullable(),
          shape: z.array(count),
          available: z.boolean(),
        })
        .openapi("Topic"),
    ),
  })
  .openapi("Topics");

export const historySchema = z
  .object({
    seconds: z.array(z.object({ at: time, in: bytes, out: bytes, live: count })),
    peers: z.record(z.string(), z.array(z.array(bytes).length(2))),
  })
  .openapi("History", { description: "The last minute: bytes in and out of each second, the oldest first." });

export const resultsSchema = z
  .object({
    results: z.array(
      z
        .object({
          peer: z.string(),
          tensor: z.string().nullable().openapi({ description: "Its name in a safetensors body." }),
          ok: z.boolean(),
          streamId: count.nullable().openapi({ description: "The wire's number." }),
          bytes: bytes.nullable(),
          delivery: z.enum(["verified", "kernel"]).nullable(),
          digest: z.string().nullable(),
          durationMs: z.number().min(0),
          error: errorSchema.nullable(),
        })
        .openapi("SendResult"),
    ),
  })
  .openapi("SendResults");

export const jsonTensorSchema = z
  .object({
    topic: z.string().optional(),
    dtype: z.string().nullable(),
    shape: z.array(count),
    data: z.unknown().openapi({ description: "Nested as the shape is." }),
  })
  .openapi("JsonTensor");

// --- what clients ask

const line = z.string().max(MAX_QUERY_CHARACTERS);
const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .pipe(z.int().min(least).max(most))
    .openapi({ type: "integer", minimum: least, maximum: most });

export const streamsQuery = z.object({
  peer: line.optional(),
  topic: line.optional().openapi({ description: "A glob: `*` within a segment, `**` across." }),
  direction: z.enum(["in", "out"]).optional(),
  state: z.enum(["live", "done", "failed"]).optional(),
  limit: wholeNumber(1, MAX_ROWS).optional(),
});

export const dataQuery = z.object({
  slice: line.optional().openapi({ description: "NumPy's basic slicing, such as `0:2,:`", example: "0:2" }),
});

export const nextQuery = dataQuery.extend({ timeoutMs: wholeNumber(0, 120_000).optional() });

export const sendQuery = z.object({
  to: z.string().max(6144).optional().openapi({ description: "Peers, separated by commas; default: all" }),
  priority: wholeNumber(0, 255).optional(),
  deadlineMs: wholeNumber(0, 4_294_967_295).optional(),
  digest: z.enum(["crc32", "sha256", "none"]).optional(),
  metadata: z.string().max(8192).optional().openapi({ description: "JSON" }),
  topic: z.string().max(255).optional().openapi({ description: "For `/v1/peers/{id}/streams`" }),
});

export const topicEventsQuery = z.object({
  stats: z.enum(["0", "1"]).optional(),
  data: z.enum(["0", "1"]).optional(),
  last: z
    .enum(["0", "1"])
    .optional()
    .openapi({ description: "1: begins with the newest tensor of these topics that has passed already" }),
  every: wholeNumber(1, 1_000_000).optional(),
  access_token: z.string().max(100).optional(),
});

export const tokenQuery = z.object({ access_token: z.string().max(100).optional() });

export const lastEventHeaders = z.object({
  "last-event-id": z.string().optional().openapi({ description: "Goes on behind the event with this id" }),
});
