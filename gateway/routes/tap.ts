/** Bytes of tensors as they pass: a chunked stream, and the same by WebSocket. */
import type { WSContext } from "hono/ws";
import { GatewayError } from "../errors.ts";
import { TapQueue } from "../events/tap_queue.ts";
import { clientGlob } from "../events/tensor_feed.ts";
import { wholeRun } from "../formats/slice.ts";
import { addRoute, type GatewayApp, headOnly, pathText } from "../http.ts";
import { tokenQuery } from "../schemas.ts";
import type { GatewayState } from "../state.ts";

/**
 * A header of no bytes, which stands for no tensor. At the beginning, since Bun sends a response's head together with its
 * first bytes only; and when nothing passes, so that the system finds out about a client that is gone without a word.
 */
const MARK = new Uint8Array(4);
/** How often a full socket is looked at. */
const LOOK_AGAIN_MS = 10;
const GOING_AWAY = 1001;
const TAP_TYPE = "application/octet-stream";

export function addTapRoutes(app: GatewayApp, state: GatewayState): void {
  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/topics/{topic}/stream",
      summary:
        "The tensors of the topics that fit a glob, one behind the other: u32 length, JSON, u64 length, bytes; a first length of 0 is to be passed over",
      tag: "topics",
      scope: "tap",
      tokenInQuery: true,
      query: tokenQuery,
      answer: ["application/octet-stream"],
      timedAs: null,
    },
    (c) => {
      const matches = clientGlob(pathText(c, "topic"));
      const head = headOnly(c, TAP_TYPE);
      if (head) return head;
      const { queue, end } = openTap(state, matches);
      const { left, allowQuiet, cut } = c.env ?? {};
      allowQuiet?.(0);
      if (left?.aborted) end();
      left?.addEventListener("abort", end, { once: true });
      return new Response(bodyOf(queue, end, state.limits, cut), {
        headers: { "content-type": TAP_TYPE, "cache-control": "no-store" },
      });
    },
  );

  addRoute(
    app,
    state,
    {
      method: "get",
      path: "/v1/topics/{topic}/ws",
      summary: "The same by WebSocket: one binary message for each tensor",
      tag: "topics",
      scope: "tap",
      tokenInQuery: true,
      query: tokenQuery,
      answer: ["application/octet-stream"],
      timedAs: null,
      problems: [426],
    },
    async (c) => {
      const { upgrade } = state;
      const isAsked = c.req.method === "GET" && c.req.header("upgrade")?.toLowerCase() === "websocket";
      if (!isAsked || !upgrade) {
        throw new GatewayError(426, "GATEWAY_UPGRADE_REQUIRED", "This is a WebSocket", {
          headers: { upgrade: "websocket", connection: "Upgrade" },
        });
      }
      const { queue, end } = openTap(state, clientGlob(pathText(c, "topic")));
      c.set("upgraded", true);
      return upgrade(c, {
        onOpen: (_, socket) => {
          const unwatch = watch(socket, state.limits);
          void pump(queue, socket, state.limits.webSocketAheadBytes).finally(() => {
            unwatch();
            end();
          });
        },
        onClose: end,
        onError: end,
      });
    },
  );
}

/** Throws GATEWAY_TOO_MANY_CLIENTS. */
function openTap(
  state: GatewayState,
  matches: (topic: string) => boolean,
): { queue: TapQueue; end: () => void } {
  const { maxTaps, tapQueueTensors, tapQueueBytes } = state.limits;
  if (state.taps >= maxTaps)
    throw new GatewayError(
      503,
      "GATEWAY_TOO_MANY_CLIENTS",
      `At most ${maxTaps} clients can tap bytes at once`,
    );
  state.taps++;
  const queue = new TapQueue(tapQueueTensors, tapQueueBytes, (count) => {
    state.tapDropped += count;
  });
  const stop = state.feed.listen(
    matches,
    (entry) => queue.push(entry),
    (count) => queue.missed(count),
  );
  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    state.taps--;
    stop();
    queue.close();
    state.closing.signal.removeEventListener("abort", end);
  };
  state.closing.signal.addEventListener("abort", end, { once: true });
  return { queue, end };
}

