/** What of a node's events belongs into its audit (RFC-0103): changes of keys, sessions over TLS that nobody vouches for, and taps. */
import { formatAddress } from "./address.ts";
import type { AuditEntry } from "./audit/audit_event.ts";
import { AsocError } from "./errors.ts";
import type { NodeEvent } from "./node_events.ts";
import type { Peer } from "./swarm/swarm.ts";

/** Undefined: it is noted elsewhere, or no matter of security. */
export function auditEntryOf(event: NodeEvent): AuditEntry | undefined {
  if (event.kind === "unverified") {
    const { nodeId, address, tls } = event.peer;
    const who = { nodeId, certificate: tls?.certificateSha256 };
    return { what: "tls.unverified", outcome: "noted", who, where: formatAddress(address) };
  }
  if (event.kind !== "key") return undefined;
  const { change, keyId, epoch, peer, kept, error } = event;
  return {
    what: `key.${change}`,
    outcome: change === "refused" ? "refused" : "noted",
    reason: error instanceof AsocError ? error.code : undefined,
    who: peer && { nodeId: peer.nodeId },
    where: peer && formatAddress(peer.address),
    facts: { keyId, epoch, kept, ...(error instanceof Error ? { text: error.message } : {}) },
  };
}

/** A peer has asked for copies of the tensors of `topic`. */
export function tapEntryOf({ nodeId, address }: Peer, topic: string, granted: boolean): AuditEntry {
  const fate = granted
    ? ({ what: "tap.granted", outcome: "accepted" } as const)
    : ({ what: "tap.refused", outcome: "refused", reason: "not granted" } as const);
  return { ...fate, who: { nodeId }, where: formatAddress(address), facts: { topic } };
}
