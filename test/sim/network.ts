/**
 * A simulated network on virtual time: hosts, connections, broadcasts, and the faults of real ones.
 *
 * Every random choice comes from one seed. It knows nothing of ASoc: it carries bytes.
 */
import { isLoopback } from "../../src/core/address.ts";
import type {
  Address,
  Conn,
  DatagramOptions,
  DatagramSocket,
  DialOptions,
  Listener,
  NetworkInterface,
  Transport,
} from "../../src/core/runtime.ts";
import { dialFailure, dialTimeout, listenFailure } from "../../src/runtime/common/failures.ts";
import type { VirtualTime } from "./clock.ts";
import { SimConn } from "./conn.ts";
import type { EndCause, LinkQuality, Wire } from "./pipe.ts";
import type { Random } from "./random.ts";

export interface NetworkOptions extends LinkQuality {
  readonly datagramLoss: number;
  readonly datagramCopies: number;
}

export const CALM: NetworkOptions = {
  minLatencyMs: 1,
  maxLatencyMs: 3,
  bytesPerMs: 1_000_000,
  windowBytes: 512 * 1024,
  segmentBytes: 64 * 1024,
  cutChance: 0.2,
  datagramLoss: 0,
  datagramCopies: 0,
};

/** One connection between two hosts, for whoever injects faults and keeps books. */
export interface Connection {
  readonly from: SimHost;
  readonly to: SimHost;
  readonly dialled: SimConn;
  readonly accepted: SimConn;
  /** Nothing passes on it any more, and one end does not know. */
  forgotten: boolean;
  /** Bytes that were written and that never reached the other end's sink. */
  lostBytes: number;
  /** Set when it ended otherwise than with a FIN in each direction. */
  broken: UncleanEnd | undefined;
}

/** A connection that did not end with a FIN in each direction. */
export interface UncleanEnd extends EndCause {
  readonly connection: Connection;
  readonly atMs: number;
  /** When both ends knew of it. */
  overMs: number;
}

interface Bound {
  readonly host: string;
  readonly port: number;
}
interface BoundListener extends Bound {
  readonly accept: (conn: Conn) => void;
}
interface BoundSocket extends Bound {
  readonly shared: boolean;
  readonly receive: DatagramOptions["receive"];
}

export class Network {
  readonly time: VirtualTime;
  readonly random: Random;
  options: NetworkOptions;
  readonly hosts: SimHost[] = [];
  readonly connections = new Set<Connection>();
  readonly uncleanEnds: UncleanEnd[] = [];
  readonly #groups = new Map<SimHost, number>();
  /** Whose packets do not get to whom. */
  readonly #muted = new Map<SimHost, ReadonlySet<SimHost>>();

  constructor(time: VirtualTime, random: Random, options: Partial<NetworkOptions> = {}) {
    this.time = time;
    this.random = random;
    this.options = { ...CALM, ...options };
  }

  /** A host with these addresses (the first is its own), reading in place or copying. */
  addHost(addresses: readonly [string, ...string[]], directRead = true): SimHost {
    const host = new SimHost(this, addresses, directRead);
    this.hosts.push(host);
    return host;
  }

  /** Only hosts of one group reach each other. Bytes under way wait; dials and datagrams are lost. */
  partition(...groups: readonly (readonly SimHost[])[]): void {
    this.#groups.clear();
    this.#muted.clear();
    for (const [index, group] of groups.entries()) for (const host of group) this.#groups.set(host, index);
    for (const { dialled, accepted } of [...this.connections]) {
      dialled.released();
      accepted.released();
    }
  }

  /** What `from` send does not get to `to`, and what `to` send does get to them. */
  mute(from: readonly SimHost[], to: readonly SimHost[]): void {
    for (const host of from) this.#muted.set(host, new Set(to));
  }

  heal(): void {
    this.partition();
  }