interface TapTimes {
  readonly heartbeatMs: number;
  readonly tapStallMs: number;
}

/** Nothing is taken from the queue before the connection has room for it. */
function bodyOf(
  queue: TapQueue,
  end: () => void,
  { heartbeatMs, tapStallMs }: TapTimes,
  cut: (() => void) | undefined,
): ReadableStream<Uint8Array> {
  let blocks: Generator<Uint8Array, void, undefined> | undefined;
  let timer: ReturnType<typeof setInterval> | undefined;
  let isWaiting = false; // for a tensor
  let tookAtMs = performance.now();
  queue.onClose = () => clearInterval(timer);
  const look = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    if (isWaiting && controller.desiredSize === 0) {
      tookAtMs = performance.now();
      controller.enqueue(MARK.slice());
    } else if (performance.now() - tookAtMs > tapStallMs) {
      end();
      if (cut) cut();
      else controller.error(new Error(`the client took nothing for ${tapStallMs} ms`));
    }
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        controller.enqueue(MARK.slice());
        if (!queue.isClosed) timer = setInterval(() => look(controller), heartbeatMs);
      },
      async pull(controller) {
        tookAtMs = performance.now();
        const block = blocks?.next();
        if (block && !block.done) {
          controller.enqueue(block.value);
          return;
        }
        isWaiting = true;
        const tensor = await queue.next();
        isWaiting = false;
        if (!tensor) {
          end();
          controller.close();
          return;
        }
        blocks = wholeRun(tensor.bytes).blocks(0, tensor.bytes.length);
        controller.enqueue(tensor.head);
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}

/** Pings the client, and cuts it off when for too long it neither answers nor takes anything. Returns how to stop it. */
function watch(socket: WSContext, { heartbeatMs, tapStallMs }: TapTimes): () => void {
  const raw = socket.raw as RawSocket | undefined;
  let heardAtMs = performance.now();
  let unsent = 0;
  const heard = () => {
    heardAtMs = performance.now();
  };
  if (raw?.on) raw.on("pong", heard);
  else if (raw?.data) raw.data.onPong = heard;
  const timer = setInterval(() => {
    const nowUnsent = unsentBytes(socket);
    if (nowUnsent < unsent) heard();
    unsent = nowUnsent;
    if (performance.now() - heardAtMs > tapStallMs) raw?.terminate?.();
    else if (socketIsOpen(socket)) raw?.ping?.();
  }, heartbeatMs);
  return () => clearInterval(timer);
}

async function pump(queue: TapQueue, socket: WSContext, aheadBytes: number): Promise<void> {
  for (;;) {
    while (socketIsOpen(socket) && unsentBytes(socket) > aheadBytes)
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    const tensor = await queue.next();
    if (!tensor || !socketIsOpen(socket)) break;
    const message = new Uint8Array(tensor.head.length + tensor.bytes.length);
    message.set(tensor.head);
    message.set(tensor.bytes, tensor.head.length);
    socket.send(message);
  }
  socket.close(GOING_AWAY, "the gateway is closing");
}

/** What is used of the sockets of `ws` and of Bun. */
interface RawSocket {
  readonly readyState?: number;
  readonly bufferedAmount?: number;
  getBufferedAmount?(): number;
  ping?(): unknown;
  terminate?(): unknown;
  on?(event: "pong", heard: () => void): unknown;
  /** Of Bun's: what the server calls is found here. */
  readonly data?: { onPong?: () => void };
}

/** The context's own state is that of its making on some runtimes. */
function socketIsOpen(socket: WSContext): boolean {
  return ((socket.raw as RawSocket | undefined)?.readyState ?? socket.readyState) === 1;
}

/** Each runtime calls it otherwise. */
function unsentBytes(socket: WSContext): number {
  const raw = socket.raw as RawSocket | undefined;
  return raw?.bufferedAmount ?? raw?.getBufferedAmount?.() ?? 0;
}
