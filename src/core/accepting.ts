/**
 * Connections that come in, until their handshake is through: who is let into it, who makes room for whom, and what a
 * failure counts for (RFC-0001, Abuse).
 */
import { Admission } from "./auth/admission.ts";
import { isAccident, isBlamed } from "./auth/blame.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionKeys } from "./connection_keys.ts";
import type { SessionKeys } from "./connection_maker.ts";
import type { Doorkeeper, DoorReason } from "./doorkeeper.ts";
import { type AsocError, LimitError } from "./errors.ts";
import { whoMakesRoom } from "./make_room.ts";
import type { NodeConfig } from "./node_events.ts";
import type { Address, Clock, Conn, TlsListen } from "./runtime.ts";
import { insecureError, listenWith } from "./tls.ts";

export class Accepting {
  readonly #config: NodeConfig;
  readonly #clock: Clock;
  readonly #door: Doorkeeper;
  readonly #keys: ConnectionKeys;
  readonly #connections: ReadonlySet<Connection>;
  readonly #connect: (conn: Conn, keys: SessionKeys) => void;
  readonly #admission: Admission;
  #closing = false;

  /** `connections`: all that there are, as they are at any time, in the order in which they came. */
  constructor(
    config: NodeConfig,
    clock: Clock,
    door: Doorkeeper,
    keys: ConnectionKeys,
    connections: ReadonlySet<Connection>,
    connect: (conn: Conn, keys: SessionKeys) => void,
  ) {
    this.#config = config;
    this.#clock = clock;
    this.#door = door;
    this.#keys = keys;
    this.#connections = connections;
    this.#connect = connect;
    this.#admission = new Admission(config.limits);
  }

  /** How connections come in where they must speak TLS. */
  get tlsListen(): TlsListen | undefined {
    const { tls, limits } = this.#config;
    if (!tls) return undefined;
    return listenWith(tls, limits, this.#admission, this.#clock, this.#door);
  }

  /** Whether connections from there are refused now, whatever they say: asked before anything is made for one. */
  isShut(remote: Address): boolean {
    const nowMs = this.#clock.nowMs();
    return this.#turnsAway(remote, () => {
      const refused = this.#admission.shut(remote.host, nowMs);
      if (refused || !this.#admission.crowded) return refused;
      return whoMakesRoom(this.#connections, nowMs) ? undefined : "too many handshakes";
    });
  }

  /** A connection has come in. */
  accept(conn: Conn): void {
    const insecure = insecureError(conn, this.#config.tls);
    if (insecure) {
      this.#door.turnedAway(conn.remote, "failed handshake", insecure);
      conn.abort(insecure);
      return;
    }
    const nowMs = this.#clock.nowMs();
    // Idle sockets must not keep real peers out.
    if (this.#admission.crowded) this.#makeRoom(nowMs);
    const { host } = conn.remote;
    if (this.#turnsAway(conn.remote, () => this.#admission.arrive(host, nowMs, conn.tls !== undefined))) {
      conn.abort();
      return;
    }
    const keys = this.#keys.accepting(conn.remote.host);
    if (keys) {
      this.#connect(conn, keys);
      return;
    }
    this.#admission.failed(conn.remote.host, false, nowMs);
    this.#door.turnedAway(conn.remote, "no key of this node holds now");
    conn.abort();
  }

  /** The handshake of a connection from there has succeeded; `left` must follow. */
  authenticated(remote: Address): void {
    this.#admission.authenticated(remote.host);
  }

  /** An authenticated connection from there has ended. */
  left(remote: Address, nowMs: number): void {
    this.#admission.left(remote.host, nowMs);
  }

  /** A connection that came in has ended before its handshake was through. */
  failed(connection: Connection, error: AsocError | undefined, nowMs: number): void {
    const { host } = connection.remote;
    const blame = isBlamed(error) && !(isAccident(error) && this.#admission.isFamiliar(host, nowMs));
    const blocked = this.#admission.failed(host, blame, nowMs);
    const reason = blocked ? "failed handshake, address blocked" : "failed handshake";
    this.#door.turnedAway(connection.remote, reason, error, undefined, connection);
  }

  /** No more connections. */
  close(): void {
    this.#closing = true;
  }

  /** Whether somebody from there is refused, by `judge` or before it is asked; that is told then. */
  #turnsAway(remote: Address, judge: () => DoorReason | undefined): boolean {
    const forbidden = this.#door.hostRefusal(remote.host);
    const refused = this.#closing ? "closing" : forbidden ? "forbidden" : judge();
    if (refused) this.#door.turnedAway(remote, refused, forbidden);
    return refused !== undefined;
  }

  #makeRoom(nowMs: number): void {
    const { driver } = whoMakesRoom(this.#connections, nowMs) ?? {};
    if (!driver) return;
    const message = "Handshake given up to make room for a newer one (maxPendingHandshakes, maxConnections)";
    const details = { limit: "maxPendingHandshakes" };
    driver.session.abort(new LimitError("ASOC_ADMISSION", message, { details }), nowMs);
    driver.pump();
  }
}