  /** Packets of `from` get to `to`. */
  hears(to: SimHost, from: SimHost): boolean {
    return (this.#groups.get(from) ?? -1) === (this.#groups.get(to) ?? -1) && !this.#muted.get(from)?.has(to);
  }

  /** Packets get there, and answers come back. */
  reaches(one: SimHost, other: SimHost): boolean {
    return this.hears(one, other) && this.hears(other, one);
  }

  /** One end sees a failure, and the other one is never told: the path forgot the connection, or a machine lost its power. */
  forget(connection: Connection): void {
    if (!this.connections.has(connection) || connection.forgotten) return;
    connection.forgotten = true;
    this.#broken(connection, { by: "cut", error: undefined });
    const { dialled, accepted } = connection;
    (this.random.chance(0.5) ? dialled : accepted).vanish(new Error("the connection was lost"));
  }

  /** Both ends see a failure, and what is on its way is lost. */
  cut(connection: Connection): void {
    if (!this.connections.has(connection)) return;
    this.#broken(connection, { by: "cut", error: undefined });
    const cause = new Error("the connection was lost");
    const [first, second] = this.random.chance(0.5)
      ? [connection.dialled, connection.accepted]
      : [connection.accepted, connection.dialled];
    first.cut(cause);
    this.time.after(this.random.between(0, 5), () => second.cut(cause));
  }

  connect(from: SimHost, to: SimHost, local: Address, remote: Address): Connection {
    const wire: Wire = {
      time: this.time,
      random: this.random.fork(),
      quality: this.options,
      blocked: (end) =>
        connection.forgotten || !(end === "dialler" ? this.hears(from, to) : this.hears(to, from)),
      broken: (cause) => this.#broken(connection, cause),
      over: () => {
        if (!dialled.over || !accepted.over) return;
        this.connections.delete(connection);
        if (connection.broken) connection.broken.overMs = this.time.nowMs();
      },
      lost: (byteCount) => {
        connection.lostBytes += byteCount;
      },
    };
    const dialled = new SimConn(wire, "dialler", local, remote, from.directRead);
    const accepted = new SimConn(wire, "acceptor", remote, local, to.directRead);
    SimConn.join(dialled, accepted);
    const connection: Connection = {
      from,
      to,
      dialled,
      accepted,
      forgotten: false,
      lostBytes: 0,
      broken: undefined,
    };
    this.connections.add(connection);
    return connection;
  }

  latencyMs(): number {
    return this.random.between(this.options.minLatencyMs, this.options.maxLatencyMs);
  }

  /** The host that has `address`, as seen from `from`. */
  find(from: SimHost, address: string): SimHost | undefined {
    if (isLoopback(address)) return from;
    return this.hosts.find((host) => host.addresses.includes(address));
  }

  #broken(connection: Connection, cause: EndCause): void {
    if (connection.broken) return;
    connection.broken = { ...cause, connection, atMs: this.time.nowMs(), overMs: Number.POSITIVE_INFINITY };
    this.uncleanEnds.push(connection.broken);
  }
}

/** One machine: its addresses, ports and sockets. */
export class SimHost {
  readonly network: Network;
  readonly addresses: readonly [string, ...string[]];
  readonly directRead: boolean;
  readonly listeners = new Set<BoundListener>();
  readonly sockets = new Set<BoundSocket>();
  readonly transport: Transport;
  #nextPort = 40_000;

  constructor(network: Network, addresses: readonly [string, ...string[]], directRead: boolean) {
    this.network = network;
    this.addresses = addresses;
    this.directRead = directRead;
    this.transport = {
      capabilities: { directRead, sourceAddress: true },
      dial: (to, options) => this.#dial(to, options),
      listen: (at, accept, _tls, isShut) =>
        this.#listen(at, (conn) => (isShut?.(conn.remote) ? conn.abort() : accept(conn))),
      bindDatagram: (at, options) => this.#bind(at, options),
    };
  }

  get address(): string {
    return this.addresses[0];
  }

  interfaces(): NetworkInterface[] {
    const own = this.addresses.map((address) => ({ address, broadcast: address.replace(/\d+$/, "255") }));
    return [{ address: "127.0.0.1", broadcast: "127.255.255.255" }, ...own];
  }

