/**
 * Whom a node dials (RFC-0001, Reconnection): the static peers of its configuration, and those that discovery has
 * seen. Knows no connections; the swarm says what became of a dial.
 *
 *   WAITING ── due ──▶ DIALLING ── open ──▶ CONNECTED ── lost ──▶ WAITING (back-off)
 *      ▲──── failed ──────┘   └── our own HELLO came back ──▶ SELF (never again)
 */
import { formatAddress } from "../address.ts";
import type { AsocError } from "../errors.ts";
import type { Limits, Timing } from "../limits.ts";
import type { Address } from "../runtime.ts";
import { provenRedialDelayMs, redialDelayMs } from "./backoff.ts";

export interface Target {
  /** HOST:PORT for a static peer, the node id for a discovered one. */
  readonly key: string;
  readonly isStatic: boolean;
  /** Who is there, by its own word or a beacon's. */
  nodeId: string | undefined;
  /** Who has proven itself at a static one: the same as `nodeId` then, kept while a proven link to it lives. */
  provenId: string | undefined;
  addresses: Address[];
  /** Which address is tried, or was the first that worked. */
  at: number;
  state: "waiting" | "dialling" | "connected" | "self";
  /** The link that makes it connected. */
  linkId: number | undefined;
  /** Addresses that failed since the last success or failure. */
  tried: number;
  failures: number;
  dueMs: number;
  /** When it was last redialled without the usual delay. */
  quickMs: number | undefined;
  lastError: AsocError | undefined;
}

export interface DialFailed {
  readonly kind: "dialFailed";
  readonly address: Address;
  readonly error: AsocError;
  readonly failures: number;
  readonly retryMs: number | undefined;
}

interface Config {
  readonly limits: Limits & Timing;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class Targets implements Iterable<Target> {
  readonly #config: Config;
  readonly #byKey = new Map<string, Target>();
  readonly #dropped = new Map<string, number>();

  constructor(config: Config) {
    this.#config = config;
  }

  get byKey(): ReadonlyMap<string, Target> {
    return this.#byKey;
  }
  [Symbol.iterator](): Iterator<Target> {
    return this.#byKey.values();
  }

  /** The first static one at which `nodeId` has proven itself. */
  staticOf(nodeId: string): Target | undefined {
    for (const target of this.#byKey.values())
      if (target.isStatic && target.provenId === nodeId) return target;
    return undefined;
  }

  addStatic(address: Address, nowMs: number): void {
    const key = formatAddress(address);
    if (this.#byKey.has(key)) return;
    this.#byKey.set(key, newTarget(key, undefined, address, nowMs));
  }

  /** Discovery has seen `nodeId` at `address`. */
  addFound(nodeId: string, address: Address, nowMs: number): void {
    const { limits } = this.#config;
    const droppedMs = this.#dropped.get(nodeId);
    if (droppedMs !== undefined) {
      if (nowMs - droppedMs < limits.droppedPeerMs) return;
      this.#dropped.delete(nodeId);
    }
    const text = formatAddress(address);
    const known = this.#byKey.get(nodeId);
    if (known) {
      if (
        known.addresses.length < limits.maxAddressesPerPeer &&
        !known.addresses.some((other) => formatAddress(other) === text)
      ) {
        known.addresses.push(address);
      }
      return;
    }
    const fixed = this.#byKey.get(text);
    if (!fixed) this.#byKey.set(nodeId, newTarget(nodeId, nodeId, address, nowMs));
    // A beacon's word does not change what was proven there.
    else if (fixed.provenId === undefined) fixed.nodeId = nodeId;
  }

  delete(target: Target): void {
    this.#byKey.delete(target.key);
  }

  /** A dial failed. Undefined: the next of its addresses is to be tried first. */
  failed(target: Target, error: AsocError, nowMs: number): DialFailed | undefined {
    const { limits, random } = this.#config;
    target.lastError = error;
    const address = currentAddress(target);
    target.at = (target.at + 1) % target.addresses.length;
    target.tried++;
    if (target.tried < target.addresses.length) {
      // A failure is one of all its addresses: the next one is tried at once.
      target.state = "waiting";
      target.dueMs = nowMs;
      return undefined;
    }
    target.tried = 0;
    target.failures++;
    let retryMs: number | undefined = redialDelayMs(target.failures - 1, limits, random());
    if (!target.isStatic && target.failures >= limits.discoveredDialAttempts) {
      retryMs = undefined;
      this.delete(target);
      this.#dropped.set(target.key, nowMs);
      if (this.#dropped.size > limits.maxDiscoveredPeers)
        this.#dropped.delete(this.#dropped.keys().next().value ?? "");
    } else {
      target.state = "waiting";
      target.dueMs = nowMs + retryMs;
    }
    return { kind: "dialFailed", address, error, failures: target.failures, retryMs };
  }

  /** A dial succeeded: `nodeId` is there, proven or not; undefined: nobody knows who. */
  opened(target: Target, nodeId: string | undefined, proven: boolean): void {
    target.state = "connected";
    target.failures = 0;
    target.tried = 0;
    target.lastError = undefined;
    this.answeredBy(target, nodeId, proven);
  }

  answeredBy(target: Target, nodeId: string | undefined, proven: boolean): void {
    if (target.isStatic) {
      target.nodeId = nodeId;
      target.provenId = proven ? nodeId : undefined;
    }
    // A discovered peer at whose address another node answers is gone; its beacons bring it back.
    else if (nodeId !== target.nodeId) this.delete(target);
  }

  /** The usual delay after a loss. */
  lost(target: Target, nowMs: number): void {
    const { limits, random } = this.#config;
    target.dueMs = nowMs + redialDelayMs(0, limits, random());
  }

  /**
   * All links to `nodeId` that kept us from dialling it are gone; it had proven itself. Waiting targets are due almost at
   * once, but not if that has happened just now: a peer that ends every connection gets the usual delay.
   */
  lostProven(nodeId: string, quickly: boolean, nowMs: number): void {
    const { limits, random } = this.#config;
    for (const target of this.#byKey.values()) {
      if (target.nodeId !== nodeId || target.state !== "waiting") continue;
      const { quickMs } = target;
      const quick = quickly && (quickMs === undefined || nowMs - quickMs >= limits.reconnectMaxMs);
      if (quick) target.quickMs = nowMs;
      const delayMs = quick ? provenRedialDelayMs(limits, random()) : redialDelayMs(0, limits, random());
      // One that could not be dialled goes on to wait for its turn.
      target.dueMs = Math.max(target.dueMs, nowMs + delayMs);
    }
  }

  /** No proven link to `nodeId` is left: another node may answer at its static addresses next time. */
  forgetProven(nodeId: string): void {
    for (const target of this.#byKey.values()) {
      if (target.provenId === nodeId) target.nodeId = target.provenId = undefined;
    }
  }
}

function newTarget(key: string, nodeId: string | undefined, address: Address, dueMs: number): Target {
  return {
    key,
    isStatic: nodeId === undefined,
    nodeId,
    provenId: undefined,
    addresses: [address],
    at: 0,
    state: "waiting",
    linkId: undefined,
    tried: 0,
    failures: 0,
    dueMs,
    quickMs: undefined,
    lastError: undefined,
  };
}

export function currentAddress(target: Target): Address {
  return target.addresses[target.at % target.addresses.length] as Address; // never empty: made with one address
}
