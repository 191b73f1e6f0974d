/**
 * How much of our tensor streams may go out now (RFC-0006, Credit and Priorities).
 *
 * Three bounds hold for the next chunk of a stream: the stream's own limit; the connection's, which counts the first
 * `initialBytes` of every stream; and, while something more urgent is under way, 1 MiB that the receiver has not
 * confirmed, so that the urgent does not queue behind what is in socket buffers.
 */
import { CONNECTION_CREDIT_FACTOR, HELD_BYTES, HELD_CHUNK_BYTES, LEAD_MS } from "../limits.ts";
import type { OutboundStream } from "./outbound_stream.ts";

/** What a stream waits for. */
export type Bound = "stream" | "connection" | "hold";

export class OutboundCredit {
  readonly initialBytes: number;
  #limitBytes: number;
  #countedBytes = 0;
  /** Promised and not confirmed, by priority: few of them are in use at once. */
  readonly #inFlight = new Map<number, number>();
  #leadPriority = -1;
  #leadUntilMs = Number.NEGATIVE_INFINITY;

  constructor(initialBytes: number) {
    this.initialBytes = initialBytes;
    this.#limitBytes = CONNECTION_CREDIT_FACTOR * initialBytes;
  }

  /** Until when streams of lower priority are held. */
  get leadUntilMs(): number {
    return this.#leadUntilMs;
  }

  /** A stream with that priority is active. */
  lead(priority: number, nowMs: number): void {
    if (priority < this.#leadPriority && nowMs < this.#leadUntilMs) return;
    this.#leadPriority = priority;
    this.#leadUntilMs = nowMs + LEAD_MS;
  }

  /** Something more urgent is under way. */
  holds(priority: number, nowMs: number): boolean {
    return priority < this.#leadPriority && nowMs < this.#leadUntilMs;
  }

  /** Of streams that are held back. */
  get #lowerInFlight(): number {
    let bytes = 0;
    for (const [priority, inFlight] of this.#inFlight) if (priority < this.#leadPriority) bytes += inFlight;
    return bytes;
  }

  #count(priority: number, bytes: number): void {
    const inFlight = (this.#inFlight.get(priority) ?? 0) + bytes;
    if (inFlight === 0) this.#inFlight.delete(priority);
    else this.#inFlight.set(priority, inFlight);
  }

  /** How many of `wantedBytes` may go: 0 with what it waits for. */
  allow(stream: OutboundStream, wantedBytes: number, nowMs: number): number | Bound {
    const { promisedBytes } = stream;
    let bytes = Math.min(wantedBytes, stream.limitBytes - promisedBytes);
    if (bytes <= 0) return "stream";
    const initialLeft = this.initialBytes - promisedBytes;
    if (initialLeft > 0) {
      const free = this.#limitBytes - this.#countedBytes;
      if (free < Math.min(bytes, initialLeft)) bytes = free;
      if (bytes <= 0) return "connection";
    }
    if (this.holds(stream.priority, nowMs)) {
      bytes = Math.min(bytes, HELD_CHUNK_BYTES, HELD_BYTES - this.#lowerInFlight);
      if (bytes <= 0) return "hold";
    }
    return bytes;
  }

  /** The header of a chunk goes out. */
  spend(stream: OutboundStream, bytes: number): void {
    const initialLeft = this.initialBytes - stream.promisedBytes;
    if (initialLeft > 0) this.#countedBytes += Math.min(bytes, initialLeft);
    stream.promisedBytes += bytes;
    this.#count(stream.priority, bytes);
  }

  /** The receiver has `ackedBytes` of what was promised on this connection. */
  confirm(stream: OutboundStream, ackedBytes: number): void {
    const acked = Math.min(ackedBytes, stream.promisedBytes);
    if (acked <= stream.ackedBytes) return;
    this.#count(stream.priority, stream.ackedBytes - acked);
    stream.ackedBytes = acked;
  }

  /** CREDIT on stream 0; the largest counts. */
  raise(limitBytes: number): boolean {
    if (limitBytes <= this.#limitBytes) return false;
    this.#limitBytes = limitBytes;
    return true;
  }
}
