/**
 * What an audit tells of (RFC-0103): security events, each with a stable name, who and where it was about, and how it went.
 *
 * Nothing in an event is a key, a token or bytes of a tensor. What strangers choose the wording of is clipped and plain.
 */

/** Stable names. One is never renamed or given another meaning. */
export type AuditWhat =
  | "node.started"
  | "node.stopped"
  /** At the door: no byte of it was read. */
  | "connection.refused"
  | "address.blocked"
  | "handshake.accepted"
  | "handshake.refused"
  /** A peer that we dialled was not let in, or did not let us. */
  | "dial.refused"
  /** A session with a peer that has proven nothing, since it speaks only version 1. */
  | "session.legacy"
  | "session.ended"
  | "beacon.refused"
  | "permission.denied"
  | "quota.exceeded"
  | "stream.refused"
  | "tap.granted"
  | "tap.refused"
  | "access.loaded"
  | "access.refused"
  | "gateway.refused"
  /** Events that a log could not take. */
  | "audit.lost"
  | `key.${string}`
  | `tls.${string}`;

export type AuditOutcome = "accepted" | "refused" | "noted";

/** Who it was about, as far as is known. Every field may be missing. */
export interface AuditWho {
  /** A uuid. A claim that any holder of the key can make, unless a certificate binds it. */
  readonly nodeId?: string | undefined;
  /** SHA-256 of the certificate that the other side showed, in hex. */
  readonly certificate?: string | undefined;
}

/** What is noted; the trail adds the time. */
export interface AuditEntry {
  readonly what: AuditWhat;
  readonly outcome: AuditOutcome;
  /** A stable code: of an error (`ASOC_…`, `GATEWAY_…`), or a word such as "blocked". */
  readonly reason?: string | undefined;
  readonly who?: AuditWho | undefined;
  /** HOST:PORT, or HOST alone. */
  readonly where?: string | undefined;
  /** Further facts. Texts are clipped. */
  readonly facts?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
}

export interface AuditEvent extends AuditEntry {
  /** Wall clock, milliseconds since 1970. */
  readonly timeMs: number;
  /** Stands for so many events of this name and reason that were not told one by one. */
  readonly more?: number;
  /** From so many addresses, at least. */
  readonly moreAddresses?: number;
}

/** How often something was noted since the start. */
export interface AuditCount {
  readonly what: AuditWhat;
  readonly outcome: AuditOutcome;
  readonly reason: string | undefined;
  readonly count: number;
}

/** Longest text of a fact, and most facts of an entry. */
const MAX_TEXT_CHARACTERS = 256;
const MAX_FACTS = 16;

/** `text` without control and format characters, and no longer than an event may have it. */
export function clippedText(text: string): string {
  const clipped = text.length > MAX_TEXT_CHARACTERS ? `${text.slice(0, MAX_TEXT_CHARACTERS - 1)}…` : text;
  return clipped.toWellFormed().replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\ufffd");
}

/** The entry with all that came from elsewhere made harmless. */
export function plainEntry(entry: AuditEntry): AuditEntry {
  const { reason, who, where, facts } = entry;
  return {
    ...entry,
    ...(reason === undefined ? {} : { reason: clippedText(reason) }),
    ...(where === undefined ? {} : { where: clippedText(where) }),
    ...(who === undefined ? {} : { who: plainFacts(who as Record<string, string>) }),
    ...(facts === undefined ? {} : { facts: plainFacts(facts) }),
  };
}

function plainFacts<V>(facts: Readonly<Record<string, V>>): Record<string, V> {
  const plain: Record<string, V> = {};
  for (const [name, value] of Object.entries(facts).slice(0, MAX_FACTS))
    if (value !== undefined) plain[name] = typeof value === "string" ? (clippedText(value) as V) : value;
  return plain;
}
