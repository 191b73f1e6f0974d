/**
 * Twins: several proven links between the same two nodes, because both dialled, or one dialled twice
 * (RFC-0006, section 9).
 *
 * One stays: the newest of those that the node with the smaller id dialled, else the newest of the others. Both sides
 * reckon alike, but for links of one dialler, which the two may have seen open in different order. So only the node with the
 * smaller id acts: it says GOAWAY duplicate on the others (`pollRetire`) and closes each when its streams are done. What
 * the other side reckons is for its own routing, and yields to a GOAWAY.
 *
 *   of one twin:  STAYS ⇄ DUPLICATE ── retired, or GOAWAY came ──▶ LEAVING ── drained ──▶ closed
 *
 * Nothing is retired before the other side has been heard on the link that stays, after the twin opened (`pollProbe`): it
 * may not have all of our handshake yet, and would be without a link for a while; or it may have restarted, and know
 * nothing of that link although nobody has told us.
 */
import type { Link, Links } from "./links.ts";

export class Twins {
  readonly #ownId: string;
  readonly #links: Links;
  #probes: Link[] = [];
  #retired: Link[] = [];

  /** `ownId`: text form, lower case, so that its order is that of the bytes. */
  constructor(ownId: string, links: Links) {
    this.#ownId = ownId;
    this.#links = links;
  }

  /** A proven link has opened. */
  handleOpened(link: Link): void {
    if (!link.nodeId) return;
    for (const other of this.#links.proven(link.nodeId)) if (other !== link) other.confirmed = "no";
  }

  /** Says which of the proven links to `nodeId` stays. Returns those that leave from now on. */
  settle(nodeId: string): Link[] {
    const twins = this.#links.proven(nodeId);
    const preferred = this.#ownId < nodeId ? "outbound" : "inbound";
    let stays: Link | undefined;
    for (const link of twins) {
      if (link.leaving) continue;
      if (stays?.direction !== preferred || link.direction === preferred) stays = link;
    }
    for (const link of twins) {
      if (link.leaving !== "duplicate") link.duplicate = stays !== undefined && link !== stays;
    }
    if (!stays || this.#ownId > nodeId) return [];
    const retired = twins.filter((link) => link.duplicate && link.leaving !== "duplicate");
    if (retired.length === 0) return [];
    if (stays.confirmed !== "yes") {
      if (stays.confirmed === "no") this.#probes.push(stays);
      stays.confirmed = "asked";
      return [];
    }
    for (const link of retired) link.leaving = "duplicate";
    this.#retired.push(...retired);
    return retired;
  }

  pollProbe(): Link | undefined {
    return this.#next(this.#probes);
  }

  pollRetire(): Link | undefined {
    return this.#next(this.#retired);
  }

  #next(queue: Link[]): Link | undefined {
    for (let link = queue.shift(); link; link = queue.shift()) if (this.#links.has(link)) return link;
    return undefined;
  }
}
