/** Arriving tensors: to files, or counted and thrown away. Shared by `serve` and `recv`. */
import type { IncomingStream, NodeEvent, Peer } from "../mod.ts";
import type { Flags } from "./args.ts";
import { checkRoom, reasonForPeer } from "./disk_errors.ts";
import { isBulk, isEchoRequest, MAX_ECHO_BYTES } from "./echo.ts";
import { writeTensor } from "./files.ts";
import type { Output } from "./output.ts";
import { ProgressBar } from "./progress.ts";
import {
  type FailedStream,
  factsOf,
  type Received,
  reportFailed,
  reportReceived,
} from "./receive_reports.ts";
import { SINK_FORMATS, type SinkFormat } from "./tensor_format.ts";
import { TensorSink } from "./tensor_sink.ts";
import { secondsSince } from "./text.ts";

/** Files that are written at once; further tensors wait in memory. */
const MAX_OPEN_FILES = 128;

/** The flag of the commands that write files. */
export const FORMAT_FLAG: Flags = {
  format: {
    value: "FORMAT",
    help: `${SINK_FORMATS.join(", ")}: how tensors are written (default auto: as they were sent)`,
  },
};

export interface ReceiverOptions {
  /** Where files go; undefined: the bytes are counted and thrown away. */
  readonly out: string | undefined;
  /** How tensors become files. Default "auto". */
  readonly format?: SinkFormat | undefined;
  /** How many files, or whole tensors without `out`, are wanted; undefined: all. */
  readonly wanted?: number;
  /** Answers the echo requests of `asoc bench`; they are no tensors then. */
  readonly answer?: (stream: IncomingStream, request: Uint8Array) => Promise<void>;
}

export class Receiver {
  readonly #output: Output;
  readonly #options: ReceiverOptions;
  readonly #tasks = new Set<Promise<void>>();
  readonly #open = new Set<IncomingStream>();
  /** Errors that were reported: a stream's own error comes as an event of the node as well. */
  readonly #reported = new WeakSet<object>();
  readonly #waiting: (() => void)[] = [];
  readonly #sink: TensorSink | undefined;
  #writing = 0;
  #arriving = 0;
  #arrivedBytes = 0;
  #bar: ProgressBar | undefined;
  #done: (() => void) | undefined;
  #stopped = false;
  #claimed = 0;
  /** Whole tensors that are stored, and their bytes; files that were made of them. */
  received = 0;
  receivedBytes = 0;
  files = 0;
  failed = 0;
  /** Resolves when as many files, or tensors, as were wanted are there. */
  readonly complete: Promise<void>;