  #dial(to: Address, options: DialOptions): Promise<Conn> {
    const { time } = this.network;
    const { timeoutMs, signal, localHost } = options;
    return new Promise((resolve, reject) => {
      const fail = (reason: unknown) => settle(() => reject(reason));
      const abort = () => fail(signal?.reason);
      let settled = false;
      const settle = (run: () => void) => {
        if (settled) return;
        settled = true;
        timer.cancel();
        signal?.removeEventListener("abort", abort);
        run();
      };
      const timer = time.after(timeoutMs, () => fail(dialTimeout(to, timeoutMs)));
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) return abort();
      const local = {
        host: localHost ?? (isLoopback(to.host) ? "127.0.0.1" : this.address),
        port: this.#nextPort++,
      };
      const knock = () => {
        if (settled) return;
        const host = this.network.find(this, to.host);
        if (!host || !this.network.reaches(this, host)) {
          time.after(1000, knock); // SYN again
          return;
        }
        const listener = host.#listenerAt(to);
        const latencyMs = this.network.latencyMs();
        if (!listener) {
          time.after(latencyMs, () => fail(dialFailure(to, { code: "ECONNREFUSED" })));
          return;
        }
        const made = this.network.connect(this, host, local, to);
        time.after(latencyMs, () => {
          if (settled) made.dialled.abort(new Error("nobody waits for this connection any more"));
          else settle(() => resolve(made.dialled));
        });
        listener.accept(made.accepted);
      };
      time.after(this.network.latencyMs(), knock);
    });
  }

  #listen(at: Address, accept: (conn: Conn) => void): Promise<Listener> {
    const port = at.port === 0 ? this.#nextPort++ : at.port;
    const listener: BoundListener = { host: at.host, port, accept };
    if (this.#overlap(this.listeners, listener))
      return Promise.reject(listenFailure(at, { code: "EADDRINUSE" }));
    this.listeners.add(listener);
    return Promise.resolve({
      address: { host: at.host, port },
      close: () => {
        this.listeners.delete(listener);
        return Promise.resolve();
      },
    });
  }

  #bind(at: Address, options: DatagramOptions): Promise<DatagramSocket> {
    const port = at.port === 0 ? this.#nextPort++ : at.port;
    const socket: BoundSocket = { host: at.host, port, shared: options.shared, receive: options.receive };
    const other = this.#overlap(this.sockets, socket);
    if (other && !(other.shared && socket.shared))
      return Promise.reject(listenFailure(at, { code: "EADDRINUSE" }, "UDP"));
    this.sockets.add(socket);
    return Promise.resolve({
      address: { host: at.host, port },
      send: (packet, to) => {
        if (!this.sockets.has(socket)) return Promise.reject(new Error("the datagram socket is closed"));
        this.#cast(packet.slice(), { host: isLoopback(to.host) ? "127.0.0.1" : this.address, port }, to);
        return Promise.resolve();
      },
      close: () => {
        this.sockets.delete(socket);
        return Promise.resolve();
      },
    });
  }

  #cast(packet: Uint8Array, from: Address, to: Address): void {
    const { network } = this;
    const { datagramLoss, datagramCopies } = network.options;
    const broadcast = to.host.endsWith(".255");
    const target = broadcast ? undefined : network.find(this, to.host);
    for (const host of isLoopback(to.host) ? [this] : network.hosts) {
      if (target ? host !== target : !broadcast) continue;
      for (const socket of host.sockets) {
        if (socket.port !== to.port) continue;
        const copies =
          host !== this && network.random.chance(datagramLoss)
            ? 0
            : network.random.chance(datagramCopies)
              ? 2
              : 1;
        for (let copy = 0; copy < copies; copy++) {
          network.time.after(network.latencyMs(), () => {
            if (network.hears(host, this) && host.sockets.has(socket)) socket.receive(packet.slice(), from);
          });
        }
        if (!broadcast) break; // a shared port receives unicast once
      }
    }
  }

  #listenerAt(to: Address): BoundListener | undefined {
    for (const listener of this.listeners) {
      if (listener.port === to.port && (listener.host === to.host || listener.host === "0.0.0.0"))
        return listener;
    }
    return undefined;
  }

  #overlap<T extends Bound>(bound: Iterable<T>, wanted: Bound): T | undefined {
    for (const one of bound) {
      if (
        one.port === wanted.port &&
        (one.host === wanted.host || [one.host, wanted.host].includes("0.0.0.0"))
      )
        return one;
    }
    return undefined;
  }

  toString(): string {
    return this.address;
  }
}
