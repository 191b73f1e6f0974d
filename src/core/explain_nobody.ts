/** Why a node has found no peer, for errors: what became of its dials, and of the beacons that it heard. */
import { formatAddress } from "./address.ts";
import { describeRefused } from "./discovery/discovery.ts";
import type { NodeDiscovery } from "./node_discovery.ts";
import type { Address } from "./runtime.ts";
import type { Target } from "./swarm/swarm.ts";

/** As half a sentence. `own`: where the node listens; `discovery`: undefined where it is off. */
export function explainNobody(
  targets: Iterable<Target>,
  own: Address,
  discovery: NodeDiscovery | undefined,
  discoveryPort: number,
): string {
  const parts: string[] = [];
  for (const target of targets) {
    if (target.state === "self") parts.push(`${target.key} is this node itself`);
    else if (target.lastError) parts.push(target.lastError.message);
    else if (target.state === "dialling")
      parts.push(`${formatAddress(target.addresses[0] ?? own)} has not answered yet`);
  }
  if (discovery) {
    const refused = describeRefused(discovery.refused);
    if (refused) parts.push(`beacons refused: ${refused}`);
    else if (parts.length === 0) {
      parts.push(
        `no beacon of another node was heard on UDP port ${discoveryPort}` +
          (discovery.ownBeaconsSeen === 0 ? " (nor our own: is broadcast blocked here?)" : ""),
      );
    }
  } else if (parts.length === 0) parts.push("discovery is off and no peer was given");
  return parts.join("; ");
}
