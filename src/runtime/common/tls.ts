/**
 * TLS 1.3 with node:tls, on all three runtimes: the native TLS of Bun and Deno lacks client certificates.
 *
 * The library's own verdict on a certificate ends nothing: `checkTls` decides, after the handshake and before the
 * connection is handed over, so that all runtimes refuse the same and say why. Nothing is resumed: each connection
 * has a handshake of its own.
 */
import { createServer, isIP, type Socket } from "node:net";
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  TLSSocket,
} from "node:tls";
import { AsocError, ConnectionError, LimitError } from "../../core/errors.ts";
import type {
  Address,
  Conn,
  DialOptions,
  Listener,
  TlsConfig,
  TlsIdentity,
  TlsListen,
} from "../../core/runtime.ts";
import { dialTimeout, formatAddress, listenFailure } from "./failures.ts";
import { DirectReader, SocketConn } from "./socket_conn.ts";
import { checkTls } from "./tls_checks.ts";
import { tlsDialFailure, tlsFailure, tlsLoss } from "./tls_failures.ts";

/** Without a clock of its own: the wall clock says whether certificates are valid. */
const unixMs = () => Date.now();

function material(config: TlsConfig, identity: TlsIdentity) {
  const { certificatePem, keyPem } = identity;
  const ca = config.verify === "ca" ? { ca: [...config.authorities] } : {};
  return { cert: certificatePem, key: keyPem, minVersion: "TLSv1.3" as const, ...ca };
}

/** `direct`: the runtime reads in place (`onread`). Rejects with ASOC_TLS_… and what a dial without TLS rejects with. */
export function dialTls(to: Address, options: DialOptions, direct: boolean): Promise<Conn> {
  return new Promise((resolve, reject) => {
    const { timeoutMs, signal, localHost, tls: config } = options;
    if (!config) return reject(new TypeError("tls: expected a configuration")); // never plaintext by mistake
    if (signal?.aborted) return reject(signal.reason);
    const where = formatAddress(to);
    const identity = config.identity();
    const reader = direct ? new DirectReader() : undefined;
    const connecting = {
      ...material(config, identity),
      host: to.host,
      port: to.port,
      allowHalfOpen: true,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...(isIP(to.host) ? {} : { servername: to.host }),
      ...(reader ? { onread: reader.options } : {}),
      ...(localHost === undefined ? {} : { localAddress: localHost }),
    };
    const socket = connect(connecting as ConnectionOptions); // `onread` and `localAddress` are not in the types
    const settle = (run: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.removeListener("error", failed);
      socket.removeListener("close", closed);
      run();
    };
    const drop = (reason: unknown) => {
      socket.on("error", () => {});
      socket.destroy();
      reject(reason);
    };
    const failed = (error: Error) => settle(() => drop(tlsDialFailure(to, where, error)));
    const closed = () => settle(() => drop(tlsDialFailure(to, where, new Error("closed"))));
    const abort = () => settle(() => drop(signal?.reason));
    const timer = setTimeout(() => settle(() => drop(dialTimeout(to, timeoutMs))), timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    socket.once("error", failed);
    socket.once("close", closed);
    socket.once("secureConnect", () =>
      settle(() => {
        try {
          const side = { remote: where, dialledHost: to.host, config, identity, unixMs: unixMs() };
          const found = checkTls(socket, side);
          tune(socket);
          resolve(new SocketConn(socket, reader, found, (error) => tlsLoss(where, error)));
        } catch (error) {
          drop(error);
        }
      }),
    );
  });
}

function tune(socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true);
}

