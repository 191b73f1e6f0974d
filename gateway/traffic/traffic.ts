/** What the gateway uses of a node: a test needs to stand in for no more than this. */
import type { AsocNode, AuditEntry, NodeEvent, NodeStats, Peer } from "../../src/mod.ts";

export type { TrafficObserver, TrafficStream } from "../../src/mod.ts";

/** A node, as far as the gateway uses it. */
export interface GatewayNode
  extends Pick<
    AsocNode,
    "id" | "address" | "community" | "runtime" | "incoming" | "findPeer" | "sendAll" | "observe"
  > {
  readonly stats: NodeStats;
  readonly peers: { list(): readonly Peer[] };
  /** Where its refusals are noted; undefined: nowhere. */
  noteAudit?(entry: AuditEntry): void;
  events(): AsyncIterable<NodeEvent>;
}
