/**
 * A man in the middle of a TLS connection: shows his own certificate to whoever dials him, dials the real listener himself,
 * and passes on and keeps the plaintext of both directions.
 */
import type { Socket } from "node:net";
import { connect, createServer, type Server } from "node:tls";
import type { MadeCertificate } from "../../src/certs/make.ts";

const HOST = "127.0.0.1";

export class TlsRelay implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #seen: Uint8Array[] = [];
  connections = 0;

  private constructor(port: number, { certificatePem, keyPem }: MadeCertificate) {
    const own = { cert: certificatePem, key: keyPem };
    this.#server = createServer({ ...own, requestCert: true, rejectUnauthorized: false }, (dialler) => {
      this.connections++;
      const listener = connect({ ...own, host: HOST, port, rejectUnauthorized: false });
      dialler.on("data", (part: Uint8Array) => this.#seen.push(part.slice()));
      dialler.pipe(listener);
      listener.pipe(dialler);
      for (const [one, other] of [
        [dialler, listener],
        [listener, dialler],
      ] as const) {
        this.#sockets.add(one);
        one.on("error", () => {});
        one.on("close", () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      }
    });
    this.#server.on("tlsClientError", () => {}); // the dialler has seen through him
  }

  /** To `port` of this machine. */
  static async start(port: number, certificate: MadeCertificate): Promise<TlsRelay> {
    const relay = new TlsRelay(port, certificate);
    await new Promise<void>((resolve, reject) => {
      relay.#server.once("error", reject);
      relay.#server.listen(0, HOST, resolve);
    });
    return relay;
  }

  /** HOST:PORT to dial. */
  get address(): string {
    const bound = this.#server.address();
    return `${HOST}:${typeof bound === "object" && bound ? bound.port : 0}`;
  }

  /** Payloads of the DATA frames that the dialler has sent, read from what passed in the clear. Of one connection. */
  seenTensors(): Uint8Array[] {
    const bytes = Buffer.concat(this.#seen);
    const found: Uint8Array[] = [];
    for (let at = 0; at + 14 <= bytes.length; ) {
      const length = bytes.readUInt32BE(at + 10);
      if (bytes[at] !== 1) throw new Error("no frame begins here");
      if (bytes[at + 1] === 1) found.push(bytes.subarray(at + 14, at + 14 + length));
      at += 14 + length;
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
