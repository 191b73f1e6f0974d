/** Connections that a node dials: which key they begin with, whether who answers may stay, and what the swarm hears of it. */
import { formatAddress } from "./address.ts";
import type { Callers } from "./callers.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionKeys } from "./connection_keys.ts";
import type { Dialled, SessionKeys } from "./connection_maker.ts";
import type { Doorkeeper } from "./doorkeeper.ts";
import { AsocError, ClosedError, ConnectionError, describe } from "./errors.ts";
import type { NodeConfig } from "./node_events.ts";
import type { Address, Conn, Runtime } from "./runtime.ts";
import type { Swarm, Target } from "./swarm/swarm.ts";
import { checkDialled } from "./tls.ts";

/** What becomes of a dial. */
export interface DialOutcomes {
  connect(conn: Conn, keys: SessionKeys, dialled: Dialled): void;
  /** It has failed, and the swarm knows. */
  failed(): void;
}

export class Dialling {
  readonly #runtime: Runtime;
  readonly #config: NodeConfig;
  readonly #swarm: Swarm;
  readonly #door: Doorkeeper;
  readonly #callers: Callers;
  readonly #keys: ConnectionKeys;
  readonly #outcomes: DialOutcomes;
  readonly #dials = new AbortController();
  #closing = false;

  constructor(
    runtime: Runtime,
    config: NodeConfig,
    swarm: Swarm,
    door: Doorkeeper,
    callers: Callers,
    keys: ConnectionKeys,
    outcomes: DialOutcomes,
  ) {
    this.#runtime = runtime;
    this.#config = config;
    this.#swarm = swarm;
    this.#door = door;
    this.#callers = callers;
    this.#keys = keys;
    this.#outcomes = outcomes;
  }

  /** Dials `target`; the swarm hears how it went. */
  async dial(target: Target, address: Address): Promise<void> {
    const { transport, clock } = this.#runtime;
    const { limits } = this.#config;
    const challenge = this.#callers.challengeFor(target);
    try {
      const forbidden = this.#door.hostRefusal(address.host);
      if (forbidden) throw forbidden;
      this.#keys.dialling(target); // throws where none holds
      const conn = await transport.dial(address, {
        timeoutMs: limits.dialTimeoutMs,
        signal: this.#dials.signal,
        tls: this.#config.tls,
      });
      if (this.#closing) return conn.abort();
      let key: Uint8Array;
      try {
        checkDialled(conn, this.#config.tls, target.nodeId);
        ({ key } = this.#keys.dialling(target)); // that of now: the one of before may be revoked, and overwritten
      } catch (error) {
        conn.abort();
        throw error;
      }
      this.#outcomes.connect(conn, { key }, { target, address, challenge });
    } catch (error) {
      this.#callers.forgetChallenge(challenge);
      if (this.#closing) return;
      const cause =
        error instanceof AsocError
          ? error
          : new ConnectionError("ASOC_UNREACHABLE", describe(error), { cause: error });
      this.#door.dialRefused(address, cause);
      this.#swarm.handleDialFailed(target, cause, clock.nowMs());
      this.#outcomes.failed();
    }
  }

  /** Whom we dialled says only now who it is; whoever dialled us was asked before. */
  refusal({ target, driver, remote }: Connection, id: string | undefined): AsocError | undefined {
    if (!target) return undefined;
    const access = this.#door.peer(driver.conn, true, () => id ?? target.nodeId);
    const refusal = this.#door.refusal({ access });
    if (refusal) this.#door.denied({ access, remote, direction: "outbound" }, "connect");
    return refusal;
  }

  /** A connection to `target` has ended before its handshake was through. */
  failed(connection: Connection, target: Target, error: AsocError | undefined, nowMs: number): void {
    this.#keys.refused(connection, isAnswered(error));
    const cause = error ?? new ConnectionError("ASOC_HANDSHAKE_REFUSED", "Handshake refused");
    const named = new ConnectionError(
      "ASOC_HANDSHAKE_REFUSED",
      `${formatAddress(connection.remote)}: ${cause.message}`,
      { cause },
    );
    this.#door.dialRefused(connection.remote, cause, connection);
    this.#swarm.handleDialFailed(target, named, nowMs);
  }

  /** No more dials; those under way are given up. */
  close(): void {
    this.#closing = true;
    this.#dials.abort(new ClosedError("ASOC_CLOSED", "The node is closing"));
  }
}

/** Whoever has answered a HELLO knows its key. */
function isAnswered(error: AsocError | undefined): boolean {
  return error !== undefined && error.code !== "ASOC_HANDSHAKE_REFUSED" && error.code !== "ASOC_WRONG_KEY";
}
