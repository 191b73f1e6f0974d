/** Which targets may be dialled, given the links that there are. When each is due is its own business (`targets.ts`). */
import { MAX_LINKS_PER_TARGET } from "../limits.ts";
import { holds, type Links } from "./links.ts";
import type { Target, Targets } from "./targets.ts";

/** It may be dialled once it is due. */
export function isFree(target: Target, targets: Targets, links: Links): boolean {
  if (target.state !== "waiting" || isHeld(target, targets, links)) return false;
  let leaving = 0; // the others would hold it
  for (const link of links) if (link.target === target) leaving++;
  return leaving < MAX_LINKS_PER_TARGET;
}

/** Its peer has a connection that makes another needless, or is getting it. */
export function isHeld(target: Target, targets: Targets, links: Links): boolean {
  const { nodeId } = target;
  if (!nodeId) return false;
  // A beacon's word is not enough for who is at a static address: it is asked once, although a twin comes of it.
  const certain = !target.isStatic || target.provenId === nodeId;
  for (const link of links) {
    if (link.nodeId !== nodeId || !holds(link)) continue;
    if (link.proven ? certain : link.direction === "outbound") return true;
  }
  for (const other of targets) {
    if (other !== target && other.nodeId === nodeId && other.state === "dialling") return true;
  }
  return false;
}
