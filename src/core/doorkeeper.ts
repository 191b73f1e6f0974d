/**
 * Who may do what at a node, and the note of it: asks the access rules for the connections, and tells the audit what
 * became of each (RFC-0103). Holds no connections.
 */
import type { Access, PeerAccess } from "./access/access.ts";
import { formatAddress } from "./address.ts";
import type { AuditEntry, AuditWho } from "./audit/audit_event.ts";
import type { AuditTrail } from "./audit/audit_trail.ts";
import type { RefusalReason } from "./auth/admission.ts";
import type { Connection } from "./connection.ts";
import type { BeaconRefusal } from "./discovery/discovery.ts";
import { type AsocError, AuthError, LimitError, ProtocolError } from "./errors.ts";
import type { NodeEvent } from "./node_events.ts";
import type { Address, Conn } from "./runtime.ts";
import type { TensorDescription } from "./session/description.ts";
import type { PeerTls } from "./swarm/swarm.ts";
import { toHex } from "./wire/bytes.ts";

/** Why a connection, or a stream, was turned away before anything of it counted. */
export type DoorReason =
  | RefusalReason
  | "closing"
  | "forbidden"
  | "no key of this node holds now"
  | "failed handshake"
  | "failed handshake, address blocked"
  | "maxQueuedStreams";

/** A connection, as far as it has to be known here. */
type Known = Pick<Connection, "access" | "remote" | "direction">;

/** The words of reasons, for the audit: those of metrics, stable. */
const WORDS: Readonly<Partial<Record<DoorReason, string>>> = {
  "too many attempts": "attempts",
  "too many handshakes": "handshakes",
  "too many TLS handshakes": "tls-handshakes",
  "too many connections": "connections",
  maxQueuedStreams: "queue",
  "no key of this node holds now": "keys",
};

export class Doorkeeper {
  readonly access: Access;
  readonly audit: AuditTrail;
  readonly #emit: (event: NodeEvent) => void;
  #lastFailure: AsocError | undefined;
  readonly #refused: Record<string, number> = {};

  constructor(access: Access, audit: AuditTrail, emit: (event: NodeEvent) => void) {
    this.access = access;
    this.audit = audit;
    this.#emit = emit;
  }

