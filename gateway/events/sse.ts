/**
 * A client of server-sent events: what it has missed, made as its connection takes it, and behind that a bounded queue.
 * What it is too slow for is dropped, the oldest first, and it is told how many. Nothing here ever waits for a client.
 */
import { addressKey } from "../../src/mod.ts";
import { GatewayError } from "../errors.ts";
import type { GatewayLimits } from "../limits.ts";
import type { RequestInfo } from "../request_info.ts";
import { eventBytes } from "./event_log.ts";

const HEARTBEAT = new TextEncoder().encode(": still here\n\n");

export class SseClient {
  readonly #max: number;
  readonly #queue: Uint8Array[] = [];
  readonly #ended: () => void;
  readonly #onDropped: (count: number) => void;
  #past: Iterator<Uint8Array> | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #dropped = 0;
  #closed = false;
  readonly body: ReadableStream<Uint8Array>;

  constructor(max: number, ended: () => void, onDropped: (count: number) => void = () => {}) {
    this.#max = max;
    this.#ended = ended;
    this.#onDropped = onDropped;
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#flush(),
        cancel: () => this.#finish(),
      },
      { highWaterMark: 2 },
    );
  }

  /** What goes before all that is pushed. It is asked for each when there is room for it: the queue does not bound it. */
  begin(past: Iterable<Uint8Array>): void {
    this.#past = past[Symbol.iterator]();
    this.#flush();
  }

  /** Queues an event that is text already. */
  push(bytes: Uint8Array): void {
    if (this.#closed) return;
    if (this.#queue.length >= this.#max) {
      this.#queue.shift();
      this.#drop(1);
    }
    this.#queue.push(bytes);
    this.#flush();
  }

  /** Says that events were lost before they could be queued. */
  lost(count: number): void {
    if (this.#closed || count === 0) return;
    this.#drop(count);
    this.#flush();
  }

  heartbeat(): void {
    if (this.#queue.length === 0 && !this.#past) this.push(HEARTBEAT);
  }

  close(): void {
    if (this.#closed) return;
    this.#finish();
    try {
      this.#controller?.close();
    } catch {
      // its reader was faster
    }
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.length = 0;
    this.#past = undefined;
    this.#ended();
  }

  #drop(count: number): void {
    this.#dropped += count;
    this.#onDropped(count);
  }

  #flush(): void {
    const controller = this.#controller;
    if (!controller || this.#closed) return;
    while ((controller.desiredSize ?? 0) > 0) {
      const next = this.#next();
      if (!next) return;
      controller.enqueue(next);
    }
  }

  #next(): Uint8Array | undefined {
    const past = this.#past?.next();
    if (past && !past.done) return past.value;
    this.#past = undefined;
    if (this.#dropped === 0) return this.#queue.shift();
    const count = this.#dropped;
    this.#dropped = 0;
    return eventBytes("dropped", { count });
  }
}

/** All clients of server-sent events, with the limits that they share. */
export class SseClients {
  readonly #limits: GatewayLimits;
  readonly #clients = new Map<SseClient, string>();
  readonly #perAddress = new Map<string, number>();
  #timer: ReturnType<typeof setInterval> | undefined;
  refused = 0;
  /** Events that clients were too slow for, or that could not be given again. */
  dropped = 0;

  constructor(limits: GatewayLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** Throws GATEWAY_TOO_MANY_CLIENTS. `ended` is called once, however it ends. */
  open(asking: string, ended: () => void): SseClient {
    const address = addressKey(asking);
    const here = this.#perAddress.get(address) ?? 0;
    if (this.#clients.size >= this.#limits.maxSseClients || here >= this.#limits.maxSsePerAddress) {
      this.refused++;
      throw new GatewayError(503, "GATEWAY_TOO_MANY_CLIENTS", "Too many clients listen to events", {
        headers: { "retry-after": "5", connection: "close" },
      });
    }
    this.#perAddress.set(address, here + 1);
    const close = () => {
      this.#clients.delete(client);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#perAddress.set(address, left);
      else this.#perAddress.delete(address);
      if (this.#clients.size === 0) this.#stopTimer();
      ended();
    };
    const client = new SseClient(this.#limits.sseQueue, close, (count) => {
      this.dropped += count;
    });
    this.#clients.set(client, address);
    this.#timer ??= setInterval(() => {
      for (const one of this.#clients.keys()) one.heartbeat();
    }, this.#limits.heartbeatMs);
    return client;
  }

  close(): void {
    for (const client of [...this.#clients.keys()]) client.close();
    this.#stopTimer();
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

export const EVENT_STREAM_TYPE = "text/event-stream; charset=utf-8";

/** The response that carries a client. */
export function sseResponse(client: SseClient, info: RequestInfo | undefined): Response {
  const signal = info?.left;
  info?.allowQuiet?.(0);
  // Not every runtime cancels the body of a connection that is gone while nothing is written.
  if (signal?.aborted) client.close();
  signal?.addEventListener("abort", () => client.close(), { once: true });
  return new Response(client.body, {
    headers: {
      "content-type": EVENT_STREAM_TYPE,
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    },
  });
}
