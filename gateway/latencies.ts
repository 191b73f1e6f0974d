/** How long streams and requests took, as histograms with fixed buckets. */
import { Histogram } from "prom-client";

/** What a route does, for whoever asks how long that takes. Those that wait for tensors to come are in none. */
export type RouteClass = "facts" | "tensor" | "inject" | "metrics";

/** In seconds: a round trip in a machine to a large model over a slow line. */
const STREAM_BUCKETS = [0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 60, 300];
/** In seconds: from memory, to the answer of a slow peer. */
const REQUEST_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 60];

export class Latencies {
  readonly streams = new Histogram({
    name: "asoc_stream_duration_seconds",
    help: "From the beginning of a stream to its end, of those that are done",
    labelNames: ["direction"],
    buckets: STREAM_BUCKETS,
    registers: [],
  });
  readonly requests = new Histogram({
    name: "asoc_gateway_request_duration_seconds",
    help: "From a request to the beginning of its answer",
    labelNames: ["class"],
    buckets: REQUEST_BUCKETS,
    registers: [],
  });

  streamDone(direction: "in" | "out", durationMs: number): void {
    this.streams.observe({ direction }, Math.max(0, durationMs) / 1000);
  }

  requestAnswered(routeClass: RouteClass, durationMs: number): void {
    this.requests.observe({ class: routeClass }, durationMs / 1000);
  }
}
