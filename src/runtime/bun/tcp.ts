/**
 * TCP on Bun with its native sockets.
 *
 * Bun reads before it calls `data`; what it read is copied into place. What has come meanwhile is then read with
 * `readSync` straight into the tensor until the socket is empty, so that with bulk most bytes are not copied.
 */
import { readSync } from "node:fs";
import type { Socket } from "bun";
import { ConnectionError } from "../../core/errors.ts";
import type { Address, Conn, DialOptions, Listener, Sink, Transport } from "../../core/runtime.ts";
import { bindDatagram } from "../common/datagram.ts";
import { dialFailure, dialTimeout, listenFailure } from "../common/failures.ts";
import { dialTls, listenTls } from "../common/tls.ts";

/**
 * A wake-up reads no more than this, so that the other sockets have their turn. What Bun read before it is copied, each time:
 * with 2 MiB a receiver of bulk needs a quarter more processor time.
 */
const DRAIN_BYTES = 8 * 1024 * 1024;
/** After so many bytes, or at the end of a tensor, the promises of those who wait for what has come go on. */
const SLICE_BYTES = 1024 * 1024;
/** Writes that the kernel takes at once complete before timers and reads have a turn; after so many bytes they must. */
const TURN_BYTES = 4 * 1024 * 1024;
/** Promises that lie between a tensor's last byte and its reader's next step. */
const HOPS = 4;

interface Data {
  conn: BunConn | undefined;
}

class BunConn implements Conn {
  readonly remote: Address;
  readonly local: Address;
  readonly directRead: boolean;
  writeProgress = 0;
  readonly #socket: Socket<Data>;
  readonly #fd: number;
  #sink: Sink | undefined;
  #early: Uint8Array[] = [];
  #paused = false;
  #ended = false;
  #failed = false;
  #finished = false;
  /** In place, since the last wake-up. */
  #drainedBytes = 0;
  /** Written since a turn of the event loop was last waited for. */
  #turnBytes = 0;
  #writing:
    | {
        parts: readonly Uint8Array[];
        index: number;
        offset: number;
        resolve: () => void;
        reject: (cause: Error) => void;
      }
    | undefined;

  constructor(socket: Socket<Data>, direct: boolean) {
    this.#socket = socket;
    this.#fd = (socket as unknown as { fd?: number }).fd ?? -1; // not in the types of every version
    this.directRead = direct && this.#fd >= 0;
    this.remote = { host: socket.remoteAddress, port: socket.remotePort };
    this.local = { host: socket.localAddress, port: socket.localPort };
    socket.data.conn = this;
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
  }

