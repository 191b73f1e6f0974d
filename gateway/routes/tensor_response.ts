/** The bytes of a remembered tensor as a response. */
import { z } from "@hono/zod-openapi";
import { GatewayError } from "../errors.ts";
import { formatFor, isUnchanged, rangeOf } from "../formats/negotiate.ts";
import { type Format, represent } from "../formats/representation.ts";
import type { GatewayContext } from "../http.ts";
import type { GatewayState } from "../state.ts";
import type { Entry } from "../traffic/entry.ts";
import { timeText } from "../traffic/json.ts";
import type { Capture } from "../traffic/recent.ts";
import { downloadBody } from "./download_body.ts";

/** How a route that answers with a tensor describes itself. */
export const TENSOR_ROUTE = {
  headers: z.object({
    range: z.string().optional().openapi({ description: "One range, such as bytes=0-1023" }),
    "if-range": z.string().optional().openapi({ description: "The range, if this is still the ETag" }),
    "if-none-match": z.string().optional().openapi({ description: "304 if this is still the ETag" }),
  }),
  answerHeaders: {
    ETag: "Strong: the same tensor in the same form has the same",
    "Accept-Ranges": "bytes",
    "Asoc-Dtype": "Empty: bytes without a type",
    "Asoc-Shape": "Of what is given, after slicing, such as 3,224,224",
    "Asoc-Topic": "Percent-encoded",
    "Asoc-Peer": "The stream's peer",
    "Asoc-Stream": "The stream's id",
  },
  inParts: true,
  empty: [304],
} as const;

/** Up to this the whole body is handed over in one piece. */
const ONE_PIECE_BYTES = 256 * 1024;

/** `format` undefined: as Accept says. Throws GATEWAY_GONE and others. */
export function tensorResponse(
  c: GatewayContext,
  state: GatewayState,
  entry: Entry,
  format: Format | undefined,
  slice: string | undefined,
): Response {
  const { stream } = entry;
  if (stream.state === "live")
    throw new GatewayError(409, "GATEWAY_STREAM_LIVE", `Stream ${stream.id} has not ended yet`);
  if (stream.state === "failed")
    throw new GatewayError(
      409,
      "GATEWAY_STREAM_FAILED",
      `Stream ${stream.id} failed: it has no whole tensor`,
    );
  const tensor = entry.held(state.boot);
  if (!tensor && entry.capture?.state === "live") {
    throw new GatewayError(
      409,
      "GATEWAY_STREAM_LIVE",
      `Stream ${stream.id} is here, but nobody has read it yet`,
    );
  }
  if (!tensor) {
    const goneAtMs = entry.capture?.goneAtMs ?? stream.endedAtMs;
    const why = entry.capture
      ? "had to make room for newer ones"
      : "was not kept: there was no room for it, or too much came at once";
    throw gone(`The tensor of stream ${stream.id} ${why}`, goneAtMs);
  }
  const chosen = format ?? formatFor(c.req.header("accept"));
  const made = represent(tensor, chosen, slice, state.limits.jsonTensorBytes);
  const headers: Record<string, string> = {
    etag: made.etag,
    "cache-control": "no-cache",
    vary: "Accept, Authorization",
    "accept-ranges": "bytes",
    "asoc-dtype": stream.dtype ?? "",
    "asoc-shape": (stream.dtype === undefined ? [] : made.shape).join(","),
    "asoc-topic": encodeURIComponent(stream.topic.toWellFormed()),
    "asoc-peer": stream.peer.id,
    "asoc-stream": String(stream.id),
  };
  if (isUnchanged(c.req.header("if-none-match"), made.etag))
    return new Response(null, { status: 304, headers });
  // A range is for GET alone (RFC 9110, section 14.2).
  const wanted = c.req.method === "GET" ? c.req.header("range") : undefined;
  const range = rangeOf(wanted, c.req.header("if-range"), made.etag, made.length);
  const { from, to } = range ?? { from: 0, to: made.length };
  headers["content-type"] = made.type;
  headers["content-length"] = String(to - from);
  if (range) headers["content-range"] = `bytes ${from}-${to - 1}/${made.length}`;
  const status = range ? 206 : 200;
  if (c.req.method === "HEAD") return new Response(null, { status, headers });
  const body =
    to - from > ONE_PIECE_BYTES
      ? download(c, state, made.blocks(from, to), chosen === "json" ? made.length : entry.capture)
      : onePiece(made.blocks(from, to), to - from);
  return new Response(body, { status, headers });
}

export function gone(detail: string, goneAtMs: number | undefined): GatewayError {
  const goneAt = goneAtMs === undefined ? null : timeText(goneAtMs);
  return new GatewayError(410, "GATEWAY_GONE", detail, { members: { goneAt } });
}

function onePiece(blocks: Iterable<Uint8Array>, byteCount: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(byteCount);
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return whole;
}

/** `held`: what stays in memory while it is read. Throws GATEWAY_TOO_MANY_CLIENTS. */
function download(
  c: GatewayContext,
  state: GatewayState,
  blocks: Generator<Uint8Array, void, undefined>,
  held: Capture | number | undefined,
): ReadableStream<Uint8Array> {
  const { recent } = state.recorder;
  const { lentBytes, downloadStallMs } = state.limits;
  if (recent.lentBytes >= lentBytes) {
    throw new GatewayError(
      503,
      "GATEWAY_TOO_MANY_CLIENTS",
      "Slow downloads hold too many tensors that have had to make room",
      { headers: { "retry-after": "5" } },
    );
  }
  const giveBack = typeof held === "number" ? recent.lendCopy(held) : held && recent.lend(held);
  state.downloads++;
  // While blocks are taken the body watches; what is with the sockets afterwards holds no tensor, and may be read at leisure.
  c.env?.allowQuiet?.(Number.POSITIVE_INFINITY);
  return downloadBody(blocks, {
    stallMs: downloadStallMs,
    left: c.env?.left,
    cut: c.env?.cut,
    ended: (hasStalled) => {
      state.downloads--;
      if (hasStalled) state.downloadsStalled++;
      giveBack?.();
    },
  });
}
