/** A peer as a rotation of keys needs it: whether it can follow, and the way to it (RFC-0102, Rotation). */
import type { Connection } from "./connection.ts";
import { AsocError } from "./errors.ts";
import type { SessionEvent } from "./session/session_types.ts";
import { type Peer, peerOf } from "./swarm/swarm.ts";
import { Capability } from "./wire/records/caps.ts";
import type { KeyGrant, KeyReceipt } from "./wire/records/key.ts";

/** What KEY_NEW or KEY_ACK said. */
export type KeyNews = Extract<SessionEvent, { kind: "keyOffered" | "keyAnswered" }>;

/** Why a peer cannot follow a rotation. */
export type CannotFollow =
  /** It speaks version 1 only. */
  | "v1"
  /** It is configured to refuse, or does not know how. */
  | "refuses"
  /** There was no X25519 exchange on its connection. */
  | "noKeyExchange";

export interface KeyPeer {
  readonly peer: Peer;
  /** Differs from one connection to the next. */
  readonly road: object;
  readonly cannotFollow: CannotFollow | undefined;
  /** KEY_NEW. Does nothing where the peer cannot follow, or its connection has ended. */
  offer(grant: KeyGrant): void;
  /** KEY_ACK. */
  answer(receipt: KeyReceipt): void;
}

/** Undefined before the connection is open. */
export function keyPeerOf(connection: Connection): KeyPeer | undefined {
  const { link, driver } = connection;
  if (!link) return undefined;
  const { session } = driver;
  const say = (run: () => void) => {
    if (session.closed || !session.keyChannel) return;
    try {
      run();
    } catch (error) {
      if (!(error instanceof AsocError)) throw error;
      session.abort(error, driver.nowMs()); // it reads nothing of what it is told
    }
    driver.pump();
  };
  return {
    peer: peerOf(link),
    road: driver,
    cannotFollow: cannotFollow(connection),
    offer: (grant) => say(() => session.keyChannel?.offer(grant)),
    answer: (receipt) => say(() => session.keyChannel?.answer(receipt)),
  };
}

/** Each peer once, by a connection that stays where there is one. */
export function keyPeersOf(connections: Iterable<Connection>): KeyPeer[] {
  const byId = new Map<string, { readonly from: KeyPeer; readonly stays: boolean }>();
  for (const connection of connections) {
    const from = keyPeerOf(connection);
    if (!from || connection.driver.session.closed) continue;
    const stays = connection.link?.leaving === undefined && connection.link?.duplicate !== true;
    const known = byId.get(from.peer.id);
    if (!known || (stays && !known.stays)) byId.set(from.peer.id, { from, stays });
  }
  return [...byId.values()].map(({ from }) => from);
}

function cannotFollow({ driver }: Connection): CannotFollow | undefined {
  const { peer, keyChannel } = driver.session;
  if (!peer) return "v1";
  if ((peer.capabilities & Capability.ROTATION) === 0) return "refuses";
  return keyChannel ? undefined : "noKeyExchange";
}