  start(sink: Sink): void {
    this.#sink = sink;
    for (const part of this.#early) sink.push(part);
    this.#early = [];
    if (this.#ended) sink.end();
  }

  onData(part: Uint8Array): void {
    if (this.#failed) return;
    if (!this.#sink) {
      this.#early.push(part.slice());
      return;
    }
    this.#sink.push(part);
    if (!this.directRead) return;
    this.#drainedBytes = 0;
    if (this.#drain()) void this.#drainOn();
  }

  /** Goes on in slices, within this turn of the event loop. */
  async #drainOn(): Promise<void> {
    while (this.#drainedBytes < DRAIN_BYTES) {
      for (let hop = 0; hop < HOPS; hop++) await undefined;
      if (!this.#drain()) return;
    }
  }

  /** Reads what the kernel holds now, in place. True when there may be more: a slice is full, or somebody waits for what came. */
  #drain(): boolean {
    let drained = 0;
    while (this.#sink && !this.#paused && !this.#failed && !this.#ended) {
      if (drained >= SLICE_BYTES) return true;
      const target = this.#sink.next();
      let byteCount: number;
      try {
        byteCount = readSync(this.#fd, target, 0, target.length, null);
      } catch {
        return false; // EAGAIN: empty. A broken socket is reported by its own event.
      }
      if (byteCount === 0) return false; // the peer's FIN; its event follows
      drained += byteCount;
      this.#drainedBytes += byteCount;
      if (this.#sink.commit(byteCount)) return true;
    }
    return false;
  }

  onEnd(): void {
    if (this.#ended || this.#failed) return;
    this.#ended = true;
    this.#sink?.end();
  }

  onClose(cause: unknown): void {
    this.#writing?.reject(
      new ConnectionError("ASOC_CONNECTION_LOST", "Cannot write: the connection was closed", { cause }),
    );
    this.#writing = undefined;
    // Once we have sent FIN, Bun reports the peer's FIN as a close without a cause, and no `end`.
    if (this.#finished && !cause) this.onEnd();
    if (this.#ended && this.#finished) return;
    this.#fail(cause ?? new Error("the connection was closed"));
  }

  onDrain(): void {
    const writing = this.#writing;
    if (!writing) return;
    const { parts } = writing;
    while (writing.index < parts.length) {
      const part = parts[writing.index] as Uint8Array; // index is inside
      const written = this.#socket.write(part, writing.offset, part.length - writing.offset);
      if (written < 0) {
        this.onClose(new Error("the connection is closed"));
        return;
      }
      writing.offset += written;
      this.writeProgress += written;
      this.#turnBytes += written;
      if (writing.offset < part.length) {
        this.#turnBytes = 0;
        return; // the rest at the next drain
      }
      writing.index++;
      writing.offset = 0;
    }
    this.#writing = undefined;
    if (this.#turnBytes < TURN_BYTES) writing.resolve();
    else {
      this.#turnBytes = 0;
      setImmediate(writing.resolve);
    }
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#failed) this.#socket.resume();
  }

  write(parts: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failed || this.#finished) {
        reject(new ConnectionError("ASOC_CONNECTION_LOST", "Cannot write: the connection is closed"));
        return;
      }
      this.#writing = { parts, index: 0, offset: 0, resolve, reject };
      this.onDrain();
    });
  }

  async closeWrite(): Promise<void> {
    if (this.#finished || this.#failed) return;
    this.#finished = true;
    if (this.#ended) this.#socket.end();
    else this.#socket.shutdown();
  }

  abort(cause?: Error): void {
    this.#socket.terminate();
    this.#fail(cause ?? new Error("the connection was aborted"));
  }

  #fail(cause: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#writing?.reject(
      new ConnectionError("ASOC_CONNECTION_LOST", "Cannot write: the connection was lost", { cause }),
    );
    this.#writing = undefined;
    this.#sink?.fail(cause);
  }
}

const handlers = {
  binaryType: "uint8array",
  data: (socket: Socket<Data>, part: Uint8Array) => socket.data.conn?.onData(part),
  drain: (socket: Socket<Data>) => socket.data.conn?.onDrain(),
  end: (socket: Socket<Data>) => socket.data.conn?.onEnd(),
  close: (socket: Socket<Data>, error?: Error) => socket.data.conn?.onClose(error),
  error: (socket: Socket<Data>, error: Error) => socket.data.conn?.onClose(error),
} as const;

function dial(to: Address, options: DialOptions, direct: boolean): Promise<Conn> {
  return new Promise((resolve, reject) => {
    const { timeoutMs, signal } = options;
    if (signal?.aborted) return reject(signal.reason);
    let settled = false;
    const settle = (run: () => void) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      run();
    };
    const abort = () => settle(() => reject(signal?.reason));
    const timer = setTimeout(() => settle(() => reject(dialTimeout(to, timeoutMs))), timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    const data: Data = { conn: undefined };
    Bun.connect<Data>({
      hostname: to.host,
      port: to.port,
      allowHalfOpen: true,
      data,
      socket: {
        ...handlers,
        open(socket) {
          if (settled) socket.terminate();
          else settle(() => resolve(new BunConn(socket, direct)));
        },
        connectError: (_socket, error) => settle(() => reject(dialFailure(to, error))),
      },
    }).catch((error) => settle(() => reject(dialFailure(to, error))));
  });
}

async function listen(
  at: Address,
  accept: (conn: Conn) => void,
  direct: boolean,
  isShut: (remote: Address) => boolean = () => false,
): Promise<Listener> {
  try {
    const listener = Bun.listen<Data>({
      hostname: at.host,
      port: at.port,
      exclusive: true,
      allowHalfOpen: true,
      socket: {
        ...handlers,
        open(socket) {
          socket.data = { conn: undefined };
          if (isShut({ host: socket.remoteAddress, port: socket.remotePort })) {
            socket.terminate();
            return;
          }
          accept(new BunConn(socket, direct));
        },
      },
    });
    let closed = false;
    return {
      address: { host: at.host, port: listener.port },
      async close() {
        if (closed) return;
        closed = true;
        listener.stop();
      },
    };
  } catch (cause) {
    throw listenFailure(at, cause);
  }
}

/** `direct`: read in place after the first part of each wake-up (the default), or copy all. */
export function createTransport(options: { readonly direct?: boolean } = {}): Transport {
  const direct = options.direct ?? true;
  return {
    capabilities: { directRead: direct, sourceAddress: false },
    dial: (to, dialOptions) =>
      dialOptions.tls ? dialTls(to, dialOptions, false) : dial(to, dialOptions, direct),
    listen: (at, accept, tls, isShut) =>
      tls ? listenTls(at, accept, tls, isShut) : listen(at, accept, direct, isShut),
    bindDatagram,
  };
}
