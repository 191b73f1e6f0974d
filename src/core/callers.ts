/**
 * Whom we have met, and what that asks of who comes next: whoever has proven itself may not come without proof any more
 * (RFC-0100, Downgrade), a HELLO is good for once, and nobody may be ourselves.
 */
import { formatAddress } from "./address.ts";
import { KnownPeers } from "./auth/known_peers.ts";
import { ReplayWindow } from "./auth/replay_window.ts";
import { type AsocError, AuthError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Address, Crypto } from "./runtime.ts";
import type { Target } from "./swarm/swarm.ts";
import { readU32 } from "./wire/header.ts";
import { formatNodeId, isVersion8, parseNodeId } from "./wire/node_id.ts";

export class Callers {
  readonly #ownId: string;
  readonly #legacy: "allow" | "deny";
  readonly #crypto: Crypto;
  readonly #isSelf: (target: Target) => void;
  readonly #hellos: ReplayWindow;
  readonly #proven: KnownPeers;
  /** Uuids that came without CAPS: the next time nobody waits for it. */
  readonly #withoutCaps: KnownPeers;
  /** Challenges of our HELLOs that are not answered yet: they show a connection to ourselves. */
  readonly #challenges = new Map<number, Target>();

  /** `isSelf` hears of a target that is this node. */
  constructor(
    ownId: string,
    legacy: "allow" | "deny",
    limits: Limits,
    crypto: Crypto,
    isSelf: (target: Target) => void,
  ) {
    this.#ownId = ownId;
    this.#legacy = legacy;
    this.#crypto = crypto;
    this.#isSelf = isSelf;
    this.#hellos = new ReplayWindow(limits.helloReplayWindowMs, limits.maxReplayEntries);
    this.#proven = new KnownPeers(limits.maxReplayEntries);
    this.#withoutCaps = new KnownPeers(limits.maxReplayEntries);
  }

  /** A challenge for a HELLO to `target`. */
  challengeFor(target: Target): number {
    let challenge = readU32(this.#crypto.randomBytes(4), 0);
    while (this.#challenges.has(challenge)) challenge = readU32(this.#crypto.randomBytes(4), 0);
    this.#challenges.set(challenge, target);
    return challenge;
  }

  /** That HELLO is answered, or will not be. */
  forgetChallenge(challenge: number | undefined): void {
    if (challenge !== undefined) this.#challenges.delete(challenge);
  }

  /** A HELLO whose signature holds: undefined, or why it is refused. */
  judge(nodeId: Uint8Array, challenge: number, nowMs: number): AsocError | undefined {
    const id = formatNodeId(nodeId);
    if (id === this.#ownId) {
      const target = this.#challenges.get(challenge);
      if (!target) {
        return new AuthError(
          "ASOC_DUPLICATE_NODE_ID",
          `HELLO refused: another node has this node's id ${id}`,
        );
      }
      this.#isSelf(target);
      return new AuthError("ASOC_SELF_CONNECTION", `HELLO refused: ${target.key} is this node itself`);
    }
    if (this.#hellos.enter(id, challenge, nowMs) !== undefined) {
      return new AuthError("ASOC_REPLAYED_HELLO", `HELLO refused: ${id} has used this challenge before`);
    }
    return undefined;
  }

  /** Nobody need wait for its CAPS. */
  isLegacy(nodeId: Uint8Array): boolean {
    return this.#withoutCaps.has(formatNodeId(nodeId));
  }

  /** The uuid has proven itself before, or says that it can; or so has whoever answered where we dial; or nobody may be without. */
  mustProve(
    nodeId: Uint8Array | undefined,
    target: Target | undefined,
    dialled: Address | undefined,
  ): boolean {
    if (this.#legacy === "deny") return true;
    if (nodeId) return this.#proven.has(formatNodeId(nodeId));
    if (target?.nodeId && isVersion8(parseNodeId(target.nodeId))) return true;
    return dialled !== undefined && this.#proven.has(formatAddress(dialled));
  }

  /** `id` has proven itself, where we dialled it. */
  handleProven(id: string, dialled: Address | undefined): void {
    this.#proven.add(id, ...(dialled ? [formatAddress(dialled)] : []));
  }

  /** `id` came without CAPS. */
  handleWithoutCaps(id: string): void {
    this.#withoutCaps.add(id);
  }

  /** It may have said CAPS too late, or been updated: the next time it is waited for. */
  handleLateCaps(id: string): void {
    this.#withoutCaps.delete(id);
  }
}
