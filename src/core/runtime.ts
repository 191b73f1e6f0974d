/**
 * The adapter interface: all that the core asks of a runtime. Types only.
 *
 * `src/runtime/{node,bun,deno}` implement it over real sockets and `test/sim`
 * over a simulated network; one contract suite (`test/contract`) holds for all.
 */

/** An IP address or host name and a port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Where a connection's bytes go. The core implements it; every call is synchronous.
 *
 * Ownership: memory that `next()` returned belongs to the connection until the
 * following `commit`, `end` or `fail`. It is never recycled or moved before.
 */
export interface Sink {
  /** Memory for the next bytes: the exact rest of a header, or of a payload and perhaps the header behind it. Never empty. */
  next(): Uint8Array;
  /**
   * `byteCount` bytes (at least 1) now lie at the start of what `next()` returned. True: somebody waits for what has
   * come; who reads on in a loop lets promises have their turn first.
   */
  commit(byteCount: number): boolean;
  /** The copying way in: `part` is valid during the call only. Not between next() and commit(). */
  push(part: Uint8Array): void;
  /** The remote side will send no more. Called at most once, and never after `fail`. */
  end(): void;
  /** The connection is gone. Called at most once; nothing follows it. */
  fail(cause: unknown): void;
}

/** What is known of the TLS that carries a connection. */
export interface ConnTls {
  /** SHA-256 of the acceptor's leaf certificate (DER), as this side saw it. */
  readonly certificateSha256: Uint8Array;
  /** The same of the leaf that the other side showed; undefined: it showed none. */
  readonly peerCertificateSha256?: Uint8Array;
  /** Such as "TLSv1.3". */
  readonly protocol: string;
}

/** A raw byte pipe to one remote address. */
export interface Conn {
  readonly remote: Address;
  readonly local: Address;
  /** True when bytes land at `Sink.next()` without a copy. */
  readonly directRead: boolean;
  /** Of a connection that speaks TLS: what was found on it, live. Undefined: bytes go out as they are. */
  readonly tls?: ConnTls | undefined;
  /** Begins to read into `sink`. Called once, at once when the connection is handed over. */
  start(sink: Sink): void;
  /** Stops reading; one buffer that was handed out already may still fill. */
  pause(): void;
  resume(): void;
  /**
   * Writes the parts in order, never joined. One write at a time. Resolves when
   * the memory may be used again (all bytes are in the kernel), rejects when the connection is gone.
   */
  write(parts: readonly Uint8Array[]): Promise<void>;
  /** A number that changes whenever the system has taken some of the write under way; undefined where nobody can tell. */
  readonly writeProgress?: number | undefined;
  /** Sends FIN after all that was written; reading goes on. */
  closeWrite(): Promise<void>;
  /** Ends it at once. `Sink.fail` follows unless the sink was ended and the write side closed. */
  abort(cause?: Error): void;
}

/** A bound TCP port. */
export interface Listener {
  readonly address: Address;
  /** Takes no more connections; those that live go on. */
  close(): Promise<void>;
}

/** A bound UDP port. */
export interface DatagramSocket {
  readonly address: Address;
  send(packet: Uint8Array, to: Address): Promise<void>;
  close(): Promise<void>;
}

export interface DialOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Source address, where the runtime can choose it (`sourceAddress` capability). */
  readonly localHost?: string;
  /** TLS, and never anything else; `timeoutMs` covers its handshake too. */
  readonly tls?: TlsConfig | undefined;
}

/** How the other side of a TLS connection is verified (RFC-0101, section 3). */
export type TlsVerify = "proof" | "pin" | "ca" | "none";

/** The certificate that a node shows, and its key. */
export interface TlsIdentity {
  /** PEM: the leaf first, then what leads to its authority. */
  readonly certificatePem: string;
  /** PEM. Secret. */
  readonly keyPem: string;
  /** SHA-256 of the leaf in DER. */
  readonly certificateSha256: Uint8Array;
}

/** How a node speaks TLS: complete and checked. */
export interface TlsConfig {
  readonly verify: TlsVerify;
  /** Asked for each connection: a renewed certificate is shown from the next one on. */
  identity(): TlsIdentity;
  /** SHA-256 of leaves that are good, as 64 lower-case hexadecimal digits. For "pin". */
  readonly pins: readonly string[];
  /** PEM of authorities that are good. For "ca". */
  readonly authorities: readonly string[];
  /** Who dials must show a certificate that passes `verify`. */
  readonly requireClientCertificate: boolean;
}

/** What a transport needs to take TLS connections. */
export interface TlsListen {
  readonly config: TlsConfig;
  /** TLS handshakes may take so long. */
  readonly handshakeTimeoutMs: number;
  /** TLS handshakes in progress at once; the oldest makes way for a new one, with ASOC_ADMISSION. */
  readonly maxHandshakes: number;
  /** But not before it has had so long. */
  readonly undisturbedMs: number;
  /** Asked before anything is computed for a connection: false closes it. `hasRoom`: there is a place, or one that makes way. */
  admits(remote: Address, hasRoom: boolean): boolean;
  /** A TLS handshake failed. */
  failed(remote: Address, error: Error): void;
}

