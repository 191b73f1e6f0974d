/** Which peer somebody means who types the beginning of an id, or a name. */
import type { Crypto } from "./runtime.ts";
import type { Peer, Swarm } from "./swarm/swarm.ts";
import { toHex } from "./wire/bytes.ts";
import { nameTag } from "./wire/node_id.ts";

/** See `AsocNode.findPeer`. Throws RangeError when `text` fits several. */
export function findPeer(text: string, swarm: Swarm, community: string, crypto: Crypto): Peer | undefined {
  const peers = swarm.peers();
  const exact = swarm.findPeer(text);
  if (exact) return exact;
  const prefix = text.toLowerCase().replaceAll("-", "");
  const tag = toHex(nameTag(community, text, crypto));
  const isPrefix = /^[0-9a-f]+$/.test(prefix);
  const matches = peers.filter((peer) => {
    const hex = peer.nodeId?.replaceAll("-", "");
    return hex !== undefined && (hex.startsWith(tag) || (isPrefix && hex.startsWith(prefix)));
  });
  if (matches.length > 1) {
    throw new RangeError(
      `peer: ${JSON.stringify(text)} fits ${matches.map((peer) => peer.id).join(" and ")}; give more of the id`,
    );
  }
  return matches[0];
}