  constructor(output: Output, options: ReceiverOptions) {
    this.#output = output;
    this.#options = options;
    const { out, format = "auto" } = options;
    const warn = (text: string) => output.log(text);
    this.#sink = out === undefined ? undefined : new TensorSink({ out, format, warn });
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
    if (this.#open.size > 0)
      this.#output.log(`gave up ${this.#open.size} further tensors that were arriving`);
    for (const stream of this.#open) stream.cancel("no more tensors are wanted");
  }

  /** Resolves when nothing is being written any more; groups of tensors that are not complete are given up then. */
  async settled(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    await this.#sink?.close();
  }

  /** Streams that failed before anybody could take them. */
  onEvent(event: NodeEvent): void {
    if (event.kind !== "streamFailed") return;
    for (const stream of this.#open) if (stream.error === event.error) return; // reported once its file is gone
    this.#fail(event.peer, { streamId: event.streamId, receivedBytes: 0 }, event.error);
  }

  async #receive(stream: IncomingStream): Promise<void> {
    const { peer } = stream;
    const startMs = performance.now();
    const base = factsOf(stream);
    this.#open.add(stream);
    if (this.#output.json) {
      const { totalBytes, receivedBytes: bytes, metadata } = stream;
      const { priority } = stream.description ?? {};
      this.#output.event(
        { event: "stream", state: "started", ...base, bytes, totalBytes, priority, metadata },
        undefined,
      );
    }
    try {
      const result = await this.#store(stream);
      this.#open.delete(stream);
      if (result === "bench") {
        if (this.#output.json) this.#output.event({ event: "stream", state: "bench", ...base }, undefined);
        return;
      }
      if (!result) return;
      this.received++;
      this.receivedBytes += result.bytes;
      this.files += result.files.length;
      reportReceived(this.#output, stream, result, secondsSince(startMs), this.#sink !== undefined);
      if ((this.#sink ? this.files : this.received) === this.#options.wanted) this.#done?.();
    } catch (error) {
      this.#open.delete(stream);
      this.#fail(peer, stream, error);
    }
  }

  /** True when the tensor is wanted; it counts then. */
  readonly #claim = (): boolean => {
    const { wanted } = this.#options;
    if (this.#stopped || (wanted !== undefined && this.#claimed >= wanted)) return false;
    this.#claimed++;
    return true;
  };

  async #store(stream: IncomingStream): Promise<Received | "bench" | undefined> {
    const { out } = this.#options;
    if (out === undefined) {
      let bytes = 0;
      const parts = await this.#partsOf(stream);
      if (parts === undefined) return "bench";
      for await (const part of this.#shown(parts)) bytes += part.length;
      return this.#claim() ? { bytes, files: [] } : undefined;
    }
    // Not read until its turn comes: a reader that stands still would hold up the other tensors of its connection.
    if (this.#writing >= MAX_OPEN_FILES) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#writing++;
    let claimed = 0;
    let refused = false;
    let shown: AsyncGenerator<Uint8Array, void, undefined> | undefined;
    try {
      const claim = () => {
        const isWanted = this.#claim();
        if (isWanted) claimed++;
        else refused = true;
        return isWanted;
      };
      if (stream.totalBytes !== undefined) await checkRoom(out, stream.totalBytes);
      const parts = await this.#partsOf(stream);
      if (!parts) return "bench";
      shown = this.#shown(parts);
      const result = await this.#write(stream, onlyForward(shown), out, claim);
      return refused && result.files.length === 0 ? undefined : result;
    } catch (error) {
      this.#claimed -= claimed;
      stream.cancel(reasonForPeer(error));
      throw error;
    } finally {
      await shown?.return();
      const next = this.#waiting.shift();
      if (next) next();
      else this.#writing--;
    }
  }

  async #write(
    stream: IncomingStream,
    parts: AsyncIterable<Uint8Array>,
    out: string,
    claim: () => boolean,
  ): Promise<Received> {
    const { description, peer } = stream;
    const fallbackName = fileName(stream);
    if (this.#sink && description)
      return this.#sink.write(description, parts, { peer: peer.id, fallbackName, claim });
    const file = await writeTensor(parts, out, fallbackName, claim);
    return { bytes: file?.bytes ?? 0, files: file ? [file] : [] };
  }

  /** The same parts; a terminal shows how much of all that arrives at once has come, and how fast. */
  async *#shown(parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#arriving++ === 0) {
      this.#arrivedBytes = 0;
      this.#bar = new ProgressBar("receiving", undefined);
      this.#output.bar = this.#bar;
    }
    try {
      for await (const part of parts) {
        this.#arrivedBytes += part.length;
        this.#bar?.update(this.#arrivedBytes);
        yield part;
      }
    } finally {
      if (--this.#arriving === 0) this.#bar?.hide();
    }
  }

  /** The stream's parts, or undefined when it came from `asoc bench` and has been dealt with. */
  async #partsOf(stream: IncomingStream): Promise<AsyncIterable<Uint8Array> | undefined> {
    const { answer } = this.#options;
    const parts = stream.chunks();
    if (!answer || stream.dtype !== undefined || stream.description?.group) return parts;
    const first = await parts.next();
    if (!first.done && isBulk(first.value)) {
      for await (const _ of parts); // read at full speed
      return undefined;
    }
    if (first.done || first.value.length > MAX_ECHO_BYTES || !isEchoRequest(first.value)) {
      return withFirst(first, parts);
    }
    const request = first.value.slice(); // valid until the next part is asked for
    const second = await parts.next();
    if (!second.done) return withFirst({ value: request, done: false }, withFirst(second, parts));
    await answer(stream, request);
    return undefined;
  }

  #fail(peer: Peer, stream: FailedStream, error: unknown): void {
    if (this.#stopped || (error instanceof Error && this.#reported.has(error))) return;
    if (error instanceof Error) this.#reported.add(error);
    this.failed++;
    reportFailed(this.#output, peer, stream, error);
  }
}

/** Without its `return`: whoever stops in the midst of it has yet to say why, and that is what the sender is to hear. */
function onlyForward(parts: AsyncGenerator<Uint8Array, void, undefined>): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => ({ next: () => parts.next() }) };
}

/** `rest` with the step that was taken from it already. */
async function* withFirst(
  first: IteratorResult<Uint8Array, void>,
  rest: AsyncGenerator<Uint8Array, void, undefined>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    if (first.done) return;
    yield first.value;
    yield* rest;
  } finally {
    await rest.return();
  }
}

/** Time, the peer's id (8 characters), and the stream: sorts by time, and says whence. */
function fileName(stream: IncomingStream): string {
  const time = new Date().toISOString().replace(/[-:.]/g, "");
  const peer = stream.peer.nodeId?.slice(0, 8) ?? stream.peer.id.replace(/[^0-9A-Za-z]/g, "_");
  return `${time}-${peer}-${stream.streamId}`;
}
