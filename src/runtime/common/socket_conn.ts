/**
 * A connection over a socket of node:net or node:tls.
 *
 * Direct reading uses `onread`: Node.js fills the memory that `DirectReader` names. Without a reader, `data` events
 * bring parts that are copied.
 */
import type { OnReadOpts, Socket } from "node:net";
import { ConnectionError } from "../../core/errors.ts";
import type { Address, Conn, ConnTls, Sink } from "../../core/runtime.ts";

/** Holds the very first bytes, which come before the sink is known. */
const FIRST_READ_BYTES = 1024;
/** Writes that the kernel takes at once complete before timers and reads have a turn; after so many bytes they must. */
const TURN_BYTES = 4 * 1024 * 1024;

export class SocketConn implements Conn {
  readonly remote: Address;
  readonly local: Address;
  readonly directRead: boolean;
  readonly tls: ConnTls | undefined;
  readonly #socket: Socket;
  #sink: Sink | undefined;
  #early: Uint8Array[] = [];
  #ended = false;
  #failed = false;
  /** What was stopped beneath the socket while it is paused. */
  #below: TcpHandle | undefined;
  /** Written since a turn of the event loop was last waited for. */
  #turnBytes = 0;

  /** `explain` says what an error of the socket means. */
  constructor(
    socket: Socket,
    reader: DirectReader | undefined,
    tls?: ConnTls,
    explain: (error: Error) => Error = (error) => error,
  ) {
    this.#socket = socket;
    this.tls = tls;
    this.directRead = reader !== undefined;
    this.remote = { host: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 };
    this.local = { host: socket.localAddress ?? "", port: socket.localPort ?? 0 };
    if (reader) reader.conn = this;
    else socket.on("data", (part: Uint8Array) => this.take(part));
    socket.on("end", () => this.#end());
    socket.on("error", (error) => this.#fail(explain(error)));
    socket.on("close", () => {
      if (!(this.#ended && socket.writableFinished)) this.#fail(new Error("the connection was closed"));
    });
  }

  /** A part that came the copying way. */
  take(part: Uint8Array): void {
    if (this.#sink) this.#sink.push(part);
    else this.#early.push(part.slice());
  }

  get sink(): Sink | undefined {
    return this.#failed ? undefined : this.#sink;
  }

  start(sink: Sink): void {
    this.#sink = sink;
    for (const part of this.#early) sink.push(part);
    this.#early = [];
    this.#socket.resume();
  }

  pause(): void {
    this.#socket.pause();
    this.#below = belowOf(this.#socket);
    this.#below?.readStop();
  }

  resume(): void {
    if (this.#socket.destroyed) return;
    this.#below?.readStart();
    this.#below = undefined;
    this.#socket.resume();
  }

  write(parts: readonly Uint8Array[]): Promise<void> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      if (socket.destroyed || socket.writableEnded) {
        reject(new ConnectionError("ASOC_CONNECTION_LOST", "Cannot write: the connection is closed"));
        return;
      }
      const last = parts.length - 1;
      if (last > 0) socket.cork();
      for (let i = 0; i < last; i++) socket.write(parts[i] as Uint8Array); // i is inside
      socket.write(parts[last] as Uint8Array, (error) => {
        if (error) reject(error);
        else if (this.#turnBytes < TURN_BYTES) resolve();
        else {
          this.#turnBytes = 0;
          setImmediate(resolve);
        }
      });
      if (last > 0) socket.uncork();
      if (socket.writableLength > 0) this.#turnBytes = 0;
      else for (const part of parts) this.#turnBytes += part.length;
    });
  }

  get writeProgress(): number | undefined {
    // What net.Socket itself looks at for its time-out: bytes that wait to be written, counted down as they go.
    return (this.#socket as { _handle?: { readonly writeQueueSize?: number } | null })._handle
      ?.writeQueueSize;
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed || this.#socket.writableEnded) resolve();
      else this.#socket.end(() => resolve());
    });
  }

  abort(cause?: Error): void {
    this.#socket.destroy();
    this.#fail(cause ?? new Error("the connection was aborted"));
  }

  #end(): void {
    if (this.#ended || this.#failed) return;
    this.#ended = true;
    this.#sink?.end();
  }

  #fail(cause: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#sink?.fail(cause);
  }
}

interface TcpHandle {
  readStop(): void;
  readStart(): void;
}

/**
 * The TCP connection beneath a TLS socket that reads on while it is paused, as those of Deno (2.9) do: what comes would
 * wait in memory without a bound.
 */
function belowOf(socket: Socket): TcpHandle | undefined {
  if (!("Deno" in globalThis)) return undefined;
  const { _handle: handle } = socket as { _handle?: { readonly _parent?: Partial<TcpHandle> | null } | null };
  const below = handle?._parent;
  return below?.readStop && below.readStart ? (below as TcpHandle) : undefined;
}

/** The `onread` pair of one socket; it exists before the socket's connection does. */
export class DirectReader {
  conn: SocketConn | undefined;
  readonly #first = new Uint8Array(FIRST_READ_BYTES);
  #placed = false;

  readonly options: OnReadOpts = {
    buffer: () => {
      const sink = this.conn?.sink;
      this.#placed = sink !== undefined;
      return sink ? sink.next() : this.#first;
    },
    callback: (byteCount, buffer) => {
      const sink = this.conn?.sink;
      if (this.#placed) sink?.commit(byteCount);
      else this.conn?.take(buffer.subarray(0, byteCount));
      return true;
    },
  };
}