  /** Refused connections by the code of why, or by the reason where there was no error. */
  get refused(): Readonly<Record<string, number>> {
    return { ...this.#refused };
  }

  /** What the peer on `conn` may do; `nodeId` says who it is as of now. */
  peer(conn: Pick<Conn, "remote" | "tls">, dials: boolean, nodeId: () => string | undefined): PeerAccess {
    const { tls, remote } = conn;
    // Whoever we dialled is the acceptor: its certificate is the one that the session is bound to.
    const shown = tls?.peerCertificateSha256 ?? (dials ? tls?.certificateSha256 : undefined);
    const certificate = shown && toHex(shown);
    return this.access.peer(() => ({ nodeId: nodeId(), host: remote.host, certificate }));
  }

  // --- connections

  /** A connection that was turned away, or whose handshake failed; also a stream that nobody had room for. */
  turnedAway(address: Address, reason: DoorReason, error?: AsocError, nodeId?: string, known?: Known): void {
    const name = error?.code ?? reason;
    this.#refused[name] = (this.#refused[name] ?? 0) + 1;
    this.#emit({ kind: "refused", address, reason, error, nodeId });
    const where = formatAddress(address);
    const who = known ? whoOf(known, nodeId) : nodeId === undefined ? undefined : { nodeId };
    const what =
      reason === "maxQueuedStreams"
        ? "stream.refused"
        : reason.startsWith("failed")
          ? "handshake.refused"
          : "connection.refused";
    const facts = error ? { text: error.message } : undefined;
    this.#note(
      { what, outcome: "refused", reason: error?.code ?? WORDS[reason] ?? reason, who, where, facts },
      address,
    );
    if (reason === "failed handshake, address blocked")
      this.#note(
        { what: "address.blocked", outcome: "refused", reason: error?.code, where: address.host },
        address,
      );
  }

  /** Why the peer may not have a session here; undefined: it may. */
  refusal({ access }: Pick<Known, "access">): AuthError | undefined {
    const { mayConnect, rule } = access.permissions;
    return mayConnect ? undefined : forbidden("Cannot connect", rule);
  }

  /** The same for a host that nothing else is known of yet. */
  hostRefusal(host: string): AuthError | undefined {
    const allowed = this.access.rules.mayConnectFrom(host);
    return allowed
      ? undefined
      : new AuthError("ASOC_FORBIDDEN", "Cannot connect: no access rule allows its address");
  }

  /** Both sides have proven the key; `proven`: with x1's proof. */
  opened(connection: Known, proven: boolean, tls?: PeerTls): void {
    const { direction, remote, access } = connection;
    const { rule, binding } = access.permissions;
    const who = whoOf(connection);
    const where = formatAddress(remote);
    const facts = { direction, protocol: proven ? "x1" : "v1", rule, binding, tls: tls?.verified };
    this.#note({ what: "handshake.accepted", outcome: "accepted", who, where, facts }, remote);
    if (!proven)
      this.#note({ what: "session.legacy", outcome: "noted", who, where, facts: { direction } }, remote);
  }

  ended(connection: Known, error: AsocError | undefined): void {
    const { direction, remote } = connection;
    const facts = { direction, ...(error ? { text: error.message } : {}) };
    const [who, where] = [whoOf(connection), formatAddress(remote)];
    this.#note({ what: "session.ended", outcome: "noted", reason: error?.code, who, where, facts }, remote);
  }

  /** A dial failed in its handshake: told where that is a matter of trust, and not of a network that was gone. */
  dialRefused(address: Address, cause: AsocError, known?: Known): void {
    if (!(cause instanceof AuthError || cause instanceof ProtocolError)) return;
    const who = known && whoOf(known);
    const where = formatAddress(address);
    const facts = { text: cause.message };
    this.#note({ what: "dial.refused", outcome: "refused", reason: cause.code, who, where, facts }, address);
  }

  /** Other communities nearby, and other programs on the port, are counted elsewhere and no news. */
  readonly beaconRefused = (reason: BeaconRefusal, from: Address, nodeId: string | undefined): void => {
    if (reason === "community" || reason === "length") return;
    const who = nodeId === undefined ? undefined : { nodeId };
    this.#note({ what: "beacon.refused", outcome: "refused", reason, who, where: formatAddress(from) }, from);
  };

  // --- what peers do in their sessions

  /** Why a tensor that begins, or goes on from `baseOffset`, may not be taken; undefined: it may. */
  arrivalRefusal(
    connection: Known,
    said: TensorDescription | undefined,
    baseOffset = 0,
  ): AsocError | undefined {
    if (this.access.rules.isOpen) return undefined;
    const { permissions, bytesLeft } = connection.access;
    const topic = said?.topic ?? "";
    if (!permissions.maySend(topic)) {
      return forbidden(`Cannot take a tensor of topic ${JSON.stringify(topic)}`, permissions.rule, topic);
    }
    // What does not say how long it is ends when the quota does.
    if (bytesLeft > 0 && (said?.totalBytes ?? baseOffset) - baseOffset <= bytesLeft) return undefined;
    return quotaExceeded(permissions.rule);
  }

  /** A stream of the peer's has failed: noted where that was not allowed, or beyond its quota. */
  streamFailed(connection: Known, error: AsocError): void {
    if (error === this.#lastFailure) return; // of a transfer that went on: it fails as the old stream and as the new one
    this.#lastFailure = error;
    const { topic } = error.details;
    if (error.code === "ASOC_FORBIDDEN") this.denied(connection, "send", String(topic ?? ""));
    if (error.code === "ASOC_QUOTA_EXCEEDED") this.#overQuota(connection);
  }

  /** Throws AuthError ASOC_FORBIDDEN where the peer may not get tensors of `topic`. */
  checkSend(connection: Known, topic: string): void {
    if (this.access.rules.isOpen) return;
    const { permissions } = connection.access;
    if (permissions.mayReceive(topic)) return;
    this.denied(connection, "receive", topic);
    throw forbidden(`Cannot send a tensor of topic ${JSON.stringify(topic)}`, permissions.rule);
  }

  /** Whether a TAP may be granted at all. */
  mayTap(connection: Known, glob: string): boolean {
    if (connection.access.permissions.mayTap(glob)) return true;
    this.denied(connection, "tap", glob);
    return false;
  }

  denied(connection: Known, action: "connect" | "send" | "receive" | "tap", topic?: string): void {
    const { rule, binding } = connection.access.permissions;
    const facts = { action, rule, binding, ...(topic === undefined ? {} : { topic }) };
    this.#noteOf(connection, {
      what: "permission.denied",
      outcome: "refused",
      reason: "ASOC_FORBIDDEN",
      facts,
    });
  }

  #overQuota(connection: Known): void {
    const { rule, binding } = connection.access.permissions;
    const facts = { rule, binding };
    this.#noteOf(connection, {
      what: "quota.exceeded",
      outcome: "refused",
      reason: "ASOC_QUOTA_EXCEEDED",
      facts,
    });
  }

  #noteOf(connection: Known, entry: AuditEntry): void {
    const { remote } = connection;
    this.#note({ ...entry, who: whoOf(connection), where: formatAddress(remote) }, remote);
  }

  #note(entry: AuditEntry, { host }: Address): void {
    this.audit.note(entry, host);
  }
}

function whoOf({ access }: Pick<Known, "access">, claimed?: string): AuditWho {
  const { nodeId = claimed, certificate } = access.visitor;
  return {
    ...(nodeId === undefined ? {} : { nodeId }),
    ...(certificate === undefined ? {} : { certificate }),
  };
}

function forbidden(what: string, rule: string, topic?: string): AuthError {
  const why =
    rule === "default"
      ? "no access rule allows it"
      : `the access rule ${JSON.stringify(rule)} does not allow it`;
  return new AuthError("ASOC_FORBIDDEN", `${what}: ${why}`, { details: { rule, topic } });
}

function quotaExceeded(rule: string): LimitError {
  return new LimitError("ASOC_QUOTA_EXCEEDED", `Cannot take the tensor: the quota of its sender is used up`, {
    details: { limit: "quota", rule },
  });
}
