/**
 * TCP on Node.js with node:net.
 *
 * Direct reading uses `onread`: Node.js fills the memory that `buffer()` returns. It is documented for dialled
 * sockets only. An accepted socket's handle is moved into a new socket with `onread`; that touches internals, so
 * `createTransport` tries it once at start-up and falls back to `data` events and a copy.
 */
import { connect, createServer, type Server, Socket } from "node:net";
import type { Address, Conn, DialOptions, Listener, Transport } from "../../core/runtime.ts";
import { bindDatagram } from "../common/datagram.ts";
import { dialFailure, dialTimeout, listenFailure } from "../common/failures.ts";
import { DirectReader, SocketConn } from "../common/socket_conn.ts";
import { dialTls, listenTls } from "../common/tls.ts";

function dial(to: Address, options: DialOptions): Promise<Conn> {
  return new Promise((resolve, reject) => {
    const { timeoutMs, signal, localHost } = options;
    if (signal?.aborted) return reject(signal.reason);
    const reader = new DirectReader();
    const socket = connect({
      host: to.host,
      port: to.port,
      noDelay: true,
      keepAlive: true,
      allowHalfOpen: true,
      onread: reader.options,
      ...(localHost === undefined ? {} : { localAddress: localHost }),
    });
    const settle = (run: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.removeListener("error", failed);
      run();
    };
    const failed = (error: Error) => settle(() => reject(dialFailure(to, error)));
    const abort = () => settle(() => drop(signal?.reason));
    const drop = (reason: unknown) => {
      socket.on("error", () => {});
      socket.destroy();
      reject(reason);
    };
    const timer = setTimeout(() => settle(() => drop(dialTimeout(to, timeoutMs))), timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    socket.once("error", failed);
    socket.once("connect", () => settle(() => resolve(new SocketConn(socket, reader))));
  });
}

/** What the move of an accepted handle touches. */
interface ServerInternals {
  _connections: number;
}
interface SocketInternals {
  _handle: object | null;
  _server: Server | null;
  server: Server | null;
}

/**
 * Moves an accepted socket's handle into a new one that reads through `reader`. The server counts its sockets:
 * the new one takes the old one's place in that, or `server.close()` would never end.
 */
function takeOver(accepted: Socket, server: Server, reader: DirectReader): Socket | undefined {
  const internals = accepted as unknown as SocketInternals;
  const handle = internals._handle;
  if (!handle || typeof (server as unknown as ServerInternals)._connections !== "number") return undefined;
  internals._handle = null;
  internals._server = null;
  internals.server = null;
  // `handle` and `onread` together are not in the public types; the self-test stands for them.
  const options = { handle, readable: true, writable: true, allowHalfOpen: true, onread: reader.options };
  const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
  const moved = socket as unknown as SocketInternals;
  moved._server = server;
  moved.server = server;
  return socket;
}

function listen(
  at: Address,
  accept: (conn: Conn) => void,
  direct: boolean,
  isShut: (remote: Address) => boolean = () => false,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = createServer({
      noDelay: true,
      keepAlive: true,
      allowHalfOpen: true,
      pauseOnConnect: direct,
    });
    server.on("connection", (accepted) => {
      const { remoteAddress: host, remotePort: port } = accepted;
      if (host === undefined || port === undefined || isShut({ host, port })) {
        accepted.destroy();
        return;
      }
      const reader = direct ? new DirectReader() : undefined;
      const socket = reader ? takeOver(accepted, server, reader) : undefined;
      if (!socket || socket.remoteAddress === undefined) {
        if (accepted.remoteAddress === undefined || socket)
          (socket ?? accepted).destroy(); // gone already
        else accept(new SocketConn(accepted, undefined));
        return;
      }
      accept(new SocketConn(socket, reader));
      socket.resume();
      socket.read(0);
    });
    // Once it listens, an error is a connection that could not be taken, such as for want of file descriptors: the next may be.
    server.on("error", (error) => reject(listenFailure(at, error)));
    server.listen({ host: at.host, port: at.port }, () => {
      const bound = server.address();
      const port = typeof bound === "object" && bound ? bound.port : at.port;
      let closing: Promise<void> | undefined;
      resolve({
        address: { host: at.host, port },
        close() {
          // Resolves when the port is free; connections that live do not hold it.
          closing ??= new Promise((done) => {
            server.close();
            server.unref();
            done();
          });
          return closing;
        },
      });
    });
  });
}

/** Sends a few bytes through a loopback pair and says whether they landed in place. */
async function canTakeOver(): Promise<boolean> {
  let landed: (direct: boolean) => void = () => {};
  const result = new Promise<boolean>((resolve) => {
    landed = resolve;
  });
  let firstCame: () => void = () => {};
  const first = new Promise<void>((resolve) => {
    firstCame = resolve;
  });
  const place = new Uint8Array(4);
  let filled = 0;
  const timer = setTimeout(() => {
    landed(false);
    firstCame();
  }, 1000);
  let listener: Listener | undefined;
  let conn: Conn | undefined;
  try {
    listener = await listen(
      { host: "127.0.0.1", port: 0 },
      (conn) => {
        const done = (direct: boolean) => {
          landed(direct);
          conn.abort();
        };
        conn.start({
          next: () => place.subarray(filled),
          commit(byteCount) {
            filled += byteCount;
            if (filled === place.length) done(place.join() === "7,1,2,3");
            return false;
          },
          push(part) {
            // The very first byte comes before a buffer could be named; what follows must land in place.
            if (filled > 0) return done(false);
            place.set(part.subarray(0, 1), filled++);
            firstCame();
          },
          end: () => landed(false),
          fail: () => landed(false),
        });
      },
      true,
    );
    conn = await dial(listener.address, { timeoutMs: 1000 });
    conn.start({ next: () => new Uint8Array(1), commit: () => false, push() {}, end() {}, fail() {} });
    await conn.write([Uint8Array.of(7)]);
    await first;
    await conn.write([Uint8Array.of(1, 2, 3)]);
    return await result;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
    conn?.abort();
    await listener?.close();
  }
}

/** `direct`: read accepted sockets in place or not; by default what the self-test finds. */
export async function createTransport(options: { readonly direct?: boolean } = {}): Promise<Transport> {
  const direct = options.direct ?? (await canTakeOver());
  return {
    capabilities: { directRead: direct, sourceAddress: true },
    dial: (to, dialOptions) => (dialOptions.tls ? dialTls(to, dialOptions, true) : dial(to, dialOptions)),
    listen: (at, accept, tls, isShut) =>
      tls ? listenTls(at, accept, tls, isShut) : listen(at, accept, direct, isShut),
    bindDatagram,
  };
}
