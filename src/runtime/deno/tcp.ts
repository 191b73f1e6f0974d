/**
 * TCP on Deno with its native sockets: `read` fills the memory that it is given, so every byte lands in place.
 */
import { ConnectionError } from "../../core/errors.ts";
import type { Address, Conn, DialOptions, Listener, Sink, Transport } from "../../core/runtime.ts";
import { bindDatagram } from "../common/datagram.ts";
import { dialFailure, dialTimeout, listenFailure } from "../common/failures.ts";
import { dialTls, listenTls } from "../common/tls.ts";
import { type DenoListener, type DenoTcpConn, deno } from "./deno_api.ts";

/** Bytes of one read where nothing may land in place. */
const COPY_BYTES = 64 * 1024;
/** After the kernel could not give a connection, such as for want of file descriptors. */
const ACCEPT_AGAIN_MS = 100;

class DenoConn implements Conn {
  readonly remote: Address;
  readonly local: Address;
  readonly directRead: boolean;
  writeProgress = 0;
  readonly #conn: DenoTcpConn;
  #sink: Sink | undefined;
  #paused: (() => void) | undefined;
  #resumed: Promise<void> | undefined;
  #ended = false;
  #failed = false;
  #finished = false;
  #closed = false;
  #reading = false;
  #cause: unknown;

  constructor(conn: DenoTcpConn, direct: boolean) {
    this.#conn = conn;
    this.directRead = direct;
    this.remote = { host: conn.remoteAddr.hostname, port: conn.remoteAddr.port };
    this.local = { host: conn.localAddr.hostname, port: conn.localAddr.port };
  }

  start(sink: Sink): void {
    this.#sink = sink;
    void this.#read(sink);
  }

  async #read(sink: Sink): Promise<void> {
    const own = this.directRead ? undefined : new Uint8Array(COPY_BYTES);
    try {
      while (!this.#failed) {
        if (this.#resumed) await this.#resumed;
        if (this.#closed) break;
        this.#reading = true;
        const byteCount = await this.#conn.read(own ?? sink.next());
        this.#reading = false;
        if (this.#closed) break; // the sink must not hear of bytes after an abort
        if (byteCount === null) {
          this.#ended = true;
          sink.end();
          this.#closeWhenDone();
          return;
        }
        if (own) sink.push(own.subarray(0, byteCount));
        else sink.commit(byteCount);
      }
    } catch (cause) {
      this.#reading = false;
      this.#cause ??= cause;
    }
    this.#fail();
  }

  pause(): void {
    this.#resumed ??= new Promise((resolve) => {
      this.#paused = resolve;
    });
  }

  resume(): void {
    this.#paused?.();
    this.#paused = undefined;
    this.#resumed = undefined;
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#closed || this.#finished) {
      throw new ConnectionError("ASOC_CONNECTION_LOST", "Cannot write: the connection is closed");
    }
    for (const part of parts) {
      for (let written = 0; written < part.length; ) {
        const taken = await this.#conn.write(written === 0 ? part : part.subarray(written));
        written += taken;
        this.writeProgress += taken;
      }
    }
  }

  async closeWrite(): Promise<void> {
    if (this.#finished || this.#closed) return;
    this.#finished = true;
    try {
      await this.#conn.closeWrite();
    } catch (cause) {
      this.abort(cause instanceof Error ? cause : undefined);
    }
    this.#closeWhenDone();
  }

  abort(cause?: Error): void {
    this.#cause ??= cause ?? new Error("the connection was aborted");
    this.#close();
    this.resume();
    // A read under way holds its memory until it returns; only then may the sink hear of the end.
    if (!this.#reading) this.#fail();
  }

  #closeWhenDone(): void {
    if (this.#ended && this.#finished) this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#conn.close();
    } catch {
      // closed by the runtime already
    }
  }

  #fail(): void {
    if (this.#failed || (this.#ended && this.#finished)) return;
    this.#failed = true;
    this.#close();
    this.#sink?.fail(this.#cause ?? new Error("the connection was closed"));
  }
}

async function dial(to: Address, options: DialOptions, direct: boolean): Promise<Conn> {
  const { timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(timeoutMs);
  const signals = signal ? AbortSignal.any([signal, timeout]) : timeout;
  try {
    const conn = await deno.connect({ hostname: to.host, port: to.port, signal: signals });
    conn.setNoDelay(true);
    conn.setKeepAlive(true);
    return new DenoConn(conn, direct);
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw timeout.aborted ? dialTimeout(to, timeoutMs, cause) : dialFailure(to, cause);
  }
}

/** Undefined: it is shut out. */
async function acceptOne(
  listener: DenoListener,
  direct: boolean,
  isShut: (remote: Address) => boolean,
): Promise<DenoConn | undefined> {
  const conn = await listener.accept();
  try {
    const { hostname: host, port } = conn.remoteAddr;
    if (isShut({ host, port })) {
      conn.close();
      return undefined;
    }
    conn.setNoDelay(true);
    conn.setKeepAlive(true);
    return new DenoConn(conn, direct);
  } catch (cause) {
    conn.close();
    throw cause;
  }
}

/** `accept()` asks the kernel for the other end's address, and there is none any more. */
function isGone(cause: unknown): boolean {
  return cause instanceof Error && /^(NotConnected|ConnectionAborted|ConnectionReset)$/.test(cause.name);
}

async function listen(
  at: Address,
  accept: (conn: Conn) => void,
  direct: boolean,
  isShut: (remote: Address) => boolean = () => false,
): Promise<Listener> {
  try {
    const listener = deno.listen({ hostname: at.host, port: at.port });
    let closed = false;
    const run = async () => {
      while (!closed) {
        let taken: DenoConn | undefined;
        try {
          taken = await acceptOne(listener, direct, isShut);
        } catch (cause) {
          // One that was reset before it was taken is no fault of the listener's.
          if (!closed && !isGone(cause)) await new Promise((resolve) => setTimeout(resolve, ACCEPT_AGAIN_MS));
          continue;
        }
        if (taken) accept(taken);
      }
    };
    const running = run();
    return {
      address: { host: at.host, port: listener.addr.port },
      async close() {
        if (closed) return;
        closed = true;
        listener.close();
        await running; // only then is the port free
      },
    };
  } catch (cause) {
    throw listenFailure(at, cause);
  }
}

/** `direct`: read in place (the default), or copy all. */
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