/** TLS of one live connection, as found after its handshake. */
export interface ConnTls {
  /** SHA-256 of the acceptor's leaf certificate (DER), as this side saw it: it goes into the proof. */
  readonly certificateSha256: Uint8Array;
  /** SHA-256 of the leaf that the other side showed; undefined: none. */
  readonly peerCertificateSha256?: Uint8Array | undefined;
  /** Such as "TLSv1.3". */
  readonly protocol: string;
  /** Whether that leaf was pinned or leads to an authority. */
  readonly peerVerified?: boolean;
  /** The node id in it, which an authority vouches for. */
  readonly peerNodeId?: Uint8Array | undefined;
}

export interface DatagramOptions {
  /** Several sockets of this machine share the port. */
  readonly shared: boolean;
  readonly receive: (packet: Uint8Array, from: Address) => void;
}

/** What a transport cannot do on its runtime; the contract suite reads it. */
export interface Capabilities {
  readonly directRead: boolean;
  readonly sourceAddress: boolean;
}

/** TCP and UDP of one runtime. TCP_NODELAY is always on. */
export interface Transport {
  readonly capabilities: Capabilities;
  /**
   * Fails with ASOC_CONNECTION_REFUSED, ASOC_DIAL_TIMEOUT, ASOC_OUT_OF_DESCRIPTORS or ASOC_UNREACHABLE, and with TLS with
   * one of its codes (ASOC_TLS_…).
   */
  dial(to: Address, options: DialOptions): Promise<Conn>;
  /**
   * Fails with ASOC_PORT_IN_USE. Port 0 takes a free one. Whoever comes from where `isShut` says true is cut off before
   * anything is made for it.
   */
  listen(
    at: Address,
    accept: (conn: Conn) => void,
    tls?: TlsListen,
    isShut?: (remote: Address) => boolean,
  ): Promise<Listener>;
  bindDatagram(at: Address, options: DatagramOptions): Promise<DatagramSocket>;
}

/** A running timer. */
export interface Timer {
  cancel(): void;
}

/** Time, as the core knows it. */
export interface Clock {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Wall clock, milliseconds since 1970. */
  unixMs(): number;
  /** Calls `run` once after `delayMs`. */
  after(delayMs: number, run: () => void): Timer;
}

/** A key pair for X25519 (RFC 7748); 32 bytes each. */
export interface X25519KeyPair {
  /** Secret. Any 32 bytes are one; the function itself clamps them. */
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** A SHA-256 that is fed part by part. */
export interface HashStream {
  /** `part` is read during the call only. */
  update(part: Uint8Array): void;
  /** The 32 bytes of the hash. Called once; nothing may follow it. */
  digest(): Uint8Array;
}

/**
 * Synchronous primitives. Results are fresh memory of the caller's; arguments are read during the call only.
 * Arguments of a wrong length throw RangeError.
 */
export interface Crypto {
  randomBytes(byteCount: number): Uint8Array;
  sha256(data: Uint8Array): Uint8Array;
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
  /** SHA-256 of what comes in parts, such as a tensor. */
  sha256Stream(): HashStream;
  /** A fresh pair for X25519, from `randomBytes`. */
  x25519KeyPair(): X25519KeyPair;
  /**
   * The shared secret of both keys, 32 bytes. Throws AuthError ASOC_BAD_PUBLIC_KEY where it would be all zero:
   * the peer's key is then of small order and the secret is known to everybody (RFC 7748, 6.1).
   */
  x25519(privateKey: Uint8Array, peerPublicKey: Uint8Array): Uint8Array;
  /** AES-256-GCM (NIST SP 800-38D): ciphertext, then the tag of 16 bytes. Key 32 bytes, nonce 12, never used twice. */
  aes256GcmSeal(
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    additionalData?: Uint8Array,
  ): Uint8Array;
  /** The plaintext of what `aes256GcmSeal` made, or undefined where anything was changed. */
  aes256GcmOpen(
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    additionalData?: Uint8Array,
  ): Uint8Array | undefined;
  /** CRC-32 as in zip and Ethernet, unsigned. `start`: the CRC of what came before `data`. */
  crc32(data: Uint8Array, start?: number): number;
}

/** One network interface with an IPv4 address. */
export interface NetworkInterface {
  readonly address: string;
  readonly broadcast: string;
}

/** Everything together: what `createNode` needs. */
export interface Runtime {
  readonly name: string;
  readonly version: string;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly crypto: Crypto;
  /** IPv4 interfaces that are up, loopback included. */
  interfaces(): readonly NetworkInterface[];
}
