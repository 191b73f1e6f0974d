/** Arriving tensors: to files, or counted and thrown away. Shared by `serve` and `recv`. */
import type { IncomingStream, NodeEvent, Peer } from "../mod.ts";
import { errorCodeOf } from "./exit_codes.ts";
import { writeTensor } from "./files.ts";
import { type Output, peerText, plainText, secondsSince, transferText } from "./output.ts";

/** Files that are written at once; further tensors wait in memory. */
const MAX_OPEN_FILES = 128;

export interface ReceiverOptions {
  /** Where files go; undefined: the bytes are counted and thrown away. */
  readonly out: string | undefined;
  /** How many whole tensors are wanted; undefined: all. */
  readonly wanted?: number;
}

export class Receiver {
  readonly #output: Output;
  readonly #options: ReceiverOptions;
  readonly #tasks = new Set<Promise<void>>();
  readonly #open = new Set<IncomingStream>();
  /** Errors that were reported: a stream's own error comes as an event of the node as well. */
  readonly #reported = new WeakSet<object>();
  readonly #waiting: (() => void)[] = [];
  #writing = 0;
  #done: (() => void) | undefined;
  #stopped = false;
  /** Whole tensors, and their bytes. */
  received = 0;
  receivedBytes = 0;
  failed = 0;
  /** Resolves when as many whole tensors as were wanted are there. */
  readonly complete: Promise<void>;

  constructor(output: Output, options: ReceiverOptions) {
    this.#output = output;
    this.#options = options;
    this.complete = new Promise((resolve) => {
      this.#done = resolve;
    });
  }

  /** Begins to receive one tensor; the outcome is reported. */
  take(stream: IncomingStream): void {
    if (this.#stopped) {
      stream.cancel();
      return;
    }
    const task = this.#receive(stream).finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  /** Takes nothing more and gives up what is under way. */
  stop(): void {
    this.#stopped = true;
    if (this.#open.size > 0) this.#output.log(`gave up ${this.#open.size} further tensors that were arriving`);
    for (const stream of this.#open) stream.cancel();
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  /** Streams that failed before anybody could take them. */
  onEvent(event: NodeEvent): void {
    if (event.kind === "streamFailed") this.#fail(event.peer, event.streamId, 0, event.error);
  }

  async #receive(stream: IncomingStream): Promise<void> {
    const { peer, streamId } = stream;
    const startMs = performance.now();
    const base = { peer: peer.id, streamId };
    this.#open.add(stream);
    if (this.#output.json) this.#output.event({ event: "stream", state: "started", ...base, bytes: stream.receivedBytes }, undefined);
    try {
      const result = await this.#store(stream);
      this.#open.delete(stream);
      if (!result) return;
      const seconds = secondsSince(startMs);
      this.receivedBytes += result.bytes;
      const facts = `${transferText(result.bytes, seconds)}, from ${peerText(peer)}${result.format ? `, ${result.format}` : ""}`;
      this.#output.event(
        { event: "stream", state: "received", ...base, bytes: result.bytes, file: result.file, format: result.format, seconds },
        result.file ?? `received ${facts}`,
      );
      if (result.file !== undefined && !this.#output.json) this.#output.log(`received ${facts}`);
      if (this.received === this.#options.wanted) this.#done?.();
    } catch (error) {
      this.#open.delete(stream);
      this.#fail(peer, streamId, stream.receivedBytes, error);
    }
  }

  /** True when the tensor is wanted; it counts then. */
  readonly #claim = (): boolean => {
    const { wanted } = this.#options;
    if (this.#stopped || (wanted !== undefined && this.received >= wanted)) return false;
    this.received++;
    return true;
  };

  async #store(stream: IncomingStream) {
    const { out } = this.#options;
    if (out === undefined) {
      let bytes = 0;
      for await (const part of stream.chunks()) bytes += part.length;
      return this.#claim() ? { bytes, file: undefined, format: undefined } : undefined;
    }
    // Not read until its turn comes: a reader that stands still would hold up the other tensors of its connection.
    if (this.#writing >= MAX_OPEN_FILES) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#writing++;
    let claimed = false;
    try {
      const claim = () => {
        claimed = this.#claim();
        return claimed;
      };
      return await writeTensor(stream.chunks(), out, fileName(stream), claim);
    } catch (error) {
      if (claimed) this.received--;
      stream.cancel();
      throw error;
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#writing--;
    }
  }

  #fail(peer: Peer, streamId: number, bytes: number, error: unknown): void {
    if (this.#stopped || (error instanceof Error && this.#reported.has(error))) return;
    if (error instanceof Error) this.#reported.add(error);
    this.failed++;
    const message = error instanceof Error ? error.message : String(error);
    this.#output.note(
      { event: "stream", state: "failed", peer: peer.id, streamId, bytes, code: errorCodeOf(error), message },
      `a tensor from ${peerText(peer)} failed: ${plainText(message)}`,
    );
  }
}

/** Time, the peer's id (8 characters), and the stream: sorts by time, and says whence. */
function fileName(stream: IncomingStream): string {
  const time = new Date().toISOString().replace(/[-:.]/g, "");
  const peer = stream.peer.nodeId?.slice(0, 8) ?? stream.peer.id.replace(/[^0-9A-Za-z]/g, "_");
  return `${time}-${peer}-${stream.streamId}`;
}