/** Takes TLS connections and nothing else. Rejects as a listener without TLS does. */
export function listenTls(
  at: Address,
  accept: (conn: Conn) => void,
  tls: TlsListen,
  isShut: (remote: Address) => boolean = () => false,
): Promise<Listener> {
  const handshakes = new Handshakes(accept, tls, isShut);
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (raw) =>
      handshakes.begin(raw),
    );
    server.once("error", (error) => reject(listenFailure(at, error)));
    server.listen({ host: at.host, port: at.port }, () => {
      const bound = server.address();
      const port = typeof bound === "object" && bound ? bound.port : at.port;
      let closing: Promise<void> | undefined;
      resolve({
        address: { host: at.host, port },
        close() {
          // Resolves when the port is free; connections that live do not hold it.
          closing ??= new Promise((done) => {
            handshakes.abort();
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

/** Connections that have come in and are not yet known to speak TLS. */
class Handshakes {
  readonly #accept: (conn: Conn) => void;
  readonly #tls: TlsListen;
  readonly #isShut: (remote: Address) => boolean;
  /** The oldest first, with when it came and what ends it. */
  readonly #pending = new Map<Socket, { readonly sinceMs: number; readonly end: (error: Error) => void }>();
  /** Made anew when the identity changes. */
  #context: { readonly identity: TlsIdentity; readonly secureContext: SecureContext } | undefined;

  constructor(accept: (conn: Conn) => void, tls: TlsListen, isShut: (remote: Address) => boolean) {
    this.#accept = accept;
    this.#tls = tls;
    this.#isShut = isShut;
  }

  begin(raw: Socket): void {
    raw.on("error", () => {}); // reported by the TLS socket above it, once there is one
    const remote = { host: raw.remoteAddress ?? "", port: raw.remotePort ?? 0 };
    const oldest = this.#oldestInTheWay();
    if (
      raw.remoteAddress === undefined ||
      this.#isShut(remote) ||
      !this.#tls.admits(remote, oldest === undefined || oldest.makesWay)
    ) {
      raw.destroy();
      return;
    }
    const { config, handshakeTimeoutMs } = this.#tls;
    const where = formatAddress(remote);
    oldest?.end(madeRoom());
    const { identity, secureContext } = this.#contextOf(config);
    const taking = {
      ...material(config, identity),
      secureContext,
      isServer: true,
      requestCert: true,
      rejectUnauthorized: false,
      allowHalfOpen: true, // not in the types
    };
    const socket = new TLSSocket(raw, taking);
    const settle = (run: () => void) => {
      if (!this.#pending.delete(raw)) return;
      clearTimeout(timer);
      socket.removeListener("error", failed);
      socket.removeListener("close", closed);
      run();
    };
    const drop = (error: Error) => {
      socket.on("error", () => {});
      socket.destroy();
      raw.destroy();
      this.#tls.failed(remote, error);
    };
    const failed = (error: Error) => settle(() => drop(tlsFailure(where, error)));
    const closed = () => settle(() => drop(tlsFailure(where, new Error("the connection was closed"))));
    const end = (error: Error) => settle(() => drop(error));
    this.#pending.set(raw, { sinceMs: performance.now(), end });
    const timer = setTimeout(
      () => settle(() => drop(timedOut(where, `it took longer than ${handshakeTimeoutMs} ms`))),
      handshakeTimeoutMs,
    );
    socket.once("error", failed);
    socket.once("close", closed);
    socket.once("secure", () =>
      settle(() => {
        try {
          const side = { remote: where, dialledHost: undefined, config, identity, unixMs: unixMs() };
          const found = checkTls(socket, side);
          tune(socket);
          this.#accept(new SocketConn(socket, undefined, found, (error) => tlsLoss(where, error)));
        } catch (error) {
          if (!(error instanceof AsocError)) throw error;
          drop(error);
        }
      }),
    );
  }

  abort(): void {
    for (const [raw] of this.#pending) raw.destroy();
  }

  /** Where all places are taken: the handshake that came first, and whether it has had its time. */
  #oldestInTheWay() {
    if (this.#pending.size < this.#tls.maxHandshakes) return undefined;
    for (const { sinceMs, end } of this.#pending.values())
      return { end, makesWay: performance.now() - sinceMs >= this.#tls.undisturbedMs };
    return undefined;
  }

  #contextOf(config: TlsConfig) {
    const identity = config.identity();
    if (this.#context?.identity !== identity)
      this.#context = { identity, secureContext: createSecureContext(material(config, identity)) };
    return this.#context;
  }
}

function timedOut(where: string, why: string): ConnectionError {
  return new ConnectionError("ASOC_HANDSHAKE_TIMEOUT", `${where}: the TLS handshake was given up: ${why}`);
}

/** Nobody's fault: it is not held against the address that it came from. */
function madeRoom(): LimitError {
  const message = "TLS handshake given up to make room for a newer one (maxPendingHandshakes)";
  return new LimitError("ASOC_ADMISSION", message, { details: { limit: "maxPendingHandshakes" } });
}
