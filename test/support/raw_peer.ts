/**
 * Bytes over real sockets, right or wrong, for tests of what a node does with them. Written from RFC-0001 alone: it shares
 * no code with the implementation, so that both cannot be wrong in the same way.
 */
import { createHash, createHmac, randomBytes } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { reset } from "./reset.ts";

export const TYPE = { DATA: 1, END: 2, CONTROL: 3, HELLO: 4, ACCEPT: 5 } as const;

/** A header alone; `payloadBytes` may lie. */
export function header(
  type: number,
  streamId: number,
  seq: number,
  payloadBytes: number,
  version = 1,
): Buffer {
  const bytes = Buffer.alloc(14);
  bytes.writeUInt8(version, 0);
  bytes.writeUInt8(type, 1);
  bytes.writeUInt32BE(streamId, 2);
  bytes.writeUInt32BE(seq, 6);
  bytes.writeUInt32BE(payloadBytes, 10);
  return bytes;
}

export function frame(
  type: number,
  streamId: number,
  seq: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  return Buffer.concat([header(type, streamId, seq, payload.length), payload]);
}

/** The frames of a whole tensor, one chunk each. */
export function tensor(streamId: number, ...chunks: Uint8Array[]): Buffer {
  const frames = chunks.map((chunk, seq) => frame(TYPE.DATA, streamId, seq, chunk));
  return Buffer.concat([...frames, frame(TYPE.END, streamId, chunks.length)]);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function mac(key: string, message: Uint8Array, byteCount: number): Buffer {
  return createHmac("sha256", key).update(message).digest().subarray(0, byteCount);
}

/** A fresh node id, 16 bytes, version 4. */
export function freshId(): Buffer {
  const id = randomBytes(16);
  id.writeUInt8((id.readUInt8(6) & 0x0f) | 0x40, 6);
  id.writeUInt8((id.readUInt8(8) & 0x3f) | 0x80, 8);
  return id;
}

/** As nodes print ids. */
export function idText(id: Uint8Array): string {
  return Buffer.from(id)
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The 36 bytes of a HELLO. */
export function hello(
  key: string,
  id: Uint8Array = freshId(),
  challenge: Uint8Array = randomBytes(4),
): Buffer {
  return Buffer.concat([id, mac(key, Buffer.concat([id, challenge]), 16), challenge]);
}

/** The 16 bytes of an ACCEPT. */
export function accept(key: string, token: Uint8Array = randomBytes(8)): Buffer {
  return Buffer.concat([token, mac(key, token, 8)]);
}

export interface BeaconFields {
  readonly key: string;
  readonly community: string;
  readonly id?: Uint8Array;
  readonly tcpPort: number;
  /** Seconds by which its clock is ahead. */
  readonly skewS?: number;
  readonly challenge?: Uint8Array;
}

/** The 50 bytes of a beacon. */
export function beacon(fields: BeaconFields): Buffer {
  const numbers = Buffer.alloc(6);
  numbers.writeUInt16BE(fields.tcpPort, 0);
  numbers.writeUInt32BE(Math.floor(Date.now() / 1000) + (fields.skewS ?? 0), 2);
  const community = createHash("sha256").update(fields.community).digest().subarray(0, 8);
  const signed = Buffer.concat([
    community,
    fields.id ?? freshId(),
    numbers,
    fields.challenge ?? randomBytes(4),
  ]);
  return Buffer.concat([signed, mac(fields.key, signed, 16)]);
}

let nextSource = 0;

/** An address of this machine that no test of this process has used: what is counted by address starts at nothing. */
export function freshSource(): string {
  const number = nextSource++;
  return `127.${1 + (process.pid % 200)}.${Math.floor(number / 254)}.${1 + (number % 254)}`;
}

const tlsPorts = new Set<number>();

/** From now on connections to that port speak TLS first, and verify nobody: what attackers say goes inside of it. */
export function speakTls(port: number): void {
  tlsPorts.add(port);
}

async function connectTcp(port: number, source: string): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, localAddress: source, allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

/** One TCP connection whose bytes the test chooses. */
export class RawPeer implements Disposable {
  readonly socket: Socket;
  /** What carries it: another one with TLS. */
  readonly #wire: Socket;
  /** Resolves with all that came before the other side closed, in order or not. */
  readonly closed: Promise<Buffer>;
  #received: Buffer = Buffer.alloc(0);
  #changed: (() => void) | undefined;
  #ended = false;

  constructor(socket: Socket, wire = socket) {
    this.socket = socket;
    this.#wire = wire;
    socket.setNoDelay(true);
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.#ended = true;
        this.#changed?.();
        resolve(this.#received);
      };
      socket.on("end", end);
      socket.on("close", end);
    });
    socket.on("error", () => {}); // a reset is one way to be closed
    socket.on("data", (part: Buffer) => {
      this.#received = Buffer.concat([this.#received, part]);
      this.#changed?.();
    });
  }

  /** Connects, from `source` if that matters; over TLS where the port speaks it. */
  static async connect(port: number, source = freshSource()): Promise<RawPeer> {
    const wire = await connectTcp(port, source);
    if (!tlsPorts.has(port)) return new RawPeer(wire);
    const tls = connectTls({ socket: wire, rejectUnauthorized: false, allowHalfOpen: true } as object);
    await once(tls, "secureConnect");
    return new RawPeer(tls, wire);
  }

  /** Never over TLS. */
  static async connectPlain(port: number, source = freshSource()): Promise<RawPeer> {
    return new RawPeer(await connectTcp(port, source));
  }

  /** Connects and goes through the handshake as `id`. */
  static async join(port: number, key: string, id: Uint8Array, source = freshSource()): Promise<RawPeer> {
    const peer = await RawPeer.connect(port, source);
    peer.send(frame(TYPE.HELLO, 0, 0, hello(key, id)));
    const answer = await peer.take(30);
    const token = answer.subarray(14, 22);
    const expected = frame(TYPE.ACCEPT, 0, 0, accept(key, token));
    if (!answer.equals(expected)) throw new Error(`not an ACCEPT: ${answer.toString("hex")}`);
    return peer;
  }

  /** What binds a proof to this connection: SHA-256 of the acceptor's certificate, or nothing without TLS. */
  get tlsBinding(): Buffer {
    const shown = "encrypted" in this.socket && (this.socket as TLSSocket).getPeerX509Certificate();
    return shown ? createHash("sha256").update(shown.raw).digest() : Buffer.alloc(0);
  }
  get received(): Buffer {
    return this.#received;
  }
  /** True once the other side has closed. */
  get ended(): boolean {
    return this.#ended;
  }

  send(...parts: Uint8Array[]): void {
    for (const part of parts) this.socket.write(part);
  }

  /** Byte after byte, each in a write of its own. */
  async trickle(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#ended; at++) {
      await new Promise<void>((resolve) => {
        this.socket.write(bytes.subarray(at, at + 1), () => resolve());
      });
    }
  }

  /** The first `byteCount` bytes that came and were not taken; rejects when the other side closes before. */
  async take(byteCount: number, timeoutMs = 10_000): Promise<Buffer> {
    const deadline = setTimeout(() => this.socket.destroy(), timeoutMs);
    try {
      while (this.#received.length < byteCount) {
        if (this.#ended) throw new Error(`closed after ${this.#received.length} of ${byteCount} bytes`);
        await new Promise<void>((resolve) => {
          this.#changed = resolve;
        });
      }
    } finally {
      clearTimeout(deadline);
    }
    const taken = this.#received.subarray(0, byteCount);
    this.#received = this.#received.subarray(byteCount);
    return taken;
  }

  /** All that came until the other side closed; rejects when it does not. */
  async ends(timeoutMs = 15_000): Promise<Buffer> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`not closed within ${timeoutMs} ms`)), timeoutMs);
    });
    return Promise.race([this.closed, late]).finally(() => clearTimeout(timer));
  }

  /** Sends FIN and goes on reading. */
  finish(): void {
    this.socket.end();
  }

  /** Ends it with a reset. */
  reset(): void {
    reset(this.#wire);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** A TCP port that treats each connection as `serve` does. */
export class RawServer implements AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly #close: () => Promise<void>;

  private constructor(host: string, port: number, close: () => Promise<void>) {
    this.host = host;
    this.port = port;
    this.#close = close;
  }

  /** At an address of its own: the system may give one port twice, and whoever has dialled it before remembers. */
  static async listen(serve: (peer: RawPeer) => void, host = freshSource()): Promise<RawServer> {
    const peers = new Set<RawPeer>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const peer = new RawPeer(socket);
      peers.add(peer);
      serve(peer);
    });
    server.listen(0, host);
    await once(server, "listening");
    const bound = server.address();
    const port = typeof bound === "object" && bound ? bound.port : 0;
    return new RawServer(host, port, async () => {
      for (const peer of peers) peer[Symbol.dispose]();
      server.close();
      await once(server, "close");
    });
  }

  get address(): string {
    return `${this.host}:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** A UDP socket at a source address of the test's own. */
export class RawDatagrams implements AsyncDisposable {
  readonly host: string;
  readonly #socket: UdpSocket;

  private constructor(host: string, socket: UdpSocket) {
    this.host = host;
    this.#socket = socket;
  }

  static async bind(host = freshSource()): Promise<RawDatagrams> {
    const socket = createSocket("udp4");
    socket.bind(0, host);
    await once(socket, "listening");
    return new RawDatagrams(host, socket);
  }

  send(packet: Uint8Array, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.send(packet, port, "127.0.0.1", (error) => (error ? reject(error) : resolve()));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, "close");
  }
}
